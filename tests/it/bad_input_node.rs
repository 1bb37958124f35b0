//! Directories, repositories and disks that are not as they should be.

use std::fs;
use std::path::Path;

use gdo_tests::disk::SmallDisk;
use gdo_tests::program::{self, noise};
use gdo_tests::{Clone, Org, Seen};

#[test]
fn an_id_of_the_other_hash_is_refused_by_its_length() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    let sha1 = "0123456789012345678901234567890123456789";
    for place in [clone.gdo(&["approve", sha1]), org.gdo(&["show", sha1])] {
        place.refused().shows(&sha1[..12]);
    }
    org.check();
}

#[test]
fn a_repository_of_the_other_hash_cannot_push() {
    let org = Org::new("blank");
    let refs = org.refs();
    let home = org.environment();
    let path = org.temp().join("sha1");
    let init = ["init", "-q", "--object-format=sha1", "sha1"];
    let _ = Seen::of(&mut home.git(org.temp(), &init)).accepted();
    let key = home.home().join("alice.pub");
    for arguments in [
        &["config", "user.name", "alice"][..],
        &["config", "user.email", "alice@example.org"],
        &["config", "user.signingkey", &key.to_string_lossy()],
        &["commit", "-q", "--allow-empty", "-m", "x"],
    ] {
        let _ = Seen::of(&mut home.git(&path, arguments)).accepted();
    }
    let seen = Seen::of(&mut home.git(&path, &["push", org.url(), "HEAD:refs/for/main"]));
    seen.refused().shows("hash algorithm");
    assert_eq!(org.refs(), refs);
    org.check();
}

#[test]
fn a_node_directory_of_a_newer_version_is_left_alone() {
    let mut org = Org::stopped("blank");
    fs::write(org.dir().join("format"), "2\n").expect("the directory is ours");
    let before = org.refs();
    let seen = Seen::of(&mut org.run_command()).refused();
    seen.shows("layout version 2").shows("upgrade gdo");
    assert_eq!(org.refs(), before);
    fs::write(org.dir().join("format"), "1\n").expect("the directory is ours");
    org.start();
    org.check();
}

#[test]
fn a_node_starts_only_with_the_helper_of_its_version_beside_it() {
    let mut org = Org::stopped("blank");
    let bin = org.temp().join("bin");
    fs::create_dir(&bin).expect("a new directory");
    // A path that is a link would lead back to where the helper is.
    fs::copy(program::gdo(), bin.join("gdo")).expect("a copy of gdo");
    let helper = bin.join("gdo-helper");
    let run = |org: &Org| {
        let mut command = org.environment().command(bin.join("gdo"));
        Seen::of(command.args(["node", "run"]).arg(org.dir())).refused()
    };
    let path = helper.to_str().expect("UTF-8");
    run(&org).shows(path).shows("install gdo again");
    fs::write(&helper, "").expect("ours");
    run(&org).shows(path).shows("cannot be run");
    fs::remove_file(&helper).expect("ours");
    fs::copy("/bin/true", &helper).expect("coreutils are there");
    run(&org)
        .shows("it is 'true ")
        .shows("expected 'gdo-helper ");
    org.start();
    org.check();
}

#[test]
fn a_node_directory_that_was_moved_works_at_its_new_place() {
    let mut org = Org::new("blank");
    let clone = org.clone("alice");
    clone.commit(&[("a.md", "a\n")]);
    let _ = clone.propose(&[]).accepted();
    clone.pull();
    org.stop();
    org.move_to("moved here");
    org.start();
    for (url, path) in [
        (org.url().to_owned(), "b.md"),
        (org.ledger().to_string_lossy().into_owned(), "c.md"),
    ] {
        clone.run(&["remote", "set-url", "origin", &url]);
        clone.commit(&[(path, "x\n")]);
        clone.propose(&[]).accepted().shows("main is now ");
        clone.pull();
    }
    org.check();
}

