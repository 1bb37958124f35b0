//! Enters what the packs hold in the index.
//!
//! **Invariant**: of the records of one object the one in the highest place counts, in whatever order
//! they are read.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use gdo_core::id::Digest;

use super::{BATCH_KEYS, INDEX_VERSION};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::index::key::{Key, oid_prefix, prefix};
use crate::index::{Batch, Index};
use crate::log::{Change, PackState, key_of_change, key_of_pack, locations};
use crate::record::{Kind, ObjectRecord, PACK_BYTES_MAX, PACK_HEADER_BYTES};
use crate::scan::{Item, Scanner, Whole, read_pack_header};

/// Enters records in the index, in the order of the packs.
pub(crate) struct Indexer<'a> {
    index: &'a Index,
    batch: Batch,
    /// The objects that were named.
    pub(super) named: BTreeSet<Digest>,
}

impl<'a> Indexer<'a> {
    pub(crate) fn new(index: &'a Index) -> Self {
        Self {
            index,
            batch: Batch::default(),
            named: BTreeSet::new(),
        }
    }

    /// Enters one record; the last one of an object counts.
    pub(crate) fn take(&mut self, pack: u32, record: &Whole) -> Result<(), StoreError> {
        let place = (pack, record.offset as u32);
        match record.head.kind {
            Kind::Chunks | Kind::Nodes => {
                for (id, location) in locations(record.head.kind, &record.entries, place) {
                    let key = Key::of_entry(record.head.kind, id, location);
                    self.batch.put(&key);
                }
            }
            Kind::Object => {
                if let Some(object) = ObjectRecord::parse(&record.body) {
                    self.change(&object.oid, &Change::Name(object), place)?;
                }
            }
            Kind::Gone => {
                let oid: Result<[u8; 32], _> = record.body[..].try_into();
                if let Ok(oid) = oid.map(Digest::from_bytes) {
                    self.change(&oid, &Change::Forget(oid), place)?;
                }
            }
            Kind::Seal => {}
        }
        if self.batch.len() >= BATCH_KEYS {
            self.write()?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        oid: &Digest,
        change: &Change,
        place: (u32, u32),
    ) -> Result<(), StoreError> {
        // What an earlier record said of it must be there to be deleted.
        self.write()?;
        let mut keys = self.index.keys(&oid_prefix(prefix::OBJECT, oid))?;
        keys.extend(self.index.keys(&oid_prefix(prefix::GONE, oid))?);
        // A pack that failed and was left may be read after the ones that followed it.
        if keys.iter().any(|key| key.place() > Some(place)) {
            return Ok(());
        }
        keys.iter().for_each(|key| self.batch.delete(key));
        self.batch.put(&key_of_change(change, place));
        if let Change::Name(object) = change {
            self.named.insert(object.oid);
        }
        Ok(())
    }

    /// Takes a key out.
    pub(super) fn delete(&mut self, key: &Key) {
        self.batch.delete(key);
    }

    /// Adds a key that no record says.
    pub(crate) fn put(&mut self, key: &Key) {
        self.batch.put(key);
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if self.batch.len() == 0 {
            return Ok(());
        }
        self.index.write_lazily(std::mem::take(&mut self.batch))
    }

    /// Makes everything that was entered durable.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        self.index.write(self.batch)
    }
}

/// What was found when an index was made from packs.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) records: u64,
    /// Pack, first byte, end, and why it could not be read.
    pub(crate) broken: Vec<(u32, u64, u64, String)>,
}

/// Enters all records of `packs` in an index that holds nothing of them yet; calls `progress` with
/// each pack and how far in it this is.
pub(crate) fn index_packs(
    disk: &Arc<dyn Disk>,
    index: &Index,
    packs: &[u32],
    progress: &mut dyn FnMut(u32, u64),
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut indexer = Indexer::new(index);
    for pack in packs {
        let failed = |error| StoreError::io(&disk.path(*pack), error);
        let file = disk.open(*pack).map_err(failed)?;
        let len = file.len().map_err(failed)?.min(PACK_BYTES_MAX);
        if let Err(reason) = read_pack_header(&*file, *pack) {
            let end = len.min(PACK_HEADER_BYTES);
            found.broken.push((*pack, 0, end, reason));
        }
        let mut state = PackState {
            bytes: PACK_HEADER_BYTES,
            is_sealed: false,
        };
        for item in Scanner::new(file, *pack, PACK_HEADER_BYTES, len) {
            match item {
                Item::Whole(record) => {
                    indexer.take(*pack, &record)?;
                    found.records += 1;
                    state.bytes = record.offset + record.head.record_bytes();
                    state.is_sealed = record.head.kind == Kind::Seal;
                }
                Item::Broken(broken) => {
                    if let Some((head, entries)) = &broken.head {
                        let place = (*pack, broken.offset as u32);
                        for (id, location) in locations(head.kind, entries, place) {
                            indexer.put(&Key::of_entry(head.kind, id, location));
                        }
                        let Range { start, end } = broken.range();
                        let pack = *pack;
                        indexer.put(&Key::Bad { pack, start, end });
                    }
                    let reason = broken.reason;
                    found
                        .broken
                        .push((*pack, broken.offset, broken.end, reason));
                }
            }
            progress(*pack, state.bytes);
        }
        indexer.put(&key_of_pack(*pack, state));
    }
    indexer.put(&Key::Version(INDEX_VERSION));
    indexer.finish()?;
    Ok(found)
}
