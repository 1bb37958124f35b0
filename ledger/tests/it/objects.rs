//! Repositories and objects.

use std::fs;

use gdo_core::id::ObjectId;
use gdo_ledger::{ConfigInput, Ledger, LedgerError, ObjectFormat, git};

use crate::support::{POLICY, TestLedger};

#[test]
fn a_new_ledger_passes_fsck_and_its_genesis_verifies_with_both_hashes() {
    for format in [ObjectFormat::Sha256, ObjectFormat::Sha1] {
        let test = TestLedger::with(format, POLICY);
        test.fsck();
        test.verify_commit(&test.genesis);
        let again = Ledger::open(test.ledger.dir()).expect("opens");
        assert_eq!(again.format(), format);
        let listed = git::run(again.dir(), &["rev-parse", "--show-object-format"]).expect("git");
        assert_eq!(listed.trim(), format.as_str());
    }
}

#[test]
fn the_configuration_is_what_git_reads_and_follows_a_moved_directory() {
    let test = TestLedger::new();
    let moved = test.dir.path().join("moved \"here\".git");
    fs::rename(test.ledger.dir(), &moved).expect("move");
    let ledger = Ledger::open(&moved).expect("opens after a move");
    let input = ConfigInput {
        hooks_path: test.dir.path().join("a \"quoted\\hooks"),
        allowed_signers_path: test.dir.path().join("signers"),
        max_input_bytes: 12345,
    };
    for _ in 0..2 {
        ledger.write_config(&input).expect("write");
    }
    let get = |key: &str| git::run(&moved, &["config", "--get-all", key]).expect("git config");
    assert_eq!(get("core.hooksPath").trim(), "../a \"quoted\\hooks");
    assert_eq!(
        get("gpg.ssh.allowedSignersFile").trim(),
        input.allowed_signers_path.display().to_string()
    );
    assert_eq!(get("receive.maxInputSize").trim(), "12345");
    let expected = "refs/for\namd:refs/heads\namd:refs/tags\n";
    assert_eq!(get("receive.procReceiveRefs"), expected);
    assert_eq!(get("core.fsync").trim(), "all");
    Ledger::open(&moved).expect("opens with the new configuration");
}

#[test]
fn what_is_no_ledger_is_refused_with_what_is_missing() {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let error = |path: &str| {
        Ledger::open(&dir.path().join(path))
            .expect_err(path)
            .to_string()
    };
    assert!(
        error("absent").contains("not a bare git repository"),
        "{}",
        error("absent")
    );
    fs::create_dir(dir.path().join("empty")).expect("mkdir");
    assert!(
        error("empty").contains("HEAD is missing"),
        "{}",
        error("empty")
    );
    let plain = dir.path().join("plain.git");
    let plain_name = plain.display().to_string();
    git::run(&plain, &["init", "--quiet", "--bare", &plain_name]).expect("git init");
    let ledger = Ledger::open(&plain).expect("a repository opens");
    let tree = ledger.empty_tree();
    let error = ledger.read_rules(&tree).expect_err("no rules").to_string();
    assert!(
        error.contains(".gdo/ledger.toml") && error.contains("missing"),
        "{error}"
    );
    let error = Ledger::create(&plain, ObjectFormat::Sha256).expect_err("stands there");
    assert!(matches!(error, LedgerError::Exists { .. }), "{error}");
}

#[test]
fn a_reftable_repository_is_refused_by_name() {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let test = Ledger::create(&dir.path().join("l.git"), ObjectFormat::Sha256).expect("create");
    // Written by hand, so that a git without reftable can run the test.
    let config = test.dir().join("config");
    let text = fs::read_to_string(&config).expect("read");
    fs::write(
        &config,
        format!("{text}\n[extensions]\n\trefStorage = reftable\n"),
    )
    .expect("write");
    let error = Ledger::open(test.dir()).expect_err("reftable").to_string();
    assert!(
        error.contains("reftable") || error.contains("refstorage"),
        "{error}"
    );
}

#[test]
fn objects_are_bounded_typed_and_of_the_ledgers_hash() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let blob = ledger.write_blob(b"hello").expect("write");
    assert_eq!(blob, ledger.blob_id(b"hello"));
    assert_eq!(ledger.read_blob(&blob, 5).expect("read"), b"hello");
    let shown = |error: LedgerError| error.to_string();
    let error = shown(ledger.read_blob(&blob, 4).expect_err("too large"));
    assert!(error.contains("5 bytes, expected at most 4"), "{error}");
    let error = shown(ledger.read_commit(&blob).expect_err("a blob"));
    assert!(error.contains("is a blob, expected a commit"), "{error}");
    let absent: ObjectId = "ab".repeat(32).parse().expect("an id");
    assert!(shown(ledger.read_blob(&absent, 1).expect_err("absent")).contains("is missing"));
    let short: ObjectId = "ab".repeat(20).parse().expect("an id");
    let error = shown(ledger.read_blob(&short, 1).expect_err("sha1"));
    assert!(
        error.contains("expected 64: this ledger uses sha256"),
        "{error}"
    );
    let raw = git::run(ledger.dir(), &["cat-file", "-p", &blob.to_string()]).expect("git");
    assert_eq!(raw, "hello");
}

#[test]
fn a_members_clone_is_read_as_a_ledger_and_not_touched() {
    let test = TestLedger::new();
    let clone = test.clone_for("bob");
    let dir = clone.dir.join(".git");
    let error = Ledger::open(&dir).expect_err("a work tree").to_string();
    assert!(error.contains("it has a work tree"), "{error}");
    let before = fs::read(dir.join("config")).expect("read");
    let ledger = Ledger::open_clone(&dir).expect("a clone opens");
    let main = ledger
        .read_ref("refs/remotes/origin/main")
        .expect("read")
        .expect("there");
    assert_eq!(main, test.genesis);
    let mut audit = gdo_ledger::Audit::new(&ledger, "main", &main).expect("starts");
    assert!(audit.next_checkpoint().expect("holds").is_some());
    assert!(audit.next_checkpoint().expect("the end").is_none());
    assert_eq!(fs::read(dir.join("config")).expect("read"), before);
}
