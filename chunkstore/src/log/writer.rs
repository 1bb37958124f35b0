//! What was appended and is not durable yet, and the pack that is appended to.
//!
//! **Invariant**: what waits for a commit lies in packs that have not failed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::PackState;
use crate::disk::PackFile;
use crate::index::PREFIX_BYTES;
use crate::index::key::{Key, Location, id_prefix};
use crate::record::{Entry, Kind, PACK_HEADER_BYTES, Record};

/// The pack that is appended to.
pub(crate) struct Active {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn PackFile>,
    pub(crate) bytes: u64,
}

/// What the threads that append share.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) pack: Option<Active>,
    /// Packs that are full and not committed yet.
    pub(super) sealed: Vec<Active>,
    pub(super) next: u32,
    pub(super) waiting: Waiting,
    /// What a commit is making durable now.
    pub(super) syncing: HashMap<[u8; PREFIX_BYTES], Location>,
    /// Packs of which a write did not reach the disk.
    pub(super) failed: BTreeSet<u32>,
}

/// The number and the file of a pack that was written to.
pub(super) type PackToSync = (u32, Arc<dyn PackFile>);

/// What was appended since the last commit.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) places: HashMap<[u8; PREFIX_BYTES], Location>,
    pub(super) puts: Vec<Key>,
    /// What a record takes the place of, with the pack that the record is in.
    pub(super) deletes: Vec<(u32, Key)>,
    pub(super) states: BTreeMap<u32, PackState>,
}

impl Writer {
    pub(super) fn has_room(&self, record: &Record, pack_bytes: u64) -> bool {
        let fits = |active: &Active| {
            active.bytes == PACK_HEADER_BYTES || active.bytes + record.bytes() <= pack_bytes
        };
        self.pack.as_ref().is_some_and(fits)
    }

    pub(super) fn place(&self, prefix: &[u8; PREFIX_BYTES]) -> Option<Location> {
        let waiting = self.waiting.places.get(prefix);
        waiting.or_else(|| self.syncing.get(prefix)).copied()
    }

    /// Takes what waits, and the files that must be synced before it is indexed.
    pub(super) fn begin_commit(&mut self) -> (Vec<PackToSync>, Waiting) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut files = Vec::new();
        let sealed = std::mem::take(&mut self.sealed);
        let packs = sealed.iter().map(|pack| (pack, true));
        for (pack, is_sealed) in packs.chain(self.pack.as_ref().map(|pack| (pack, false))) {
            files.push((pack.number, Arc::clone(&pack.file)));
            let bytes = pack.bytes;
            waiting
                .states
                .insert(pack.number, PackState { bytes, is_sealed });
        }
        self.syncing = std::mem::take(&mut waiting.places);
        (files, waiting)
    }

    /// Takes back what a commit could not index; what was appended since stays newer.
    pub(super) fn restore(&mut self, mut waiting: Waiting, failed: Option<u32>) {
        let newer = std::mem::take(&mut self.waiting);
        waiting.places = std::mem::take(&mut self.syncing);
        waiting.places.extend(newer.places);
        waiting.puts.extend(newer.puts);
        waiting.deletes.extend(newer.deletes);
        waiting.states.extend(newer.states);
        self.waiting = waiting;
        failed.into_iter().for_each(|pack| self.fail(pack));
    }

    /// Lets the chunks of a record wait for the next commit.
    pub(super) fn note(&mut self, record: &Record, (pack, offset): (u32, u32)) {
        for (id, place) in locations(record.kind, &record.entries, (pack, offset)) {
            self.waiting
                .places
                .insert(id_prefix(record.kind, &id), place);
            self.waiting
                .puts
                .push(Key::of_entry(record.kind, id, place));
        }
    }

    /// Nothing rests on this pack from here on.
    pub(super) fn fail(&mut self, pack: u32) {
        tracing::warn!(pack, "a write of a pack did not reach the disk");
        self.failed.insert(pack);
        if self
            .pack
            .as_ref()
            .is_some_and(|active| active.number == pack)
        {
            self.pack = None;
        }
        self.waiting.places.retain(|_, place| place.pack != pack);
        self.waiting.puts.retain(|key| !key.is_in(pack));
        self.waiting.deletes.retain(|(by, _)| *by != pack);
        self.waiting.states.remove(&pack);
    }
}

/// Where the chunks of a record lie.
pub(crate) fn locations(
    kind: Kind,
    entries: &[Entry],
    (pack, record): (u32, u32),
) -> Vec<([u8; 32], Location)> {
    debug_assert!(entries.is_empty() || matches!(kind, Kind::Chunks | Kind::Nodes));
    let mut at = 0;
    let place = |entry: &Entry| {
        let location = Location {
            pack,
            record,
            at,
            bytes: entry.bytes,
        };
        at += entry.bytes;
        (entry.id, location)
    };
    entries.iter().map(place).collect()
}
