//! Votes, certificates and evidence: what makes a checkpoint final (P-31, P-33).
//!
//! A vote is a raw ed25519 signature over the ballot, and the ballot binds ledger, height,
//! predecessor, view and kind, so that no vote counts anywhere else. A certificate is the same
//! ballot signed by a quorum of weight. Two ballots of one member that contradict each other are
//! evidence, which anyone can check offline.
//!
//! **Invariants**: a certificate names each member once, in the order of their names; evidence has
//! one order of its two votes; nothing here counts before it was verified.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::canonical;
use crate::id::{Height, LedgerId, MemberName, ObjectId, View, Weight};
use crate::policy::Finality;
use crate::roster::Roster;
use crate::verdict::signature_hex;

/// What is signed before the ballot, so that no other text can pass for a vote.
const DOMAIN: &[u8] = b"gdo/vote/1\0";

/// The first integer that canonical JSON cannot hold.
const NUMBER_END: u64 = 1 << 53;

/// What a vote says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum VoteKind {
    /// The value is right, and the first one that the member saw in this view.
    #[serde(rename = "N")]
    Notarize,
    /// The view brought nothing in time.
    #[serde(rename = "Z")]
    Nullify,
    /// The value was notarized, and the member gave the view no Z.
    #[serde(rename = "F")]
    Finalize,
    /// The value mends a fork (P-36).
    #[serde(rename = "R")]
    Recovery,
}

impl fmt::Display for VoteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Notarize => "N",
            Self::Nullify => "Z",
            Self::Finalize => "F",
            Self::Recovery => "R",
        })
    }
}

/// What is signed (P-31).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ballot {
    /// The ledger.
    pub ledger: LedgerId,
    /// The height that is voted on.
    pub height: Height,
    /// The checkpoint before it.
    pub previous: ObjectId,
    /// The view, from 1.
    pub view: View,
    /// What is said.
    pub kind: VoteKind,
    /// Of which checkpoint; Z names none.
    pub value: Option<ObjectId>,
}

impl Ballot {
    /// The bytes that the member signs.
    ///
    /// # Panics
    /// If height or view is 2^53 or more; ballots of others are checked before.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        [DOMAIN, canonical::to_string(self).as_bytes()].concat()
    }

    /// Checks that the ballot has a form that a member can sign.
    ///
    /// # Errors
    /// Height or view is out of range, or the value does not go with the kind.
    pub fn check(&self) -> Result<(), VoteError> {
        if self.view.0 == 0 || self.view.0 >= NUMBER_END - 1 || self.height.0 >= NUMBER_END - 1 {
            return Err(VoteError::Range {
                height: self.height,
                view: self.view,
            });
        }
        if self.value.is_none() == (self.kind == VoteKind::Nullify) {
            Ok(())
        } else {
            Err(VoteError::Value { kind: self.kind })
        }
    }

    /// Which offence it is to sign both ballots, if it is one (P-33).
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> Option<Offence> {
        let instance = |ballot: &Self| (ballot.ledger, ballot.height, ballot.previous, ballot.view);
        if instance(self) != instance(other) {
            return None;
        }
        match (self.kind, other.kind) {
            (VoteKind::Notarize, VoteKind::Notarize) if self.value != other.value => {
                Some(Offence::TwoNotarize)
            }
            (VoteKind::Finalize, VoteKind::Finalize) if self.value != other.value => {
                Some(Offence::TwoFinalize)
            }
            (VoteKind::Nullify, VoteKind::Finalize) | (VoteKind::Finalize, VoteKind::Nullify) => {
                Some(Offence::NullifyAndFinalize)
            }
            _ => None,
        }
    }
}

/// A signed ballot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// What was signed.
    pub ballot: Ballot,
    /// Who signed.
    pub member: MemberName,
    /// The raw ed25519 signature, in hex.
    #[serde(with = "signature_hex")]
    pub signature: [u8; 64],
}

impl Vote {
    /// Checks the form and the signature; `roster` is that of the checkpoint before.
    ///
    /// # Errors
    /// A ballot that cannot be signed, or no key in force of the active member that signed it.
    pub fn verify(&self, roster: &Roster) -> Result<(), VoteError> {
        self.ballot.check()?;
        let member = roster.get(&self.member).filter(|member| member.is_active());
        let member = member.ok_or_else(|| VoteError::Member(self.member.clone()))?;
        let message = self.ballot.signed_bytes();
        let fits =
            |key: &crate::roster::MemberKey| key.key.verify_raw(&message, &self.signature).is_ok();
        if member.keys.iter().any(fits) {
            Ok(())
        } else {
            Err(VoteError::Signature(self.member.clone()))
        }
    }
}

