//! What is known to be broken in the packs.
//!
//! **Invariant**: what is marked here is not counted on when an object is stored, and is tried last
//! when one is read.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Log, lock};
use crate::error::StoreError;
use crate::index::Batch;
use crate::index::key::Key;

/// Stands in the place of a pack for what is in none: an index that is made anew does not know of packs
/// that are gone.
const NO_PACK: u32 = u32::MAX;

/// What cannot be read, as far as it was found.
#[derive(Clone, Default, Debug)]
pub(crate) struct Bad {
    /// Where records cannot be read: pack, first offset, end.
    pub(crate) ranges: BTreeSet<(u32, u32, u32)>,
    /// Packs that are in the index and not on the disk.
    pub(crate) packs: BTreeSet<u32>,
}

impl Bad {
    /// Whether the record, or all of its pack, is among it.
    pub(crate) fn holds(&self, pack: u32, record: u32) -> bool {
        let before = (pack, 0, 0)..=(pack, record, u32::MAX);
        self.packs.contains(&pack) || self.ranges.range(before).any(|(_, _, end)| *end > record)
    }
}

impl Log {
    /// Whether anything is known to be broken.
    pub(crate) fn has_bad(&self) -> bool {
        let bad = lock(&self.bad);
        !bad.ranges.is_empty() || !bad.packs.is_empty()
    }

    /// Whether it is known that a record cannot be read.
    pub(crate) fn is_bad(&self, pack: u32, record: u32) -> bool {
        lock(&self.bad).holds(pack, record)
    }

    /// Remembers that records which begin in this range of a pack cannot be read, so that what they
    /// hold is stored again.
    ///
    /// # Errors
    /// The index cannot be written; it is remembered until the store is closed even so.
    pub(crate) fn mark_bad(&self, pack: u32, range: Range<u32>) -> Result<(), StoreError> {
        let is_new = lock(&self.bad)
            .ranges
            .insert((pack, range.start, range.end));
        if !is_new || self.index.is_read_only() {
            return Ok(());
        }
        tracing::warn!(pack, ?range, "a part of a pack cannot be read");
        let mut batch = Batch::default();
        batch.put(&key_of_bad(pack, &range));
        self.index.write(batch)
    }

    /// Remembers that something that an object is made of is in no pack.
    ///
    /// # Errors
    /// As [`Log::mark_bad`].
    pub(crate) fn mark_lost(&self) -> Result<(), StoreError> {
        self.mark_bad(NO_PACK, 0..1)
    }

    /// After all objects were followed: everything that they are made of is in some pack.
    ///
    /// # Errors
    /// As [`Log::set_bad`].
    pub(crate) fn set_none_lost(&self) -> Result<(), StoreError> {
        self.set_bad(NO_PACK, &[])
    }

    /// After all of a pack was read: what is bad in it is this, and nothing else.
    ///
    /// # Errors
    /// The index cannot be written.
    pub(crate) fn set_bad(&self, pack: u32, ranges: &[Range<u32>]) -> Result<(), StoreError> {
        let mut bad = lock(&self.bad);
        let mut batch = Batch::default();
        bad.ranges.retain(|(of, start, end)| {
            let range = *start..*end;
            let stays = *of != pack || ranges.contains(&range);
            if !stays {
                batch.delete(&key_of_bad(pack, &range));
            }
            stays
        });
        for range in ranges {
            if bad.ranges.insert((pack, range.start, range.end)) {
                batch.put(&key_of_bad(pack, range));
            }
        }
        drop(bad);
        if batch.len() == 0 || self.index.is_read_only() {
            return Ok(());
        }
        tracing::warn!(
            pack,
            ?ranges,
            "what cannot be read of a pack is another part than before"
        );
        self.index.write(batch)
    }

    /// What was found broken so far.
    pub(crate) fn bad(&self) -> Bad {
        lock(&self.bad).clone()
    }
}

fn key_of_bad(pack: u32, range: &Range<u32>) -> Key {
    Key::Bad {
        pack,
        start: range.start,
        end: range.end,
    }
}
