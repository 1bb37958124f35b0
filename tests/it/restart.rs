//! A node that stops, or is killed, goes on where it was.

use gdo_tests::{Org, dapp};

const POLICY: &str = ".gdo/policy.toml";

/// An organisation in which bob must approve what alice proposed last.
fn org_with_a_proposal_that_waits() -> (Org, String) {
    let org = Org::new("blank");
    let alice = org.clone("alice");
    org.add_person(&alice, "bob", "board");
    alice.replace(POLICY, "self_approval = true\n", "");
    alice.commit_all("Ask for a second pair of eyes");
    let _ = alice.propose(&[]).accepted();
    alice.pull();
    let text = alice.read(POLICY) + "\n# a remark\n";
    let id = alice.commit(&[(POLICY, &text)]);
    alice.propose(&[]).accepted().shows("it waits for approval");
    (org, id)
}

/// Bob approves it.
#[track_caller]
fn approve(org: &Org, id: &str) {
    let bob = org.clone_of("bob", "bob");
    bob.gdo(&["approve", id]).accepted().shows("main is now ");
    assert!(
        org.file(POLICY)
            .is_some_and(|text| text.contains("# a remark"))
    );
    org.check();
}

#[test]
fn open_proposals_and_the_head_outlive_a_restart() {
    let (mut org, id) = org_with_a_proposal_that_waits();
    let before = (
        org.main(),
        org.status()["head"].clone(),
        org.status()["pending"].clone(),
    );
    assert_eq!(before.2[0]["proposal"], id);

    org.stop();
    org.check();
    org.start();
    let after = (
        org.main(),
        org.status()["head"].clone(),
        org.status()["pending"].clone(),
    );
    assert_eq!(after, before);
    approve(&org, &id);
}

#[test]
fn a_proposal_that_waits_behind_a_merged_one_outlives_a_restart() {
    let (mut org, id) = org_with_a_proposal_that_waits();
    let other = org.clone("other");
    other.commit(&[("notes/one.md", "1\n")]);
    other.propose(&[]).accepted().shows("main is now ");
    assert_eq!(org.status()["pending"][0]["proposal"], id);

    for _ in 0..2 {
        org.kill();
        org.start();
        assert_eq!(org.status()["pending"][0]["proposal"], id);
    }
    // A crash between the block's ref and the proposal's leaves the one without the other.
    let name = format!("refs/gdo/main/proposals/{id}");
    org.stop();
    let _ = org.git(&["update-ref", "-d", &name]);
    org.start();
    assert_eq!(org.git(&["rev-parse", &name]).trim(), id);
    approve(&org, &id);
}

#[test]
fn a_proposal_that_was_being_judged_when_the_node_was_killed_is_decided_after_the_start() {
    let mut org = Org::new("blank");
    let alice = org.clone("alice");
    let slow = "if [ -e notes/slow.md ]; then sleep 2; fi";
    dapp::write_shell_dapp(&alice, "slow", slow);
    alice.commit_all("Add a slow dapp");
    alice.propose(&[]).accepted().shows("main is now ");
    alice.pull();
    alice.commit(&[("notes/slow.md", "# slow\n")]);
    alice
        .propose(&["wait=none"])
        .accepted()
        .shows("not decided yet");
    org.kill();
    assert_eq!(
        org.file("notes/slow.md"),
        None,
        "it was killed while the dapp judged"
    );

    org.start();
    org.wait_for_log("final height=2");
    assert_eq!(org.file("notes/slow.md").as_deref(), Some("# slow"));
    alice.run(&["remote", "set-url", "origin", org.url()]);
    alice
        .propose(&[])
        .accepted()
        .shows("it ended at checkpoint 2 already");
    org.check();
}

#[test]
fn a_node_that_is_killed_again_and_again_loses_nothing_that_it_acknowledged() {
    let mut org = Org::new("blank");
    let alice = org.clone("alice");
    for round in 0..5 {
        alice.commit(&[(&format!("notes/{round}.md"), &format!("{round}\n"))]);
        alice
            .propose(&["wait=none"])
            .accepted()
            .shows("gdo: proposal ");
        org.kill();
        org.start();
        alice.run(&["remote", "set-url", "origin", org.url()]);
        alice.propose(&[]).accepted().shows("at checkpoint");
        alice.pull();
    }
    for round in 0..5 {
        assert_eq!(
            org.file(&format!("notes/{round}.md")),
            Some(round.to_string())
        );
    }
    assert_eq!(org.status()["pending"], serde_json::json!([]));
    org.check();
}

#[test]
fn a_certificate_that_is_missing_or_old_is_made_again_from_the_nodes_own_log() {
    let mut org = Org::new("blank");
    let alice = org.clone("alice");
    alice.commit(&[("one.md", "1\n")]);
    let _ = alice.propose(&[]).accepted();
    let old = org.git(&["rev-parse", "refs/gdo/main/cert"]);
    alice.pull();
    alice.commit(&[("two.md", "2\n")]);
    let _ = alice.propose(&[]).accepted();
    org.stop();
    let newest = org.git(&["rev-parse", "refs/gdo/main/cert"]);
    for damage in [
        vec!["update-ref", "-d", "refs/gdo/main/cert"],
        vec!["update-ref", "refs/gdo/main/cert", old.trim()],
    ] {
        let _ = org.git(&damage);
        org.start();
        assert_eq!(org.git(&["rev-parse", "refs/gdo/main/cert"]), newest);
        org.stop();
    }
    org.start();
    let again = org.clone("again");
    again.commit(&[("three.md", "3\n")]);
    again.propose(&[]).accepted().shows("main is now ");
    let _ = org.gdo(&["verify"]).accepted();
    org.check();
}

#[test]
fn main_follows_a_certificate_that_a_crash_left_ahead_of_it() {
    let mut org = Org::new("blank");
    let alice = org.clone("alice");
    let before = org.main();
    alice.commit(&[("one.md", "1\n")]);
    let _ = alice.propose(&[]).accepted();
    let after = org.main();
    assert_ne!(after, before);
    org.stop();
    let _ = org.git(&["update-ref", "refs/heads/main", before.trim()]);
    org.start();
    assert_eq!(org.main(), after);
    let _ = org.gdo(&["verify"]).accepted();
    org.check();
}
