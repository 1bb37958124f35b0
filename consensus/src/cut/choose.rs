//! The walk along the canonical order that makes a cut (P-32).
//!
//! | a block | fate |
//! |---|---|
//! | open too long (P-35a) | aside `expired` |
//! | in quarantine, over budget, or left out by the rulings | open |
//! | a note on something that is still undecided (P-11) | open |
//! | its proposal is withdrawn | aside `withdrawn` |
//! | final, and approvals are missing, or it is the second change of `.gdo/` (P-35) | open |
//! | shares a path with an ancestor that is open but does not wait | open |
//! | depends on a block that is open | open |
//! | rejected by the replay, a dapp or a guard rail | aside with the reason |
//! | else | included |

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::checkpoint::{Approval, Aside, Included, Reason};
use gdo_core::delta::{Entry, Operation};
use gdo_core::id::{LedgerTime, ObjectId};
use gdo_core::policy::Lane;

use super::approvals::{Approvals, withdrawn};
use super::record::clocks;
use super::{Cut, Prefix, Rulings};
use crate::facts::ProposalEnd;
use crate::window::Window;
use crate::window::paths::{NodeId, Paths, View};
use crate::window::replay::refusal;
use crate::window::slot::Slot;

/// The state after the included blocks.
struct Overlay<'a> {
    paths: &'a Paths,
    values: BTreeMap<NodeId, Option<Entry>>,
}

impl View for Overlay<'_> {
    fn at(&self, node: NodeId) -> Option<Entry> {
        self.values
            .get(&node)
            .copied()
            .unwrap_or_else(|| self.paths.node(node).in_base)
    }
}

/// What a block comes to.
enum Fate {
    Include,
    Aside(Reason),
    /// Left open because it waits: descendants do not wait for it.
    Wait,
    /// Left open although it takes part: descendants that share a path wait for it.
    LeaveOut,
}

struct Walk<'a> {
    window: &'a Window,
    rulings: &'a Rulings,
    state: Overlay<'a>,
    included: Vec<u32>,
    included_ids: BTreeSet<ObjectId>,
    proposals: BTreeSet<ObjectId>,
    aside: Vec<(u32, Reason)>,
    open: BTreeSet<u32>,
    left_out: BTreeMap<NodeId, Vec<u32>>,
    withdrawn: BTreeSet<ObjectId>,
    approvals: BTreeSet<Approval>,
    prefix: Prefix,
    prefixes: Vec<Prefix>,
    failed: Vec<Prefix>,
    changes_rules: bool,
}

pub(super) fn choose(window: &Window, rulings: &Rulings) -> Cut {
    let base = window.base();
    let mut walk = Walk {
        window,
        rulings,
        state: Overlay {
            paths: &window.paths,
            values: BTreeMap::new(),
        },
        included: Vec::new(),
        included_ids: BTreeSet::new(),
        proposals: BTreeSet::new(),
        aside: Vec::new(),
        open: BTreeSet::new(),
        left_out: BTreeMap::new(),
        withdrawn: withdrawn(window),
        approvals: BTreeSet::new(),
        prefix: Prefix::empty(base.checkpoint.id),
        prefixes: Vec::new(),
        failed: Vec::new(),
        changes_rules: false,
    };
    let cap = base.policy.limits.checkpoint_blocks_max as usize;
    for at in window.in_order() {
        if walk.included.len() + walk.aside.len() >= cap {
            break;
        }
        if window.slot(at).arrival > rulings.horizon() {
            continue;
        }
        let fate = walk.fate(at);
        walk.take(at, fate);
    }
    walk.finish()
}

