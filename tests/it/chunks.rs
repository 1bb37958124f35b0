//! `gdo chunks` on a node with large files, while its daemon runs and while it does not.

use std::fs;
use std::path::PathBuf;

use gdo_tests::program::noise;
use gdo_tests::{Clone, Org, lfs};

const BYTES: usize = 3 << 20;

/// An organisation whose ledger names one large file twice.
fn org() -> (Org, Clone, String) {
    let org = Org::new("blank");
    lfs::install(org.environment());
    let clone = org.clone("alice");
    lfs::commit(&clone, "*.img", "disk.img", &noise(BYTES));
    let oid = lfs::oid(&clone, "disk.img");
    let _ = clone.propose(&[]).accepted();
    (org, clone, oid)
}

fn packs(org: &Org) -> Vec<PathBuf> {
    let dir = fs::read_dir(org.dir().join("chunks/packs")).expect("the store has packs");
    dir.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn what_a_store_holds_is_the_same_with_and_without_a_daemon() {
    let (mut org, _, oid) = org();
    let stat = org.gdo(&["chunks", "stat", "--json"]).accepted().json();
    let objects = stat["objects"].as_array().expect("a list");
    let object = objects.iter().find(|object| object["oid"] == oid);
    let object = object.expect("the large file is among them");
    assert_eq!(object["logical_bytes"], BYTES);
    assert_eq!(object["unique_bytes"], BYTES, "noise has no chunk twice");
    let sum: u64 = objects
        .iter()
        .filter_map(|object| object["logical_bytes"].as_u64())
        .sum();
    assert_eq!(stat["logical_bytes"], sum);
    let stored = stat["stored_bytes"].as_u64().expect("a number");
    assert!(stored > BYTES as u64, "noise cannot be compressed");
    assert_eq!(stat["plain_bytes"], BYTES, "and nothing of .gdo");
    let seen = org.gdo(&["chunks", "stat", "--objects"]).accepted();
    seen.shows(&oid).shows("times less than logical");
    org.stop();
    let stopped = org.gdo(&["chunks", "stat", "--json"]).accepted().json();
    for key in [
        "logical_bytes",
        "unique_bytes",
        "stored_bytes",
        "plain_bytes",
        "objects",
    ] {
        assert_eq!(stopped[key], stat[key], "{key}");
    }
}

#[test]
fn a_flipped_byte_is_named_and_healed_by_storing_the_object_again() {
    let (mut org, alice, oid) = org();
    let _ = org.gdo(&["chunks", "verify"]).accepted();
    org.stop();
    let pack = packs(&org).pop().expect("a pack");
    let mut bytes = fs::read(&pack).expect("readable");
    // The large file came last.
    let late = bytes.len() - BYTES / 2;
    bytes[late] ^= 1;
    fs::write(&pack, bytes).expect("ours");

    let seen = org.gdo(&["chunks", "verify"]).refused();
    seen.shows(&oid).shows("is not sound");
    org.start();
    let seen = org.gdo(&["chunks", "verify"]).refused();
    seen.shows(&oid);
    let _ = org.gdo(&["verify"]).refused().shows(&oid);
    // A clone that has it stores it again.
    alice.run(&["remote", "set-url", "origin", org.url()]);
    alice.run(&["lfs", "push", "--object-id", "origin", &oid]);
    let _ = org.gdo(&["chunks", "verify"]).accepted();
    let _ = org.gdo(&["verify"]).accepted();
}

#[test]
fn an_index_that_is_lost_is_made_anew() {
    let (mut org, alice, _) = org();
    org.gdo(&["chunks", "reindex"])
        .refused()
        .shows("one process at a time");
    org.stop();
    fs::remove_dir_all(org.dir().join("chunks/index")).expect("ours");
    org.gdo(&["chunks", "reindex"])
        .accepted()
        .shows("are in the index");
    org.start();
    let clone = org.clone("other");
    assert_eq!(lfs::read(&clone, "disk.img"), lfs::read(&alice, "disk.img"));
    let _ = org.gdo(&["chunks", "verify"]).accepted();
}

#[test]
fn what_the_ledger_names_survives_a_collection_and_a_new_upload_does_too() {
    let (org, alice, _) = org();
    let clone = org.clone("bob");
    lfs::commit(&clone, "*.img", "staged.img", &noise(BYTES / 2));
    let oid = lfs::oid(&clone, "staged.img");
    clone.run(&["lfs", "push", "--object-id", "origin", &oid]);
    let objects = org.gdo(&["chunks", "stat", "--json"]).accepted().json()["objects"].clone();
    let gc = org.gdo(&["chunks", "gc", "--json"]).accepted().json();
    assert_eq!(
        gc["objects_kept"],
        objects.as_array().expect("a list").len()
    );
    assert_eq!(gc["objects_removed"], 0);
    assert_eq!(
        lfs::read(&org.clone("other"), "disk.img"),
        lfs::read(&alice, "disk.img")
    );
}

#[test]
fn an_object_that_is_gone_is_called_missing() {
    let (mut org, _, oid) = org();
    org.stop();
    fs::remove_dir_all(org.dir().join("chunks")).expect("ours");
    let seen = org.gdo(&["chunks", "verify"]).refused();
    seen.shows(&oid).shows("gdo chunks fetch --from");
    org.start();
    let _ = org.gdo(&["verify"]).refused().shows(&oid);
}
