//! A second head rule: written from section 7 of the protocol, the slow and obvious way.
//!
//! It shares nothing with the crate but the vocabulary of `gdo-core`: it sorts, walks and copies
//! whole states where the crate keeps indexes.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::checkpoint::Reason;
use gdo_core::delta::{Delta, Operation};
use gdo_core::id::{Digest, MemberName, ObjectId};
use gdo_core::path::RepoPath;
use gdo_core::policy::{Lane, Policy};

use super::kit::Tree;
use super::world::{Made, World, bits};

/// What the head rule gives.
#[derive(PartialEq, Eq, Debug)]
pub struct Head {
    pub order: Vec<ObjectId>,
    pub applied: Vec<ObjectId>,
    pub aside: BTreeMap<ObjectId, Reason>,
    pub pending: Vec<ObjectId>,
    pub over_budget: Vec<ObjectId>,
    pub delta: Delta,
    pub tips: Vec<ObjectId>,
    pub anchored: Vec<ObjectId>,
    pub set: Digest,
    pub shortcut: Option<ObjectId>,
    pub generation_max: u64,
}

/// F for somebody who knows `known` and has adopted checkpoint `on`.
pub fn head(world: &World, known: u64, on: usize) -> Head {
    let checkpoint = &world.checkpoints[on];
    let base = &checkpoint.base;
    let open = known & !checkpoint.done;
    let order = canonical_order(world, open, on);
    let quarantined: Vec<usize> = order
        .iter()
        .copied()
        .filter(|at| is_quarantined(world, *at, on))
        .collect();
    let over = over_budget(world, &order, &quarantined, on);
    let mut state = checkpoint.tree.clone();
    let (mut applied, mut pending) = (Vec::new(), Vec::new());
    let mut aside = BTreeMap::new();
    for &at in &order {
        let made = &world.blocks[at];
        let own = made.block.block.id;
        let proposal = made.block.block.trailers.proposal;
        let is_duplicate = proposal.is_some_and(|proposal| {
            let above = applied.iter().any(|other: &usize| {
                world.blocks[*other].block.block.trailers.proposal == Some(proposal)
            });
            above || checkpoint.ended.contains_key(&proposal)
        });
        let depends = made.block.block.trailers.depends.iter().all(|id| {
            let at = world.by_id.get(id);
            at.is_some_and(|at| applied.contains(at) || checkpoint.included >> at & 1 == 1)
        });
        if quarantined.contains(&at) || over.contains(&at) {
            aside.insert(own, Reason::Quarantine);
        } else if is_duplicate {
            aside.insert(own, Reason::Duplicate);
        } else if !is_allowed(world, at, on) {
            aside.insert(own, Reason::Policy);
        } else if lane(&base.policy, made) == Lane::Final {
            pending.push(at);
        } else if !depends {
            aside.insert(own, Reason::Depends);
        } else if let Some(reason) = refusal(&base.policy, &made.block.operations, &state) {
            aside.insert(own, reason);
        } else {
            super::kit::apply(&mut state, &made.block.operations);
            applied.push(at);
        }
    }
    let ids = |set: &[usize]| {
        set.iter()
            .map(|&at| world.blocks[at].block.block.id)
            .collect()
    };
    let bits_of = |set: &[usize]| set.iter().fold(0u64, |bits, at| bits | 1 << at);
    let tips = world.ids(world.maximal(bits_of(&applied)));
    let not_applied = open & !bits_of(&applied);
    let mut all = world.ids(open);
    all.sort_unstable();
    let text: Vec<u8> = all.iter().flat_map(|id| id.as_bytes().to_vec()).collect();
    let sees_base = |at: usize| world.blocks[at].on == on;
    let alone = tips.len() == 1 && not_applied == 0;
    let shortcut = alone && order.iter().any(|at| sees_base(*at));
    let generations = generations(world, open);
    Head {
        order: ids(&order),
        applied: ids(&applied),
        pending: ids(&pending),
        over_budget: ids(&over),
        delta: difference(&checkpoint.tree, &state),
        anchored: world.ids(world.maximal(not_applied)),
        set: Digest::of(&text),
        shortcut: tips.first().copied().filter(|_| shortcut),
        generation_max: generations.values().copied().max().unwrap_or(0),
        aside,
        tips,
    }
}

fn generations(world: &World, open: u64) -> BTreeMap<usize, u64> {
    let mut generations = BTreeMap::new();
    // A block is written after its past, so its place in the history is a causal order.
    for at in bits(open) {
        let past = world.blocks[at].past & open;
        let highest = bits(past)
            .map(|other| generations[&other])
            .max()
            .unwrap_or(0);
        generations.insert(at, highest + 1);
    }
    generations
}

