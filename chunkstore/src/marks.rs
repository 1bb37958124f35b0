//! Which ids are of use: a filter of bounded size that may say yes too often, and never no.
//!
//! An exact set of all chunks of a large store would not fit in memory. A wrong yes keeps a useless
//! chunk a little longer, which costs its space and nothing else.

/// No filter takes more: 32 MiB.
const BITS_MAX: u64 = 1 << 28;
/// No filter takes less: 128 KiB.
const BITS_MIN: u64 = 1 << 20;
const BITS_PER_ID: u64 = 16;

/// A filter over ids, which are hashes and so need no hashing.
#[derive(Debug)]
pub(crate) struct Marks {
    words: Vec<u64>,
}

impl Marks {
    /// A filter that answers well for about so many ids.
    pub(crate) fn for_ids(count: u64) -> Self {
        let bits = count.saturating_mul(BITS_PER_ID).clamp(BITS_MIN, BITS_MAX);
        let bits = bits.next_power_of_two();
        Self {
            words: vec![0; (bits / 64) as usize],
        }
    }

    pub(crate) fn add(&mut self, id: &[u8; 32]) {
        for bit in self.bits(id) {
            self.words[bit / 64] |= 1 << (bit % 64);
        }
    }

    pub(crate) fn contains(&self, id: &[u8; 32]) -> bool {
        let is_set = |bit: usize| self.words[bit / 64] & (1 << (bit % 64)) != 0;
        self.bits(id).into_iter().all(is_set)
    }

    fn bits(&self, id: &[u8; 32]) -> [usize; 4] {
        let (words, _) = id.as_chunks::<8>();
        let bits = self.words.len() * 64;
        std::array::from_fn(|at| u64::from_le_bytes(words[at]) as usize & (bits - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::ChunkId;

    #[test]
    fn what_was_added_is_there_and_little_else() {
        let id = |number: u32| *ChunkId::of(&number.to_le_bytes()).as_bytes();
        let mut marks = Marks::for_ids(100_000);
        (0..100_000).for_each(|number| marks.add(&id(number)));
        assert!((0..100_000).all(|number| marks.contains(&id(number))));
        let wrong = (100_000..200_000).filter(|number| marks.contains(&id(*number)));
        assert!(wrong.count() < 500, "1 in 400 or less");
    }

    #[test]
    fn memory_is_bounded_whatever_the_store_holds() {
        assert_eq!(Marks::for_ids(u64::MAX).words.len() * 8, 32 << 20);
        assert_eq!(Marks::for_ids(0).words.len() * 8, 128 << 10);
    }
}
