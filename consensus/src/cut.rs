//! The cut: which unfinished blocks the next checkpoint disposes of, and how (P-32, P-35).
//!
//! A cut walks the canonical order once. A block is included, set aside for good with its reason,
//! or left open: because it waits (quarantine, budget, approvals), because nobody could judge it,
//! or because something that it builds on is left open. Nothing else may be left out, so that no
//! leader drops a record alone.
//!
//! **Invariants**: the cut is a function of the window and the rulings; the delta is what a replay
//! of `included` over tree(K) gives; every block is included, aside, open or beyond the cap.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::block::CheckpointRef;
use gdo_core::checkpoint::{Approval, Aside, Included, Open, Reason};
use gdo_core::delta::Delta;
use gdo_core::id::{DappName, Digest, LedgerTime, MemberName, ObjectId};

use crate::window::Window;

mod approvals;
mod choose;
mod record;

pub use approvals::Approvals;
pub use record::{Content, Suspension};

/// The name of a sequence of included blocks over a base: equal names, equal candidates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Prefix(Digest);

impl Prefix {
    /// No block over the checkpoint.
    #[must_use]
    pub fn empty(base: ObjectId) -> Self {
        Self(Digest::of(base.as_bytes()))
    }

    /// One block more.
    #[must_use]
    pub fn with(self, block: ObjectId) -> Self {
        let mut text = self.0.as_bytes().to_vec();
        text.extend_from_slice(block.as_bytes());
        Self(Digest::of(&text))
    }
}

/// What was found out about blocks that the window alone cannot tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rulings {
    /// Blocks that nobody could judge for now, or whose objects are not there: left out.
    pub left_out: BTreeSet<ObjectId>,
    /// Candidates that a dapp failed: the last block of each goes aside as `dapp` (P-28).
    pub failed: BTreeSet<Prefix>,
    /// Blocks whose policy, roster or dapps break a guard rail (P-35): aside as `policy`.
    pub unsound: BTreeSet<ObjectId>,
    /// The number of blocks that had entered when the cut was begun: later ones are not looked at,
    /// else a candidate would change while it is judged.
    pub horizon: Option<u64>,
}

impl Rulings {
    fn horizon(&self) -> u64 {
        self.horizon.unwrap_or(u64::MAX)
    }
}

/// What the next checkpoint would dispose of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// K.
    pub base: CheckpointRef,
    /// The blocks that it includes, in canonical order.
    pub included: Vec<Included>,
    /// `prefixes[i]` names the candidate that ends with `included[i]`.
    pub prefixes: Vec<Prefix>,
    /// The blocks that it sets aside, in canonical order.
    pub aside: Vec<Aside>,
    /// The failed candidates behind those that are aside as `dapp`.
    pub failed: Vec<Prefix>,
    /// The proposals that are withdrawn by it, sorted.
    pub withdrawn: Vec<ObjectId>,
    /// What it leaves open, sorted by block.
    pub open: Vec<Open>,
    /// The approvals that it counted, sorted.
    pub approvals: Vec<Approval>,
    /// The candidate's tree as changes of tree(K), sorted by path.
    pub delta: Delta,
    /// The dapps that must pass (P-6): those of all rules that touched paths fall under.
    pub dapps: BTreeSet<DappName>,
    /// maximal(included), sorted.
    pub tips: Vec<ObjectId>,
    /// maximal(aside ∪ open), sorted.
    pub anchored: Vec<ObjectId>,
    /// The ledger's time after it (P-30).
    pub ledger_time: LedgerTime,
    /// The newest clock claims of the validators.
    pub claims: BTreeMap<MemberName, Option<LedgerTime>>,
    /// Whether it disposes of a person's proposal, which seeks a checkpoint at once (P-32).
    pub is_urgent: bool,
}

impl Cut {
    /// The cut of a window under some rulings.
    #[must_use]
    pub fn of(window: &mut Window, rulings: &Rulings) -> Self {
        window.settle();
        choose::choose(window, rulings)
    }

    /// Whether it disposes of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.included.is_empty() && self.aside.is_empty()
    }

    /// The name of the whole candidate.
    #[must_use]
    pub fn candidate(&self) -> Prefix {
        self.prefix(self.included.len())
    }

    /// The name of the candidate of the first `blocks` included blocks.
    #[must_use]
    pub fn prefix(&self, blocks: usize) -> Prefix {
        match blocks.checked_sub(1) {
            Some(last) => self.prefixes[last],
            None => Prefix::empty(self.base.id),
        }
    }

    /// Why the cut sets a block aside, if it does.
    #[must_use]
    pub fn reason_of(&self, block: &ObjectId) -> Option<Reason> {
        self.aside
            .iter()
            .find(|aside| aside.block == *block)
            .map(|aside| aside.reason)
    }

    /// Whether the cut includes a block.
    #[must_use]
    pub fn includes(&self, block: &ObjectId) -> bool {
        self.included
            .iter()
            .any(|included| included.block == *block)
    }
}