#[test]
fn a_second_daemon_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    for seen in [
        Seen::of(&mut org.run_command()),
        org.gdo(&["node", "start"]),
    ] {
        let seen = seen.refused();
        seen.shows(&org.dir().to_string_lossy())
            .shows("one daemon at a time");
    }
    clone.commit(&[("a.md", "a\n")]);
    clone.propose(&[]).accepted().shows("main is now ");
    org.check();
}

#[test]
fn what_is_no_node_and_no_ledger_is_named_with_the_command_that_makes_one() {
    let org = Org::stopped("blank");
    let empty = org.temp().join("empty");
    fs::create_dir(&empty).expect("a new directory");
    let run = |directory: &Path| {
        let directory = directory.to_string_lossy();
        Seen::of(&mut org.environment().gdo(&["node", "run", &directory]))
    };
    run(&empty)
        .refused()
        .shows("empty is in no node directory")
        .shows("gdo init");
    run(&org.temp().join("nowhere")).refused().shows("nowhere");

    let other = org.ledger();
    fs::remove_dir_all(&other).expect("the directory is ours");
    let init = [
        "init",
        "-q",
        "--bare",
        "--object-format=sha256",
        "ledger.git",
    ];
    let _ = Seen::of(&mut org.environment().git(org.dir(), &init)).accepted();
    run(org.dir()).refused().shows("main");
    fs::remove_dir_all(&other).expect("the directory is ours");
    fs::create_dir(&other).expect("the directory is ours");
    run(org.dir())
        .refused()
        .shows("ledger.git")
        .shows("gdo init");
}

#[test]
fn a_clone_of_something_else_is_not_taken_for_a_ledger() {
    let org = Org::stopped("blank");
    let plain = org.temp().join("plain");
    let home = org.environment();
    let _ = Seen::of(&mut home.git(org.temp(), &["init", "-q", "plain"])).accepted();
    for command in ["log", "proposals", "roster", "verify"] {
        let seen = Seen::of(home.gdo(&[command]).current_dir(&plain)).refused();
        seen.shows("ledger").hides("panicked");
    }
}

#[test]
fn a_disk_that_fills_during_a_push_costs_the_push_and_nothing_else() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let disk = SmallDisk::mount(temp.path().join("disk"), 24);
    let mut org = Org::stopped_at("blank", disk.path().join("node"));
    org.start();
    let clone = org.clone("alice");
    let mut merged = 0;
    for (round, left) in [0, 16 << 10, 48 << 10, 96 << 10, 192 << 10, 512 << 10]
        .iter()
        .enumerate()
    {
        let filler = disk.fill(*left);
        let path = format!("noise-{round}");
        clone.write(&path, noise(256 << 10));
        clone.write(&format!("{path}.md"), format!("{round}\n"));
        clone.commit_all("Write noise");
        let seen = clone.propose(&[]);
        if seen.ok {
            merged += 1;
        } else {
            assert!(
                is_about_space(&seen.text),
                "with {left} bytes left:\n{}",
                seen.text
            );
        }
        fs::remove_file(filler).expect("it is ours");
        let again = clone.propose(&[]).accepted();
        again.shows("checkpoint");
        clone.pull();
        assert_eq!(org.file(&format!("{path}.md")), Some(round.to_string()));
        org.check();
    }
    assert!(merged < 6, "the disk was never full");
    org.stop();
}

fn is_about_space(text: &str) -> bool {
    ["No space left on device", "the node's disk is full"]
        .iter()
        .any(|words| text.contains(words))
}

#[test]
fn a_clone_says_what_is_missing_when_its_node_is_gone() {
    let mut org = Org::new("blank");
    let clone: Clone = org.clone("alice");
    org.stop();
    clone.gdo(&["approve", "0123"]).refused().hides("panicked");
    org.gdo(&["status"]).refused().shows("gdo node ");
}
