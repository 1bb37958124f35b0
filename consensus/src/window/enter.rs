//! How a block enters the window, or waits for the rest of its past (section 7, step 1).

use std::collections::BTreeSet;

use gdo_core::checkpoint::Reason;
use gdo_core::id::{MemberName, ObjectId};
use gdo_core::policy::{Lane, Limits};
use gdo_core::roster::Member;

use super::budget::Budget;
use super::order::{Key, turn};
use super::replay::Op;
use super::slot::{Slot, Status, claim_of};
use super::{Entry, Window};
use crate::error::EntryError;
use crate::facts::{BlockFacts, FinalPlace};

impl Window {
    pub(super) fn enter(&mut self, facts: BlockFacts) -> Result<Entry, EntryError> {
        self.check(&facts)?;
        if self.contains(&facts.id()) {
            return Ok(Entry::Known);
        }
        let missing = self.missing(&facts);
        if !missing.is_empty() {
            for ancestor in &missing {
                self.awaited
                    .entry(*ancestor)
                    .or_default()
                    .insert(facts.id());
            }
            self.orphans.insert(facts.id(), facts);
            return Ok(Entry::Waiting(missing));
        }
        let mut added = Vec::new();
        let mut ready = vec![facts];
        while let Some(facts) = ready.pop() {
            let id = facts.id();
            self.add(facts);
            added.push(id);
            for waiting in self.awaited.remove(&id).into_iter().flatten() {
                let complete = |facts: &BlockFacts| self.missing(facts).is_empty();
                if self.orphans.get(&waiting).is_some_and(complete) {
                    ready.extend(self.orphans.remove(&waiting));
                }
            }
        }
        Ok(Entry::Added(added))
    }

    fn check(&self, facts: &BlockFacts) -> Result<(), EntryError> {
        let block = facts.id();
        let (expected, got) = (self.base.checkpoint.id, facts.history.as_of);
        if expected != got {
            return Err(EntryError::Stale {
                block,
                expected,
                got,
            });
        }
        let (expected, got) = (facts.block.operations.len(), facts.history.paths.len());
        if expected != got {
            return Err(EntryError::Paths {
                block,
                expected,
                got,
            });
        }
        Ok(())
    }

    fn missing(&self, facts: &BlockFacts) -> Vec<ObjectId> {
        facts
            .ancestors
            .iter()
            .filter(|id| !self.contains(id))
            .copied()
            .collect()
    }

