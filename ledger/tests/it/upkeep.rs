//! Attestations, maintenance, and what a killed process leaves behind.

use std::fs;
use std::time::Duration;

use gdo_core::id::Digest;
use gdo_core::verdict::VerdictKey;
use gdo_ledger::{
    Attestation, Ledger, LedgerError, MaintenanceInput, RefEdit, TreeError, attestation, git,
};

use crate::support::{TIME, TestLedger, name};

#[test]
fn attestations_are_kept_once_and_never_changed() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let key = VerdictKey {
        dapp_digest: Digest::of(b"dapp"),
        input: test.checkpoint().tree,
    };
    let other = VerdictKey {
        dapp_digest: Digest::of(b"other"),
        ..key
    };
    let write = |tip, key, files: &[(&str, &[u8])]| {
        let attestation = Attestation {
            ledger: test.id,
            member: name("hub"),
            key,
            time: TIME,
            files,
        };
        ledger.write_attestation(tip, &attestation)
    };
    let first = write(None, key, &[("verdict.json", b"{}"), ("log", b"fine\n")]).expect("written");
    let again = write(Some(first), key, &[("log", b"fine\n")]).expect("the same again");
    assert_eq!(again, first);
    let second = write(Some(first), other, &[("verdict.json", b"[]")]).expect("written");
    let error = write(Some(second), key, &[("log", b"changed\n")]).expect_err("kept");
    assert!(
        matches!(error, LedgerError::Tree(TreeError::Kept { .. })),
        "{error}"
    );
    let read = |name| ledger.read_attestation(&second, &key, name).expect("read");
    assert_eq!(read("log").as_deref(), Some(b"fine\n".as_slice()));
    assert_eq!(read("report.json"), None);
    let mut expected = [key, other];
    expected.sort();
    let mut found = ledger.attested(&second, 100).expect("listed");
    found.sort();
    assert_eq!(found, expected);
    let att = "refs/gdo/main/att/hub".to_owned();
    ledger
        .transaction(&[RefEdit::set(&att, None, second)])
        .expect("the ref");
    let path = format!("{att}:{}/verdict.json", attestation::folder(&other));
    assert_eq!(
        git::run(ledger.dir(), &["show", &path]).expect("git show"),
        "[]"
    );
    test.fsck();
}

fn loose(ledger: &Ledger) -> usize {
    let text = git::run(ledger.dir(), &["count-objects"]).expect("git count-objects");
    text.split(' ')
        .next()
        .and_then(|count| count.parse().ok())
        .expect("a count")
}

#[test]
fn maintenance_packs_what_refs_hold_and_prunes_what_nothing_holds_after_the_grace() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let stray = ledger.write_blob(b"nobody needs me").expect("write");
    let temp = ledger.dir().join("objects/.tmpAbCdEf");
    let incoming = ledger.dir().join("objects/tmp_objdir-incoming-x");
    fs::write(&temp, "half").expect("write");
    fs::create_dir(&incoming).expect("mkdir");
    let none = MaintenanceInput::default();
    assert_eq!(
        ledger.maintain(&none).expect("maintained"),
        gdo_ledger::Maintained::default()
    );
    assert!(
        ledger.contains(&stray) && temp.exists() && incoming.exists(),
        "young things stay"
    );
    let now = MaintenanceInput {
        grace: Duration::ZERO,
        loose_max: 1,
        packs_max: 2,
    };
    let done = ledger.maintain(&now).expect("maintained");
    assert!(done.packed && !done.joined && done.removed == 1, "{done:?}");
    assert_eq!(loose(ledger), 0);
    assert!(!temp.exists() && !incoming.exists(), "old halves go");
    let fresh = Ledger::open(ledger.dir()).expect("opens");
    assert!(!fresh.contains(&stray), "what nothing holds goes");
    // The same open ledger reads on, from the pack, and writes on.
    assert_eq!(test.checkpoint().record.height.0, 0);
    let blob = ledger.write_blob(b"more").expect("write");
    ledger
        .transaction(&[RefEdit::set("refs/gdo/main/cert", None, blob)])
        .expect("set");
    ledger.maintain(&now).expect("a second pack");
    let third = ledger.write_blob(b"third").expect("write");
    ledger
        .transaction(&[RefEdit::set("refs/gdo/main/cert", Some(blob), third)])
        .expect("set");
    let done = ledger.maintain(&now).expect("joined");
    assert!(done.joined, "{done:?}");
    assert_eq!(ledger.read_blob(&third, 100).expect("read"), b"third");
    test.fsck();
}

