//! The ways into a ledger: a local path, SSH through a real sshd, HTTP from the daemon.

use gdo_tests::sshd::Sshd;
use gdo_tests::{Clone, Org, Seen};

/// Proposes a file and pulls what main became.
#[track_caller]
fn propose(clone: &Clone, org: &Org, path: &str) {
    clone.commit(&[(path, "hello\n")]);
    let seen = clone.propose(&["topic=t1"]).accepted();
    seen.shows("remote: gdo: proposal ")
        .shows("main is now ")
        .shows("refs/gdo/main/proposals/");
    clone.pull();
    assert_eq!(clone.tip(), org.main());
}

#[test]
fn the_nodes_own_user_clones_and_pushes_by_path() {
    let org = Org::new("blank");
    let key = org.environment().home().join("alice.pub");
    let path = org.ledger().to_string_lossy().into_owned();
    let clone = Clone::new(org.environment(), &path, org.temp().join("alice"), &key);
    propose(&clone, &org, "a.md");
    org.check();
}

#[test]
fn a_member_clones_and_pushes_over_ssh() {
    let org = Org::new("blank");
    let sshd = Sshd::serving(&org);
    let key = org.environment().home().join("alice.pub");
    let set = ["config", "--global", "core.sshCommand", &sshd.client(&org)];
    let _ = Seen::of(&mut org.environment().git(org.temp(), &set)).accepted();
    let url = sshd.url("makers.git");
    let clone = Clone::new(org.environment(), &url, org.temp().join("alice"), &key);
    propose(&clone, &org, "a.md");
    let elsewhere = ["ls-remote", &sshd.url("other.git")];
    let seen = Seen::of(&mut org.environment().git(org.temp(), &elsewhere)).refused();
    seen.shows("makers.git");
    org.check();
}

#[test]
fn a_proposal_pushed_one_way_is_found_again_the_other_way() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    propose(&clone, &org, "a.md");
    clone.run(&[
        "remote",
        "set-url",
        "origin",
        &org.ledger().to_string_lossy(),
    ]);
    propose(&clone, &org, "b.md");
    assert_eq!(org.status()["height"], 2);
    org.check();
}

#[test]
fn a_node_that_is_started_in_the_background_serves_until_it_is_stopped() {
    let org = Org::stopped("blank");
    let started = org.gdo(&["node", "start"]).accepted();
    let url = started
        .text
        .lines()
        .find(|line| line.starts_with("http://"));
    let url = url.expect("it prints where it is cloned from").to_owned();
    let key = org.environment().home().join("alice.pub");
    let clone = Clone::new(org.environment(), &url, org.temp().join("alice"), &key);
    propose(&clone, &org, "a.md");
    let _ = org.gdo(&["node", "start"]).refused();
    let _ = org.gdo(&["node", "stop"]).accepted();
    let _ = clone.propose(&[]).refused();
    org.check();
}