/// One member's part of a certificate.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSignature {
    /// Who signed.
    pub member: MemberName,
    /// The raw ed25519 signature, in hex.
    #[serde(with = "signature_hex")]
    pub signature: [u8; 64],
}

/// A quorum's votes on one ballot; ledger and predecessor are those of the place where it stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The height.
    pub height: Height,
    /// The view.
    pub view: View,
    /// What was voted.
    pub kind: VoteKind,
    /// On which checkpoint; Z names none.
    pub value: Option<ObjectId>,
    /// The signatures, in the order of the members' names.
    pub votes: Vec<MemberSignature>,
}

impl Certificate {
    /// Gathers signatures on `ballot`; of each member, the first one is kept.
    #[must_use]
    pub fn new(ballot: &Ballot, votes: impl IntoIterator<Item = MemberSignature>) -> Self {
        let mut by_member = BTreeMap::new();
        for vote in votes {
            by_member.entry(vote.member.clone()).or_insert(vote);
        }
        Self {
            height: ballot.height,
            view: ballot.view,
            kind: ballot.kind,
            value: ballot.value,
            votes: by_member.into_values().collect(),
        }
    }

    /// The ballot that was signed.
    #[must_use]
    pub fn ballot(&self, ledger: LedgerId, previous: ObjectId) -> Ballot {
        Ballot {
            ledger,
            height: self.height,
            previous,
            view: self.view,
            kind: self.kind,
            value: self.value,
        }
    }

    /// The votes one by one.
    pub fn votes(&self, ledger: LedgerId, previous: ObjectId) -> impl Iterator<Item = Vote> {
        let ballot = self.ballot(ledger, previous);
        let vote = move |signed: &MemberSignature| Vote {
            ballot,
            member: signed.member.clone(),
            signature: signed.signature,
        };
        self.votes.iter().map(vote)
    }

    /// Checks that validators of at least the quorum's weight signed. `finality` and `roster` are
    /// those of the checkpoint before, `previous`.
    ///
    /// # Errors
    /// What does not hold; an R certificate is [`Certificate::verify_recovery`]'s.
    pub fn verify(
        &self,
        ledger: LedgerId,
        previous: ObjectId,
        finality: &Finality,
        roster: &Roster,
    ) -> Result<(), VoteError> {
        if self.kind == VoteKind::Recovery {
            return Err(VoteError::Recovery);
        }
        let weight = self.weight(ledger, previous, finality, roster, &BTreeSet::new())?;
        reach(weight, finality.quorum)
    }

    /// Checks that more than two thirds of the weight that is left without the `guilty` signed a
    /// recovery (P-36).
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify_recovery(
        &self,
        ledger: LedgerId,
        previous: ObjectId,
        finality: &Finality,
        roster: &Roster,
        guilty: &BTreeSet<MemberName>,
    ) -> Result<(), VoteError> {
        if self.kind != VoteKind::Recovery {
            return Err(VoteError::Recovery);
        }
        let innocent = finality
            .validators
            .iter()
            .filter(|v| !guilty.contains(&v.member));
        let left: u64 = innocent.map(|validator| validator.weight.0).sum();
        let weight = self.weight(ledger, previous, finality, roster, guilty)?;
        reach(weight, Weight(2 * left / 3 + 1))
    }

    /// The weight of the signers, every one of whom must be a validator that signed.
    fn weight(
        &self,
        ledger: LedgerId,
        previous: ObjectId,
        finality: &Finality,
        roster: &Roster,
        barred: &BTreeSet<MemberName>,
    ) -> Result<Weight, VoteError> {
        // One spelling: sorted, and nobody counts twice.
        if let Some(pair) = self
            .votes
            .windows(2)
            .find(|pair| pair[0].member >= pair[1].member)
        {
            return Err(VoteError::Order(pair[1].member.clone()));
        }
        let mut total = 0;
        for vote in self.votes(ledger, previous) {
            let weight = finality
                .weight_of(&vote.member)
                .filter(|_| !barred.contains(&vote.member));
            total += weight
                .ok_or_else(|| VoteError::Member(vote.member.clone()))?
                .0;
            vote.verify(roster)?;
        }
        Ok(Weight(total))
    }
}

