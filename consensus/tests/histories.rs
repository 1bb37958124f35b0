//! The head rule and the cut against a second, independent implementation, on random histories.

#![allow(
    unreachable_pub,
    reason = "the kit is shared between tests and benches"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use gdo_consensus::plan::Plan;
use gdo_core::checkpoint::Reason;
use gdo_core::delta::Entry;
use gdo_core::id::ObjectId;
use gdo_core::path::RepoPath;

#[path = "kit/kit.rs"]
mod kit;
#[path = "kit/oracle.rs"]
mod oracle;
#[path = "kit/review.rs"]
mod review;
#[path = "kit/story.rs"]
mod story;
#[path = "kit/world.rs"]
mod world;

use kit::{NODES, Rules};
use oracle::Head;
use story::Story;
use world::{Count, World};

/// Budgets and expiry that short histories reach.
const LIMITS: &str =
    "blocks_per_member = 4\npending_per_member = 3\npending_heights = 4\npending_days = 1";

fn rules() -> Arc<Rules> {
    Arc::new(Rules::new(&NODES[..3], LIMITS))
}

fn of_plan(plan: Plan) -> Head {
    Head {
        order: plan.order,
        applied: plan.applied,
        aside: plan.aside,
        pending: plan.pending,
        over_budget: plan.over_budget,
        delta: plan.delta,
        tips: plan.tips,
        anchored: plan.anchored,
        set: plan.set,
        shortcut: plan.shortcut,
        generation_max: plan.generation_max,
    }
}

/// Holds a window against the oracle.
fn compare(world: &World, plan: Plan, known: u64, on: usize, seed: u64) -> Head {
    let expected = oracle::head(world, known, on);
    let got = of_plan(plan);
    assert_eq!(got, expected, "seed {seed}, {} blocks", world.blocks.len());
    got
}

/// What n0 saw of the records of honest authors: the append lane only grows, and an owned file only
/// moves on along its owner's chain (section 6), whatever else comes and goes.
#[derive(Default)]
struct Seen {
    appended: BTreeMap<RepoPath, Entry>,
    owned: BTreeMap<RepoPath, usize>,
}

impl Seen {
    fn look(&mut self, world: &World, head: &Head, on: usize, seed: u64) {
        let mut tree = world.checkpoints[on].tree.clone();
        kit::apply(&mut tree, &head.delta);
        for (path, entry) in &self.appended {
            let gone = tree.get(path) != Some(entry) && is_honest(world, path);
            assert!(!gone, "seed {seed}: {path} was in a head and is gone");
        }
        for (path, entry) in &tree {
            if path.is_within("log") {
                self.appended.insert(path.clone(), *entry);
            } else if path.is_within("own") {
                let put = |made: &world::Made| {
                    let mut operations = made.block.operations.iter();
                    operations
                        .any(|operation| operation.path == *path && operation.new == Some(*entry))
                };
                let written = world
                    .blocks
                    .iter()
                    .position(put)
                    .expect("somebody wrote it");
                let before = self.owned.insert(path.clone(), written).unwrap_or(0);
                let back = before > written && is_honest(world, path);
                assert!(!back, "seed {seed}: {path} went back");
            }
        }
    }
}

/// Whether nothing but the rules decides on what the owner of the path writes: no suspension, no
/// dapp of the test, no lie.
fn is_honest(world: &World, path: &RepoPath) -> bool {
    let owner = kit::name(path.segments().nth(1).expect("records have owners"));
    let records = world
        .checkpoints
        .iter()
        .map(|checkpoint| &checkpoint.base.record);
    let mut failed = records
        .flat_map(|record| &record.aside)
        .filter(|aside| aside.reason == Reason::Dapp);
    let is_owner = |id: &ObjectId| world.blocks[world.by_id[id]].block.principal == owner;
    owner.as_str() != NODES[story::LIAR]
        && !owner.as_str().starts_with('p')
        && !world.doubtful.contains(&owner)
        && !world.roster_was_touched(&owner)
        && !failed.any(|aside| is_owner(&aside.block))
}

