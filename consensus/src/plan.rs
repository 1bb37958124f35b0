//! The plan: what the head rule F(S) decided, for the ledger to turn into objects.
//!
//! **Invariants**: a pure function of K and the set of unfinished blocks; equal on every node.

use std::collections::BTreeMap;

use gdo_core::block::CheckpointRef;
use gdo_core::checkpoint::Reason;
use gdo_core::delta::Delta;
use gdo_core::id::{Digest, LedgerTime, ObjectId};

/// The outcome of F(S) (section 7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// K.
    pub base: CheckpointRef,
    /// All unfinished blocks in canonical order (step 4).
    pub order: Vec<ObjectId>,
    /// Those that the head's tree holds, in that order.
    pub applied: Vec<ObjectId>,
    /// Those that it does not hold for now, and why (P-22); waiting ones are `quarantine`.
    pub aside: BTreeMap<ObjectId, Reason>,
    /// Those of lane final, in canonical order: they wait for a checkpoint.
    pub pending: Vec<ObjectId>,
    /// Of `aside`, those over their principal's budget (step 3).
    pub over_budget: Vec<ObjectId>,
    /// The head's tree as changes of tree(K), sorted by path.
    pub delta: Delta,
    /// maximal(applied), sorted: parents of the head after K (step 7).
    pub tips: Vec<ObjectId>,
    /// maximal(aside ∪ pending), sorted: the parents of the anchor (step 7); often empty.
    pub anchored: Vec<ObjectId>,
    /// `Gdo-Set`: the SHA-256 of the raw ids of all unfinished blocks, sorted.
    pub set: Digest,
    /// The block that is the head if its tree is the one that `delta` makes (step 6).
    pub shortcut: Option<ObjectId>,
    /// The highest generation, 0 for an empty window.
    pub generation_max: u64,
    /// The time that the head's commit carries: ledger_time(K) + `generation_max`.
    pub time: LedgerTime,
}

impl Plan {
    /// Whether nothing is unfinished: the head is K itself (step 6).
    #[must_use]
    pub fn is_checkpoint(&self) -> bool {
        self.order.is_empty()
    }
}
