//! What a cut asks of the window.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::checkpoint::Open;
use gdo_core::delta::{Delta, Operation};
use gdo_core::id::{DappName, LedgerTime, ObjectId};
use gdo_core::policy::Rule;

use super::Window;
use super::slot::Slot;

/// The folder whose changes are changes of the rules (P-35).
const RULES_DIR: &str = ".gdo";

impl Window {
    /// The rules that the block's paths fall under, each once.
    pub(crate) fn rules_of(&self, slot: &Slot) -> impl Iterator<Item = &Rule> {
        let rules: BTreeSet<usize> = slot.ops.iter().map(|op| self.rule(op).rule).collect();
        rules
            .into_iter()
            .map(|rule| &self.base.policy.rules()[rule])
    }

    /// Whether the block changes policy, roster or dapps.
    pub(crate) fn touches_rules(&self, slot: &Slot) -> bool {
        slot.ops
            .iter()
            .any(|op| self.paths.node(op.node).path.is_within(RULES_DIR))
    }

    /// The dapps of the rules that the blocks' paths fall under.
    pub(crate) fn dapps_of(&self, blocks: &[u32]) -> BTreeSet<DappName> {
        let ops = blocks.iter().flat_map(|&at| &self.slot(at).ops);
        let rules: BTreeSet<usize> = ops.map(|op| self.rule(op).rule).collect();
        let rules = rules
            .into_iter()
            .map(|rule| &self.base.policy.rules()[rule]);
        rules.flat_map(|rule| rule.dapps.iter().cloned()).collect()
    }

    /// Whether a block descends from one of `others`.
    pub(crate) fn descends_from(&self, at: u32, others: &BTreeSet<u32>) -> bool {
        let lowest = others
            .iter()
            .map(|&other| self.key(other).generation)
            .min()
            .unwrap_or(0);
        let mut seen = BTreeSet::new();
        let mut work = self.slot(at).parents.clone();
        while let Some(at) = work.pop() {
            if others.contains(&at) {
                return true;
            }
            if self.key(at).generation > lowest && seen.insert(at) {
                work.extend(&self.slot(at).parents);
            }
        }
        false
    }

    /// The unfinished ancestors of `blocks`.
    fn ancestors(&self, blocks: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
        let mut seen = BTreeSet::new();
        let parents = |at: u32| self.slot(at).parents.iter().copied();
        let mut work: Vec<u32> = blocks.into_iter().flat_map(parents).collect();
        while let Some(at) = work.pop() {
            if seen.insert(at) {
                work.extend(&self.slot(at).parents);
            }
        }
        seen
    }

    /// The ids of those of `blocks` that are no ancestors of others of them, sorted.
    pub(crate) fn maximal(&self, blocks: &BTreeSet<u32>) -> Vec<ObjectId> {
        let covered = self.ancestors(blocks.iter().copied());
        let tips = blocks.difference(&covered).map(|&at| self.slot(at).id);
        let mut tips: Vec<ObjectId> = tips.collect();
        tips.sort_unstable();
        tips
    }

    /// Adds to `open` what a checkpoint must list besides: what was open before, and whatever is
    /// left in its past (P-30).
    pub(crate) fn complete_open(&self, open: &mut BTreeSet<u32>, disposed: &BTreeSet<u32>) {
        let before = self
            .base
            .record
            .open
            .iter()
            .filter_map(|open| self.slot_of(&open.block));
        open.extend(before.filter(|at| !disposed.contains(at)));
        let past = self.ancestors(open.iter().chain(disposed).copied());
        open.extend(past.difference(disposed));
    }

    /// The `open` list of a checkpoint at the ledger time `now`: each with the height that first
    /// listed it.
    pub(crate) fn open_list(&self, open: &BTreeSet<u32>, now: LedgerTime) -> Vec<Open> {
        let fresh = |block| Open {
            block,
            since: self.base.checkpoint.height.next(),
            since_time: now,
        };
        let list = open.iter().map(|&at| {
            let block = self.slot(at).id;
            self.open_since(&block)
                .copied()
                .unwrap_or_else(|| fresh(block))
        });
        let mut list: Vec<Open> = list.collect();
        list.sort_unstable();
        list
    }

    /// Since when checkpoints list the block as open.
    pub(crate) fn open_since(&self, block: &ObjectId) -> Option<&Open> {
        let open = &self.base.record.open;
        let found = open.binary_search_by(|open| open.block.cmp(block)).ok()?;
        Some(&open[found])
    }

    /// What the blocks put together, as changes of tree(K): the last write of a path counts. They
    /// are blocks that a cut includes, in its order.
    pub(crate) fn delta_of<'a>(&self, blocks: impl IntoIterator<Item = &'a ObjectId>) -> Delta {
        let mut values = BTreeMap::new();
        for at in blocks.into_iter().filter_map(|id| self.slot_of(id)) {
            values.extend(self.slot(at).ops.iter().map(|op| (op.node, op.new)));
        }
        let changes = values.into_iter().filter_map(|(id, new)| {
            let node = self.paths.node(id);
            let old = node.in_base;
            (old != new).then(|| Operation {
                path: node.path.clone(),
                old,
                new,
            })
        });
        let mut delta: Delta = changes.collect();
        delta.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        delta
    }

    /// How many blocks entered so far: later ones have higher arrival numbers.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Whether a block touches a path whose rule names the dapp.
    pub(crate) fn falls_under(&self, block: &ObjectId, dapp: &DappName) -> bool {
        let slot = self.slot_of(block).map(|at| self.slot(at));
        slot.is_some_and(|slot| self.rules_of(slot).any(|rule| rule.dapps.contains(dapp)))
    }

    /// The dapps of the rules that a block's paths fall under.
    pub(crate) fn dapps_under(&self, block: &ObjectId) -> BTreeSet<DappName> {
        self.slot_of(block)
            .map(|at| self.dapps_of(&[at]))
            .unwrap_or_default()
    }
}
