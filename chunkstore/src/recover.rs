//! What is done when a store is opened: what a crash left is brought in order.
//!
//! The packs say what there is; the index follows. Behind the length up to which a pack is indexed
//! lies what was appended and not committed: whole records are indexed, and from the first that is
//! not whole the pack is cut off. An index that is missing is made anew from all packs.
//!
//! **Invariants**: a pack is synced before what it holds is indexed; nothing that was committed is
//! cut off; each step may be interrupted and is then done again.

mod indexer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use gdo_core::id::Digest;

use crate::disk::{Disk, PackFile};
use crate::error::StoreError;
use crate::index::key::{Key, prefix};
use crate::index::{Batch, Index};
use crate::log::{Active, PackState, Start, key_of_pack};
use crate::record::{Kind, PACK_BYTES_MAX, PACK_HEADER_BYTES, Record};
use crate::scan::{Item, Scanner, read_pack_header};

use indexer::Indexer;
pub(crate) use indexer::index_packs;

/// The version of the index that this crate writes.
const INDEX_VERSION: u32 = 1;
/// So many keys are written to the index at once.
const BATCH_KEYS: usize = 4096;

/// Reads what the index says, without changing anything.
pub(crate) fn read_start(disk: &dyn Disk, index: &Index) -> Result<Start, StoreError> {
    let mut start = Start::default();
    for key in index.keys(&[prefix::PACK])? {
        if let Key::Pack {
            pack,
            bytes,
            is_sealed,
        } = key
        {
            start.table.insert(pack, PackState { bytes, is_sealed });
        }
    }
    for key in index.keys(&[prefix::BAD])? {
        if let Key::Bad {
            pack,
            start: from,
            end,
        } = key
        {
            start.bad.ranges.insert((pack, from, end));
        }
    }
    let packs = list(disk)?;
    let lost = start.table.keys().filter(|pack| !packs.contains(pack));
    start.bad.packs = lost.copied().collect();
    let last = packs.last().max(start.table.keys().last());
    start.next = last.map_or(0, |last| last + 1);
    Ok(start)
}

/// Brings the packs and the index in order.
///
/// # Errors
/// A pack or the index cannot be read or written.
pub(crate) fn recover(disk: &Arc<dyn Disk>, index: &Index) -> Result<Start, StoreError> {
    let is_new = prepare_index(disk, index)?;
    finish_deletions(disk, index)?;
    let mut start = read_start(&**disk, index)?;
    start.is_new = is_new;
    let packs = list(&**disk)?;
    for pack in &packs {
        let state = start.table.get(pack).copied();
        if let Some(state) = state {
            note_short_pack(&**disk, *pack, state, &mut start)?;
            if state.is_sealed {
                continue;
            }
        }
        let is_last = packs.last() == Some(pack);
        let recovered = recover_pack(disk, index, *pack, state, is_last, &mut start.named)?;
        let Some((active, state)) = recovered else {
            continue;
        };
        start.table.insert(*pack, state);
        start.active = Some(active).filter(|_| !state.is_sealed);
    }
    Ok(start)
}

/// What a pack lost that is shorter than it was cannot be read.
fn note_short_pack(
    disk: &dyn Disk,
    pack: u32,
    state: PackState,
    start: &mut Start,
) -> Result<(), StoreError> {
    let len = disk.open(pack).and_then(|file| file.len());
    let len = len.map_err(|error| StoreError::io(&disk.path(pack), error))?;
    if len < state.bytes {
        tracing::warn!(
            pack,
            len,
            expected = state.bytes,
            "a pack is shorter than it was"
        );
        start
            .bad
            .ranges
            .insert((pack, len as u32, state.bytes as u32));
    }
    Ok(())
}

fn list(disk: &dyn Disk) -> Result<Vec<u32>, StoreError> {
    disk.packs()
        .map_err(|error| StoreError::io(&disk.path(0), error))
}

/// Makes an index that is not there, or not whole, from the packs; says whether it did.
fn prepare_index(disk: &Arc<dyn Disk>, index: &Index) -> Result<bool, StoreError> {
    match index.keys(&[prefix::VERSION])?.first() {
        Some(Key::Version(INDEX_VERSION)) => return Ok(false),
        Some(other) => {
            let reason = format!("expected version {INDEX_VERSION}, found {other:?}");
            return Err(StoreError::Index(reason));
        }
        None => {}
    }
    let packs = list(&**disk)?;
    if !packs.is_empty() {
        tracing::warn!(packs = packs.len(), "the index is made anew from the packs");
    }
    index_packs(disk, index, &packs, &mut |_, _| {})?;
    Ok(!packs.is_empty())
}

/// Deletes the packs whose deletion was begun.
fn finish_deletions(disk: &Arc<dyn Disk>, index: &Index) -> Result<(), StoreError> {
    let doomed = index.keys(&[prefix::DOOMED])?;
    let doomed = doomed.into_iter().filter_map(|key| match key {
        Key::Doomed { pack } => Some(pack),
        _ => None,
    });
    delete_packs(&**disk, index, &doomed.collect())
}