fn reach(got: Weight, quorum: Weight) -> Result<(), VoteError> {
    if got >= quorum {
        Ok(())
    } else {
        Err(VoteError::Quorum { quorum, got })
    }
}

/// How two ballots of one member contradict each other (P-33). N(x) with F(y) in one view does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Offence {
    /// E1: N for two values in one view.
    TwoNotarize,
    /// E2: Z and F in one view.
    NullifyAndFinalize,
    /// E3: F for two values in one view.
    TwoFinalize,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TwoNotarize => "E1",
            Self::NullifyAndFinalize => "E2",
            Self::TwoFinalize => "E3",
        })
    }
}

/// Two votes that no honest member signs both.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    first: Vote,
    second: Vote,
}

impl Evidence {
    /// Puts two votes together if they are one member's and contradict each other; signatures are
    /// [`Evidence::verify`]'s.
    #[must_use]
    pub fn new(a: Vote, b: Vote) -> Option<Self> {
        a.ballot
            .contradicts(&b.ballot)
            .filter(|_| a.member == b.member)?;
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        Some(Self { first, second })
    }

    /// The two votes.
    #[must_use]
    pub fn votes(&self) -> [&Vote; 2] {
        [&self.first, &self.second]
    }

    /// Who signed both.
    #[must_use]
    pub fn member(&self) -> &MemberName {
        &self.first.member
    }

    /// Checks the evidence; needs nothing but `roster`, that of the checkpoint before the height
    /// which the votes are on. (Keys that were retired since still convict, keys that were stolen
    /// since do not.)
    ///
    /// # Errors
    /// The votes do not contradict each other, are of two members or in the wrong order, are of
    /// another ledger, or one is not signed.
    pub fn verify(&self, ledger: LedgerId, roster: &Roster) -> Result<Offence, VoteError> {
        if self.first.ballot.ledger != ledger {
            return Err(VoteError::Ledger {
                expected: ledger,
                got: self.first.ballot.ledger,
            });
        }
        if self.first.member != self.second.member || self.first > self.second {
            return Err(VoteError::Order(self.second.member.clone()));
        }
        let offence = self.first.ballot.contradicts(&self.second.ballot);
        let offence = offence.ok_or_else(|| VoteError::Innocent(self.first.member.clone()))?;
        self.first.verify(roster)?;
        self.second.verify(roster)?;
        Ok(offence)
    }
}

/// Why a vote, a certificate or evidence does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VoteError {
    /// A number that nobody can sign.
    #[error(
        "bad ballot: expected a view from 1 and numbers below 2^53, got height {height}, view {view}"
    )]
    Range {
        /// The height.
        height: Height,
        /// The view.
        view: View,
    },
    /// A Z with a value, or another vote without one.
    #[error(
        "bad ballot: expected a value with N, F and R and none with Z, got it otherwise with {kind}"
    )]
    Value {
        /// The kind.
        kind: VoteKind,
    },
    /// The signer may not vote.
    #[error("the vote of {0} does not count: expected an active validator of this height")]
    Member(MemberName),
    /// No key of the signer fits.
    #[error("the signature of {0} does not verify with any of its keys in force")]
    Signature(MemberName),
    /// The votes are not in their one order.
    #[error("bad order of votes at {0}: expected each member once, sorted by name")]
    Order(MemberName),
    /// Too few signed.
    #[error("too little weight signed: expected {quorum}, got {got}")]
    Quorum {
        /// What a certificate needs.
        quorum: Weight,
        /// What signed.
        got: Weight,
    },
    /// A recovery and an ordinary certificate were taken for each other.
    #[error("an R certificate stands where another kind must, or the reverse")]
    Recovery,
    /// The votes are of another ledger.
    #[error("evidence of another ledger: expected {expected}, got {got}")]
    Ledger {
        /// This ledger.
        expected: LedgerId,
        /// The ledger in the votes.
        got: LedgerId,
    },
    /// The two votes go together.
    #[error("no evidence against {0}: the two votes do not contradict each other")]
    Innocent(MemberName),
}

#[cfg(test)]
mod tests;
