//! One unfinished block, as the window keeps it.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::block::{CheckpointRef, Clock};
use gdo_core::checkpoint::Reason;
use gdo_core::id::{Digest, LedgerTime, MemberName, ObjectId, Seq};
use gdo_core::key::PublicKey;
use gdo_core::policy::Lane;
use gdo_core::proposal::Note;

use super::replay::Op;
use super::tips::Side;
use crate::facts::{FinalPlace, ProposalEnd};

/// What F(S) decided on a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Not judged yet; never seen outside the window.
    New,
    /// The head's tree holds it.
    Applied,
    /// It is final and waits for a checkpoint.
    Pending,
    /// The head's tree does not hold it for now.
    Aside(Reason),
}

impl Status {
    pub(crate) fn side(self) -> Option<Side> {
        match self {
            Self::New => None,
            Self::Applied => Some(Side::Applied),
            Self::Pending | Self::Aside(_) => Some(Side::Anchored),
        }
    }
}

/// An unfinished block.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) id: ObjectId,
    pub(crate) author: MemberName,
    pub(crate) key: PublicKey,
    pub(crate) seq: Seq,
    pub(crate) prev: Option<ObjectId>,
    pub(crate) payload: Digest,
    pub(crate) final_checkpoint: CheckpointRef,
    pub(crate) final_place: FinalPlace,
    /// The wall time that the author claims, if it knows how far it may be off.
    pub(crate) claim: Option<LedgerTime>,
    pub(crate) principal: MemberName,
    pub(crate) signers: Vec<MemberName>,
    pub(crate) proposal: Option<ObjectId>,
    pub(crate) notes: Vec<Note>,
    pub(crate) depends: Vec<ObjectId>,
    pub(crate) depends_included: BTreeSet<ObjectId>,
    pub(crate) ended: BTreeMap<ObjectId, ProposalEnd>,
    /// Sorted by node.
    pub(crate) ops: Vec<Op>,
    /// The nearest unfinished ancestors.
    pub(crate) parents: Vec<u32>,
    /// Counts blocks as they enter: ancestors have smaller numbers.
    pub(crate) arrival: u64,
    /// The strictest lane among its paths by policy(K) (P-7).
    pub(crate) lane: Lane,
    /// Whether K's roster or chain does not know its author, key or `Gdo-Final` (Q in step 3).
    pub(crate) quarantined: bool,
    /// Whether policy(K) keeps the principal from one of the paths.
    pub(crate) denied: bool,
    pub(crate) status: Status,
}

impl Slot {
    /// What counts against a budget: the proposal, or the block itself.
    pub(crate) fn item(&self) -> ObjectId {
        self.proposal.unwrap_or(self.id)
    }

    /// Whether the block takes part in the replay of heads.
    pub(crate) fn participates(&self) -> bool {
        !self.quarantined && self.lane != Lane::Final
    }

    /// How the proposal that it embeds ended, if it did.
    pub(crate) fn proposal_end(&self) -> Option<ProposalEnd> {
        self.proposal
            .and_then(|proposal| self.ended.get(&proposal).copied())
    }
}

/// The claim that counts for the ledger's time: none if the author does not know its error (P-30).
pub(crate) fn claim_of(clock: &Clock, claimed_time: i64) -> Option<LedgerTime> {
    clock.uncertainty_ms.map(|_| LedgerTime(claimed_time))
}
