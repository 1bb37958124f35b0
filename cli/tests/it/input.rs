//! Bad input: named, with what was expected and what to do.

use std::fs;

use crate::support::World;

#[test]
fn a_place_that_is_no_ledger_is_named() {
    let world = World::new();
    world
        .gdo("home", &["log"])
        .ends(2)
        .talks("in no node directory and in no git clone");
    world.run("", "git", &["init", "-q", "-b", "main", "plain"]);
    world
        .gdo("plain", &["log"])
        .ends(2)
        .talks("is no ledger: refs/heads/main is missing");
    world
        .gdo("", &["log", "--dir", "nowhere"])
        .ends(2)
        .talks("nowhere is no directory");
    world
        .gdo("", &["status"])
        .ends(2)
        .talks("name one with --dir");
}

#[test]
fn rules_with_a_fault_are_refused_with_file_line_and_key() {
    let world = World::new();
    let policy = "version = 1\n[finality]\nvalidators = [{ member = \"hub\", weight = 1 }]\n\
                  [[rule]]\npath = \"\"\nlane = \"cas\"\nwriters = [\"any\"]\nunvalidated = true\n";
    world.write("policy.toml", policy);
    let lint = || world.gdo("", &["policy", "lint", "policy.toml"]);
    lint().ends(0).talks("the rules are sound");
    for (from, to, expected) in [
        ("unvalidated = true", "", "zero checks must be a decision"),
        ("lane = \"cas\"", "lane = \"fast\"", "policy.toml:6: "),
        ("weight = 1", "weight = 1, vote = 2", "unknown field `vote`"),
        ("version = 1", "version = 2", "upgrade gdo"),
        ("[finality]", "[finality]\nquorum = 2", "quorum"),
        ("path = \"\"", "path = \"a/\"", "expected a default rule"),
        ("writers = [\"any\"]", "writers = [\"all\"]", "member set"),
    ] {
        world.write("policy.toml", &policy.replace(from, to));
        lint()
            .ends(1)
            .tells(expected)
            .talks("the rules are not sound");
    }
    world.gdo("", &["policy", "lint", "nothing"]).ends(2);
}

#[test]
fn the_rules_of_a_new_ledger_are_sound_and_a_lock_out_is_found() {
    let world = World::new();
    world.ledger();
    world.gdo("node", &["policy", "lint"]).ends(0);
    world.run("", "git", &["clone", "-q", "node/ledger.git", "clone"]);
    world.gdo("clone", &["policy", "lint"]).ends(0);

    let roster = world.path("clone/.gdo/roster/alice.toml");
    let text = fs::read_to_string(&roster).expect("the roster is in the clone");
    fs::write(&roster, text.replace("\"active\"", "\"removed\"")).expect("files can be written");
    world
        .gdo("clone", &["policy", "lint"])
        .ends(1)
        .tells("nobody could change it any more");
    world
        .gdo("clone", &["policy", "lint", "origin/main"])
        .ends(0);
}

#[test]
fn ids_are_refused_with_the_form_that_is_expected() {
    let world = World::new();
    world.ledger();
    world
        .gdo("node", &["show", "abc"])
        .ends(2)
        .talks("expected 4 to 64 lower-case hex digits");
    world
        .gdo("node", &["show", "HEAD"])
        .ends(2)
        .talks("bad id 'HEAD'");
    let sha1 = "0123456789012345678901234567890123456789";
    world
        .gdo("node", &["show", sha1])
        .ends(2)
        .talks("ids of this ledger have 64 hex digits");
    world
        .gdo("node", &["show", "main"])
        .ends(0)
        .tells("checkpoint");
    world
        .gdo("node", &["approve", "main"])
        .ends(2)
        .talks("is no proposal");
}

#[test]
fn a_node_directory_of_a_newer_version_is_left_alone() {
    let world = World::new();
    world.ledger();
    world.write("node/format", "99\n");
    world
        .gdo("node", &["log"])
        .ends(2)
        .talks("layout version 99")
        .talks("upgrade gdo");
}