#[test]
fn what_is_written_once_more_outlives_the_grace() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let packed = ledger.write_blob(b"packed, then nobody's").expect("write");
    ledger
        .transaction(&[RefEdit::set("refs/gdo/main/cert", None, packed)])
        .expect("set");
    let pack = MaintenanceInput {
        loose_max: 1,
        ..MaintenanceInput::default()
    };
    assert!(ledger.maintain(&pack).expect("maintained").packed);
    ledger
        .transaction(&[RefEdit::remove("refs/gdo/main/cert", packed)])
        .expect("remove");
    let loose = ledger.write_blob(b"loose, and nobody's").expect("write");
    let lost = ledger.write_blob(b"not wanted any more").expect("write");
    let script = "find objects -type f -exec touch -d '30 days ago' {} +";
    let aged = std::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(ledger.dir())
        .status();
    assert!(aged.expect("find and touch run").success());
    for (id, content) in [
        (packed, "packed, then nobody's"),
        (loose, "loose, and nobody's"),
    ] {
        assert_eq!(
            ledger
                .write_blob(content.as_bytes())
                .expect("write once more"),
            id
        );
    }
    let join = MaintenanceInput {
        packs_max: 1,
        ..MaintenanceInput::default()
    };
    assert!(ledger.maintain(&join).expect("maintained").joined);
    let fresh = Ledger::open(ledger.dir()).expect("opens");
    assert!(
        fresh.contains(&packed) && fresh.contains(&loose),
        "made young"
    );
    assert!(!fresh.contains(&lost), "old and nobody's");
    test.fsck();
}

#[test]
fn locks_of_the_dead_are_removed_and_nothing_else() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let lock = ledger.dir().join("refs/heads/main.lock");
    fs::write(&lock, "half a value").expect("write");
    fs::write(ledger.dir().join("packed-refs.lock"), "").expect("write");
    let removed = ledger.remove_stale_locks().expect("removed");
    assert_eq!(removed.len(), 2);
    assert!(
        ledger
            .remove_stale_locks()
            .expect("nothing left")
            .is_empty()
    );
    assert_eq!(test.main(), test.genesis);
    let edit = RefEdit::remove("refs/heads/main", test.genesis);
    ledger
        .transaction(&[edit])
        .expect("the ref can be changed again");
}

#[test]
fn objects_are_on_the_disk_before_a_ref_names_them() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let blob = ledger.write_blob(b"durable").expect("write");
    // An object that is not on the disk cannot be synced: the transaction must fail, not go on.
    let hex = blob.to_string();
    let dir = ledger.dir().join("objects").join(&hex[..2]);
    let file = dir.join(&hex[2..]);
    fs::remove_file(&file).expect("remove");
    std::os::unix::fs::symlink(&file, &file).expect("a link to itself cannot be opened");
    let edit = RefEdit::set("refs/gdo/main/cert", None, blob);
    let error = ledger
        .transaction(std::slice::from_ref(&edit))
        .expect_err("cannot be synced");
    assert!(matches!(error, LedgerError::Io { .. }), "{error}");
    assert_eq!(ledger.read_ref("refs/gdo/main/cert").expect("read"), None);
    fs::remove_file(&file).expect("remove");
    ledger.write_blob(b"durable").expect("write again");
    ledger.transaction(&[edit]).expect("synced and set");
}
