//! What tests and benches of this crate share: a small world of members, rules, trees and blocks.
//!
//! Trees are maps here, and the rules in force are read from the entries of two kinds of files, so
//! that a checkpoint of a test changes policy and roster as a real one does.

#![allow(dead_code, reason = "each test and bench uses a part of the kit")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use gdo_consensus::facts::{Base, DappInForce, PathFacts, Standing};
use gdo_core::block::CheckpointRef;
use gdo_core::checkpoint::{CheckpointKind, CheckpointRecord, validators_digest};
use gdo_core::dapp::Manifest;
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::id::{DappName, Digest, Height, LedgerId, LedgerTime, MemberName, ObjectId};
use gdo_core::key::{NodeKey, PublicKey};
use gdo_core::path::RepoPath;
use gdo_core::policy::Policy;
use gdo_core::roster::{Member, Roster};

/// Files by path.
pub type Tree = BTreeMap<RepoPath, Entry>;

/// A generator of numbers (splitmix64): seeded, so that every failure can be repeated.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Whether an event of so many percent happens.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// An object id made of a text; not by SHA-256, which is slow where nothing is optimised.
pub fn id(text: &str) -> ObjectId {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut random = Random(text.bytes().fold(0xcbf2_9ce4_8422_2325, fold));
    let words: [[u8; 8]; 4] = std::array::from_fn(|_| random.next().to_be_bytes());
    ObjectId::from_bytes(words.as_flattened()).expect("32 bytes")
}

pub fn path(text: &str) -> RepoPath {
    text.parse().expect("a path of the test")
}

pub fn name(text: &str) -> MemberName {
    text.parse().expect("a name of the test")
}

/// A file with that content.
pub fn file(content: &str) -> Entry {
    Entry {
        mode: Mode::File,
        id: id(content),
    }
}

pub fn key(member: &str) -> NodeKey {
    NodeKey::from_seed(*Digest::of(member.as_bytes()).as_bytes())
}

/// The public key of a member of the test world, made once.
pub fn public_key(member: &str) -> PublicKey {
    static KEYS: OnceLock<BTreeMap<String, PublicKey>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let all = NODES.iter().chain(&PERSONS).map(|name| (*name).to_owned());
        all.map(|name| (name.clone(), key(&name).public()))
            .collect()
    });
    keys[member].clone()
}

pub const NODES: [&str; 5] = ["n0", "n1", "n2", "n3", "n4"];
pub const PERSONS: [&str; 4] = ["p0", "p1", "p2", "p3"];

/// The dapps that rules of the test world name.
pub const DAPPS: [&str; 2] = ["books", "policy"];

/// The text of the policy; `swing` is the lane of `sw/`, `quorum` of the validators `n0`…
pub fn policy_text(swing: &str, validators: &[&str], limits: &str) -> String {
    let validators: Vec<String> = validators
        .iter()
        .map(|v| format!("{{ member = \"{v}\", weight = 1 }}"))
        .collect();
    let rule = |path: &str, lane: &str, more: &str| {
        format!("[[rule]]\npath = \"{path}\"\nlane = \"{lane}\"\n{more}\n")
    };
    let any = "writers = [\"any\"]\nunvalidated = true";
    let approve = "writers = [\"kind:person\"]\napprove = \"2 of kind:person\"\nunvalidated = true";
    [
        format!(
            "version = 1\n[finality]\nvalidators = [{}]\n",
            validators.join(", ")
        ),
        format!("[limits]\n{limits}\n"),
        rule("", "cas", any),
        rule("log/{member}/", "append", any),
        rule("own/{member}/", "owned", any),
        rule("sw/", swing, any),
        rule("fin/", "final", approve),
        rule("acct/", "cas", "writers = [\"any\"]\ndapps = [\"books\"]"),
        rule(".gdo/", "final", approve),
    ]
    .concat()
}

/// The rules of the test world: what an entry of `.gdo/policy.toml` stands for.
pub struct Rules {
    pub cas: Policy,
    pub fin: Policy,
    pub genesis: CheckpointRecord,
}

impl Rules {
    pub fn new(validators: &[&str], limits: &str) -> Self {
        let read = |swing| {
            Policy::parse(&policy_text(swing, validators, limits)).expect("a policy of the test")
        };
        let cas = read("cas");
        Self {
            genesis: genesis_record(&cas),
            fin: read("final"),
            cas,
        }
    }

    pub fn of(&self, tree: &Tree) -> &Policy {
        let entry = tree.get(&path(".gdo/policy.toml"));
        if entry == Some(&file("final")) {
            &self.fin
        } else {
            &self.cas
        }
    }
}

/// The path of a member's roster file; parsed once.
pub fn roster_file(member: &str) -> RepoPath {
    static FILES: OnceLock<BTreeMap<String, RepoPath>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let all = NODES.iter().chain(&PERSONS).map(|name| (*name).to_owned());
        all.map(|name| (name.clone(), path(&format!(".gdo/roster/{name}.toml"))))
            .collect()
    });
    files[member].clone()
}

