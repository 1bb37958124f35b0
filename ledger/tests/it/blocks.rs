//! Blocks, heads and checkpoints: the exact bytes, and what stock git says of them.

use gdo_core::block::{Block, CheckpointRef, Clock, Draft, Trailers};
use gdo_core::checkpoint::Included;
use gdo_core::delta::{Delta, Operation};
use gdo_core::id::{Digest, Height, LedgerTime, ObjectId, Seq};
use gdo_core::policy::Lane;
use gdo_ledger::{
    BlockError, BlockInput, BlockRules, CheckpointPlan, HeadPlan, LedgerCommit, ObjectFormat,
    ProposalRules, git, subject_of,
};

use crate::support::{POLICY, TIME, TestLedger, key, name, put, record};

fn trailers(test: &TestLedger, lane: Lane) -> Trailers {
    Trailers {
        ledger: test.id,
        seq: Seq(0),
        prev: None,
        final_checkpoint: CheckpointRef {
            height: Height(0),
            id: test.genesis,
        },
        lane,
        proposal: None,
        depends: Vec::new(),
        clock: Clock {
            boot: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
            mono_ms: 5,
            uncertainty_ms: None,
        },
    }
}

fn sign(test: &TestLedger, draft: &Draft) -> ObjectId {
    let mut commit = draft.commit();
    commit.signature = Some(key("hub").sign("git", &commit.payload()));
    test.ledger
        .write_commit(&commit.encode())
        .expect("write a block")
}

