//! The head rule and the cut against a second, independent implementation, on random histories.

#![allow(unreachable_pub, reason = "the kit is shared between tests and benches")]

use std::sync::Arc;

use gdo_consensus::plan::Plan;
use gdo_core::id::ObjectId;

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
const LIMITS: &str = "blocks_per_member = 4\npending_per_member = 3\npending_heights = 4\npending_days = 1";

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

/// One history: everybody writes, some checkpoints are made, and every now and then the live
/// window of n0, and a fresh window of a random subset in a random order, must say what the oracle
/// says.
fn history(seed: u64, rules: &Arc<Rules>, count: &mut Count) {
    let mut story = Story::new(seed, rules);
    let blocks = 3 + story.world.random.below(38);
    let mut live = story.world.window(0, 0);
    let mut inside = 0u64;
    while story.world.blocks.len() < blocks {
        story.step();
        story.adopt(0);
        let (known, on) = (story.world.authors[0].known, story.world.authors[0].on);
        let world = &mut story.world;
        let fresh: Vec<usize> = world::bits(known & !inside & !world.checkpoints[on].done).collect();
        inside |= known;
        for at in fresh {
            let facts = world.facts(at, on);
            live.insert(facts).expect("facts are fresh");
        }
        if world.random.percent(15) {
            compare(world, live.plan(), known, on, seed);
        }
        if world.random.percent(10) && on + 1 == world.checkpoints.len() {
            let made = review::checkpoint(world, &mut live, known, count, seed);
            compare(world, live.plan(), known, on + usize::from(made), seed);
        }
    }
    let everything = (1u64 << story.world.blocks.len()) - 1;
    for _ in 0..2 {
        let world = &mut story.world;
        let part = if world.random.percent(50) { everything } else { world.random.next() };
        let known = world.closed(everything & part);
        let on = (0..world.checkpoints.len())
            .rev()
            .find(|on| world.checkpoints[*on].needs & !known == 0)
            .expect("genesis needs nothing");
        let plan = world.window(known, on).plan();
        let head = compare(world, plan, known, on, seed);
        head.aside.values().for_each(|reason| count.reason(*reason, false));
        count.0.entry("blocks").and_modify(|n| *n += blocks as u64).or_insert(0);
        head.pending.iter().for_each(|_| count.add("pending"));
        head.over_budget.iter().for_each(|_| count.add("over budget"));
        head.applied.iter().for_each(|_| count.add("applied"));
    }
    if seed % 8 == 0 {
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
        "head quarantine", "head duplicate", "head policy", "head depends", "head exists",
        "head conflict", "head shape", "head case", "cut duplicate", "cut policy", "cut depends",
        "cut exists", "cut conflict", "cut shape", "cut case", "cut dapp", "cut expired",
        "cut withdrawn", "applied", "pending", "over budget", "checkpoints",
    ];
    for what in expected {
        let times = count.0.get(what).copied().unwrap_or(0);
        assert!(times >= histories / 1000, "{what} came up {times} times in {histories} histories");
    }
}

/// The seeds are spread over tests so that they run side by side.
const EACH: u64 = 500;

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
