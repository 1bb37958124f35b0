//! The three shapes of record on whole trees, with the property tests that every dapp gets.

use std::collections::BTreeMap;

use gdo_core::context::{Context, ContextBlock};
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::id::{Digest, ObjectId};
use gdo_core::policy::Lane;
use gdo_dapp_sdk::contract::{Input, empty_context};
use gdo_dapp_sdk::error::Undecided;
use gdo_dapp_sdk::log::LogShape;
use gdo_dapp_sdk::record::RecordShape;
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::singleton::Singleton;
use gdo_dapp_sdk::testing::{self, Files, Scratch};
use gdo_dapp_sdk::ulid::Ulid;

const RECORDS: RecordShape<'static> = RecordShape {
    dir: "cert/",
    verbs: &["grant", "revoke"],
    versions: &[1, 2],
    bytes_max: 4096,
};
const LOGS: LogShape<'static> = LogShape {
    dir: "door/log/",
    versions: &[1],
    bytes_max: 65_536,
};
const SINGLETON: Singleton<'static> = Singleton {
    path: "def/workflow.toml",
    versions: &[1],
    bytes_max: 4096,
};

fn validate(input: &Input, report: &mut Report) -> Result<(), Undecided> {
    RECORDS.check(input, report)?;
    LOGS.check(input, report, |_| {})?;
    SINGLETON.check(input, report)?;
    Ok(())
}

fn record(n: u64, verb: &str) -> (String, Vec<u8>) {
    let ulid = Ulid::from_parts(1_790_000_000_000 + n, 7);
    let base = "ab".repeat(32);
    let text = format!(
        "v = 1\nwall = {n}\nboot = \"b-1\"\nmono_ns = {n}\nbase = \"{base}\"\nlevel = {}\n",
        n % 3
    );
    (
        format!("cert/alice/laser/{ulid}-{verb}.toml"),
        text.into_bytes(),
    )
}

/// A log of `count` events in segments of `per_segment`.
fn log(writer: &str, count: u64, per_segment: u64) -> Files {
    let mut files = Files::new();
    let mut prev = Digest::from_bytes([0; 32]);
    let mut path = String::new();
    for seq in 0..count {
        if seq % per_segment == 0 {
            // The dates go back: a clock without battery must not break the chain.
            path = format!(
                "door/log/{writer}/2026/11/{:02}/{seq:012}.jsonl",
                28 - seq % 28
            );
        }
        let base = "ab".repeat(20);
        let line = format!(
            "{{\"base\":\"{base}\",\"boot\":\"b\",\"mono_ns\":{seq},\"prev\":\"{prev}\",\"result\":\"granted\",\"seq\":{seq},\"v\":1,\"wall\":{seq}}}"
        );
        prev = Digest::of(line.as_bytes());
        files
            .entry(path.clone())
            .or_default()
            .extend_from_slice(format!("{line}\n").as_bytes());
    }
    files
}

fn everything() -> Files {
    let mut files: Files = (0..6)
        .map(|n| record(n, if n % 2 == 0 { "grant" } else { "revoke" }))
        .collect();
    files.extend(log("door-1", 10, 4));
    files.extend(log("door-2", 3, 4));
    files.insert(
        SINGLETON.path.into(),
        b"v = 1\nstates = [\"open\"]\n".to_vec(),
    );
    files
}

fn judge(base: &Files, candidate: &Files) -> Report {
    testing::judge(base, candidate, validate).expect("decided")
}

fn refused(candidate: &Files, rule: &str) {
    let report = judge(&Files::new(), candidate);
    assert!(
        report.problems().iter().any(|p| p.rule == rule),
        "expected {rule}, got:\n{report}"
    );
}