/// Deletes packs that the index calls doomed: their keys, their files, and then the marks.
pub(crate) fn delete_packs(
    disk: &dyn Disk,
    index: &Index,
    packs: &BTreeSet<u32>,
) -> Result<(), StoreError> {
    if packs.is_empty() {
        return Ok(());
    }
    let is_in = |key: &Key| packs.iter().any(|pack| key.is_in(*pack));
    let kinds = [
        prefix::CHUNK,
        prefix::NODE,
        prefix::GONE,
        prefix::BAD,
        prefix::DEAD,
    ];
    for first in kinds {
        let mut batch = Batch::default();
        index.scan(&[first], &mut |key| {
            if is_in(&key) {
                batch.delete(&key);
            }
            if batch.len() >= BATCH_KEYS {
                index.write_lazily(std::mem::take(&mut batch))?;
            }
            Ok(true)
        })?;
        index.write_lazily(batch)?;
    }
    let mut batch = Batch::default();
    for pack in packs {
        let removed = disk.remove(*pack);
        removed.map_err(|error| StoreError::io(&disk.path(*pack), error))?;
        batch.delete(&Key::Doomed { pack: *pack });
    }
    let states = index.keys(&[prefix::PACK])?;
    let states = states.iter().filter(|key| is_in(key));
    states.for_each(|key| batch.delete(key));
    index.write(batch)
}

/// Indexes what was appended to a pack and not committed, and cuts off what is not whole. A pack
/// that is not the last is sealed; `None` if there was nothing in it, and it is gone.
fn recover_pack(
    disk: &Arc<dyn Disk>,
    index: &Index,
    pack: u32,
    before: Option<PackState>,
    is_last: bool,
    named: &mut BTreeSet<Digest>,
) -> Result<Option<(Active, PackState)>, StoreError> {
    let failed = |error| StoreError::io(&disk.path(pack), error);
    let file = disk.open(pack).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    if before.is_none() && (len <= PACK_HEADER_BYTES || read_pack_header(&*file, pack).is_err()) {
        disk.remove(pack).map_err(failed)?;
        return Ok(None);
    }
    let from = before.map_or(PACK_HEADER_BYTES, |state| state.bytes);
    // What is indexed must not be lost again.
    file.sync().map_err(failed)?;
    let mut indexer = Indexer::new(index);
    let mut state = PackState {
        bytes: from,
        // A pack that lost what was committed is left as it is: it is damaged.
        is_sealed: len < from,
    };
    for item in Scanner::new(Arc::clone(&file), pack, from, len.min(PACK_BYTES_MAX)) {
        let Item::Whole(record) = item else { break };
        indexer.take(pack, &record)?;
        state.bytes = record.offset + record.head.record_bytes();
        state.is_sealed = record.head.kind == Kind::Seal;
    }
    if state.bytes < len {
        tracing::info!(
            pack,
            from = state.bytes,
            to = len,
            "cut off what was not whole"
        );
        file.set_len(state.bytes).map_err(failed)?;
    }
    if !is_last && !state.is_sealed {
        state.bytes += seal(&*file, pack, state.bytes).map_err(failed)?;
        state.is_sealed = true;
    }
    file.sync().map_err(failed)?;
    if before != Some(state) {
        if let Some(before) = before {
            indexer.delete(&key_of_pack(pack, before));
        }
        indexer.put(&key_of_pack(pack, state));
        named.append(&mut indexer.named);
        indexer.finish()?;
    }
    let active = Active {
        number: pack,
        file,
        bytes: state.bytes,
    };
    Ok(Some((active, state)))
}

fn seal(file: &dyn PackFile, pack: u32, at: u64) -> std::io::Result<u64> {
    let record = Record::seal(at);
    let mut bytes = record.encode_head(pack);
    bytes.extend(&record.body);
    file.write_at(&bytes, at)?;
    Ok(bytes.len() as u64)
}

/// What a store's directory must look like before it is opened.
pub(crate) fn check_format(dir: &Path, may_write: bool) -> Result<(), StoreError> {
    const FORMAT: &str = "gdo chunks 1\n";
    let path = dir.join("format");
    let failed = |error| StoreError::io(&path, error);
    match std::fs::read_to_string(&path) {
        Ok(text) if text == FORMAT => Ok(()),
        Ok(found) => Err(StoreError::Format {
            path,
            expected: format!("{FORMAT:?}; another version of gdo made this store"),
            found: format!("{found:?}"),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_write => {
            let next = dir.join("format.next");
            let write = || {
                std::fs::write(&next, FORMAT)?;
                std::fs::File::open(&next)?.sync_all()?;
                std::fs::rename(&next, &path)?;
                std::fs::File::open(dir)?.sync_all()
            };
            write().map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The packs of a table with what they hold.
pub(crate) fn stored_bytes(table: &BTreeMap<u32, PackState>) -> u64 {
    table.values().map(|state| state.bytes).sum()
}
