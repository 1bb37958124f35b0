//! Which of some blocks are maximal, by the commits themselves (P-30: the parents of a checkpoint).

use std::collections::BTreeSet;

use gdo_core::id::ObjectId;

use super::Audit;
use crate::error::LedgerError;

impl Audit<'_> {
    /// Those of `blocks` that are not in the past of others of them, sorted.
    ///
    /// The walk goes through all commits and ends at checkpoints, of which it takes what they leave
    /// open: by the head rule that is in their past too.
    pub(super) fn maximal(
        &self,
        blocks: &BTreeSet<ObjectId>,
    ) -> Result<Vec<ObjectId>, LedgerError> {
        let mut below: BTreeSet<ObjectId> = BTreeSet::new();
        let mut open: Vec<ObjectId> = Vec::new();
        if blocks.len() < 2 {
            return Ok(blocks.iter().copied().collect());
        }
        for block in blocks {
            open.extend(self.objects.parsed(block)?.1.parents);
        }
        while let Some(id) = open.pop() {
            if !below.insert(id) || blocks.contains(&id) {
                continue; // the parents of `blocks` are in the walk already
            }
            if self.heights.contains_key(&id) {
                open.extend(self.open_lists.get(&id).into_iter().flatten());
            } else {
                open.extend(self.objects.parsed(&id)?.1.parents);
            }
        }
        Ok(blocks.difference(&below).copied().collect())
    }
}