/// One history: everybody writes, some checkpoints are made, and every now and then the live
/// window of n0, and a fresh window of a random subset in a random order, must say what the oracle
/// says.
fn history(seed: u64, rules: &Arc<Rules>, count: &mut Count) {
    let mut story = Story::new(seed, rules);
    let blocks = 3 + story.world.random.below(38);
    let mut live = story.world.window(0, 0);
    let mut inside = 0u64;
    let mut seen = Seen::default();
    while story.world.blocks.len() < blocks {
        story.step();
        story.adopt(0);
        let (known, on) = (story.world.authors[0].known, story.world.authors[0].on);
        let world = &mut story.world;
        let fresh: Vec<usize> =
            world::bits(known & !inside & !world.checkpoints[on].done).collect();
        inside |= known;
        for at in fresh {
            let facts = world.facts(at, on);
            live.insert(facts).expect("facts are fresh");
        }
        if world.random.percent(8) {
            let head = compare(world, live.plan(), known, on, seed);
            seen.look(world, &head, on, seed);
        }
        if world.random.percent(10) && on + 1 == world.checkpoints.len() {
            let made = review::checkpoint(world, &mut live, known, count, seed);
            let on = on + usize::from(made);
            let head = compare(world, live.plan(), known, on, seed);
            seen.look(world, &head, on, seed);
        }
    }
    let everything = (1u64 << story.world.blocks.len()) - 1;
    let world = &mut story.world;
    let part = if world.random.percent(50) {
        everything
    } else {
        world.random.next()
    };
    let known = world.closed(everything & part);
    let on = (0..world.checkpoints.len())
        .rev()
        .find(|on| world.checkpoints[*on].needs & !known == 0)
        .expect("genesis needs nothing");
    let plan = world.window(known, on).plan();
    let head = compare(world, plan, known, on, seed);
    head.aside
        .values()
        .for_each(|reason| count.reason(*reason, false));
    count
        .0
        .entry("blocks")
        .and_modify(|n| *n += blocks as u64)
        .or_insert(0);
    head.pending.iter().for_each(|_| count.add("pending"));
    head.over_budget
        .iter()
        .for_each(|_| count.add("over budget"));
    head.applied.iter().for_each(|_| count.add("applied"));
    if seed.is_multiple_of(16) {
        review::drain(&mut story.world, everything, count, seed);
    }
}

fn run(seeds: std::ops::Range<u64>) {
    let mut count = Count::default();
    let rules = rules();
    let histories = seeds.end - seeds.start;
    for seed in seeds {
        history(seed, &rules, &mut count);
    }
    println!("{histories} histories: {:?}", count.0);
    let expected = [
        "head quarantine",
        "head duplicate",
        "head policy",
        "head depends",
        "head exists",
        "head conflict",
        "head shape",
        "head case",
        "cut duplicate",
        "cut policy",
        "cut depends",
        "cut exists",
        "cut conflict",
        "cut shape",
        "cut case",
        "cut dapp",
        "cut expired",
        "cut withdrawn",
        "applied",
        "pending",
        "over budget",
        "checkpoints",
        "suspended",
    ];
    for what in expected {
        let times = count.0.get(what).copied().unwrap_or(0);
        assert!(
            times >= histories / 1000,
            "{what} came up {times} times in {histories} histories"
        );
    }
}

/// The seeds are spread over tests so that they run side by side.
const EACH: u64 = 25_000;

#[test]
fn heads_and_cuts_are_what_the_oracle_says_1() {
    run(0..EACH);
}

#[test]
fn heads_and_cuts_are_what_the_oracle_says_2() {
    run(EACH..2 * EACH);
}

#[test]
fn heads_and_cuts_are_what_the_oracle_says_3() {
    run(2 * EACH..3 * EACH);
}

#[test]
fn heads_and_cuts_are_what_the_oracle_says_4() {
    run(3 * EACH..4 * EACH);
}

#[test]
fn the_set_digest_is_of_sorted_raw_ids() {
    let mut story = Story::new(7, &rules());
    while story.world.blocks.len() < 5 {
        story.step();
    }
    let known = (1u64 << story.world.blocks.len()) - 1;
    let plan = story.world.window(known, 0).plan();
    let mut ids: Vec<ObjectId> = plan.order.clone();
    ids.sort_unstable();
    let text: Vec<u8> = ids.iter().flat_map(|id| id.as_bytes().to_vec()).collect();
    assert_eq!(plan.set, gdo_core::id::Digest::of(&text));
}
