//! Kill -9 at any moment: no acknowledged proposal is lost, nothing is merged without its verdict,
//! and the ledger opens.
//!
//! The node is killed at each of its fault points while it takes a proposal, and for each of them at
//! each point of the recovery that follows. A witness reads the ledger after every kill. Then the same with kills from outside, at
//! moments drawn from a seed. The proposals' objects are put into the ledger before, because the
//! daemon's part of a push begins after git has stored them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use gdo_core::commit::{Commit, Identity};
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::hook::CommandOutcome;
use gdo_core::id::ObjectId;
use gdo_core::key::{NAMESPACE_GIT, NodeKey};
use gdo_ledger::Ledger;
use gdo_tests::Org;
use gdo_tests::org::FOUNDER;
use tempfile::TempDir;

#[path = "crash/node.rs"]
mod node;
#[path = "crash/witness.rs"]
mod witness;

use node::{Death, FaultNode};
use witness::Witness;

/// Kills, at the least, at the steps of proposals that no dapp judges.
const PLAIN_KILLS: usize = 1000;
/// The proposals of one ledger: a node reads the whole chain when it starts, so short ones are faster.
const PROPOSALS_MAX: usize = 30;
/// Kills at four steps in a row.
const REPEATED_KILLS: usize = 250;
/// About the steps of a run that takes a proposal.
const STEPS_MAX: usize = 24;
/// Kills from outside.
const RANDOM_KILLS: usize = 60;

/// The steps that both kinds of proposals pass; a test that misses one of them proves too little.
const STEPS: [&str; 15] = [
    "block drafted",
    "block logged",
    "block named",
    "block written",
    "checkpoint written",
    "decided",
    "draft flushed",
    "file renamed",
    "file written",
    "main moved",
    "refs locked",
    "refs renamed",
    "refs synced",
    "vote logged",
    "window loaded",
];

/// The steps of recovery: what a kill between two others leaves to be done.
const RECOVERY: [&str; 2] = ["block made again", "own chain settled"];

/// The steps of judging.
const JUDGES: [&str; 4] = [
    "input checked out",
    "judged",
    "verdict cached",
    "verdict logged",
];

/// An organisation with proposals whose objects are in the ledger, and who watches it.
struct Site {
    org: Org,
    ledger: Ledger,
    key: NodeKey,
    proposals: Vec<ObjectId>,
    witness: Witness,
    deaths: PathBuf,
    kills: usize,
    _memory: Option<TempDir>,
}

impl Site {
    fn new(template: &str, dapp: Option<&str>) -> Self {
        // A process that is killed loses nothing that it wrote, so what no container runs from may as
        // well lie in memory: it is many times faster than a disk that is synced a dozen times a run.
        let memory = dapp
            .is_none()
            .then(|| tempfile::tempdir_in("/dev/shm").ok());
        let memory = memory.flatten();
        let org = match &memory {
            Some(memory) => Org::stopped_at(template, memory.path().join("node")),
            None => Org::stopped(template),
        };
        let key = std::fs::read_to_string(org.environment().home().join(FOUNDER));
        let key = NodeKey::from_openssh(&key.expect("the founder has a key")).expect("a key");
        Self {
            witness: Witness::new(&org.ledger(), dapp),
            ledger: Ledger::open(&org.ledger()).expect("a ledger"),
            deaths: org.temp().join("deaths"),
            key,
            org,
            proposals: Vec::new(),
            kills: 0,
            _memory: memory,
        }
    }

    /// Signs a proposal that adds a file to genesis, and puts its objects into the ledger.
    fn propose(&mut self, file: impl Fn(usize) -> (String, String)) -> ObjectId {
        let (path, content) = file(self.proposals.len());
        let base = self.witness.genesis();
        let tree = self.ledger.read_commit(&base).expect("genesis").tree;
        let blob = self.ledger.write_blob(content.as_bytes());
        let entry = Entry {
            mode: Mode::File,
            id: blob.expect("the disk is not full"),
        };
        let operation = Operation {
            path: path.parse().expect("a path"),
            old: None,
            new: Some(entry),
        };
        let tree = self.ledger.apply(&tree, &[operation]);
        let who = Identity::utc(FOUNDER, "alice@example.org", 1_790_000_000);
        let mut commit = Commit {
            tree: tree.expect("the path is free"),
            parents: vec![base],
            author: who.clone(),
            committer: who,
            signature: None,
            message: format!("Add {path}\n"),
        };
        commit.signature = Some(self.key.sign(NAMESPACE_GIT, &commit.payload()));
        let id = self.ledger.write_commit(&commit.encode());
        let id = id.expect("the disk is not full");
        self.proposals.push(id);
        id
    }

