//! A node that stops, or is killed, goes on where it was.

use gdo_tests::{Org, dapp};

const POLICY: &str = ".gdo/policy.toml";

#[test]
fn open_proposals_and_the_head_outlive_a_restart() {
    let mut org = Org::new("blank");
    let alice = org.clone("alice");
    org.add_person(&alice, "bob", "board");
    alice.replace(POLICY, "self_approval = true\n", "");
    alice.commit_all("Ask for a second pair of eyes");
    let _ = alice.propose(&[]).accepted();
    alice.pull();
    let text = alice.read(POLICY) + "\n# a remark\n";
    let id = alice.commit(&[(POLICY, &text)]);
    alice.propose(&[]).accepted().shows("it waits for approval");
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
    let bob = org.clone_of("bob", "bob");
    bob.gdo(&["approve", &id]).accepted().shows("main is now ");
    assert!(
        org.file(POLICY)
            .is_some_and(|text| text.contains("# a remark"))
    );
    org.check();
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
