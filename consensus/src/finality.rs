//! Finality: the validators' agreement on the one checkpoint of a height (P-32).
//!
//! One instance runs per height. In view after view a leader proposes a value, the validators
//! notarize it (N) and then finalize it (F), or nullify the view (Z) when nothing comes of it. The
//! leader's own N vote *is* its proposal: so a leader that proposes twice signs evidence, and the
//! log of its votes keeps it from doing so after a restart.
//!
//! The instance is pure. It neither signs nor sends nor reads a clock: [`Instance::step`] takes what
//! happened and returns what to do, in order.
//!
//! **Invariants**: an instance never asks to sign a ballot that contradicts an earlier one of its
//! own, restarts included; a certificate is kept before anything that builds on it is signed; what
//! is final stays final.

use gdo_core::id::{Height, LedgerId, MemberName, ObjectId, View, Weight};
use gdo_core::policy::Validator;
use gdo_core::vote::{Ballot, Certificate, Evidence, Vote};

mod instance;
mod own;
mod pace;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod table;
mod tally;

pub use instance::Instance;

/// How far ahead of the current view votes are kept (section 11).
pub const VIEWS_AHEAD_MAX: u64 = 64;

/// What an instance is about; policy and roster are those of the checkpoint before (P-32).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Params {
    /// The ledger.
    pub ledger: LedgerId,
    /// The height to decide.
    pub height: Height,
    /// The checkpoint before.
    pub previous: ObjectId,
    /// The validators.
    pub validators: Vec<Validator>,
    /// The weight of a certificate.
    pub quorum: Weight,
    /// Who this node votes as; a node that is no validator only watches.
    pub me: Option<MemberName>,
    /// Δ0, the time in milliseconds that a message needs at most when all is well.
    pub delta0_ms: u64,
}

/// What happened. Votes and certificates are verified before they get here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// There is work: a cut that is due, or evidence.
    Start,
    /// The fresh value that [`Effect::Propose`] asked for.
    ValueReady {
        /// The view that it was asked for.
        view: View,
        /// The checkpoint.
        value: ObjectId,
    },
    /// The node's answer to [`Effect::CheckProposal`]; a better one may follow.
    Checked {
        /// The view that it was asked for.
        view: View,
        /// The checkpoint.
        value: ObjectId,
        /// What the node found.
        answer: Answer,
    },
    /// A vote, the node's own included; the leader's N is its proposal.
    Vote(Vote),
    /// A certificate.
    Certificate(Certificate),
    /// A timer ran out.
    Timer {
        /// The view that it was armed in.
        view: View,
        /// Which one.
        kind: Timer,
    },
    /// Verdicts of the announced cut are being made: the view may last longer, by the sum of the
    /// dapps' wall clock limits.
    Extend {
        /// The view.
        view: View,
        /// How much longer, in milliseconds.
        by_ms: u64,
    },
}

/// What a node found when it recomputed a proposed value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is what the rules give, with all that must prove it.
    Valid,
    /// It is wrong, whatever else may still come.
    Invalid,
    /// Something is not here yet.
    Missing,
}

/// The timers of a view.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// After 2Δ: nothing that could be notarized has come.
    Leader,
    /// After 3Δ: the view has not been notarized.
    View,
    /// Every Δ: send again what others may lack.
    Resend,
    /// After Δ/2: the value of the last view has not become final by itself, propose it again.
    Repropose,
}

/// What the node must do, in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Make a fresh value, now or later in the view, and give it as [`Input::ValueReady`].
    Propose {
        /// The view.
        view: View,
    },
    /// Recompute a value and give the answer as [`Input::Checked`].
    CheckProposal {
        /// The view.
        view: View,
        /// The checkpoint.
        value: ObjectId,
    },
    /// Log the ballot durably, sign it and give the vote as [`Input::Vote`].
    Sign(Ballot),
    /// Send to all validators.
    Broadcast(Message),
    /// Write the certificate to disk before the effects that follow.
    Keep(Certificate),
    /// Give [`Input::Timer`] after some local monotonic time.
    ArmTimer {
        /// The view.
        view: View,
        /// Which one.
        kind: Timer,
        /// How long, in milliseconds.
        after_ms: u64,
    },
    /// A member signed two votes that contradict each other (P-33).
    Evidence(Evidence),
    /// The height is decided.
    Final {
        /// The checkpoint.
        value: ObjectId,
        /// What makes it final.
        certificate: Certificate,
    },
    /// A second checkpoint of this height has a certificate too: the ledger is forked (P-36).
    Forked(Certificate),
}

/// What validators send each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A vote.
    Vote(Vote),
    /// The leader's N vote; what the value is made of goes with it.
    Proposal(Vote),
    /// A certificate.
    Certificate(Certificate),
}
