//! Approvals, rejections and withdrawals, as the notes in the window say them (P-8, P-11).
//!
//! **Invariants**: judged by the roster and the policy of K; an approver counts once; a rejection
//! cancels that member's approvals in whatever order the two came.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::checkpoint::Approval;
use gdo_core::id::{MemberName, ObjectId};
use gdo_core::policy::{Lane, Rule};
use gdo_core::proposal::NoteVerb;
use gdo_core::roster::Member;

use crate::window::Window;
use crate::window::slot::Slot;

/// What notes say of one proposal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Approvals {
    /// Who approves it, and the block with the note.
    pub approved: BTreeMap<MemberName, ObjectId>,
    /// Who rejects it.
    pub rejected: BTreeSet<MemberName>,
    /// Who asks to withdraw it; only its principal's word counts.
    pub withdrawn: BTreeSet<MemberName>,
}

impl Approvals {
    /// Gathers the notes of active members on `proposal`.
    /// Approvals that entered after `horizon` do not count yet; rejections and withdrawals do.
    pub(crate) fn on(window: &Window, proposal: &ObjectId, horizon: u64) -> Self {
        let mut all = Self::default();
        for at in window.notes_on(proposal) {
            let slot = window.slot(at);
            let member = window.base().roster.get(&slot.principal);
            if slot.quarantined || !member.is_some_and(Member::is_active) {
                continue;
            }
            let who = slot.principal.clone();
            for note in slot.notes.iter().filter(|note| note.proposal == *proposal) {
                match note.verb {
                    NoteVerb::Approve if slot.arrival > horizon => {}
                    NoteVerb::Approve => {
                        let block = all.approved.entry(who.clone()).or_insert(slot.id);
                        *block = slot.id.min(*block);
                    }
                    NoteVerb::Reject => {
                        all.rejected.insert(who.clone());
                    }
                    NoteVerb::Withdraw => {
                        all.withdrawn.insert(who.clone());
                    }
                }
            }
        }
        all
    }

    /// Those who count for `slot` under a rule: its own signers only with `self_approval`, by
    /// which their signature is an approval.
    fn counted<'a>(&'a self, slot: &'a Slot, rule: &Rule) -> BTreeMap<&'a MemberName, ObjectId> {
        let is_signer = |name: &MemberName| slot.signers.contains(name) || slot.principal == *name;
        let noted = self.approved.iter().map(|(name, block)| (name, *block));
        let mut counted: BTreeMap<_, _> = noted
            .filter(|(name, _)| rule.self_approval || !is_signer(name))
            .collect();
        if rule.self_approval && slot.proposal.is_some() {
            for signer in slot.signers.iter().chain([&slot.principal]) {
                counted.entry(signer).or_insert(slot.id);
            }
        }
        counted.retain(|name, _| !self.rejected.contains(*name));
        counted
    }

    /// The approvals that let `slot` into a checkpoint, or `None` if some rule asks for more.
    pub(crate) fn suffice(&self, window: &Window, slot: &Slot) -> Option<Vec<Approval>> {
        let base = window.base();
        let mut all = BTreeSet::new();
        for rule in window.rules_of(slot) {
            let Some(needed) = rule.approve.as_ref().filter(|_| rule.lane == Lane::Final) else {
                continue;
            };
            let counted = self.counted(slot, rule);
            let member = |name: &&MemberName| base.roster.get(name).filter(|m| m.is_active());
            let members: Vec<(&MemberName, &Member)> = counted
                .keys()
                .filter_map(|name| Some((*name, member(name)?)))
                .collect();
            if !needed.is_met_by(&members) {
                return None;
            }
            let proposal = slot.item();
            all.extend(members.iter().map(|(name, _)| Approval {
                proposal,
                member: (*name).clone(),
                block: counted[*name],
            }));
        }
        Some(all.into_iter().collect())
    }
}

/// The proposals that the notes in the window withdraw: each by its own principal.
pub(crate) fn withdrawn(window: &Window) -> BTreeSet<ObjectId> {
    let mut all = BTreeSet::new();
    for proposal in window.noted() {
        let asked = Approvals::on(window, proposal, 0).withdrawn;
        let principal = window
            .embedding(proposal)
            .map(|at| &window.slot(at).principal)
            .next();
        if principal.is_some_and(|principal| asked.contains(principal)) {
            all.insert(*proposal);
        }
    }
    all
}
