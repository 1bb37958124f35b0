//! The votes and certificates of one height, and the evidence in them (P-33).
//!
//! **Invariants**: of each validator, view and kind one vote is kept and at most one that differs;
//! each offence is told once per validator and view.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::id::{MemberName, ObjectId, View, Weight};
use gdo_core::policy::Validator;
use gdo_core::vote::{Certificate, Evidence, MemberSignature, Offence, Vote, VoteKind};

/// Everything that was voted at one height.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    weights: BTreeMap<MemberName, u64>,
    quorum: u64,
    /// The first vote, and the first that differs from it.
    votes: BTreeMap<(View, VoteKind, MemberName), (Vote, Option<Vote>)>,
    certificates: BTreeMap<(View, VoteKind, Option<ObjectId>), Certificate>,
    told: BTreeSet<(View, MemberName, Offence)>,
}

/// Why a value may be proposed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Justification {
    /// All views before were nullified.
    Fresh,
    /// The value was notarized in `from`, and the views between were nullified.
    Inherited {
        /// The view.
        from: View,
        /// The checkpoint.
        value: ObjectId,
    },
}

/// What a vote brought.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// Whether it was not known before and is kept.
    pub(super) is_new: bool,
    /// The certificate that it completed.
    pub(super) certificate: Option<Certificate>,
    /// The offences that it proves.
    pub(super) evidence: Vec<Evidence>,
}

impl Tally {
    pub(super) fn new(validators: &[Validator], quorum: Weight) -> Self {
        Self {
            weights: validators
                .iter()
                .map(|v| (v.member.clone(), v.weight.0))
                .collect(),
            quorum: quorum.0,
            votes: BTreeMap::new(),
            certificates: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// Counts a verified vote.
    pub(super) fn add(&mut self, vote: Vote) -> Added {
        if !self.weights.contains_key(&vote.member) || !self.keep(&vote) {
            return Added::default();
        }
        let evidence = self.contradictions(&vote);
        Added {
            is_new: true,
            certificate: self.complete(&vote),
            evidence,
        }
    }

    /// Keeps a verified certificate; tells whether it is new.
    pub(super) fn hold(&mut self, certificate: Certificate) -> bool {
        let key = (certificate.view, certificate.kind, certificate.value);
        let is_new = !self.certificates.contains_key(&key);
        self.certificates.entry(key).or_insert(certificate);
        is_new
    }

    /// The certificates of one view and kind; more than one only beyond the fault bound.
    pub(super) fn held(&self, view: View, kind: VoteKind) -> impl Iterator<Item = &Certificate> {
        let from = (view, kind, None);
        self.certificates
            .range(from..)
            .take_while(move |((v, k, _), _)| (*v, *k) == (view, kind))
            .map(|(_, certificate)| certificate)
    }

    /// All certificates.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.values()
    }

    /// The values that `member` gave an N in `view`: one, or two if it lies.
    pub(super) fn notarized_by(&self, view: View, member: &MemberName) -> Vec<ObjectId> {
        let kept = self.votes.get(&(view, VoteKind::Notarize, member.clone()));
        let votes = kept
            .into_iter()
            .flat_map(|(first, other)| [Some(first), other.as_ref()]);
        votes
            .flatten()
            .filter_map(|vote| vote.ballot.value)
            .collect()
    }

    /// The votes of one member, by view and kind.
    pub(super) fn votes_of(&self, member: &MemberName) -> impl Iterator<Item = &Vote> {
        self.votes
            .values()
            .map(|(first, _)| first)
            .filter(move |vote| vote.member == *member)
    }

    /// What allows a proposal in `view`: of `value`, or of whatever a leader must propose (P-32).
    pub(super) fn justification(
        &self,
        view: View,
        value: Option<ObjectId>,
    ) -> Option<Justification> {
        for from in (1..view.0).rev().map(View) {
            let mut notarized = self
                .held(from, VoteKind::Notarize)
                .filter_map(|held| held.value);
            if let Some(value) = notarized.find(|held| value.is_none_or(|value| value == *held)) {
                return Some(Justification::Inherited { from, value });
            }
            self.held(from, VoteKind::Nullify).next()?;
        }
        Some(Justification::Fresh)
    }

    /// The certificates that justify a proposal in `view`, by view, as far as they are here.
    pub(super) fn grounds(&self, view: View) -> Vec<&Certificate> {
        let mut grounds = Vec::new();
        for earlier in (1..view.0).rev().map(View) {
            let before = grounds.len();
            grounds.extend(self.held(earlier, VoteKind::Notarize));
            let is_notarized = grounds.len() > before;
            grounds.extend(self.held(earlier, VoteKind::Nullify));
            if is_notarized {
                break;
            }
        }
        grounds.reverse();
        grounds
    }

    fn keep(&mut self, vote: &Vote) -> bool {
        let key = (vote.ballot.view, vote.ballot.kind, vote.member.clone());
        match self.votes.get_mut(&key) {
            None => {
                self.votes.insert(key, (vote.clone(), None));
                true
            }
            Some((first, other)) if other.is_none() && first.ballot != vote.ballot => {
                *other = Some(vote.clone());
                true
            }
            Some(_) => false,
        }
    }

    fn contradictions(&mut self, vote: &Vote) -> Vec<Evidence> {
        let view = vote.ballot.view;
        let mut found = Vec::new();
        for kind in [VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize] {
            let Some((first, _)) = self.votes.get(&(view, kind, vote.member.clone())) else {
                continue;
            };
            let Some(offence) = first.ballot.contradicts(&vote.ballot) else {
                continue;
            };
            if self.told.insert((view, vote.member.clone(), offence)) {
                found.extend(Evidence::new(first.clone(), vote.clone()));
            }
        }
        found
    }

    /// The certificate that `vote` completes, if there was none before.
    fn complete(&mut self, vote: &Vote) -> Option<Certificate> {
        let ballot = vote.ballot;
        if self
            .certificates
            .contains_key(&(ballot.view, ballot.kind, ballot.value))
        {
            return None;
        }
        let mut weight = 0;
        let mut signed = Vec::new();
        for (member, own_weight) in &self.weights {
            let kept = self.votes.get(&(ballot.view, ballot.kind, member.clone()));
            let Some((first, other)) = kept else { continue };
            let same = [Some(first), other.as_ref()].into_iter().flatten();
            if let Some(vote) = same.into_iter().find(|vote| vote.ballot == ballot) {
                weight += own_weight;
                signed.push(MemberSignature {
                    member: member.clone(),
                    signature: vote.signature,
                });
            }
        }
        if weight < self.quorum {
            return None;
        }
        let certificate = Certificate::new(&ballot, signed);
        self.hold(certificate.clone());
        Some(certificate)
    }
}