/// The tree that the test world begins with.
pub fn genesis_tree() -> Tree {
    let members = NODES.iter().chain(&PERSONS);
    let roster = members.map(|member| (roster_file(member), file("active")));
    roster
        .chain([(path(".gdo/policy.toml"), file("cas"))])
        .collect()
}

fn member(name: &str, status: &str, admit: &[ObjectId]) -> Member {
    let kind = if name.starts_with('p') {
        "person"
    } else {
        "node"
    };
    let admit: Vec<String> = admit.iter().map(|id| format!("\"{id}\"")).collect();
    let text = format!(
        "kind = \"{kind}\"\nkeys = [\"{}\"]\nstatus = \"{status}\"\nadmit = [{}]\n",
        public_key(name),
        admit.join(", ")
    );
    Member::parse("test", &text).expect("a member of the test")
}

/// The roster that a tree stands for; rosters are made once, since parsing is slow.
pub fn roster_of(tree: &Tree, admit: &BTreeMap<&str, Vec<ObjectId>>) -> Roster {
    thread_local! {
        static MADE: RefCell<BTreeMap<Vec<bool>, Roster>> = const { RefCell::new(BTreeMap::new()) };
    }
    let names = || NODES.iter().chain(&PERSONS);
    let active = file("active");
    let statuses: Vec<bool> = names()
        .map(|name| tree.get(&roster_file(name)) == Some(&active))
        .collect();
    let make = || {
        let members = names().zip(&statuses).map(|(text, active)| {
            let status = if *active { "active" } else { "suspended" };
            let admitted = admit.get(text).map_or(&[][..], Vec::as_slice);
            (name(text), member(text, status, admitted))
        });
        Roster::new(members.collect()).expect("keys differ")
    };
    if !admit.is_empty() {
        return make();
    }
    MADE.with_borrow_mut(|made| made.entry(statuses.clone()).or_insert_with(make).clone())
}

/// The dapps in force: no image is run in these tests, but thresholds are read.
pub fn dapps(scope: &str) -> BTreeMap<DappName, DappInForce> {
    let one = |dapp: &&str| {
        let text = format!(
            "contract = 1\nname = \"{dapp}\"\nversion = \"1\"\n[validator]\nengine = \"container\"\n\
             image = \"image\"\nreads = [\"**\"]\nscope = \"{scope}\"\n"
        );
        let manifest = Manifest::parse("test", &text).expect("a manifest of the test");
        let digest = manifest.validator.digest(Digest::of(dapp.as_bytes()));
        (
            dapp.parse().expect("a name"),
            DappInForce { digest, manifest },
        )
    };
    DAPPS.iter().map(one).collect()
}

/// The record of a genesis.
pub fn genesis_record(policy: &Policy) -> CheckpointRecord {
    CheckpointRecord {
        kind: CheckpointKind::Genesis,
        height: Height(0),
        prev: None,
        included: vec![],
        aside: vec![],
        withdrawn: vec![],
        open: vec![],
        verdicts: vec![],
        approvals: vec![],
        evidence: vec![],
        certificate: None,
        validators: validators_digest(&policy.finality),
        ledger_time: LedgerTime(1_000),
        claims: BTreeMap::new(),
    }
}

pub fn ledger() -> LedgerId {
    LedgerId(id("genesis"))
}

/// A base of the test world.
pub fn base(rules: &Rules, tree: &Tree, at: CheckpointRef, record: CheckpointRecord) -> Base {
    Base {
        ledger: ledger(),
        checkpoint: at,
        record,
        policy: rules.of(tree).clone(),
        roster: roster_of(tree, &BTreeMap::new()),
        dapps: BTreeMap::new(),
    }
}

/// What a tree holds around a path.
pub fn path_facts(tree: &Tree, touched: &RepoPath) -> PathFacts {
    let below = |path: &RepoPath| path != touched && path.is_within(touched.as_str());
    let at = match tree.get(touched) {
        Some(entry) => Standing::File(*entry),
        None => match tree.keys().filter(|path| below(path)).count() {
            0 => Standing::Nothing,
            files => Standing::Directory {
                files: files as u64,
            },
        },
    };
    let above = |prefix: &str| {
        let prefix = path(prefix);
        tree.get(&prefix).map(|entry| (prefix, *entry))
    };
    let siblings = tree
        .iter()
        .filter(|(path, _)| *path != touched && is_case_sibling(path, touched));
    PathFacts {
        at,
        file_above: touched.prefixes().find_map(above),
        case_siblings: siblings
            .map(|(path, entry)| (path.clone(), *entry))
            .collect(),
    }
}

/// Whether two paths are equal but for case; those of tests are ASCII.
pub fn is_case_sibling(a: &RepoPath, b: &RepoPath) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
}

/// The tree after a delta.
pub fn apply(tree: &mut Tree, delta: &[Operation]) {
    for Operation { path, new, .. } in delta {
        match new {
            Some(entry) => tree.insert(path.clone(), *entry),
            None => tree.remove(path),
        };
    }
}

/// The ids of a set of things, for messages of failed tests.
pub fn shorts(ids: &BTreeSet<ObjectId>) -> Vec<String> {
    ids.iter().map(|id| id.short(6)).collect()
}
