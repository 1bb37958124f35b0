//! The window: the unfinished blocks over K, and the head rule F(S) on them (section 7).
//!
//! F is a pure function of K and the set of blocks, but it is computed incrementally (P-21): a new
//! block is judged at its place in the canonical order, and then only those later blocks again
//! that read what it changed. A checkpoint moves K and what hangs on it; the cost follows the
//! window, not the history.
//!
//! **Invariants**: blocks enter after their unfinished ancestors; after `settle` every block has
//! the status that a replay of the whole order from tree(K) would give it.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::checkpoint::Reason;
use gdo_core::delta::Operation;
use gdo_core::id::{Digest, LedgerTime, MemberName, ObjectId, Seq};
use gdo_core::key::PublicKey;
use gdo_core::policy::Lane;

use crate::error::EntryError;
use crate::facts::{Base, BlockFacts};
use crate::plan::Plan;

mod advance;
mod budget;
mod enter;
pub(crate) mod order;
pub(crate) mod paths;
mod query;
pub(crate) mod replay;
mod settle;
pub(crate) mod slot;
pub(crate) mod tips;

use budget::Budget;
use order::Key;
use paths::{NodeId, Paths};
use slot::{Slot, Status};
use tips::{Side, Tips};

/// What became of a block that was given to the window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// It is in, and with it these others that waited for it.
    Added(Vec<ObjectId>),
    /// It was in already.
    Known,
    /// It waits until these blocks have come.
    Waiting(Vec<ObjectId>),
}

/// The unfinished blocks over a checkpoint.
#[derive(Clone, Debug)]
pub struct Window {
    base: Base,
    pub(crate) paths: Paths,
    slots: Vec<Option<Slot>>,
    keys: Vec<Key>,
    free: Vec<u32>,
    by_id: BTreeMap<ObjectId, u32>,
    order: BTreeMap<Key, u32>,
    arrivals: u64,
    /// Blocks by the proposal that they embed, in canonical order.
    proposals: BTreeMap<ObjectId, Vec<u32>>,
    /// Blocks by the block that they depend on.
    dependents: BTreeMap<ObjectId, Vec<u32>>,
    /// Blocks that carry notes, by the proposal that the notes name.
    notes: BTreeMap<ObjectId, BTreeSet<u32>>,
    /// Blocks by the key that wrote them, and those places of chains that are filled twice.
    chains: BTreeMap<PublicKey, BTreeSet<(Seq, u32)>>,
    forks: BTreeSet<(PublicKey, Seq)>,
    /// Of each principal, the budget of lane final and the other one.
    budgets: BTreeMap<MemberName, [Budget; 2]>,
    turns: BTreeMap<MemberName, Digest>,
    tips: Tips,
    /// Blocks whose status may be out of date.
    dirty: BTreeSet<(Key, u32)>,
    /// Paths that an applied block writes.
    written: BTreeSet<NodeId>,
    /// Blocks that wait for ancestors, and who waits for whom.
    orphans: BTreeMap<ObjectId, BlockFacts>,
    awaited: BTreeMap<ObjectId, BTreeSet<ObjectId>>,
}

impl Window {
    /// An empty window over `base`.
    #[must_use]
    pub fn new(base: Base) -> Self {
        Self {
            base,
            paths: Paths::default(),
            slots: Vec::new(),
            keys: Vec::new(),
            free: Vec::new(),
            by_id: BTreeMap::new(),
            order: BTreeMap::new(),
            arrivals: 0,
            proposals: BTreeMap::new(),
            dependents: BTreeMap::new(),
            notes: BTreeMap::new(),
            chains: BTreeMap::new(),
            forks: BTreeSet::new(),
            budgets: BTreeMap::new(),
            turns: BTreeMap::new(),
            tips: Tips::default(),
            dirty: BTreeSet::new(),
            written: BTreeSet::new(),
            orphans: BTreeMap::new(),
            awaited: BTreeMap::new(),
        }
    }

    /// K and the rules that it brings.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// How many blocks are unfinished; those that wait for ancestors do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nothing is unfinished.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether the block is in the window.
    #[must_use]
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Takes a structurally valid block in. Its status is computed when it is asked for.
    ///
    /// # Errors
    /// Facts that are relative to another checkpoint than K, or incomplete.
    pub fn insert(&mut self, facts: BlockFacts) -> Result<Entry, EntryError> {
        self.enter(facts)
    }

