//! What a checkpoint says: its record, and what its commit is made of (P-30).

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::checkpoint::{CheckpointKind, CheckpointRecord, validators_digest};
use gdo_core::delta::Delta;
use gdo_core::id::{LedgerTime, MemberName, ObjectId, Seq};
use gdo_core::verdict::VerdictCertificate;
use gdo_core::vote::{Certificate, Evidence};

use super::Cut;
use crate::facts::Base;
use crate::window::Window;
use crate::window::slot::Slot;

/// A member that a checkpoint suspends, and the two blocks that prove why (section 12).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Suspension {
    /// The member.
    pub member: MemberName,
    /// The place in the chain of its key that it filled twice.
    pub seq: Seq,
    /// The two blocks, sorted.
    pub blocks: [ObjectId; 2],
}

/// Everything that a checkpoint is made of, but for the trees (P-30).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// The record. `validators` is the digest of K's set: whoever builds the tree puts the digest
    /// of the next set there if `delta` changes the policy.
    pub record: CheckpointRecord,
    /// The changes of tree(K) by the included blocks, sorted by path.
    pub delta: Delta,
    /// maximal(included), sorted: parents after C_{h-1}.
    pub tips: Vec<ObjectId>,
    /// maximal(aside ∪ open), sorted: the parents of the anchor; often empty.
    pub anchored: Vec<ObjectId>,
    /// Members whose status becomes `suspended`.
    pub suspend: Vec<Suspension>,
}

impl Content {
    /// The content of the checkpoint that takes `cut`.
    #[must_use]
    pub fn new(
        window: &Window,
        cut: &Cut,
        mut verdicts: Vec<VerdictCertificate>,
        evidence: Vec<Evidence>,
        certificate: Option<Certificate>,
    ) -> Self {
        let base = window.base();
        verdicts.sort_unstable();
        verdicts.dedup();
        let record = CheckpointRecord {
            kind: CheckpointKind::Normal,
            height: base.checkpoint.height.next(),
            prev: Some(base.checkpoint.id),
            included: cut.included.clone(),
            aside: cut.aside.clone(),
            withdrawn: cut.withdrawn.clone(),
            open: cut.open.clone(),
            verdicts,
            approvals: cut.approvals.clone(),
            evidence,
            certificate,
            validators: validators_digest(&base.policy.finality),
            ledger_time: cut.ledger_time,
            claims: cut.claims.clone(),
        };
        Self {
            record,
            delta: cut.delta.clone(),
            tips: cut.tips.clone(),
            anchored: cut.anchored.clone(),
            suspend: suspensions(window),
        }
    }
}

/// The active authors that filled one place of their chain with two payloads (P-16); never the
/// last active node.
fn suspensions(window: &Window) -> Vec<Suspension> {
    let base = window.base();
    let mut nodes: BTreeSet<&MemberName> = base
        .roster
        .iter()
        .filter(|(_, member)| member.is_active() && member.kind == gdo_core::roster::Kind::Node)
        .map(|(name, _)| name)
        .collect();
    let mut found: BTreeMap<&MemberName, Suspension> = BTreeMap::new();
    for blocks in window.forks_of_chains() {
        let mut slots: Vec<&Slot> = blocks.iter().map(|&at| window.slot(at)).collect();
        slots.sort_unstable_by_key(|slot| slot.id);
        let Some(first) = slots.first() else { continue };
        let Some(other) = slots.iter().find(|slot| slot.payload != first.payload) else {
            continue;
        };
        let suspension = Suspension {
            member: first.author.clone(),
            seq: first.seq,
            blocks: [first.id, other.id],
        };
        if base
            .roster
            .get(&first.author)
            .is_some_and(gdo_core::roster::Member::is_active)
        {
            found.entry(&first.author).or_insert(suspension);
        }
    }
    let mut suspended = Vec::new();
    for (member, suspension) in found {
        let is_node = nodes.remove(member);
        if is_node && nodes.is_empty() {
            nodes.insert(member);
        } else {
            suspended.push(suspension);
        }
    }
    suspended
}

/// The ledger's time after the included blocks, and the claims that it was made of: the median, by
/// finality weight, of each validator's newest claim, but never before K's time (P-30). A
/// validator without a claim counts as K's time.
pub(super) fn clocks<'a>(
    base: &Base,
    included: impl Iterator<Item = &'a Slot>,
) -> (LedgerTime, BTreeMap<MemberName, Option<LedgerTime>>) {
    let validators = &base.policy.finality.validators;
    let mut claims: BTreeMap<MemberName, Option<LedgerTime>> = validators
        .iter()
        .map(|v| {
            (
                v.member.clone(),
                base.record.claims.get(&v.member).copied().flatten(),
            )
        })
        .collect();
    for slot in included {
        if let Some(claim) = claims.get_mut(&slot.author) {
            *claim = slot.claim;
        }
    }
    let before = base.record.ledger_time;
    let mut weighed: Vec<(LedgerTime, u64)> = validators
        .iter()
        .map(|v| (claims[&v.member].unwrap_or(before), v.weight.0))
        .collect();
    weighed.sort_unstable();
    let total: u64 = weighed.iter().map(|(_, weight)| weight).sum();
    let mut sum = 0;
    let median = weighed.iter().find(|(_, weight)| {
        sum += weight;
        2 * sum >= total
    });
    (
        median.map_or(before, |(claim, _)| before.max(*claim)),
        claims,
    )
}
