//! Checks a cut by the rules of the protocol, and plays a history to its end.

use std::collections::{BTreeMap, BTreeSet};

use gdo_consensus::cut::{Cut, Rulings};
use gdo_consensus::facts::ProposalEnd;
use gdo_consensus::window::Window;
use gdo_core::checkpoint::Reason;
use gdo_core::id::{MemberName, ObjectId};
use gdo_core::path::RepoPath;
use gdo_core::policy::Lane;
use gdo_core::proposal::NoteVerb;

use super::oracle::{
    canonical_order, difference, is_allowed, is_quarantined, lane, over_budget, refusal,
};
use super::world::{Count, World, bits};

/// Makes a checkpoint of a window, reviews it and moves the window on.
pub fn checkpoint(
    world: &mut World,
    window: &mut Window,
    known: u64,
    count: &mut Count,
    seed: u64,
) -> bool {
    let rulings = rulings(world, window);
    let cut = Cut::of(window, &rulings);
    if cut.is_empty() {
        return false;
    }
    assert_eq!(
        Cut::of(window, &rulings),
        cut,
        "seed {seed}: a cut is a function"
    );
    review(world, &cut, &rulings, known, seed);
    count.add("checkpoints");
    cut.aside
        .iter()
        .for_each(|aside| count.reason(aside.reason, true));
    let suspended = world.doubtful.len();
    let at = world.add_checkpoint(window, &cut, known);
    (suspended..world.doubtful.len()).for_each(|_| count.add("suspended"));
    let next = &world.checkpoints[at];
    window.advance(next.base.clone(), &next.delta);
    true
}

/// Some blocks nobody can judge, and some candidate fails.
fn rulings(world: &mut World, window: &mut Window) -> Rulings {
    let mut rulings = Rulings::default();
    for id in window.plan().order {
        if world.random.percent(12) {
            rulings.left_out.insert(id);
        }
    }
    let cut = Cut::of(window, &rulings);
    if !cut.prefixes.is_empty() && world.random.percent(40) {
        rulings.failed.insert(*world.random.pick(&cut.prefixes));
    }
    rulings
}