    /// The outcome of the head rule.
    #[must_use]
    pub fn plan(&mut self) -> Plan {
        self.settle();
        let mut plan = Plan {
            base: self.base.checkpoint,
            order: Vec::with_capacity(self.order.len()),
            applied: Vec::new(),
            aside: BTreeMap::new(),
            pending: Vec::new(),
            over_budget: Vec::new(),
            delta: self.delta(),
            tips: self.tips.maximal(Side::Applied).iter().copied().collect(),
            anchored: self.tips.maximal(Side::Anchored).iter().copied().collect(),
            set: self.set(),
            shortcut: None,
            generation_max: self.generation_max(),
            time: LedgerTime(0),
        };
        for &at in self.order.values() {
            let slot = self.slot(at);
            plan.order.push(slot.id);
            match slot.status {
                Status::Applied => plan.applied.push(slot.id),
                Status::Pending => plan.pending.push(slot.id),
                Status::Aside(reason) => {
                    plan.aside.insert(slot.id, reason);
                    if reason == Reason::Quarantine && !slot.quarantined {
                        plan.over_budget.push(slot.id);
                    }
                }
                Status::New => unreachable!("a settled window has no unjudged block"),
            }
        }
        plan.shortcut = self.shortcut();
        let elapsed = i64::try_from(plan.generation_max).unwrap_or(i64::MAX);
        plan.time = LedgerTime(self.base.record.ledger_time.0.saturating_add(elapsed));
        plan
    }

    /// Brings every status up to date, which [`Window::plan`] does anyway.
    pub fn refresh(&mut self) {
        self.settle();
    }

    /// The highest generation in the window, 0 if it is empty.
    fn generation_max(&self) -> u64 {
        self.order
            .last_key_value()
            .map_or(0, |(key, _)| key.generation)
    }

    /// `Gdo-Set`: the SHA-256 of the raw ids, sorted.
    fn set(&self) -> Digest {
        let mut text = Vec::with_capacity(self.by_id.len() * 32);
        for id in self.by_id.keys() {
            text.extend_from_slice(id.as_bytes());
        }
        Digest::of(&text)
    }

    /// The head's tree as changes of tree(K).
    fn delta(&self) -> Vec<Operation> {
        let changes = self.written.iter().filter_map(|&id| {
            let node = self.paths.node(id);
            let (old, new) = (node.in_base, self.paths.last(id));
            (old != new).then(|| Operation {
                path: node.path.clone(),
                old,
                new,
            })
        });
        let mut delta: Vec<Operation> = changes.collect();
        delta.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        delta
    }

    /// The candidate of step 6: the only maximal block, if everything is applied and K is in its past.
    fn shortcut(&self) -> Option<ObjectId> {
        let applied = self.tips.maximal(Side::Applied);
        let only = applied.first().filter(|_| applied.len() == 1)?;
        let alone = self.tips.maximal(Side::Anchored).is_empty();
        let builds_on_base = || {
            let mut all = self.by_id.values().map(|&at| self.slot(at));
            all.any(|slot| slot.final_checkpoint == self.base.checkpoint)
        };
        (alone && builds_on_base()).then_some(*only)
    }

    pub(crate) fn slot(&self, at: u32) -> &Slot {
        self.slots[at as usize]
            .as_ref()
            .expect("listed slots are taken")
    }

    fn slot_mut(&mut self, at: u32) -> &mut Slot {
        self.slots[at as usize]
            .as_mut()
            .expect("listed slots are taken")
    }

    pub(crate) fn key(&self, at: u32) -> &Key {
        &self.keys[at as usize]
    }

    pub(crate) fn slot_of(&self, id: &ObjectId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// The unfinished blocks in canonical order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = u32> {
        self.order.values().copied()
    }

    /// The blocks that carry notes on a proposal.
    pub(crate) fn notes_on(&self, proposal: &ObjectId) -> impl Iterator<Item = u32> {
        self.notes.get(proposal).into_iter().flatten().copied()
    }

    /// The proposals that notes in the window name.
    pub(crate) fn noted(&self) -> impl Iterator<Item = &ObjectId> {
        self.notes.keys()
    }

    /// The blocks that embed a proposal, in canonical order.
    pub(crate) fn embedding(&self, proposal: &ObjectId) -> impl Iterator<Item = u32> {
        self.proposals.get(proposal).into_iter().flatten().copied()
    }

    /// The places of chains that are filled twice, each with its blocks.
    pub(crate) fn forks_of_chains(&self) -> impl Iterator<Item = Vec<u32>> {
        self.forks.iter().filter_map(|(key, seq)| {
            let chain = self.chains.get(key)?;
            Some(
                chain
                    .range((*seq, 0)..=(*seq, u32::MAX))
                    .map(|(_, at)| *at)
                    .collect(),
            )
        })
    }

    /// Whether a block waits for others of its principal to be disposed of.
    pub(crate) fn is_over_budget(&self, slot: &Slot) -> bool {
        let budgets = self.budgets.get(&slot.principal);
        let budget = budgets.map(|budgets| &budgets[usize::from(slot.lane == Lane::Final)]);
        !slot.quarantined && budget.is_some_and(|budget| budget.is_over(&slot.item()))
    }
}