#[test]
fn good_records_logs_and_singletons_pass() {
    let files = everything();
    for base in [&Files::new(), &files] {
        let report = judge(base, &files);
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn records_and_segments_cannot_be_touched() {
    let is_record = |path: &str| path.starts_with("cert/") || path.starts_with("door/");
    testing::records_cannot_be_touched(&everything(), is_record, &["deleted", "changed"], validate);
}

#[test]
fn any_merge_order_of_one_event_set_gives_one_fold() {
    let files = everything();
    // A fold that would show any difference of order: revokes and grants in sequence, events in sequence.
    testing::any_merge_order_gives_one_fold(42, 40, &files, |files| {
        let scratch = Scratch::new();
        let candidate = scratch.tree("candidate", files);
        let base = scratch.tree("base", &Files::new());
        let input = Input {
            base,
            candidate,
            context: empty_context(),
        };
        let mut report = Report::default();
        let records = RECORDS.check(&input, &mut report).expect("decided");
        let mut story: Vec<String> = records
            .iter()
            .map(|record| format!("{} {}", record.ulid, record.verb))
            .collect();
        let tell = |event: &gdo_dapp_sdk::log::Event| {
            story.push(format!(
                "{} {} {:?}",
                event.writer,
                event.seq,
                event.fields.get("result")
            ));
        };
        LOGS.check(&input, &mut report, tell).expect("decided");
        assert!(report.is_clean() && story.len() == 19, "{report}");
        story
    });
}

#[test]
fn fuzzed_input_never_panics() {
    let files = everything();
    let refused = testing::fuzzed_input_never_panics(1, 600, &Files::new(), &files, validate);
    assert!(refused > 300, "only {refused} mutants were refused");
}

#[test]
fn a_record_has_a_name_a_header_and_its_own_id() {
    let (path, text) = record(1, "grant");
    let with = |path: &str, text: &[u8]| Files::from([(path.to_owned(), text.to_vec())]);
    refused(
        &with(&path.replace("-grant", "-steal"), &text),
        "record-name",
    );
    refused(&with("cert/alice/notes.txt", &text), "record-name");
    refused(&with("cert/alice/01-grant.toml", &text), "record-name");
    let text = String::from_utf8(text).expect("text");
    for (from, to) in [
        ("v = 1", "v = 3"),
        ("b-1", ""),
        ("abab", "zz"),
        ("wall", "time"),
        ("= 1\n", "=\n"),
    ] {
        refused(
            &with(&path, text.replacen(from, to, 1).as_bytes()),
            "record-form",
        );
    }
    let mut twice = with(&path, text.as_bytes());
    twice.insert(path.replace("alice", "bob"), text.into_bytes());
    refused(&twice, "record-duplicate");
}

#[test]
fn a_rewound_forked_or_broken_log_is_refused() {
    let good = log("door-1", 8, 4);
    let paths: Vec<String> = good.keys().cloned().collect();
    let of_seq = |seq: &str| {
        paths
            .iter()
            .find(|path| path.ends_with(seq))
            .expect("there")
            .clone()
    };
    let (first, second) = (of_seq("000000000000.jsonl"), of_seq("000000000004.jsonl"));
    let change = |path: &str, from: &str, to: &str| {
        let mut files = good.clone();
        let text = String::from_utf8(files[path].clone()).expect("text");
        assert!(text.contains(from), "{from}");
        files.insert(path.to_owned(), text.replace(from, to).into_bytes());
        files
    };
    let mut without_first = good.clone();
    without_first.remove(&first);
    refused(&without_first, "log-gap");
    let mut renamed = good.clone();
    let bytes = renamed.remove(&second).expect("there");
    renamed.insert(second.replace("004.jsonl", "005.jsonl"), bytes);
    refused(&renamed, "log-gap");
    refused(&change(&first, "granted", "denied"), "log-chain");
    refused(&change(&first, "\"seq\":2", "\"seq\":3"), "log-gap");
    refused(
        &change(&second, "\"mono_ns\":7", "\"mono_ns\":5"),
        "log-time",
    );
    refused(&change(&second, "\"v\":1", "\"v\":9"), "log-form");
    refused(&change(&second, "\n", ""), "log-form");
    let mut stray = good.clone();
    stray.insert("door/log/door-1/2026/x.jsonl".into(), Vec::new());
    refused(&stray, "log-name");
}

/// A context in which one block after the other replaced the singleton.
fn chain(ids: &[ObjectId]) -> Context {
    let operation = |old: Option<ObjectId>, new: ObjectId| Operation {
        path: SINGLETON.path.parse().expect("a path"),
        old: old.map(|id| Entry {
            mode: Mode::File,
            id,
        }),
        new: Some(Entry {
            mode: Mode::File,
            id: new,
        }),
    };
    let name = || "alice".parse().expect("a name");
    let blocks = ids.windows(2).map(|pair| ContextBlock {
        member: name(),
        principal: name(),
        lane: Lane::Cas,
        proposal: None,
        operations: vec![operation(Some(pair[0]), pair[1])],
    });
    Context {
        blocks: blocks.collect(),
        roster: BTreeMap::new(),
        ..empty_context()
    }
}

#[test]
fn a_singleton_names_the_version_it_replaces() {
    let version = |text: &str| Files::from([(SINGLETON.path.to_owned(), text.as_bytes().to_vec())]);
    let one = version("v = 1\n");
    // As `git hash-object` in a SHA-256 repository.
    let id = Digest::of(b"blob 6\0v = 1\n");
    let two = version(&format!("v = 1\nprev = \"{id}\"\n"));
    assert!(judge(&Files::new(), &one).is_clean());
    assert!(judge(&one, &two).is_clean());
    for bad in [
        "v = 1\nx = 1\n".to_owned(),
        format!("v = 1\nprev = \"{}\"\n", Digest::of(b"other")),
    ] {
        let report = judge(&one, &version(&bad));
        assert_eq!(report.problems()[0].rule, "singleton-prev", "{report}");
    }
    assert_eq!(
        judge(&Files::new(), &two).problems()[0].rule,
        "singleton-prev"
    );
    assert_eq!(
        judge(&one, &Files::new()).problems()[0].rule,
        "singleton-deleted"
    );
    assert_eq!(
        judge(&one, &version("v = 2\n")).problems()[0].rule,
        "singleton-form"
    );

    // Two changes in one checkpoint: the last one names the one between.
    let ids: Vec<ObjectId> = (1..=3)
        .map(|n| ObjectId::from_bytes(&[n; 20]).expect("20 bytes"))
        .collect();
    let judge_chain = |prev: ObjectId| {
        let third = version(&format!("v = 1\nprev = \"{prev}\"\n"));
        testing::judge_in_order(&one, &third, chain(&ids), validate).expect("decided")
    };
    assert!(judge_chain(ids[1]).is_clean());
    assert_eq!(judge_chain(ids[0]).problems()[0].rule, "singleton-prev");
}
