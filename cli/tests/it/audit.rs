//! Reading and auditing a ledger in a node directory and in a plain clone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::World;

#[test]
fn a_new_ledger_is_read_and_verified_in_the_node_and_in_a_clone() {
    let world = World::new();
    world.ledger();
    world.run("", "git", &["clone", "-q", "node/ledger.git", "clone"]);
    for dir in ["node", "clone"] {
        world.gdo(dir, &["log"]).ends(0).tells("checkpoint 0");
        world
            .gdo(dir, &["roster"])
            .ends(0)
            .tells("alice")
            .tells("validator of weight 1");
        world
            .gdo(dir, &["roster", "--json"])
            .ends(0)
            .tells(r#""name":"hub""#);
        world
            .gdo(dir, &["proposals"])
            .ends(0)
            .talks("no proposal is open");
        world.gdo(dir, &["dapp", "list"]).ends(0).tells("policy");
        world
            .gdo(dir, &["verify"])
            .ends(0)
            .tells("1 checkpoints")
            .tells("verified");
    }
    // Nothing was left behind: the audit computes in a repository of its own.
    let status = world.run("clone", "git", &["status", "--porcelain"]);
    assert_eq!(status.out, "");
}

#[test]
fn a_clone_that_cannot_fetch_says_so_and_reads_what_it_has() {
    let world = World::new();
    world.ledger();
    world.run("", "git", &["clone", "-q", "node/ledger.git", "clone"]);
    fs::rename(world.path("node"), world.path("away")).expect("directories can be moved");
    world
        .gdo("clone", &["log"])
        .ends(3)
        .talks("cannot fetch the ledger")
        .talks("--no-fetch");
    world
        .gdo("clone", &["log", "--no-fetch"])
        .ends(0)
        .tells("checkpoint 0");
}

#[test]
fn a_shallow_clone_is_told_how_to_get_its_history() {
    let world = World::new();
    world.ledger();
    let url = format!("file://{}", world.path("node/ledger.git").display());
    world.run("", "git", &["clone", "-q", "--depth", "1", &url, "clone"]);
    // A single commit has no history to cut off; git marks the clone all the same.
    fs::write(world.path("clone/.git/shallow"), "").expect("files can be written");
    world
        .gdo("clone", &["verify"])
        .ends(2)
        .talks("git fetch --unshallow");
}

#[test]
fn a_flipped_bit_is_named_by_object_and_path() {
    let world = World::new();
    world.ledger();
    world.gdo("node", &["verify"]).ends(0);
    let listed = world.run(
        "",
        "git",
        &[
            "--git-dir=node/ledger.git",
            "rev-parse",
            "main:.gdo/policy.toml",
        ],
    );
    let id = listed.out.trim();
    let file = world.path(&format!(
        "node/ledger.git/objects/{}/{}",
        &id[..2],
        &id[2..]
    ));
    flip(&file);
    let said = world.gdo("node", &["verify"]).ends(1);
    said.talks(id).talks("(.gdo/policy.toml)");
}

#[test]
fn a_flipped_bit_in_a_pack_is_found() {
    let world = World::new();
    world.ledger();
    world.run(
        "",
        "git",
        &["--git-dir=node/ledger.git", "repack", "-q", "-a", "-d"],
    );
    world.gdo("node", &["verify"]).ends(0);
    let pack = packs(&world.path("node/ledger.git/objects/pack"));
    flip(&pack);
    world
        .gdo("node", &["verify"])
        .ends(1)
        .talks("does not verify");
}

fn packs(dir: &Path) -> PathBuf {
    let entries = fs::read_dir(dir).expect("the directory can be read");
    let mut packs = entries.map(|entry| entry.expect("an entry can be read").path());
    packs
        .find(|path| path.extension().is_some_and(|kind| kind == "pack"))
        .expect("there is a pack")
}

/// Flips a bit in the middle of a file.
fn flip(file: &Path) {
    let mut raw = fs::read(file).expect("the file can be read");
    let middle = raw.len() / 2;
    raw[middle] ^= 1;
    fs::remove_file(file).expect("the file can be replaced");
    fs::write(file, raw).expect("the file can be written");
}
