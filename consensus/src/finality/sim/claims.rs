//! What must hold in every simulated run, and the counts that show that the runs were hard.

use super::{Outcome, Setup, World};
use gdo_core::vote::VoteKind;

const CALM: Setup = Setup {
    weights: &[1],
    quorum: 1,
    liars: 0,
    twins: 0,
    silent: 0,
    gst_ms: 30_000,
    end_ms: 4_000_000,
    crash: 60,
};

/// The sums over many runs.
#[derive(Debug, Default)]
struct Sums {
    runs: u64,
    undecided: usize,
    conflicts: usize,
    unaccounted: usize,
    framed: usize,
    liars_caught: usize,
    crashes: usize,
    forks_seen: usize,
    inherited: usize,
    nullified: usize,
    views_max: u64,
    settled_max_ms: u64,
}

fn runs(setup: Setup, runs: u64) -> Sums {
    let total: u64 = setup.weights.iter().sum();
    let mut sums = Sums {
        runs,
        ..Sums::default()
    };
    for seed in 0..runs {
        let outcome: Outcome = World::new(setup, seed).run();
        let weight: u64 = (0..setup.weights.len())
            .filter(|index| outcome.guilty.contains(&super::member(*index)))
            .map(|index| setup.weights[index])
            .sum();
        let conflict = outcome.values.len() > 1;
        sums.undecided += outcome.undecided;
        sums.conflicts += usize::from(conflict);
        sums.unaccounted += usize::from(conflict && weight < 2 * setup.quorum - total);
        sums.framed += outcome.framed.len();
        sums.liars_caught += outcome.guilty.intersection(&outcome.lied).count();
        sums.crashes += outcome.crashes;
        sums.forks_seen += outcome.forks_seen;
        sums.inherited += outcome.inherited;
        sums.nullified += outcome.signed.get(&VoteKind::Nullify).copied().unwrap_or(0);
        sums.views_max = sums.views_max.max(outcome.views);
        sums.settled_max_ms = sums.settled_max_ms.max(outcome.settled_ms);
    }
    println!("{setup:?}\n{sums:?}");
    sums
}

/// Within the fault bound: one value, everybody decides, no honest node is framed.
fn assert_sound(setup: Setup, count: u64) -> Sums {
    let sums = runs(setup, count);
    assert_eq!(
        (sums.conflicts, sums.undecided, sums.framed),
        (0, 0, 0),
        "{sums:?}"
    );
    assert!(
        sums.crashes as u64 > count / 4,
        "too few crashes to mean anything: {sums:?}"
    );
    sums
}

#[test]
fn one_validator_decides_whenever_it_crashes() {
    assert_sound(Setup { crash: 500, ..CALM }, 1000);
}

#[test]
fn three_validators_of_quorum_two_decide_with_one_dead() {
    let sums = assert_sound(
        Setup {
            weights: &[1; 3],
            quorum: 2,
            silent: 1,
            ..CALM
        },
        600,
    );
    assert!(sums.inherited > 0 && sums.nullified > 0, "{sums:?}");
}

#[test]
fn four_validators_decide_after_crashes_of_all_and_partitions() {
    let sums = assert_sound(
        Setup {
            weights: &[1; 4],
            quorum: 3,
            ..CALM
        },
        600,
    );
    assert!(sums.inherited > 0 && sums.nullified > 0, "{sums:?}");
}

#[test]
fn four_validators_decide_with_one_liar() {
    let sums = assert_sound(
        Setup {
            weights: &[1; 4],
            quorum: 3,
            liars: 1,
            ..CALM
        },
        600,
    );
    assert!(sums.liars_caught as u64 > sums.runs / 2, "{sums:?}");
}

#[test]
fn seven_validators_decide_with_two_liars() {
    let sums = assert_sound(
        Setup {
            weights: &[1; 7],
            quorum: 5,
            liars: 2,
            ..CALM
        },
        300,
    );
    assert!(sums.liars_caught as u64 > sums.runs, "{sums:?}");
}

#[test]
fn weights_count_and_not_heads() {
    let setup = Setup {
        weights: &[3, 3, 2, 2],
        quorum: 7,
        liars: 1,
        ..CALM
    };
    assert_sound(setup, 400);
}

#[test]
fn beyond_the_bound_forks_happen_and_name_enough_of_the_guilty() {
    let cut = Setup {
        gst_ms: 60_000,
        crash: 0,
        ..CALM
    };
    for (setup, count) in [
        (
            Setup {
                weights: &[1; 4],
                quorum: 3,
                twins: 2,
                ..cut
            },
            600,
        ),
        (
            Setup {
                weights: &[1; 7],
                quorum: 5,
                twins: 4,
                ..cut
            },
            120,
        ),
        (
            Setup {
                weights: &[1; 3],
                quorum: 2,
                twins: 1,
                ..cut
            },
            600,
        ),
    ] {
        let sums = runs(setup, count);
        assert!(
            sums.conflicts as u64 > count / 4,
            "too few forks to mean anything: {sums:?}"
        );
        assert_eq!((sums.unaccounted, sums.framed), (0, 0), "{sums:?}");
        assert!(sums.forks_seen > 0, "nobody noticed: {sums:?}");
    }
}

#[test]
fn too_many_liars_are_caught_and_frame_nobody() {
    let wild = Setup {
        gst_ms: 60_000,
        end_ms: 80_000,
        ..CALM
    };
    for (setup, count) in [
        (
            Setup {
                weights: &[1; 4],
                quorum: 3,
                liars: 2,
                ..wild
            },
            600,
        ),
        (
            Setup {
                weights: &[1; 3],
                quorum: 2,
                liars: 1,
                ..wild
            },
            600,
        ),
    ] {
        let sums = runs(setup, count);
        assert_eq!((sums.unaccounted, sums.framed), (0, 0), "{sums:?}");
        assert!(
            sums.conflicts > 0 && sums.liars_caught as u64 > count / 2,
            "{sums:?}"
        );
    }
}