/// Holds a cut against section 9.
fn review(world: &World, cut: &Cut, rulings: &Rulings, known: u64, seed: u64) {
    let on = world.checkpoints.len() - 1;
    let checkpoint = &world.checkpoints[on];
    let policy = &checkpoint.base.policy;
    let open = known & !checkpoint.done;
    let order = canonical_order(world, open, on);
    let quarantined: Vec<usize> = order
        .iter()
        .copied()
        .filter(|at| is_quarantined(world, *at, on))
        .collect();
    let over = over_budget(world, &order, &quarantined, on);
    let included: Vec<usize> = cut.included.iter().map(|b| world.by_id[&b.block]).collect();
    let aside: BTreeMap<usize, Reason> = cut
        .aside
        .iter()
        .map(|b| (world.by_id[&b.block], b.reason))
        .collect();
    let listed = world.set(cut.open.iter().map(|open| &open.block));
    let disposed = included
        .iter()
        .chain(aside.keys())
        .fold(0u64, |set, at| set | 1 << at);
    assert_eq!(disposed & !open, 0, "seed {seed}: disposed of twice");
    assert_eq!(listed & disposed, 0, "seed {seed}: open and disposed of");
    let past = world.closed(disposed | listed);
    assert_eq!(
        past & open & !disposed & !listed,
        0,
        "seed {seed}: the open list has a gap"
    );
    let withdrawn = withdrawn(world, open, on);
    let mut state = checkpoint.tree.clone();
    let mut proposals = BTreeSet::new();
    let mut done_here = 0u64;
    let mut rules_changed = 0;
    let walk: Vec<usize> = order
        .iter()
        .copied()
        .filter(|at| disposed >> at & 1 == 1)
        .collect();
    for at in walk {
        let made = &world.blocks[at];
        let block = &made.block.block;
        let proposal = block.trailers.proposal;
        let ended = proposal.and_then(|id| checkpoint.ended.get(&id));
        let is_note = !made.block.notes.is_empty();
        let is_withdrawn = !is_note
            && (ended == Some(&ProposalEnd::Withdrawn)
                || proposal.is_some_and(|id| withdrawn.contains(&id)));
        let is_duplicate = ended.is_some() || proposal.is_some_and(|id| proposals.contains(&id));
        let depends = block.trailers.depends.iter().all(|id| {
            let at = world.by_id.get(id);
            at.is_some_and(|at| (checkpoint.included | done_here) >> at & 1 == 1)
        });
        let expected = if is_withdrawn {
            Some(Reason::Withdrawn)
        } else if is_duplicate {
            Some(Reason::Duplicate)
        } else if !is_allowed(world, at, on) {
            Some(Reason::Policy)
        } else if !depends {
            Some(Reason::Depends)
        } else {
            refusal(policy, &made.block.operations, &state)
        };
        match (aside.get(&at).copied(), expected) {
            (Some(Reason::Expired), _) => {
                let since = checkpoint
                    .base
                    .record
                    .open
                    .iter()
                    .find(|o| o.block == block.id);
                let since = since
                    .expect("nothing expires that no checkpoint listed")
                    .since;
                let heights = checkpoint.base.checkpoint.height.next().0 - since.0;
                assert!(
                    heights >= policy.limits.pending_heights,
                    "seed {seed}: expired early"
                );
            }
            (Some(Reason::Dapp), None) => assert!(!rulings.failed.is_empty()),
            (got, expected) => assert_eq!(got, expected, "seed {seed}: fate of {}", block.id),
        }
        if included.contains(&at) {
            let waits = quarantined.contains(&at) || over.contains(&at);
            assert!(
                !waits && !rulings.left_out.contains(&block.id),
                "seed {seed}: had to wait"
            );
            if is_note {
                let decided =
                    |id: &ObjectId| checkpoint.ended.contains_key(id) || withdrawn.contains(id);
                assert!(
                    made.block.notes.iter().all(|note| decided(&note.proposal)),
                    "seed {seed}"
                );
            } else if lane(policy, made) == Lane::Final {
                let approvers = approvers(world, open, on, at);
                let mut paths = made
                    .block
                    .operations
                    .iter()
                    .map(|operation| &operation.path);
                let needs = paths.any(|path| policy.rule_for(path).rule.approve.is_some());
                assert!(
                    !needs || approvers.len() >= 2,
                    "seed {seed}: final with {approvers:?}"
                );
                rules_changed += usize::from(touches_rules(world, at));
            }
            check_ancestors(
                world,
                at,
                open & !disposed,
                &[&quarantined, &over],
                policy,
                seed,
            );
            super::kit::apply(&mut state, &made.block.operations);
            proposals.extend(proposal);
            done_here |= 1 << at;
        }
    }
    assert!(
        rules_changed <= 1,
        "seed {seed}: {rules_changed} changes of the rules"
    );
    assert_eq!(
        cut.delta,
        difference(&checkpoint.tree, &state),
        "seed {seed}: the delta"
    );
    let bits_of = |set: &[usize]| set.iter().fold(0u64, |bits, at| bits | 1 << at);
    assert_eq!(
        cut.tips,
        world.ids(world.maximal(bits_of(&included))),
        "seed {seed}: tips"
    );
    let anchored = (disposed & !bits_of(&included)) | listed;
    assert_eq!(
        cut.anchored,
        world.ids(world.maximal(anchored)),
        "seed {seed}: anchored"
    );
}

/// An ancestor may be left out only if it waits or shares no path (P-32).
fn check_ancestors(
    world: &World,
    at: usize,
    left_out: u64,
    waiting: &[&Vec<usize>],
    policy: &gdo_core::policy::Policy,
    seed: u64,
) {
    let paths = |at: usize| -> BTreeSet<&RepoPath> {
        world.blocks[at]
            .block
            .operations
            .iter()
            .map(|operation| &operation.path)
            .collect()
    };
    let own = paths(at);
    for ancestor in bits(world.blocks[at].past & left_out) {
        let waits = waiting.iter().any(|set| set.contains(&ancestor))
            || lane(policy, &world.blocks[ancestor]) == Lane::Final;
        assert!(
            waits || paths(ancestor).is_disjoint(&own),
            "seed {seed}: built on a block left out"
        );
    }
}

fn touches_rules(world: &World, at: usize) -> bool {
    world.blocks[at]
        .block
        .operations
        .iter()
        .any(|operation| operation.path.is_within(".gdo"))
}

fn notes(world: &World, open: u64, on: usize) -> Vec<(MemberName, NoteVerb, ObjectId)> {
    let mut all = Vec::new();
    for at in bits(open) {
        let made = &world.blocks[at];
        let member = world.checkpoints[on].base.roster.get(&made.block.principal);
        let counts = member.is_some_and(gdo_core::roster::Member::is_active)
            && !is_quarantined(world, at, on);
        let said = made.block.notes.iter().filter(|_| counts);
        all.extend(said.map(|note| (made.block.principal.clone(), note.verb, note.proposal)));
    }
    all
}

