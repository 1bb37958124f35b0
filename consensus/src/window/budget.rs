//! Budgets: how many unfinished things of one principal take part in the head (step 3).
//!
//! Each principal has one budget for final proposals and one for everything else, counted in
//! distinct proposals, or blocks without one, in canonical order. What is over waits.
//!
//! **Invariants**: `within` holds the first `limit` items by the key of their first block.

use std::collections::BTreeMap;

use gdo_core::id::ObjectId;

use super::order::Key;

/// The items of one principal and kind. An item is a proposal, or a block without one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget {
    within: BTreeMap<Key, ObjectId>,
    over: BTreeMap<Key, ObjectId>,
    /// The blocks of each item, in canonical order.
    blocks: BTreeMap<ObjectId, Vec<(Key, u32)>>,
}

impl Budget {
    /// Adds a block of `item`; gives the blocks of the items that moved across the limit.
    pub(crate) fn add(&mut self, key: Key, slot: u32, item: ObjectId, limit: u64) -> Vec<u32> {
        let blocks = self.blocks.entry(item).or_default();
        let first = blocks.first().map(|(first, _)| *first);
        let place = blocks.partition_point(|(other, _)| *other < key);
        blocks.insert(place, (key, slot));
        let was_over = match first {
            Some(first) if first < key => return Vec::new(),
            Some(first) => {
                self.within.remove(&first).is_none() && self.over.remove(&first).is_some()
            }
            None => false,
        };
        self.within.insert(key, item);
        let mut moved = if was_over {
            self.slots_of(&item)
        } else {
            Vec::new()
        };
        if self.within.len() as u64 > limit
            && let Some((last, out)) = self.within.pop_last()
        {
            self.over.insert(last, out);
            moved = if out == item && was_over {
                Vec::new()
            } else {
                moved
            };
            if out != item {
                moved.extend(self.slots_of(&out));
            }
        }
        moved
    }

    /// Whether the item waits for others to be disposed of.
    pub(crate) fn is_over(&self, item: &ObjectId) -> bool {
        let first = self.blocks.get(item).and_then(|blocks| blocks.first());
        first.is_some_and(|(first, _)| self.over.contains_key(first))
    }

    fn slots_of(&self, item: &ObjectId) -> Vec<u32> {
        self.blocks
            .get(item)
            .into_iter()
            .flatten()
            .map(|(_, slot)| *slot)
            .collect()
    }
}