fn rules_apply<T>(test: &TestLedger, run: impl FnOnce(&BlockRules<'_>) -> T) -> T {
    let rules = test.checkpoint().rules;
    run(&BlockRules {
        ledger: test.id,
        roster: &rules.roster,
        policy: &rules.policy,
        branch: "main",
    })
}

fn draft(test: &TestLedger, base: ObjectId, operations: &[Operation], trailers: Trailers) -> Draft {
    let input = BlockInput {
        author: name("hub"),
        claimed_time: TIME + 7,
        base,
        subject: "records".to_owned(),
        operations,
        trailers,
    };
    test.ledger
        .draft_block(input, &test.view())
        .expect("a draft")
}

#[test]
fn a_block_of_records_is_read_verified_and_accepted_by_git_with_both_hashes() {
    for format in [ObjectFormat::Sha256, ObjectFormat::Sha1] {
        let test = TestLedger::with(format, POLICY);
        let operations = [put(&test.ledger, "log/hub/1", "one\n")];
        let id = sign(
            &test,
            &draft(
                &test,
                test.genesis,
                &operations,
                trailers(&test, Lane::Append),
            ),
        );
        let block = test.ledger.read_block(&id).expect("reads");
        assert_eq!((block.author.as_str(), block.base()), ("hub", test.genesis));
        assert_eq!(block.claimed_time, TIME + 7);
        let found = rules_apply(&test, |rules| {
            test.ledger.verify_block(&block, rules, &test.view())
        });
        let found = found.expect("valid");
        assert_eq!(found.principal.as_str(), "hub");
        assert_eq!(found.operations, operations);
        test.verify_commit(&id);
        test.fsck();
    }
}

/// A proposal by alice, and the block in which the hub embeds it.
fn embedded(test: &TestLedger) -> (ObjectId, Draft) {
    let clone = test.clone_for("alice");
    clone.write("docs/a.txt", b"changed\n");
    clone.commit("change a");
    let tip = test.take(&clone);
    let rules = test.checkpoint().rules;
    let rules = ProposalRules {
        roster: &rules.roster,
        policy: &rules.policy,
        branch: "main",
    };
    let proposal = test
        .ledger
        .read_proposal(&tip, None, &rules, &test.view())
        .expect("valid");
    let input = BlockInput {
        author: name("hub"),
        claimed_time: TIME,
        base: test.genesis,
        subject: subject_of(&proposal),
        operations: &proposal.delta,
        trailers: Trailers {
            proposal: Some(tip),
            ..trailers(test, proposal.lane)
        },
    };
    (
        tip,
        test.ledger
            .draft_block(input, &test.view())
            .expect("a draft"),
    )
}

#[test]
fn a_block_carries_exactly_what_the_person_signed() {
    let test = TestLedger::new();
    let (tip, good) = embedded(&test);
    let judge = |draft: &Draft| {
        let block = test.ledger.read_block(&sign(&test, draft)).expect("reads");
        rules_apply(&test, |rules| {
            test.ledger.verify_block(&block, rules, &test.view())
        })
    };
    let found = judge(&good).expect("valid");
    assert_eq!(found.principal.as_str(), "alice");
    assert_eq!(good.parents, [test.genesis, tip]);
    let tree = |delta: &[Operation]| test.ledger.apply(&good.tree, delta).expect("applies");
    let more = tree(&[put(&test.ledger, "added-by-the-node", "x")]);
    let less = test.checkpoint().tree;
    let other = tree(&[put(&test.ledger, "docs/a.txt", "not what she wrote\n")]);
    let lane = Trailers {
        lane: Lane::Final,
        ..good.trailers.clone()
    };
    let depends = Trailers {
        depends: vec![test.genesis],
        ..good.trailers.clone()
    };
    let cases = [
        (
            Draft {
                tree: more,
                ..good.clone()
            },
            "P-13",
        ),
        (
            Draft {
                tree: less,
                ..good.clone()
            },
            "P-13",
        ),
        (
            Draft {
                tree: other,
                ..good.clone()
            },
            "P-13",
        ),
        (
            Draft {
                subject: "mine".to_owned(),
                ..good.clone()
            },
            "P-12",
        ),
        (
            Draft {
                trailers: lane,
                ..good.clone()
            },
            "P-14",
        ),
        (
            Draft {
                trailers: depends,
                ..good.clone()
            },
            "P-12",
        ),
        (
            Draft {
                parents: vec![test.genesis],
                ..good.clone()
            },
            "P-12",
        ),
        (
            Draft {
                parents: vec![tip, test.genesis],
                ..good.clone()
            },
            "P-12",
        ),
        (
            Draft {
                parents: vec![test.genesis, test.genesis, tip],
                ..good.clone()
            },
            "P-12",
        ),
    ];
    for (bad, expected) in cases {
        match judge(&bad) {
            Err(BlockError::Structure { clause, .. }) => assert_eq!(clause, expected, "{bad:?}"),
            other => panic!("expected {expected}, got {other:?}"),
        }
    }
}

#[test]
fn what_a_node_may_not_write_is_refused_by_clause() {
    let test = TestLedger::new();
    let judge = |operations: &[Operation], lane| {
        let draft = draft(&test, test.genesis, operations, trailers(&test, lane));
        let block = test.ledger.read_block(&sign(&test, &draft)).expect("reads");
        rules_apply(&test, |rules| {
            test.ledger.verify_block(&block, rules, &test.view())
        })
    };
    let one = |path: &str| vec![put(&test.ledger, path, "x")];
    let cases: [(Delta, Lane, &str, &str); 5] = [
        (vec![], Lane::Append, "P-13", "changes nothing"),
        (
            [one("log/hub/1"), one("other")].concat(),
            Lane::Append,
            "P-14",
            "other is of lane cas",
        ),
        (one("log/hub/1"), Lane::Cas, "P-14", "expected append"),
        (one("log/hub/Upper"), Lane::Append, "P-15", "[a-z0-9._-]"),
        (
            one(".gdo/checkpoint.json"),
            Lane::Final,
            "P-15",
            "checkpoints alone",
        ),
    ];
    for (operations, lane, clause, expected) in cases {
        let error = judge(&operations, lane).expect_err(expected).to_string();
        assert!(
            error.contains(clause) && error.contains(expected),
            "{error}"
        );
    }
    let foreign = Trailers {
        ledger: gdo_core::id::LedgerId(test.ledger.blob_id(b"other")),
        ..trailers(&test, Lane::Append)
    };
    let id = sign(
        &test,
        &draft(&test, test.genesis, &one("log/hub/1"), foreign),
    );
    let block = test.ledger.read_block(&id).expect("reads");
    let error = rules_apply(&test, |rules| {
        test.ledger.verify_block(&block, rules, &test.view())
    });
    assert!(
        error
            .expect_err("foreign")
            .to_string()
            .contains("of ledger")
    );
}

#[test]
fn only_the_one_spelling_of_a_block_is_read() {
    let test = TestLedger::new();
    let operations = [put(&test.ledger, "log/hub/1", "one\n")];
    let id = sign(
        &test,
        &draft(
            &test,
            test.genesis,
            &operations,
            trailers(&test, Lane::Append),
        ),
    );
    let raw = String::from_utf8(test.ledger.read_commit_raw(&id).expect("read")).expect("text");
    let changes: [(&str, &str); 6] = [
        ("\n\nrecords", "\nencoding utf-8\n\nrecords"),
        ("Gdo-Seq: 0", "Gdo-Seq: 00"),
        ("Gdo-Lane: append", "Gdo-Lane: owned"),
        ("author hub <hub@", "author hub <hub@x"),
        (" +0000\ncommitter", " +0100\ncommitter"),
        ("gpgsig-sha256 ", "gpgsig "),
    ];
    for (from, to) in changes {
        let bad = raw.replacen(from, to, 1);
        assert_ne!(bad, raw, "{from} is not there");
        let error = test.ledger.parse_block(bad.as_bytes()).expect_err(to);
        assert!(matches!(error, BlockError::Structure { .. }), "{error}");
    }
    assert!(
        test.ledger.read_block(&test.genesis).is_err(),
        "genesis is no block"
    );
}

#[test]
fn the_previous_block_is_a_parent_only_where_the_base_lacks_it() {
    let test = TestLedger::new();
    let first = [put(&test.ledger, "log/hub/1", "one\n")];
    let first = sign(
        &test,
        &draft(&test, test.genesis, &first, trailers(&test, Lane::Append)),
    );
    let second = [put(&test.ledger, "log/hub/2", "two\n")];
    let next = Trailers {
        seq: Seq(1),
        prev: Some(first),
        ..trailers(&test, Lane::Append)
    };
    let view = |id: &ObjectId| {
        let block = (*id == first).then_some(LedgerCommit::Block(Height(0)));
        test.view()(id).or(block)
    };
    let parents = |base| {
        let input = BlockInput {
            author: name("hub"),
            claimed_time: TIME,
            base,
            subject: "records".to_owned(),
            operations: &second,
            trailers: next.clone(),
        };
        test.ledger
            .draft_block(input, &view)
            .expect("a draft")
            .parents
    };
    assert_eq!(parents(first), [first]);
    assert_eq!(parents(test.genesis), [test.genesis, first]);
    let judge = |trailers: Trailers| {
        let input = BlockInput {
            author: name("hub"),
            claimed_time: TIME,
            base: test.genesis,
            subject: "records".to_owned(),
            operations: &second,
            trailers,
        };
        let id = sign(
            &test,
            &test.ledger.draft_block(input, &view).expect("a draft"),
        );
        let block = test.ledger.read_block(&id).expect("reads");
        rules_apply(&test, |rules| {
            test.ledger.verify_block(&block, rules, &view)
        })
    };
    judge(next.clone()).expect("valid");
    let bad = [
        Trailers {
            seq: Seq(2),
            ..next.clone()
        },
        Trailers {
            seq: Seq(0),
            ..next.clone()
        },
        Trailers {
            prev: None,
            ..next.clone()
        },
        Trailers {
            prev: Some(test.genesis),
            ..next.clone()
        },
    ];
    for trailers in bad {
        let error = judge(trailers).expect_err("no chain").to_string();
        assert!(error.contains("Gdo-Prev"), "{error}");
    }
}

fn blocks(test: &TestLedger, count: u64) -> Vec<Block> {
    let block = |n| {
        let operations = [put(&test.ledger, &format!("log/hub/{n}"), "x")];
        let trailers = trailers(test, Lane::Append);
        let id = sign(test, &draft(test, test.genesis, &operations, trailers));
        test.ledger.read_block(&id).expect("reads")
    };
    let mut blocks: Vec<Block> = (0..count).map(block).collect();
    blocks.sort_by_key(|block| block.id);
    blocks
}

#[test]
fn a_head_is_its_checkpoint_a_block_or_a_commit_of_fixed_bytes() {
    let test = TestLedger::new();
    let blocks = blocks(&test, 2);
    let ids: Vec<ObjectId> = blocks.iter().map(|block| block.id).collect();
    let delta = |count: usize| -> Delta {
        let of = |block: &Block| {
            test.ledger
                .diff(&test.checkpoint().tree, &block.tree, 10)
                .expect("compares")
        };
        let mut delta: Delta = blocks.iter().take(count).flat_map(of).collect();
        delta.sort();
        delta
    };
    let base = CheckpointRef {
        height: Height(0),
        id: test.genesis,
    };
    let plan = HeadPlan {
        ledger: test.id,
        base,
        delta: &[],
        tips: &[],
        anchored: &[],
        set: Digest::of(b""),
        time: LedgerTime(TIME + 1),
        shortcut: None,
    };
    assert_eq!(test.ledger.write_head(&plan).expect("K"), test.genesis);
    let one = delta(1);
    let plan = HeadPlan {
        delta: &one,
        tips: &ids[..1],
        shortcut: Some(ids[0]),
        ..plan
    };
    assert_eq!(test.ledger.write_head(&plan).expect("p"), ids[0]);
    let two = delta(2);
    let plan = HeadPlan {
        delta: &two,
        tips: &ids,
        ..plan
    };
    let head = test.ledger.write_head(&plan).expect("a head");
    let raw = test.ledger.read_commit_raw(&head).expect("read");
    let tree = test.ledger.read_commit(&head).expect("read").tree;
    let expected = format!(
        "tree {tree}\nparent {}\nparent {}\nparent {}\n\
         author gdo <head@gdo.invalid> {time} +0000\ncommitter gdo <head@gdo.invalid> {time} +0000\n\
         \ngdo head\n\nGdo-Version: 1\nGdo-Ledger: {}\nGdo-Final: 0 {}\nGdo-Set: {}\n",
        test.genesis,
        ids[0],
        ids[1],
        test.id,
        test.genesis,
        Digest::of(b""),
        time = TIME + 1,
    );
    assert_eq!(String::from_utf8(raw).expect("text"), expected);
    let plan = HeadPlan {
        delta: &one,
        tips: &ids[..1],
        anchored: &ids[1..],
        shortcut: None,
        ..plan
    };
    let anchored = test.ledger.write_head(&plan).expect("a head");
    let parents = test.ledger.read_commit(&anchored).expect("read").parents;
    let anchor = test.ledger.read_commit(&parents[2]).expect("read");
    assert_eq!(
        (anchor.tree, anchor.parents),
        (test.ledger.empty_tree(), ids[1..].to_vec())
    );
    assert_eq!(anchor.message, "gdo anchor\n");
    test.fsck();
}

#[test]
fn more_than_64_parents_are_folded_into_bundles() {
    let test = TestLedger::new();
    let tips: Vec<ObjectId> = blocks(&test, 65).iter().map(|block| block.id).collect();
    let plan = HeadPlan {
        ledger: test.id,
        base: CheckpointRef {
            height: Height(0),
            id: test.genesis,
        },
        delta: &[],
        tips: &tips,
        anchored: &tips,
        set: Digest::of(b""),
        time: LedgerTime(TIME + 1),
        shortcut: None,
    };
    let head = test.ledger.write_head(&plan).expect("a head");
    let parents = test.ledger.read_commit(&head).expect("read").parents;
    assert_eq!(parents.len(), 4, "K, two bundles, the anchor");
    let of = |id: &ObjectId| test.ledger.read_commit(id).expect("read");
    assert_eq!(of(&parents[1]).parents, tips[..64]);
    assert_eq!(of(&parents[2]).parents, tips[64..]);
    assert_eq!(of(&parents[2]).message, "gdo bundle\n");
    assert_eq!(of(&parents[3]).parents, parents[1..3]);
    test.fsck();
}

#[test]
fn a_checkpoint_reads_back_and_is_the_same_bytes_again() {
    let test = TestLedger::new();
    let (tip, draft) = embedded(&test);
    let block = sign(&test, &draft);
    let mut record = record(1, Some(test.genesis));
    record.included = vec![Included {
        block,
        proposal: Some(tip),
    }];
    let delta = test
        .ledger
        .diff(&test.checkpoint().tree, &draft.tree, 10)
        .expect("compares");
    let plan = CheckpointPlan {
        ledger: test.id,
        previous: test.genesis,
        delta: &delta,
        record: &record,
        tips: &[block],
        anchored: &[],
    };
    let id = test.ledger.write_checkpoint(&plan).expect("a checkpoint");
    assert_eq!(test.ledger.write_checkpoint(&plan).expect("again"), id);
    let read = test.ledger.read_checkpoint(&id).expect("reads");
    assert_eq!(read.record, record);
    assert_eq!(read.parents, [test.genesis, block]);
    assert_eq!(read.rules.ledger.name, "test");
    let text = test
        .ledger
        .read_text(&read.tree, "docs/a.txt", 100)
        .expect("read");
    assert_eq!(text, "changed\n");
    let shown = git::run(
        test.ledger.dir(),
        &["log", "-1", "--format=%an %ae %at %s", &id.to_string()],
    );
    let expected = format!("gdo checkpoint@gdo.invalid {} gdo checkpoint 1", TIME + 1);
    assert_eq!(shown.expect("git log").trim(), expected);
    test.fsck();
}
