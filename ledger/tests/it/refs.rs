//! Ref transactions: all or nothing, compare and swap.

use gdo_core::id::ObjectId;
use gdo_ledger::{Expected, Ledger, LedgerError, RefEdit, RefError, git};

use crate::support::TestLedger;

fn conflict(result: Result<(), LedgerError>) -> (String, Option<ObjectId>) {
    match result {
        Err(LedgerError::Ref(RefError::Conflict { name, got, .. })) => (name, got),
        other => panic!("expected a conflict, got {other:?}"),
    }
}

#[test]
fn a_transaction_changes_all_refs_or_none() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let genesis = test.genesis;
    let blob = ledger.write_blob(b"certificate").expect("write");
    let first = [
        RefEdit::set("refs/gdo/main/head", None, genesis),
        RefEdit::set("refs/gdo/main/cert", None, blob),
        RefEdit::set("refs/gdo/main/blocks/hub/aa", None, genesis),
    ];
    ledger.transaction(&first).expect("fresh refs");
    let listed = ledger.list_refs("refs/gdo/main/").expect("list");
    let names: Vec<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "refs/gdo/main/blocks/hub/aa",
            "refs/gdo/main/cert",
            "refs/gdo/main/head"
        ]
    );
    assert!(
        ledger
            .list_refs("refs/gdo/other/")
            .expect("list")
            .is_empty()
    );
    let mixed = [
        RefEdit::set("refs/gdo/main/new", None, genesis),
        RefEdit::set("refs/gdo/main/head", Some(blob), genesis),
    ];
    let (name, got) = conflict(ledger.transaction(&mixed));
    assert_eq!((name.as_str(), got), ("refs/gdo/main/head", Some(genesis)));
    assert_eq!(ledger.read_ref("refs/gdo/main/new").expect("read"), None);
    let gone = [RefEdit::set("refs/gdo/main/absent", Some(genesis), blob)];
    assert_eq!(
        conflict(ledger.transaction(&gone)),
        ("refs/gdo/main/absent".to_owned(), None)
    );
    let wrong = [RefEdit::remove("refs/gdo/main/cert", genesis)];
    assert_eq!(conflict(ledger.transaction(&wrong)).1, Some(blob));
    let last = [
        RefEdit::remove("refs/gdo/main/cert", blob),
        RefEdit {
            name: "refs/gdo/main/head".into(),
            expected: Expected::Any,
            new: None,
        },
        RefEdit::set("refs/gdo/main/blocks/hub/bb", None, genesis),
    ];
    ledger.transaction(&last).expect("removals and a new ref");
    assert_eq!(ledger.list_refs("refs/gdo/main/").expect("list").len(), 2);
    test.fsck();
}

#[test]
fn packed_refs_are_read_compared_and_removed() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let set = [RefEdit::set("refs/gdo/main/head", None, test.genesis)];
    ledger.transaction(&set).expect("set");
    git::run(ledger.dir(), &["pack-refs", "--all", "--prune"]).expect("pack");
    assert!(
        !ledger.dir().join("refs/gdo/main/head").exists(),
        "git packed the ref"
    );
    assert_eq!(
        ledger.read_ref("refs/gdo/main/head").expect("read"),
        Some(test.genesis)
    );
    assert_eq!(ledger.list_refs("refs/").expect("list").len(), 2);
    let remove = [RefEdit::remove("refs/gdo/main/head", test.genesis)];
    ledger.transaction(&remove).expect("remove");
    assert_eq!(ledger.read_ref("refs/gdo/main/head").expect("read"), None);
    let shown = git::run(ledger.dir(), &["for-each-ref"]).expect("git");
    assert!(!shown.contains("refs/gdo"), "{shown}");
}

#[test]
fn of_many_writers_exactly_one_wins_each_round() {
    let test = TestLedger::new();
    let blobs: Vec<ObjectId> = (0..8u8)
        .map(|n| test.ledger.write_blob(&[n]).expect("write"))
        .collect();
    let dir = test.ledger.dir();
    let won: usize = std::thread::scope(|scope| {
        let run = |blob: &ObjectId| {
            let (blob, dir) = (*blob, dir.to_owned());
            scope.spawn(move || {
                let ledger = Ledger::open(&dir).expect("open");
                let edit = RefEdit::set("refs/gdo/main/race", None, blob);
                match ledger.transaction(&[edit]) {
                    Ok(()) => 1,
                    Err(LedgerError::Ref(RefError::Conflict { .. })) => 0,
                    Err(error) => panic!("{error}"),
                }
            })
        };
        let threads: Vec<_> = blobs.iter().map(run).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum()
    });
    assert_eq!(won, 1);
}

#[test]
fn a_bad_name_and_a_held_lock_are_told_apart() {
    let test = TestLedger::new();
    for name in ["main", "refs/../x", "refs/a b", "refs/x.lock"] {
        let error = test
            .ledger
            .transaction(&[RefEdit::set(name, None, test.genesis)]);
        let error = error.expect_err(name);
        assert!(
            matches!(error, LedgerError::Ref(RefError::Name { .. })),
            "{name}: {error}"
        );
    }
    let lock = test.ledger.dir().join("refs/heads/main.lock");
    std::fs::write(&lock, "").expect("write");
    let edit = RefEdit::remove("refs/heads/main", test.genesis);
    let error = test.ledger.transaction(&[edit]).expect_err("locked");
    assert!(
        matches!(error, LedgerError::Ref(RefError::Locked { .. })),
        "{error}"
    );
}

#[test]
fn listing_passes_over_locks_and_names_a_broken_ref() {
    let test = TestLedger::new();
    let dir = test.ledger.dir().join("refs/gdo/main");
    std::fs::create_dir_all(&dir).expect("mkdir");
    std::fs::write(dir.join("head.lock"), "").expect("write");
    std::fs::write(dir.join(".tmpAbCdEf"), "half").expect("write");
    assert!(
        test.ledger
            .list_refs("refs/gdo/main/")
            .expect("list")
            .is_empty()
    );
    std::fs::write(dir.join("cert"), "").expect("write");
    let error = test
        .ledger
        .list_refs("refs/gdo/main/")
        .expect_err("broken")
        .to_string();
    assert!(error.contains("refs/gdo/main"), "{error}");
    let error = test
        .ledger
        .read_ref("refs/gdo/main/cert")
        .expect_err("broken")
        .to_string();
    assert!(error.contains("refs/gdo/main/cert"), "{error}");
}
