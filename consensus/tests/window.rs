//! What the random histories do not reach: single rules of the window, one by one.

#![allow(
    unreachable_pub,
    reason = "the kit is shared between tests and benches"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use gdo_consensus::cut::{Cut, Rulings};
use gdo_consensus::error::EntryError;
use gdo_consensus::facts::FinalPlace;
use gdo_consensus::window::{Entry, Window};
use gdo_core::checkpoint::Reason;
use gdo_core::delta::Operation;
use gdo_core::id::{LedgerTime, ObjectId};

#[path = "kit/kit.rs"]
mod kit;
#[allow(dead_code, reason = "single rules need a part of the world")]
#[path = "kit/world.rs"]
mod world;

use kit::{Rules, file, id, name, path};
use world::{Draft, World};

fn world() -> World {
    World::new(
        1,
        Arc::new(Rules::new(&["n0", "n1", "n2"], "blocks_per_member = 2")),
    )
}

fn put(at: &str, content: &str) -> Vec<Operation> {
    vec![Operation {
        path: path(at),
        old: None,
        new: Some(file(content)),
    }]
}

fn record(world: &mut World, author: usize, at: &str) -> usize {
    world.write(
        Draft {
            author,
            operations: put(at, "x"),
            ..Draft::default()
        },
        false,
    )
}

fn id_of(world: &World, at: usize) -> ObjectId {
    world.blocks[at].block.block.id
}

#[test]
fn blocks_wait_for_their_past_in_whatever_order_they_come() {
    let mut world = world();
    let blocks: Vec<usize> = (0..2)
        .map(|seq| record(&mut world, 1, &format!("log/n1/{seq}")))
        .collect();
    let [first, second] = [id_of(&world, blocks[0]), id_of(&world, blocks[1])];
    let mut window = Window::new(world.checkpoints[0].base.clone());
    let mut late = world.facts(blocks[1], 0);
    late.ancestors = vec![first];
    assert_eq!(window.insert(late.clone()), Ok(Entry::Waiting(vec![first])));
    assert!(window.is_empty(), "what waits is not part of the set");
    assert_eq!(
        window.insert(world.facts(blocks[0], 0)),
        Ok(Entry::Added(vec![first, second]))
    );
    assert_eq!(window.insert(late), Ok(Entry::Known));
    assert_eq!(window.plan().order, [first, second]);
}

#[test]
fn facts_of_another_checkpoint_are_refused() {
    let mut world = world();
    let block = record(&mut world, 1, "log/n1/0");
    let mut facts = world.facts(block, 0);
    facts.history.as_of = id("another");
    let mut window = Window::new(world.checkpoints[0].base.clone());
    assert!(matches!(
        window.insert(facts.clone()),
        Err(EntryError::Stale { .. })
    ));
    facts.history.as_of = window.base().checkpoint.id;
    facts.history.paths.clear();
    assert!(matches!(
        window.insert(facts),
        Err(EntryError::Paths { .. })
    ));
}

#[test]
fn a_block_that_builds_on_another_branch_is_quarantined_unless_a_recovery_abandoned_it() {
    let mut world = world();
    for (place, applied) in [
        (FinalPlace::Elsewhere, false),
        (FinalPlace::Abandoned, true),
        (FinalPlace::OnChain, true),
    ] {
        let block = record(&mut world, 1, "log/n1/0");
        let mut facts = world.facts(block, 0);
        facts.history.final_place = place;
        facts.ancestors.clear();
        let mut window = Window::new(world.checkpoints[0].base.clone());
        window.insert(facts).expect("fresh facts");
        let plan = window.plan();
        assert_eq!(plan.applied.len() == 1, applied, "{place:?}");
        let reason = plan.aside.values().next().copied();
        assert_eq!(
            reason,
            (!applied).then_some(Reason::Quarantine),
            "{place:?}"
        );
    }
}

#[test]
fn an_admitted_block_leaves_quarantine_with_its_chain_and_nothing_else() {
    let mut world = world();
    let blocks: Vec<usize> = (0..3)
        .map(|seq| record(&mut world, 1, &format!("log/n1/{seq}")))
        .collect();
    let ids: Vec<ObjectId> = blocks.iter().map(|&at| id_of(&world, at)).collect();
    let mut tree = world.checkpoints[0].tree.clone();
    tree.insert(kit::roster_file("n1"), file("suspended"));
    let mut base = world.checkpoints[0].base.clone();
    base.roster = kit::roster_of(&tree, &BTreeMap::new());
    let mut window = Window::new(base.clone());
    for &at in &blocks {
        window.insert(world.facts(at, 0)).expect("fresh facts");
    }
    assert_eq!(
        window.plan().aside.len(),
        3,
        "a suspended author is quarantined"
    );
    base.roster = kit::roster_of(&tree, &BTreeMap::from([("n1", vec![ids[1]])]));
    // The same again over a roster that admits the second block, in both orders of events.
    let mut before = Window::new(base.clone());
    for &at in &blocks {
        before.insert(world.facts(at, 0)).expect("fresh facts");
    }
    window.advance(base, &vec![]);
    for (mut window, what) in [(before, "admitted before"), (window, "admitted later")] {
        let plan = window.plan();
        assert_eq!(plan.applied, ids[..2], "{what}");
        assert_eq!(
            plan.aside,
            BTreeMap::from([(ids[2], Reason::Quarantine)]),
            "{what}"
        );
    }
}

