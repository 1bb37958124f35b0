//! How the window follows K over a checkpoint (section 7, steps 2 and 3).
//!
//! What the checkpoint disposes of leaves; the rest keeps its facts, which the checkpoint's own
//! delta brings up to date. Generations, turns, lanes, quarantine and budgets all hang on K and are
//! computed anew from the blocks that are left: the cost follows the window.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::delta::Delta;
use gdo_core::id::ObjectId;

use super::Window;
use super::slot::Slot;
use crate::facts::{Base, ProposalEnd};

impl Window {
    /// Follows K to the checkpoint `base`, whose tree differs from K's by `delta` (kernel-managed
    /// files included). Gives the blocks that waited for ancestors: their facts are out of date.
    pub fn advance(&mut self, base: Base, delta: &Delta) -> Vec<ObjectId> {
        let ended = ended_by(&base);
        let included: BTreeSet<ObjectId> = base
            .record
            .included
            .iter()
            .map(|included| included.block)
            .collect();
        let gone: BTreeSet<u32> = base
            .record
            .disposed()
            .filter_map(|id| self.slot_of(&id))
            .collect();
        self.paths.advance(delta);
        let policy_changed = self.base.policy != base.policy;
        // What is admitted also depends on which blocks of a chain are still unfinished.
        let admits = base
            .roster
            .iter()
            .any(|(_, member)| !member.admit.is_empty());
        let rules_changed = policy_changed || admits || self.base.roster != base.roster;
        self.base = base;
        if policy_changed {
            self.paths.apply_policy(&self.base.policy);
        }
        self.inherit(&gone);
        for &at in &gone {
            self.remove(at);
        }
        for slot in self.slots.iter_mut().flatten() {
            note_ends(slot, &ended, &included);
        }
        self.turns.clear();
        self.rebuild(rules_changed);
        self.awaited.clear();
        std::mem::take(&mut self.orphans).into_keys().collect()
    }

    /// Blocks whose parents go inherit the unfinished ancestors of those parents.
    fn inherit(&mut self, gone: &BTreeSet<u32>) {
        let mut of_gone: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for at in self.by_arrival() {
            let slot = self.slot_mut(at);
            if !slot.parents.iter().any(|parent| gone.contains(parent)) {
                if gone.contains(&at) {
                    of_gone.insert(at, slot.parents.clone());
                }
                continue;
            }
            let mut parents = BTreeSet::new();
            for parent in &slot.parents {
                match of_gone.get(parent) {
                    Some(inherited) => parents.extend(inherited.iter().copied()),
                    None => {
                        parents.insert(*parent);
                    }
                }
            }
            slot.parents = parents.into_iter().collect();
            if gone.contains(&at) {
                of_gone.insert(at, slot.parents.clone());
            }
        }
    }

    /// All blocks, ancestors first.
    fn by_arrival(&self) -> Vec<u32> {
        let mut all: Vec<(u64, u32)> = self
            .by_id
            .values()
            .map(|&at| (self.slot(at).arrival, at))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, at)| at).collect()
    }

    fn remove(&mut self, at: u32) {
        let slot = self.slots[at as usize]
            .take()
            .expect("listed slots are taken");
        self.free.push(at);
        self.by_id.remove(&slot.id);
        for op in &slot.ops {
            self.paths.release(op.node);
        }
        for proposal in slot.notes.iter().map(|note| note.proposal) {
            if let Some(blocks) = self.notes.get_mut(&proposal) {
                blocks.remove(&at);
                if blocks.is_empty() {
                    self.notes.remove(&proposal);
                }
            }
        }
        if let Some(chain) = self.chains.get_mut(&slot.key) {
            chain.remove(&(slot.seq, at));
            if chain.range((slot.seq, 0)..=(slot.seq, u32::MAX)).count() < 2 {
                self.forks.remove(&(slot.key.clone(), slot.seq));
            }
            if chain.is_empty() {
                self.chains.remove(&slot.key);
            }
        }
    }

    /// Computes everything that hangs on K from the blocks and the facts about their paths; what
    /// follows from policy and roster alone only if these changed.
    pub(super) fn rebuild(&mut self, rules_changed: bool) {
        self.order.clear();
        self.proposals.clear();
        self.dependents.clear();
        self.budgets.clear();
        self.dirty.clear();
        self.written.clear();
        self.tips = super::Tips::default();
        self.paths.clear_blocks();
        let mut all = self.by_arrival();
        for &at in &all {
            let generation = self.generation(&self.slot(at).parents);
            self.keys[at as usize] = self.make_key(at, generation);
            if rules_changed {
                let judged = self.judge_by_base(self.slot(at));
                let slot = self.slot_mut(at);
                (slot.lane, slot.quarantined, slot.denied) = judged;
            }
        }
        // In canonical order every index grows at its end.
        all.sort_unstable_by_key(|&at| self.keys[at as usize]);
        for &at in &all {
            self.link(at);
        }
        // All are judged in their order, so nobody has to be told of a change.
        self.dirty.clear();
        for at in all {
            self.settle_first(at);
        }
    }
}

/// The proposals whose life ends with the checkpoint.
fn ended_by(base: &Base) -> BTreeMap<ObjectId, ProposalEnd> {
    let withdrawn = base
        .record
        .withdrawn
        .iter()
        .map(|id| (*id, ProposalEnd::Withdrawn));
    let included = base
        .record
        .included
        .iter()
        .filter_map(|included| included.proposal);
    withdrawn
        .chain(included.map(|id| (id, ProposalEnd::Included)))
        .collect()
}

/// Tells a block what the checkpoint ended that it embeds, names or depends on.
fn note_ends(
    slot: &mut Slot,
    ended: &BTreeMap<ObjectId, ProposalEnd>,
    included: &BTreeSet<ObjectId>,
) {
    let named = slot
        .proposal
        .into_iter()
        .chain(slot.notes.iter().map(|note| note.proposal));
    for proposal in named {
        if let Some(end) = ended.get(&proposal) {
            slot.ended.insert(proposal, *end);
        }
    }
    let depends = slot.depends.iter().filter(|id| included.contains(id));
    slot.depends_included.extend(depends);
}