fn withdrawn(world: &World, open: u64, on: usize) -> BTreeSet<ObjectId> {
    let mut all = BTreeSet::new();
    for (who, verb, proposal) in notes(world, open, on) {
        let owns = bits(open).any(|at| {
            let made = &world.blocks[at];
            made.block.block.trailers.proposal == Some(proposal) && made.block.principal == who
        });
        if verb == NoteVerb::Withdraw && owns {
            all.insert(proposal);
        }
    }
    all
}

fn approvers(world: &World, open: u64, on: usize, at: usize) -> BTreeSet<MemberName> {
    let made = &world.blocks[at];
    let proposal = made.block.block.trailers.proposal;
    let about = notes(world, open, on)
        .into_iter()
        .filter(|note| Some(note.2) == proposal);
    let (mut approve, mut reject) = (BTreeSet::new(), BTreeSet::new());
    for (who, verb, _) in about {
        match verb {
            NoteVerb::Approve => approve.insert(who),
            NoteVerb::Reject => reject.insert(who),
            NoteVerb::Withdraw => false,
        };
    }
    approve.retain(|who| !reject.contains(who) && *who != made.block.principal);
    approve
}

/// Plays the history to its end: whatever happened, the window drains, every block is disposed of
/// once, and no record of an honest author is lost.
pub fn drain(world: &mut World, everything: u64, count: &mut Count, seed: u64) {
    let on = world.checkpoints.len() - 1;
    let mut window = world.window(everything, on);
    let mut rounds = 0;
    while !window.is_empty() {
        rounds += 1;
        assert!(
            rounds < 200,
            "seed {seed}: the window does not drain: {:?}",
            window.plan()
        );
        let rulings = Rulings::default();
        let cut = Cut::of(&mut window, &rulings);
        review(world, &cut, &rulings, everything, seed);
        cut.aside
            .iter()
            .for_each(|aside| count.reason(aside.reason, true));
        let at = world.add_checkpoint(&window, &cut, everything);
        // Heights advance although nothing is left but what waits to expire; so does the time.
        world.checkpoints[at].base.record.ledger_time.0 += 90_000;
        let next = &world.checkpoints[at];
        window.advance(next.base.clone(), &next.delta);
    }
    judge_ends(world, everything, seed);
}

fn judge_ends(world: &World, everything: u64, seed: u64) {
    let mut fates: BTreeMap<ObjectId, Option<Reason>> = BTreeMap::new();
    let mut effects = BTreeSet::new();
    for checkpoint in &world.checkpoints {
        let record = &checkpoint.base.record;
        for block in &record.included {
            assert_eq!(
                fates.insert(block.block, None),
                None,
                "seed {seed}: disposed of twice"
            );
            let fresh = block
                .proposal
                .is_none_or(|proposal| effects.insert(proposal));
            assert!(fresh, "seed {seed}: a proposal had effect twice");
        }
        for block in &record.aside {
            let before = fates.insert(block.block, Some(block.reason));
            assert_eq!(before, None, "seed {seed}: disposed of twice");
        }
    }
    assert_eq!(
        fates.len() as u32,
        everything.count_ones(),
        "seed {seed}: a block is lost"
    );
    let last = world.checkpoints.last().expect("genesis is there");
    for at in bits(everything) {
        let made = &world.blocks[at];
        let block = &made.block.block;
        let doubtful = world.doubtful.contains(&block.author)
            || world.roster_was_touched(&block.author)
            || block.author.as_str() == "n4";
        if block.trailers.proposal.is_some() || doubtful {
            continue;
        }
        let is_record = |path: &RepoPath| path.is_within("log") || path.is_within("own");
        if made
            .block
            .operations
            .iter()
            .all(|operation| is_record(&operation.path))
        {
            assert!(
                matches!(fates[&block.id], None | Some(Reason::Dapp)),
                "seed {seed}: record {:?} of honest {} ended as {:?}",
                made.block.operations,
                block.author,
                fates[&block.id]
            );
            for operation in &made.block.operations {
                let kept = fates[&block.id].is_some()
                    || !operation.path.is_within("log")
                    || last.tree.get(&operation.path) == operation.new.as_ref();
                assert!(kept, "seed {seed}: {} went away", operation.path);
            }
        }
    }
}

impl World {
    /// Whether some checkpoint changed the member's roster file.
    pub fn roster_was_touched(&self, member: &MemberName) -> bool {
        let file = super::kit::roster_file(member.as_str());
        let mut deltas = self
            .checkpoints
            .iter()
            .flat_map(|checkpoint| &checkpoint.delta);
        deltas.any(|operation| operation.path == file)
    }
}