#[test]
fn what_is_over_budget_waits_for_the_next_checkpoint() {
    let mut world = world();
    let blocks: Vec<usize> = (0..4)
        .map(|seq| record(&mut world, 1, &format!("log/n1/{seq}")))
        .collect();
    let ids: Vec<ObjectId> = blocks.iter().map(|&at| id_of(&world, at)).collect();
    let mut window = world.window(15, 0);
    assert_eq!(window.plan().over_budget, ids[2..]);
    let cut = Cut::of(&mut window, &Rulings::default());
    assert!(cut.aside.is_empty(), "waiting is no fate");
    let at = world.add_checkpoint(&window, &cut, 15);
    let (base, delta) = (
        world.checkpoints[at].base.clone(),
        world.checkpoints[at].delta.clone(),
    );
    window.advance(base, &delta);
    assert_eq!(window.plan().applied, ids[2..]);
}

#[test]
fn a_file_becomes_a_directory_and_a_name_changes_its_case_in_one_block() {
    let mut world = world();
    let tree = &mut world.checkpoints[0].tree;
    tree.insert(path("doc"), file("1"));
    tree.insert(path("Name"), file("2"));
    let operations = vec![
        Operation {
            path: path("Name"),
            old: Some(file("2")),
            new: None,
        },
        Operation {
            path: path("doc"),
            old: Some(file("1")),
            new: None,
        },
        Operation {
            path: path("doc/part"),
            old: None,
            new: Some(file("1")),
        },
        Operation {
            path: path("name"),
            old: None,
            new: Some(file("2")),
        },
    ];
    world.write(
        Draft {
            operations,
            ..Draft::default()
        },
        false,
    );
    world.write(
        Draft {
            author: 1,
            operations: put("doc/Part", "3"),
            ..Draft::default()
        },
        false,
    );
    world.write(
        Draft {
            author: 2,
            operations: put("doc/part/x", "3"),
            ..Draft::default()
        },
        false,
    );
    let plan = world.window(1, 0).plan();
    assert_eq!(plan.applied.len(), 1);
    // Without it, the others meet the old file: whoever comes first in the order changes nothing.
    let plan = world.window(6, 0).plan();
    assert_eq!(
        plan.aside.values().copied().collect::<Vec<_>>(),
        [Reason::Shape, Reason::Shape]
    );
}

#[test]
fn the_ledger_time_is_the_median_claim_and_never_goes_back() {
    let mut world = world();
    let cases: [(&[i64], i64); 4] = [
        (&[2_000, 3_000, 9_000], 3_000),
        (&[5_000], 1_000),
        (&[5_000, 6_000], 5_000),
        (&[5, 6, 7], 1_000),
    ];
    for (claims, expected) in cases {
        let mut window = Window::new(world.checkpoints[0].base.clone());
        for (author, claim) in claims.iter().enumerate() {
            let place = format!("log/n{author}/{}", world.blocks.len());
            let block = record(&mut world, author, &place);
            let mut facts = world.facts(block, 0);
            facts.block.block.claimed_time = *claim;
            facts.ancestors.clear();
            window.insert(facts).expect("fresh facts");
        }
        let cut = Cut::of(&mut window, &Rulings::default());
        assert_eq!(cut.ledger_time, LedgerTime(expected), "{claims:?}");
        assert!(
            cut.claims.contains_key(&name("n2")),
            "a validator without a claim is listed"
        );
    }
}

#[test]
fn who_equivocates_is_suspended_but_never_the_last_active_node() {
    let mut world = world();
    for content in ["a", "b"] {
        let operations = put("log/n1/0", content);
        world.write(
            Draft {
                author: 1,
                operations,
                ..Draft::default()
            },
            content == "a",
        );
    }
    let mut window = world.window(3, 0);
    let cut = Cut::of(&mut window, &Rulings::default());
    let made = world.add_checkpoint(&window, &cut, 3);
    assert!(world.doubtful.contains(&name("n1")));
    let roster = &world.checkpoints[made].base.roster;
    assert!(!roster.get(&name("n1")).expect("names stay").is_active());
    // Alone in the roster, it keeps its place: somebody must write the next block.
    let mut tree = world.checkpoints[0].tree.clone();
    for other in ["n0", "n2", "n3", "n4"] {
        tree.insert(kit::roster_file(other), file("suspended"));
    }
    let mut base = world.checkpoints[0].base.clone();
    base.roster = kit::roster_of(&tree, &BTreeMap::new());
    let mut window = Window::new(base);
    for at in [0, 1] {
        window.insert(world.facts(at, 0)).expect("fresh facts");
    }
    let cut = Cut::of(&mut window, &Rulings::default());
    let content = gdo_consensus::cut::Content::new(&window, &cut, vec![], vec![], None);
    assert_eq!(content.suspend, []);
}