impl Walk<'_> {
    fn fate(&mut self, at: u32) -> Fate {
        let window = self.window;
        let slot = window.slot(at);
        let unavailable = self.rulings.left_out.contains(&slot.id);
        if (slot.quarantined || slot.lane == Lane::Final || unavailable) && is_expired(window, slot)
        {
            return Fate::Aside(Reason::Expired);
        }
        if slot.quarantined || window.is_over_budget(slot) {
            return Fate::Wait;
        }
        if unavailable {
            return Fate::LeaveOut;
        }
        if let Some(fate) = self.fate_of_final(slot) {
            return fate;
        }
        if self.follows_left_out(at, slot) || self.depends_on_open(slot) {
            return if slot.lane == Lane::Final {
                Fate::Wait
            } else {
                Fate::LeaveOut
            };
        }
        self.replay(slot)
    }

    /// What only concerns proposals, notes and lane final.
    fn fate_of_final(&mut self, slot: &Slot) -> Option<Fate> {
        let ended = |id: &ObjectId| slot.ended.contains_key(id) || self.withdrawn.contains(id);
        if !slot.notes.is_empty() {
            let all = slot.notes.iter().all(|note| ended(&note.proposal));
            return (!all).then_some(Fate::Wait);
        }
        let is_withdrawn = slot.proposal_end() == Some(ProposalEnd::Withdrawn)
            || slot
                .proposal
                .is_some_and(|proposal| self.withdrawn.contains(&proposal));
        if is_withdrawn {
            return Some(Fate::Aside(Reason::Withdrawn));
        }
        if slot.lane != Lane::Final || self.is_duplicate(slot) {
            return None;
        }
        // What embeds no proposal cannot be approved.
        let said = slot
            .proposal
            .map(|id| Approvals::on(self.window, &id, self.rulings.horizon()));
        let approvals = said.unwrap_or_default().suffice(self.window, slot);
        let changes_rules = self.window.touches_rules(slot);
        match approvals {
            Some(counted) if !(changes_rules && self.changes_rules) => {
                self.changes_rules |= changes_rules;
                self.approvals.extend(counted);
                None
            }
            _ => Some(Fate::Wait),
        }
    }

    fn is_duplicate(&self, slot: &Slot) -> bool {
        slot.proposal_end().is_some()
            || slot
                .proposal
                .is_some_and(|proposal| self.proposals.contains(&proposal))
    }

    /// Whether an ancestor that was left out without waiting wrote one of the block's paths.
    fn follows_left_out(&self, at: u32, slot: &Slot) -> bool {
        let sharing = slot
            .ops
            .iter()
            .filter_map(|op| self.left_out.get(&op.node))
            .flatten();
        let sharing: BTreeSet<u32> = sharing.copied().collect();
        !sharing.is_empty() && self.window.descends_from(at, &sharing)
    }

    fn depends_on_open(&self, slot: &Slot) -> bool {
        let mut depends = slot
            .depends
            .iter()
            .filter(|id| !slot.depends_included.contains(id));
        depends.any(|id| {
            self.window
                .slot_of(id)
                .is_some_and(|at| self.open.contains(&at))
        })
    }

    fn replay(&mut self, slot: &Slot) -> Fate {
        if self.is_duplicate(slot) {
            return Fate::Aside(Reason::Duplicate);
        }
        if slot.denied || self.rulings.unsound.contains(&slot.id) {
            return Fate::Aside(Reason::Policy);
        }
        let is_there =
            |id: &ObjectId| slot.depends_included.contains(id) || self.included_ids.contains(id);
        if !slot.depends.iter().all(is_there) {
            return Fate::Aside(Reason::Depends);
        }
        match refusal(&self.window.paths, &slot.ops, &self.state) {
            Some(reason) => Fate::Aside(reason),
            None if self.rulings.failed.contains(&self.prefix.with(slot.id)) => {
                self.failed.push(self.prefix.with(slot.id));
                Fate::Aside(Reason::Dapp)
            }
            None => Fate::Include,
        }
    }

    fn take(&mut self, at: u32, fate: Fate) {
        let slot = self.window.slot(at);
        match fate {
            Fate::Include => {
                self.included.push(at);
                self.included_ids.insert(slot.id);
                self.proposals.extend(slot.proposal);
                self.prefix = self.prefix.with(slot.id);
                self.prefixes.push(self.prefix);
                self.state
                    .values
                    .extend(slot.ops.iter().map(|op| (op.node, op.new)));
            }
            Fate::Aside(reason) => self.aside.push((at, reason)),
            Fate::Wait => {
                self.open.insert(at);
            }
            Fate::LeaveOut => {
                self.open.insert(at);
                for op in &slot.ops {
                    self.left_out.entry(op.node).or_default().push(at);
                }
            }
        }
    }

    fn finish(mut self) -> Cut {
        let window = self.window;
        let base = window.base();
        let disposed: BTreeSet<u32> = self
            .included
            .iter()
            .copied()
            .chain(self.aside.iter().map(|(at, _)| *at))
            .collect();
        window.complete_open(&mut self.open, &disposed);
        let anchored: BTreeSet<u32> = self
            .open
            .iter()
            .copied()
            .chain(self.aside.iter().map(|(at, _)| *at))
            .collect();
        let (ledger_time, claims) = clocks(base, self.included.iter().map(|&at| window.slot(at)));
        let ended = |id: &ObjectId| window.embedding(id).any(|at| disposed.contains(&at));
        let is_urgent = disposed.iter().any(|&at| {
            let slot = window.slot(at);
            slot.proposal.is_some() && slot.notes.is_empty()
        });
        Cut {
            base: base.checkpoint,
            included: self
                .included
                .iter()
                .map(|&at| included(window.slot(at)))
                .collect(),
            prefixes: std::mem::take(&mut self.prefixes),
            aside: self
                .aside
                .iter()
                .map(|&(at, reason)| aside(window.slot(at), reason))
                .collect(),
            failed: std::mem::take(&mut self.failed),
            withdrawn: self
                .withdrawn
                .iter()
                .filter(|id| ended(id))
                .copied()
                .collect(),
            open: window.open_list(&self.open, ledger_time),
            approvals: self.approvals_of_included(),
            delta: self.delta(),
            dapps: window.dapps_of(&self.included),
            tips: window.maximal(&self.included.iter().copied().collect()),
            anchored: window.maximal(&anchored),
            ledger_time,
            claims,
            is_urgent,
        }
    }

    fn approvals_of_included(&self) -> Vec<Approval> {
        let counts = |approval: &&Approval| self.proposals.contains(&approval.proposal);
        self.approvals.iter().filter(counts).cloned().collect()
    }

    fn delta(&self) -> Vec<Operation> {
        let changes = self.state.values.iter().filter_map(|(&id, &new)| {
            let node = self.window.paths.node(id);
            let old = node.in_base;
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
}

fn included(slot: &Slot) -> Included {
    Included {
        block: slot.id,
        proposal: slot.proposal,
    }
}

fn aside(slot: &Slot, reason: Reason) -> Aside {
    Aside {
        block: slot.id,
        proposal: slot.proposal,
        reason,
    }
}

/// Whether the block was open for long enough to expire (P-35a).
fn is_expired(window: &Window, slot: &Slot) -> bool {
    let base = window.base();
    let limits = &base.policy.limits;
    let Some(open) = window.open_since(&slot.id) else {
        return false;
    };
    let heights = base.checkpoint.height.next().0.saturating_sub(open.since.0);
    let LedgerTime(seconds) = base.record.ledger_time;
    let seconds = seconds.saturating_sub(open.since_time.0);
    let seconds_min = i64::try_from(limits.pending_days * 24 * 60 * 60).unwrap_or(i64::MAX);
    heights >= limits.pending_heights && seconds >= seconds_min
}
