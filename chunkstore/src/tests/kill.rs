//! A process that works with real files is killed with SIGKILL at its fault points.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use gdo_core::id::Digest;

use super::crash::{Told, work};
use super::{assert_reindex_is_index, open_short, put_at, small};
use crate::error::StoreError;
use crate::fault;
use crate::store::Store;

const PACK_BYTES: u64 = 200 << 10;
const DIR: &str = "GDO_CHUNKS_CRASH_DIR";

/// Runs [`child`] in `dir` and kills it at point `at`; says how many points it passed if it lived.
fn run_child(dir: &Path, at: u64) -> Option<u64> {
    let me = std::env::current_exe().expect("a test knows its program");
    let output = Command::new(me)
        .args([
            "--exact",
            "tests::kill::child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .env("GDO_CHUNKS_FAULT_AT", at.to_string())
        .stderr(Stdio::inherit())
        .output()
        .expect("the test program runs");
    if output.status.signal() == Some(9) {
        return None;
    }
    assert!(output.status.success(), "point {at}: {}", output.status);
    let said = String::from_utf8(output.stdout).expect("text");
    let (_, passed) = said
        .split_once("points ")
        .expect("the child says how many it passed");
    let passed = passed.lines().next().expect("a line").parse();
    Some(passed.expect("a number"))
}

#[test]
#[ignore = "a part of the tests about killed processes, which start it"]
fn child() {
    let dir = std::env::var_os(DIR).expect("the test that starts it sets GDO_CHUNKS_CRASH_DIR");
    let dir = Path::new(&dir);
    let store = open_short(&dir.join("chunks"), PACK_BYTES).expect("the store opens");
    let mut told = Told::default();
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("told"));
    let mut log = log.expect("the log opens");
    told.tell = Some(Box::new(move |line| {
        writeln!(log, "{line}").expect("the log is written");
    }));
    work(&store, &mut told).expect("the work is done");
    drop(store);
    let report = Store::reindex(&dir.join("chunks"), &small(), &mut |_| {});
    assert_eq!(report.expect("the index is made anew").damages, []);
    println!("points {}", fault::passed());
}

/// What a killed child was told: the names that were acknowledged and not given up again.
fn acknowledged(dir: &Path) -> Vec<Digest> {
    let mut kept: Vec<Digest> = Vec::new();
    let told = std::fs::read_to_string(dir.join("told")).unwrap_or_default();
    for line in told.lines() {
        let (word, oid) = line.split_once(' ').expect("a word and a name");
        let oid: Digest = oid.parse().expect("a name");
        kept.retain(|other| *other != oid);
        if word == "kept" {
            kept.push(oid);
        }
    }
    kept
}

fn check_after_kill(dir: &Path, at: u64) {
    let chunks = dir.join("chunks");
    {
        let store = open_short(&chunks, PACK_BYTES).unwrap_or_else(|error| panic!("{at}: {error}"));
        for oid in acknowledged(dir) {
            let found = super::get(&store, &oid);
            let found =
                found.unwrap_or_else(|error| panic!("point {at}: acknowledged, and {error}"));
            assert_eq!(Digest::of(&found), oid, "point {at}");
        }
        for pointer in store.objects().expect("the index is read") {
            let found = super::get(&store, &pointer.oid);
            let found = found.unwrap_or_else(|error| panic!("point {at}: named, and {error}"));
            assert_eq!(Digest::of(&found), pointer.oid, "point {at}");
        }
        let report = store.verify(&mut |_| {}).expect("everything is read");
        assert!(report.is_sound(), "point {at}: {report:?}");
    }
    assert_reindex_is_index(&chunks);
    let store = open_short(&chunks, PACK_BYTES).unwrap_or_else(|error| panic!("{at}: {error}"));
    let again: Result<_, StoreError> = put_at(&store, b"it goes on", 70);
    again.unwrap_or_else(|error| panic!("point {at}: goes on: {error}"));
}

fn kill_at_every(step_by: usize) -> u64 {
    let mut points = 0;
    for at in (1..).step_by(step_by) {
        let dir = tempfile::tempdir().expect("a directory");
        if let Some(passed) = run_child(dir.path(), at) {
            assert!(
                passed < at,
                "point {at} of {passed} was passed and not died at"
            );
            return points;
        }
        check_after_kill(dir.path(), at);
        points += 1;
    }
    points
}

#[test]
fn a_process_that_is_killed_at_any_point_loses_nothing_that_was_acknowledged() {
    let points = kill_at_every(13);
    assert!(points >= 10, "only {points} points");
}

#[test]
#[ignore = "soak: kills a process at every point, some minutes"]
fn a_process_that_is_killed_at_every_point_loses_nothing_that_was_acknowledged() {
    let points = kill_at_every(1);
    assert!(points >= 200, "only {points} points");
}