    /// Adds a block whose unfinished ancestors are all in the window.
    fn add(&mut self, facts: BlockFacts) {
        let slot = self.make_slot(facts);
        let (id, generation) = (slot.id, self.generation(&slot.parents));
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.keys.push(Key::unset(id));
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 blocks")
        });
        self.by_id.insert(id, at);
        for proposal in slot.notes.iter().map(|note| note.proposal) {
            self.notes.entry(proposal).or_default().insert(at);
        }
        self.add_to_chain(&slot, at);
        let releases = self.releases(&slot);
        self.slots[at as usize] = Some(slot);
        if releases {
            // Members before it in its chain leave quarantine with it (P-2).
            self.rebuild(true);
        } else {
            let key = self.make_key(at, generation);
            self.keys[at as usize] = key;
            self.link(at);
            self.dirty.insert((key, at));
        }
    }

    fn add_to_chain(&mut self, slot: &Slot, at: u32) {
        match self.chains.get_mut(&slot.key) {
            Some(chain) => {
                let place = (slot.seq, 0)..=(slot.seq, u32::MAX);
                if chain.range(place).next().is_some() {
                    self.forks.insert((slot.key.clone(), slot.seq));
                }
                chain.insert((slot.seq, at));
            }
            None => {
                self.chains
                    .insert(slot.key.clone(), BTreeSet::from([(slot.seq, at)]));
            }
        }
    }

    fn make_slot(&mut self, facts: BlockFacts) -> Slot {
        let BlockFacts {
            block: in_past,
            ancestors,
            history,
        } = facts;
        let block = in_past.block;
        let policy = &self.base.policy;
        let paths = in_past.operations.iter().zip(&history.paths);
        let mut ops: Vec<Op> = paths
            .map(|(operation, facts)| Op {
                node: self.paths.touch(&operation.path, facts, policy),
                old: operation.old,
                new: operation.new,
            })
            .collect();
        ops.sort_unstable_by_key(|op| op.node);
        self.arrivals += 1;
        let mut parents: Vec<u32> = ancestors.iter().filter_map(|id| self.slot_of(id)).collect();
        parents.sort_unstable();
        parents.dedup();
        let mut slot = Slot {
            id: block.id,
            claim: claim_of(&block.trailers.clock, block.claimed_time),
            author: block.author,
            key: block.key,
            seq: block.trailers.seq,
            prev: block.trailers.prev,
            payload: block.payload,
            final_checkpoint: block.trailers.final_checkpoint,
            final_place: history.final_place,
            principal: in_past.principal,
            signers: in_past.signers,
            proposal: block.trailers.proposal,
            notes: in_past.notes,
            depends: block.trailers.depends,
            depends_included: history.depends_included,
            ended: history.ended,
            ops,
            parents,
            arrival: self.arrivals,
            lane: Lane::Final,
            quarantined: false,
            denied: false,
            status: Status::New,
        };
        (slot.lane, slot.quarantined, slot.denied) = self.judge_by_base(&slot);
        slot
    }

    /// What K alone decides on a block: its lane (P-7), whether it is in quarantine, and whether the
    /// principal is kept from one of its paths (P-10).
    pub(super) fn judge_by_base(&self, slot: &Slot) -> (Lane, bool, bool) {
        let lanes = slot.ops.iter().map(|op| self.rule(op).lane);
        (
            lanes.max().unwrap_or(Lane::Final),
            self.is_quarantined(slot),
            !self.may_write(slot),
        )
    }

    pub(super) fn rule(&self, op: &Op) -> &super::paths::PathRule {
        self.paths
            .node(op.node)
            .rule
            .as_ref()
            .expect("a touched path has a rule")
    }

    /// Q of step 3.
    fn is_quarantined(&self, slot: &Slot) -> bool {
        if slot.final_place == FinalPlace::Elsewhere {
            return true;
        }
        let Some(member) = self.base.roster.get(&slot.author) else {
            return true;
        };
        let mut keys = member.keys.iter().chain(&member.retired);
        let known = member.is_active() && keys.any(|entry| entry.key == slot.key);
        !known && !self.is_admitted(slot, member)
    }

    /// Whether the block, or one after it in its chain, was admitted by name (P-2).
    fn is_admitted(&self, slot: &Slot, member: &Member) -> bool {
        member.admit.iter().any(|admitted| {
            let mut at = Some(*admitted);
            std::iter::from_fn(|| {
                let id = at?;
                at = self
                    .slot_of(&id)
                    .and_then(|found| self.slots[found as usize].as_ref()?.prev);
                Some(id)
            })
            .any(|id| id == slot.id)
        })
    }

    /// Whether the block is admitted by name and may release those before it.
    fn releases(&self, slot: &Slot) -> bool {
        let member = self.base.roster.get(&slot.author);
        slot.prev.is_some() && member.is_some_and(|member| member.admit.contains(&slot.id))
    }

    /// Whether policy(K) lets the principal write all of the block's paths; a note is open to every
    /// active member (P-11).
    fn may_write(&self, slot: &Slot) -> bool {
        let Some(member) = self.base.roster.get(&slot.principal) else {
            return false;
        };
        let rules = self.base.policy.rules();
        let is_writer = |name: &MemberName, rule: usize| {
            rules[rule]
                .writers
                .iter()
                .any(|set| set.contains(name, member))
        };
        // An inactive author's blocks are out of quarantine only if they were admitted by name.
        (member.is_active() || slot.principal == slot.author)
            && slot.ops.iter().all(|op| {
                let rule = self.rule(op);
                let owned = rule
                    .owner
                    .as_deref()
                    .is_none_or(|o| o == slot.principal.as_str());
                !rule.kernel && owned && is_writer(&slot.principal, rule.rule)
            })
    }

    pub(super) fn generation(&self, parents: &[u32]) -> u64 {
        parents
            .iter()
            .map(|&parent| self.key(parent).generation)
            .max()
            .unwrap_or(0)
            + 1
    }

    pub(super) fn make_key(&mut self, at: u32, generation: u64) -> Key {
        let slot = self.slots[at as usize]
            .as_ref()
            .expect("listed slots are taken");
        let turn = match self.turns.get(&slot.author) {
            Some(turn) => *turn,
            None => {
                let turn = turn(self.base.checkpoint.id, &slot.author);
                self.turns.insert(slot.author.clone(), turn);
                turn
            }
        };
        Key {
            generation,
            turn,
            seq: slot.seq,
            id: slot.id,
        }
    }

    /// Makes a block whose key is known part of all indexes, and marks those whose budget it takes.
    pub(super) fn link(&mut self, at: u32) {
        let key = *self.key(at);
        self.order.insert(key, at);
        let slot = self.slots[at as usize].as_mut().expect("just made");
        slot.status = Status::New;
        self.tips.add(at, slot.id, slot.parents.clone());
        if let Some(proposal) = slot.proposal {
            let blocks = self.proposals.entry(proposal).or_default();
            let place = blocks.partition_point(|&other| self.keys[other as usize] < key);
            blocks.insert(place, at);
        }
        for depends in &slot.depends {
            self.dependents.entry(*depends).or_default().push(at);
        }
        if slot.participates() {
            for op in &slot.ops {
                let touch = &mut self.paths.node_mut(op.node).touch;
                let place = touch.partition_point(|&other| self.keys[other as usize] < key);
                touch.insert(place, at);
            }
        }
        if !slot.quarantined {
            let final_lane = slot.lane == Lane::Final;
            let limit = limit_of(&self.base.policy.limits, final_lane);
            if !self.budgets.contains_key(&slot.principal) {
                self.budgets
                    .insert(slot.principal.clone(), <[Budget; 2]>::default());
            }
            let budgets = self.budgets.get_mut(&slot.principal).expect("just made");
            let budget = &mut budgets[usize::from(final_lane)];
            for moved in budget.add(key, at, slot.item(), limit) {
                self.dirty.insert((self.keys[moved as usize], moved));
            }
        }
    }

    /// What F(S) says of a block whose predecessors in canonical order are judged (step 5).
    pub(super) fn judge(&self, at: u32) -> Status {
        let (slot, key) = (self.slot(at), self.key(at));
        if slot.quarantined || self.is_over_budget(slot) {
            return Status::Aside(Reason::Quarantine);
        }
        if slot.proposal_end().is_some() || self.is_applied_above(slot, key) {
            return Status::Aside(Reason::Duplicate);
        }
        if slot.denied {
            return Status::Aside(Reason::Policy);
        }
        if slot.lane == Lane::Final {
            return Status::Pending;
        }
        if !self.has_depends(slot, key) {
            return Status::Aside(Reason::Depends);
        }
        let before = super::settle::Before { window: self, key };
        super::replay::refusal(&self.paths, &slot.ops, &before)
            .map_or(Status::Applied, Status::Aside)
    }

    fn is_applied_above(&self, slot: &Slot, key: &Key) -> bool {
        let Some(blocks) = slot
            .proposal
            .and_then(|proposal| self.proposals.get(&proposal))
        else {
            return false;
        };
        let mut above = blocks.iter().take_while(|&&other| self.key(other) < key);
        above.any(|&other| self.slot(other).status == Status::Applied)
    }

    fn has_depends(&self, slot: &Slot, key: &Key) -> bool {
        slot.depends.iter().all(|depends| {
            let applied = |at: u32| self.key(at) < key && self.slot(at).status == Status::Applied;
            slot.depends_included.contains(depends) || self.slot_of(depends).is_some_and(applied)
        })
    }
}

fn limit_of(limits: &Limits, final_lane: bool) -> u64 {
    if final_lane {
        limits.pending_per_member
    } else {
        limits.blocks_per_member
    }
}
