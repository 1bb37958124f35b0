//! Leases: what running ingests and readers rest on, and garbage collection must leave.
//!
//! An ingest that finds a chunk in a pack counts on the pack until its object is named. So it takes a
//! lease on the pack, and every pack remembers in which generation, which is the number of a garbage
//! collection, a lease on it was taken last. A collection deletes only packs on which none was held
//! since it began; wall time plays no part.
//!
//! **Invariants**: a pack is either doomed or can be leased, never both; a lease that is held when a
//! collection begins counts as taken in it, even if it is given back before the collection ends.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::id::Digest;

/// Who rests on what.
#[derive(Default, Debug)]
pub(crate) struct Leases {
    generation: u64,
    /// How many ingests hold a lease on a pack.
    held: BTreeMap<u32, usize>,
    /// The generation in which a lease on a pack was held last.
    last: BTreeMap<u32, u64>,
    doomed: BTreeSet<u32>,
    /// How many readers have an object open.
    readers: BTreeMap<Digest, usize>,
    /// Objects whose names are being taken away.
    removed: BTreeSet<Digest>,
}

impl Leases {
    pub(crate) fn new(generation: u64) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    /// Takes a lease on a pack; `false` if the pack is being deleted.
    pub(crate) fn take(&mut self, pack: u32) -> bool {
        if self.doomed.contains(&pack) {
            return false;
        }
        *self.held.entry(pack).or_default() += 1;
        self.last.insert(pack, self.generation);
        true
    }

    /// Gives leases back.
    pub(crate) fn give_back(&mut self, packs: &BTreeSet<u32>) {
        packs
            .iter()
            .for_each(|pack| give_back_one(&mut self.held, pack));
    }

    /// A reader opens an object; `false` if its name is being taken away.
    pub(crate) fn open(&mut self, oid: Digest) -> bool {
        let is_there = !self.removed.contains(&oid);
        if is_there {
            *self.readers.entry(oid).or_default() += 1;
        }
        is_there
    }

    /// An object's name is about to be taken away; `false` if a reader has it open.
    pub(crate) fn begin_removal(&mut self, oid: &Digest) -> bool {
        let is_open = self.readers.contains_key(oid);
        if !is_open {
            self.removed.insert(*oid);
        }
        !is_open
    }

    /// The index says by itself now which objects there are.
    pub(crate) fn end_removals(&mut self) {
        self.removed.clear();
    }

    /// A reader closes an object.
    pub(crate) fn close(&mut self, oid: &Digest) {
        give_back_one(&mut self.readers, oid);
    }

    /// The objects that readers have open.
    pub(crate) fn open_objects(&self) -> BTreeSet<Digest> {
        self.readers.keys().copied().collect()
    }

    /// Begins a garbage collection and returns its generation.
    pub(crate) fn begin_generation(&mut self) -> u64 {
        self.generation += 1;
        for pack in self.held.keys() {
            self.last.insert(*pack, self.generation);
        }
        self.generation
    }

    /// Decides that a pack is deleted; `false` if a lease on it was held since the collection began.
    pub(crate) fn doom(&mut self, pack: u32) -> bool {
        let is_leased = self.is_leased(pack);
        if !is_leased {
            self.doomed.insert(pack);
        }
        !is_leased
    }

    /// Whether a lease on a pack was held since the collection began.
    pub(crate) fn is_leased(&self, pack: u32) -> bool {
        self.last.get(&pack) == Some(&self.generation)
    }

    /// Whether a pack is being deleted.
    pub(crate) fn is_doomed(&self, pack: u32) -> bool {
        self.doomed.contains(&pack)
    }

    /// A doomed pack is gone, and its number is not used again.
    pub(crate) fn forget(&mut self, pack: u32) {
        self.last.remove(&pack);
        self.doomed.remove(&pack);
    }
}

fn give_back_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_doomed_only_without_a_lease_since_the_generation_began() {
        let mut leases = Leases::new(4);
        let one = BTreeSet::from([1]);
        assert!(leases.take(1));
        assert_eq!(leases.begin_generation(), 5);
        leases.give_back(&one);
        assert!(
            !leases.doom(1),
            "the lease was held when the generation began"
        );
        assert_eq!(leases.begin_generation(), 6);
        assert!(leases.doom(1));
        assert!(!leases.take(1), "a doomed pack cannot be leased");
        leases.begin_generation();
        assert!(leases.take(2));
        leases.give_back(&BTreeSet::from([2]));
        assert!(!leases.doom(2), "the lease was taken in this generation");
    }
}