pub fn canonical_order(world: &World, open: u64, on: usize) -> Vec<usize> {
    let generations = generations(world, open);
    let base = world.checkpoints[on].base.checkpoint.id;
    let mut order: Vec<usize> = bits(open).collect();
    order.sort_by_cached_key(|at| {
        let block = &world.blocks[*at].block.block;
        let author = block.author.as_str().as_bytes();
        let turn = Digest::of(&[b"rot".as_slice(), base.as_bytes(), author].concat());
        (generations[at], turn, block.trailers.seq, block.id)
    });
    order
}

pub fn is_quarantined(world: &World, at: usize, on: usize) -> bool {
    let block = &world.blocks[at].block.block;
    let member = world.checkpoints[on].base.roster.get(&block.author);
    !member.is_some_and(|member| {
        let mut keys = member.keys.iter().chain(&member.retired);
        member.is_active() && keys.any(|entry| entry.key == block.key)
    })
}

pub fn over_budget(world: &World, order: &[usize], quarantined: &[usize], on: usize) -> Vec<usize> {
    let policy = &world.checkpoints[on].base.policy;
    let mut used: BTreeMap<(MemberName, bool), BTreeSet<ObjectId>> = BTreeMap::new();
    let mut over = Vec::new();
    for &at in order {
        if quarantined.contains(&at) {
            continue;
        }
        let made = &world.blocks[at];
        let is_final = lane(policy, made) == Lane::Final;
        let limits = &policy.limits;
        let limit = if is_final {
            limits.pending_per_member
        } else {
            limits.blocks_per_member
        };
        let item = made
            .block
            .block
            .trailers
            .proposal
            .unwrap_or(made.block.block.id);
        let mine = used
            .entry((made.block.principal.clone(), is_final))
            .or_default();
        if mine.contains(&item) || (mine.len() as u64) < limit {
            mine.insert(item);
        } else {
            over.push(at);
        }
    }
    over
}

pub fn lane(policy: &Policy, made: &Made) -> Lane {
    policy.lane_of(
        made.block
            .operations
            .iter()
            .map(|operation| &operation.path),
    )
}

pub fn is_allowed(world: &World, at: usize, on: usize) -> bool {
    let base = &world.checkpoints[on].base;
    let made = &world.blocks[at];
    let principal = &made.block.principal;
    let Some(member) = base.roster.get(principal) else {
        return false;
    };
    if !member.is_active() && *principal != made.block.block.author {
        return false;
    }
    made.block.operations.iter().all(|operation| {
        let found = base.policy.rule_for(&operation.path);
        let kernel = gdo_core::checkpoint::is_kernel_managed(&operation.path);
        let writer = found
            .rule
            .writers
            .iter()
            .any(|set| set.contains(principal, member));
        !kernel && found.is_open_to(principal) && writer
    })
}

/// Section 6, on a whole state.
pub fn refusal(policy: &Policy, operations: &[Operation], state: &Tree) -> Option<Reason> {
    let mut after = state.clone();
    super::kit::apply(&mut after, operations);
    let mut reasons = BTreeSet::new();
    for Operation { path, old, new } in operations {
        let lane = policy.rule_for(path).rule.lane;
        let now = state.get(path).copied();
        let fits = match lane {
            Lane::Append => new.is_some() && (now.is_none() || now == *new),
            Lane::Owned => true,
            Lane::Cas | Lane::Final => now == *old || now == *new,
        };
        let shared = lane >= Lane::Cas;
        let others = || after.keys().filter(|other| *other != path);
        let nested =
            |other: &RepoPath| other.is_within(path.as_str()) || path.is_within(other.as_str());
        let is_put = new.is_some();
        if !fits && lane == Lane::Append {
            reasons.insert((0, Reason::Exists));
        } else if !fits {
            reasons.insert((1, Reason::Conflict));
        }
        if is_put && (others().any(nested) || (shared && policy.blocks_records(path))) {
            reasons.insert((2, Reason::Shape));
        }
        if is_put && shared && others().any(|other| super::kit::is_case_sibling(other, path)) {
            reasons.insert((3, Reason::Case));
        }
    }
    reasons.first().map(|(_, reason)| *reason)
}

/// The changes from one tree to another.
pub fn difference(before: &Tree, after: &Tree) -> Delta {
    let paths: BTreeSet<&RepoPath> = before.keys().chain(after.keys()).collect();
    let changes = paths.into_iter().filter_map(|path| {
        let (old, new) = (before.get(path).copied(), after.get(path).copied());
        (old != new).then(|| Operation {
            path: path.clone(),
            old,
            new,
        })
    });
    changes.collect()
}
