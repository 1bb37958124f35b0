//! How much there is: of an object and of the whole store.

use std::collections::{BTreeMap, HashSet};

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;

use crate::error::StoreError;
use crate::hash::ManifestId;
use crate::index::key::{Key, Location, prefix};
use crate::read::{ObjectReader, read_from};
use crate::record::Kind;
use crate::recover::stored_bytes;
use crate::scan::read_head;
use crate::store::Store;

/// What an object takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectStat {
    /// The object.
    pub pointer: Pointer,
    /// The root of its manifest.
    pub manifest: ManifestId,
    /// How many chunks it is made of, each counted as often as it occurs.
    pub chunks: u64,
    /// How many bytes its different chunks have.
    pub unique_bytes: u64,
    /// How many bytes of frames these take: of a frame each chunk counts with its part.
    pub stored_bytes: u64,
    /// When it came last.
    pub came_unix_seconds: i64,
}

/// What the store holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// How many objects there are.
    pub objects: u64,
    /// How many bytes they have in all.
    pub logical_bytes: u64,
    /// How many different chunks there are, those included that nothing needs any more.
    pub chunks: u64,
    /// How many bytes these have.
    pub unique_bytes: u64,
    /// How many packs there are.
    pub packs: u64,
    /// How many bytes these have on the disk.
    pub stored_bytes: u64,
    /// How many bytes the index has on the disk.
    pub index_bytes: u64,
}

impl Store {
    /// What an object takes; `None` if it is not there.
    ///
    /// # Errors
    /// Its manifest, or the head of a frame, cannot be read.
    pub fn stat(&self, oid: &Digest) -> Result<Option<ObjectStat>, StoreError> {
        let Some(object) = self.inner.log.object(oid)? else {
            return Ok(None);
        };
        let mut reader = match ObjectReader::open(self, oid) {
            Err(StoreError::Missing { .. }) => return Ok(None),
            opened => opened?,
        };
        let mut stat = ObjectStat {
            pointer: reader.pointer(),
            manifest: reader.manifest(),
            chunks: 0,
            unique_bytes: 0,
            stored_bytes: 0,
            came_unix_seconds: object.came_unix_seconds,
        };
        let mut seen = HashSet::new();
        let mut ratios = BTreeMap::new();
        let log = &self.inner.log;
        reader.walk(&mut |_| {}, &mut |span| {
            stat.chunks += 1;
            // Half of an id tells chunks apart well enough to be counted.
            let (half, _) = span
                .chunk
                .as_bytes()
                .split_first_chunk::<16>()
                .expect("32 bytes");
            if !seen.insert(*half) {
                return Ok(());
            }
            stat.unique_bytes += u64::from(span.len);
            if let Some(place) = log.places(Kind::Chunks, span.chunk.as_bytes())?.first() {
                stat.stored_bytes += self.stored_part(place, &mut ratios)?;
            }
            Ok(())
        })?;
        Ok(Some(stat))
    }

    /// How many bytes of its frame a chunk takes.
    fn stored_part(
        &self,
        place: &Location,
        ratios: &mut BTreeMap<(u32, u32), (u64, u64)>,
    ) -> Result<u64, StoreError> {
        let at = (place.pack, place.record);
        let (stored, plain) = match ratios.get(&at) {
            Some(ratio) => *ratio,
            None => {
                let ratio = self.frame_ratio(place)?;
                *ratios.entry(at).or_insert(ratio)
            }
        };
        Ok(u64::from(place.bytes) * stored / plain)
    }

    /// How many bytes a frame has as it is stored and before; equal if that cannot be read.
    fn frame_ratio(&self, place: &Location) -> Result<(u64, u64), StoreError> {
        let log = &self.inner.log;
        let file = log.file(place.pack);
        let file = file.map_err(|error| StoreError::io(&log.disk.path(place.pack), error))?;
        let head = read_head(place.pack, u64::from(place.record), &read_from(&*file));
        Ok(head.map_or((1, 1), |(head, _)| {
            (head.record_bytes(), u64::from(head.plain))
        }))
    }

    /// What the store holds. The index is read from end to end.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        let log = &self.inner.log;
        let objects = self.objects()?;
        let packs = log.packs();
        let mut totals = Totals {
            objects: objects.len() as u64,
            logical_bytes: objects.iter().map(|object| object.size).sum(),
            packs: packs.len() as u64,
            stored_bytes: stored_bytes(&packs),
            index_bytes: log.index.bytes(),
            ..Totals::default()
        };
        let mut last = None;
        log.index.scan(&[prefix::CHUNK], &mut |key| {
            if let Key::Chunk(id, place) = key
                && last.replace(id) != Some(id)
            {
                totals.chunks += 1;
                totals.unique_bytes += u64::from(place.bytes);
            }
            Ok(true)
        })?;
        Ok(totals)
    }
}
