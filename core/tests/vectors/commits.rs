//! Vectors of the commits that nodes make: blocks, heads, anchors, bundles, checkpoints.

use std::collections::BTreeMap;

use gdo_core::block::{CheckpointRef, Clock, Draft, Trailers};
use gdo_core::checkpoint::{
    Approval, Aside, CheckpointKind, CheckpointRecord, Included, Open, Reason, anchor_commit,
    bundle_commit, checkpoint_commit, genesis_commit, head_commit, validators_digest,
};
use gdo_core::commit::Commit;
use gdo_core::id::{Digest, Height, LedgerTime, Seq};
use gdo_core::key::NAMESPACE_GIT;
use gdo_core::policy::{Lane, Policy};
use serde_json::{Value, json};

use crate::{commit_id, id, key, ledger, text};

fn drafts() -> Vec<(&'static str, Draft)> {
    let clock = |uncertainty_ms| Clock {
        boot: "01234567-89ab-4def-8123-456789abcdef".to_owned(),
        mono_ms: 123_456,
        uncertainty_ms,
    };
    let final_checkpoint = CheckpointRef {
        height: Height(7),
        id: id(0x07),
    };
    let proposal = Draft {
        author: "hub".parse().expect("name"),
        claimed_time: 1_780_000_000,
        tree: id(0x11),
        parents: vec![id(0x07), id(0x22), id(0x33)],
        subject: "Alice buys a drill".to_owned(),
        trailers: Trailers {
            ledger: ledger(),
            seq: Seq(4),
            prev: Some(id(0x22)),
            final_checkpoint,
            lane: Lane::Final,
            proposal: Some(id(0x33)),
            depends: vec![],
            clock: clock(None),
        },
    };
    let records = Draft {
        author: "door-1".parse().expect("name"),
        claimed_time: 1_780_000_001,
        tree: id(0x12),
        parents: vec![id(0x07)],
        subject: "door/front: 64 events".to_owned(),
        trailers: Trailers {
            ledger: ledger(),
            seq: Seq(0),
            prev: None,
            final_checkpoint,
            lane: Lane::Append,
            proposal: None,
            depends: vec![],
            clock: clock(Some(250)),
        },
    };
    let mut depends = records.clone();
    depends.trailers.lane = Lane::Cas;
    depends.trailers.depends = vec![id(0x44), id(0x55)];
    vec![
        ("with a proposal", proposal),
        ("own records", records),
        ("with dependencies", depends),
    ]
}

pub(crate) fn block() -> Value {
    let case = |(name, draft): (&str, Draft)| {
        let mut commit = draft.commit();
        let payload = commit.payload();
        commit.signature = Some(key(1).sign(NAMESPACE_GIT, &payload));
        let raw = commit.encode();
        assert_eq!(Commit::parse_exact(&raw).expect("own form"), commit);
        let (subject, trailers) = Trailers::parse(&commit.message).expect("own message");
        assert_eq!((&subject, &trailers), (&draft.subject, &draft.trailers));
        json!({
            "name": name,
            "payload": text(payload.clone()),
            "payload_sha256": Digest::of(&payload),
            "commit": text(raw.clone()),
            "id": commit_id(&raw),
        })
    };
    let cases: Vec<Value> = drafts().into_iter().map(case).collect();
    json!({ "signer_seed": "01".repeat(32), "ledger": ledger(), "cases": cases })
}