    /// Starts the node to die at a step, and pushes if there is something to push; whether it got
    /// through everything alive. Whatever happened, the node is dead then.
    #[track_caller]
    fn run_to_death(&mut self, step: Option<u64>, push: Option<(ObjectId, &[&str])>) -> bool {
        self.run_to_death_at(step.map(|step| step.to_string()).as_deref(), push)
    }

    #[track_caller]
    fn run_to_death_at(&mut self, step: Option<&str>, push: Option<(ObjectId, &[&str])>) -> bool {
        let log = self.deaths.clone();
        let death = step.map(|step| Death { step, log: &log });
        self.kills += 1;
        let mut lived = false;
        if let Some(node) = FaultNode::start(&self.org, death) {
            let outcome = push.map(|(proposal, options)| {
                let outcome = node.push(proposal, options);
                self.note(proposal, outcome.as_ref());
                outcome
            });
            lived = outcome != Some(None) && node.settles();
            if lived {
                node.kill();
            } else {
                node.has_died();
            }
        }
        self.witness.look();
        lived
    }

    fn note(&mut self, proposal: ObjectId, outcome: Option<&CommandOutcome>) {
        match outcome {
            Some(CommandOutcome::Accepted { .. }) => self.witness.acknowledge(proposal),
            Some(CommandOutcome::Refused { reason }) => panic!("{proposal} is refused: {reason}"),
            None => {}
        }
    }

    /// Whatever happened before, every proposal is merged in the end.
    fn finish(&mut self) {
        let node = FaultNode::start(&self.org, None).expect("nothing is to kill it");
        for proposal in self.proposals.clone() {
            let outcome = node.push(proposal, &[]);
            self.note(proposal, outcome.as_ref());
        }
        node.kill();
        self.witness.look();
        for proposal in &self.proposals {
            assert!(
                self.witness.has_included(*proposal),
                "{proposal} is not merged"
            );
        }
        assert_eq!(self.witness.acknowledged(), self.proposals.len());
        assert_eq!(self.witness.audit(), self.proposals.len());
        self.org.start();
        let _ = self.org.gdo(&["verify"]).accepted();
        self.org.stop();
        self.org
            .git(&["fsck", "--strict", "--no-progress", "--no-dangling"]);
        println!(
            "{} kills, {} proposals merged",
            self.kills,
            self.proposals.len()
        );
    }
}

/// How often nodes died, and at which steps.
#[derive(Default)]
struct Deaths {
    kills: usize,
    steps: BTreeMap<String, usize>,
}

impl Deaths {
    /// Counts those of a site, whose proposals must all be merged in the end.
    #[track_caller]
    fn add(&mut self, mut site: Site) {
        site.finish();
        self.kills += site.kills;
        let names = std::fs::read_to_string(&site.deaths).expect("a node died");
        for name in names.lines() {
            *self.steps.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Requires that there was one at each of these steps.
    #[track_caller]
    fn were_at<'a>(&self, steps: impl IntoIterator<Item = &'a &'a str>) {
        println!("{} kills, {:#?}", self.kills, self.steps);
        for step in steps {
            assert!(self.steps.contains_key(*step), "no kill at '{step}'");
        }
    }
}

/// A file that no dapp judges.
fn plain(number: usize) -> (String, String) {
    (format!("notes/{number}.txt"), format!("note {number}\n"))
}

/// A member pays something in.
fn deposit(number: usize) -> (String, String) {
    let id = format!("01KAJ3T6Z8Q4M2W9X5Y7B1{number:04}");
    let text = format!(
        "2026-11-01 Alice pays in\n    ; id: {id}\n    Assets:Bank                 1.00 USD\n    \
         Liabilities:Member:alice   -1.00 USD\n"
    );
    (format!("acct/txn/2026/11/{id}.journal"), text)
}

#[test]
fn a_kill_at_any_step_and_at_any_step_of_the_recovery_loses_no_acknowledged_proposal() {
    let mut site = Site::new("blank", None);
    let mut deaths = Deaths::default();
    'steps: for first in 1.. {
        if site.proposals.len() >= PROPOSALS_MAX {
            deaths.add(site);
            site = Site::new("blank", None);
        }
        // Every other pusher goes as soon as it is told that its proposal is safe.
        for (second, options) in (1..).zip([&[] as &[&str], &["wait=none"]].into_iter().cycle()) {
            let proposal = site.propose(plain);
            if site.run_to_death(Some(first), Some((proposal, options))) {
                break 'steps;
            }
            let recovered = site.run_to_death(Some(second), None);
            let merged = site.run_to_death(None, Some((proposal, &[])));
            assert!(
                merged && site.witness.has_included(proposal),
                "{first}, {second}"
            );
            if recovered {
                break;
            }
        }
    }
    deaths.add(site);
    for seed in [0x6764_6f01, 0x6764_6f02] {
        deaths.add(kill_again_and_again(seed));
    }
    deaths.were_at(STEPS.iter().chain(&RECOVERY));
    assert!(
        deaths.kills >= PLAIN_KILLS,
        "{} kills are too few",
        deaths.kills
    );
}

