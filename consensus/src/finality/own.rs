//! What this node signed at one height, or is about to sign: the memory that keeps it honest (P-33).
//!
//! **Invariants**: what is marked is never unmarked; [`OwnVotes::allows`] bars every pair of E1, E2
//! and E3, and N after Z.

use std::collections::BTreeMap;

use gdo_core::id::{ObjectId, View};
use gdo_core::vote::{Ballot, VoteKind};

/// The own votes by view.
#[derive(Clone, Default, Debug)]
pub(super) struct OwnVotes(BTreeMap<View, Own>);

#[derive(Clone, Copy, Default, Debug)]
struct Own {
    notarized: Option<ObjectId>,
    nullified: bool,
    finalized: Option<ObjectId>,
}

impl OwnVotes {
    /// Takes note of a ballot that was signed, or is about to be.
    pub(super) fn mark(&mut self, ballot: &Ballot) {
        let own = self.0.entry(ballot.view).or_default();
        match ballot.kind {
            VoteKind::Notarize => own.notarized = own.notarized.or(ballot.value),
            VoteKind::Nullify => own.nullified = true,
            VoteKind::Finalize => own.finalized = own.finalized.or(ballot.value),
            VoteKind::Recovery => {}
        }
    }

    /// Whether a first vote of `kind` in `view` would contradict nothing.
    pub(super) fn allows(&self, view: View, kind: VoteKind) -> bool {
        let own = self.at(view);
        match kind {
            VoteKind::Notarize => own.notarized.is_none() && !own.nullified,
            VoteKind::Nullify | VoteKind::Finalize => own.finalized.is_none() && !own.nullified,
            VoteKind::Recovery => false,
        }
    }

    /// Whether an N was signed in `view`.
    pub(super) fn has_notarized(&self, view: View) -> bool {
        self.at(view).notarized.is_some()
    }

    /// What was given an F in `view`.
    pub(super) fn finalized(&self, view: View) -> Option<ObjectId> {
        self.at(view).finalized
    }

    fn at(&self, view: View) -> Own {
        self.0.get(&view).copied().unwrap_or_default()
    }
}