pub(crate) fn head() -> Value {
    let base = CheckpointRef {
        height: Height(7),
        id: id(0x07),
    };
    let empty = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
        .parse()
        .expect("id");
    let window = [id(0x21), id(0x22)];
    let set = Digest::of(&window.map(|block| block.as_bytes().to_vec()).concat());
    let commits = [
        (
            "head",
            head_commit(
                ledger(),
                base,
                set,
                1_780_000_002,
                id(0x13),
                vec![id(0x07), id(0x21), id(0x99)],
            ),
        ),
        (
            "anchor",
            anchor_commit(empty, vec![id(0x22)], 1_780_000_002),
        ),
        (
            "bundle",
            bundle_commit(empty, vec![id(0x21), id(0x22)], 1_780_000_002),
        ),
    ];
    let case = |(name, commit): (&str, Commit)| {
        let raw = commit.encode();
        json!({ "name": name, "commit": text(raw.clone()), "id": commit_id(&raw) })
    };
    json!({ "window": window, "set": set, "cases": commits.into_iter().map(case).collect::<Vec<_>>() })
}

const POLICY: &str = "version = 1\n[finality]\nquorum = 3\nvalidators = [{ member = \"hub\", weight = 2 }, \
    { member = \"door-1\", weight = 1 }]\n[[rule]]\npath = \"\"\nlane = \"cas\"\nwriters = [\"any\"]\nunvalidated = true\n";

fn records() -> Vec<(&'static str, CheckpointRecord)> {
    let policy = Policy::parse(POLICY).expect("valid policy");
    let genesis = CheckpointRecord {
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
        ledger_time: LedgerTime(1_780_000_000),
        claims: BTreeMap::new(),
    };
    let hub = "hub".parse().expect("name");
    let normal = CheckpointRecord {
        kind: CheckpointKind::Normal,
        height: Height(8),
        prev: Some(id(0x07)),
        included: vec![
            Included {
                block: id(0x21),
                proposal: Some(id(0x33)),
            },
            Included {
                block: id(0x23),
                proposal: None,
            },
        ],
        aside: vec![Aside {
            block: id(0x22),
            proposal: Some(id(0x34)),
            reason: Reason::Conflict,
        }],
        withdrawn: vec![id(0x35)],
        open: vec![Open {
            block: id(0x24),
            since: Height(6),
            since_time: LedgerTime(1_779_999_000),
        }],
        verdicts: vec![crate::signed::certificate()],
        approvals: vec![Approval {
            proposal: id(0x33),
            member: "alice".parse().expect("name"),
            block: id(0x23),
        }],
        certificate: Some(crate::signed::finality_certificate()),
        ledger_time: LedgerTime(1_780_000_003),
        claims: BTreeMap::from([
            (hub, Some(LedgerTime(1_780_000_003))),
            ("door-1".parse().expect("name"), None),
        ]),
        ..genesis.clone()
    };
    vec![("genesis", genesis), ("normal", normal)]
}

pub(crate) fn checkpoint() -> Value {
    let founder = "alice".parse().expect("name");
    let case = |(name, record): (&str, CheckpointRecord)| {
        let file = record.to_json();
        assert_eq!(CheckpointRecord::parse(&file).expect("own form"), record);
        let mut commit = match record.kind {
            CheckpointKind::Genesis => genesis_commit(&record, id(0x14), &founder),
            _ => checkpoint_commit(
                ledger(),
                &record,
                id(0x15),
                vec![id(0x07), id(0x21), id(0x99)],
            ),
        };
        if record.kind == CheckpointKind::Genesis {
            commit.signature = Some(key(2).sign(NAMESPACE_GIT, &commit.payload()));
        }
        let raw = commit.encode();
        json!({ "name": name, "file": file, "commit": text(raw.clone()), "id": commit_id(&raw) })
    };
    json!({
        "policy": POLICY,
        "validators_text": "{\"quorum\":3,\"validators\":[{\"member\":\"door-1\",\"weight\":1},{\"member\":\"hub\",\"weight\":2}]}",
        "validators_sha256": Digest::of(b"{\"quorum\":3,\"validators\":[{\"member\":\"door-1\",\"weight\":1},{\"member\":\"hub\",\"weight\":2}]}"),
        "founder_seed": "02".repeat(32),
        "cases": records().into_iter().map(case).collect::<Vec<_>>(),
    })
}