/// Proposals whose node dies at four steps in a row, drawn from a seed.
fn kill_again_and_again(seed: u64) -> Site {
    let mut site = Site::new("blank", None);
    let mut random = Random(seed);
    while site.kills < REPEATED_KILLS {
        let proposal = site.propose(plain);
        for _ in 0..4 {
            let step = 1 + random.below(STEPS_MAX) as u64;
            let _ = site.run_to_death(Some(step), Some((proposal, &["wait=none"])));
        }
        assert!(site.run_to_death(None, Some((proposal, &[]))));
    }
    site
}

#[test]
fn a_kill_at_any_step_merges_nothing_without_its_verdict() {
    let mut site = Site::new("books", Some("accounting"));
    for step in 1.. {
        let proposal = site.propose(deposit);
        let lived = site.run_to_death(Some(step), Some((proposal, &[])));
        let merged = site.run_to_death(None, Some((proposal, &[])));
        assert!(merged && site.witness.has_included(proposal), "{step}");
        if lived {
            break;
        }
    }
    // And one proposal that is killed at one step after the other until it gets through.
    let proposal = site.propose(deposit);
    let mut lives = |step| site.run_to_death(Some(step), Some((proposal, &[])));
    (1..).find(|step| lives(*step)).expect("the steps end");
    // The judge runs beside the node, so a number is not the same step in every run; a name is.
    for step in STEPS.iter().chain(&JUDGES) {
        let proposal = site.propose(deposit);
        let lived = site.run_to_death_at(Some(step), Some((proposal, &[])));
        assert!(!lived, "no run passes '{step}'");
    }
    let mut deaths = Deaths::default();
    deaths.add(site);
    deaths.were_at(STEPS.iter().chain(&JUDGES));
}

#[test]
fn a_kill_from_outside_among_several_pushes_loses_nothing() {
    let mut site = Site::new("books", Some("accounting"));
    let mut random = Random(0x6764_6f00);
    let all: Vec<ObjectId> = (0..20).map(|_| site.propose(deposit)).collect();
    for _ in 0..RANDOM_KILLS {
        let node = FaultNode::start(&site.org, None).expect("nothing is to kill it");
        let mut pushes = Vec::new();
        for _ in 0..3 {
            let proposal = all[random.below(all.len())];
            let options: &[&str] = if random.below(2) == 0 {
                &[]
            } else {
                &["wait=none"]
            };
            let push = node.begin_push(proposal, options).expect("the node serves");
            pushes.push((proposal, push));
        }
        // The moment: so many lines were heard, or none came for so long.
        for _ in 0..random.below(6) {
            let (_, push) = &mut pushes[random.below(3)];
            push.set_patience(Duration::from_micros(1 + random.below(60_000) as u64));
            push.hear();
        }
        node.kill();
        for (proposal, mut push) in pushes {
            while push.hear() {} // what had been said before the kill counts
            site.note(proposal, push.outcome.as_ref());
        }
        site.kills += 1;
        site.witness.look();
    }
    site.finish();
}

/// Numbers that look random and are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("below a usize")
    }
}
