//! Proposals that need other people: they wait, and a note that one of those signed lets them in.

use gdo_tests::{Clone, Org, Seen};

const POLICY: &str = ".gdo/policy.toml";

/// An organisation of alice and bob, both on the board, where what one proposes the other approves.
fn board_of_two() -> (Org, Clone, Clone) {
    let org = Org::new("blank");
    let alice = org.clone("alice");
    org.add_person(&alice, "bob", "board");
    alice.replace(POLICY, "self_approval = true\n", "");
    alice.commit_all("Ask for a second pair of eyes");
    alice.propose(&[]).accepted().shows("policy       pass");
    alice.pull();
    let bob = org.clone_of("bob", "bob");
    (org, alice, bob)
}

/// Proposes a change of the rules, which waits; gives its id.
fn propose_rule(org: &Org, clone: &Clone) -> String {
    let main = org.main();
    let text = clone.read(POLICY) + "\n# a remark\n";
    let id = clone.commit(&[(POLICY, &text)]);
    let seen = clone.propose(&[]).accepted();
    seen.shows("recorded; it waits for approval by role:board");
    seen.shows(&format!("gdo approve {}", &id[..12]))
        .hides("main is now");
    assert_eq!(org.main(), main, "nothing is merged without the approval");
    assert_eq!(org.status()["pending"][0]["proposal"], id);
    id
}

/// Pushes a note made with stock git alone.
fn note(clone: &Clone, trailer: &str, id: &str) -> Seen {
    clone.run(&["fetch", "-q"]);
    clone.run(&["checkout", "-q", "--detach", "origin/main"]);
    let message = format!("A note\n\n{trailer}: {id}");
    clone.run(&["commit", "-q", "--allow-empty", "-m", &message]);
    clone.propose(&[])
}

fn has_remark(org: &Org) -> bool {
    org.file(POLICY)
        .is_some_and(|text| text.contains("# a remark"))
}

#[test]
fn a_change_of_the_rules_that_one_person_may_approve_alone_merges_at_once() {
    let org = Org::new("blank");
    let alice = org.clone("alice");
    let text = alice.read(POLICY) + "\n# a remark\n";
    alice.commit(&[(POLICY, &text)]);
    alice
        .propose(&[])
        .accepted()
        .shows("policy       pass")
        .shows("main is now ");
    assert!(has_remark(&org));
    org.check();
}

#[test]
fn a_proposal_that_needs_another_person_waits_until_that_person_signs_a_note() {
    let (org, alice, bob) = board_of_two();
    let id = propose_rule(&org, &alice);
    let _ = note(&alice, "Gdo-Approve", &id);
    assert!(
        !has_remark(&org),
        "nobody approves what they signed themselves"
    );
    note(&bob, "Gdo-Approve", &id)
        .accepted()
        .shows("main is now ");
    assert!(has_remark(&org));
    assert_eq!(org.status()["pending"], serde_json::json!([]));
    org.check();
}

#[test]
fn gdo_approve_in_a_clone_does_what_the_note_by_hand_does() {
    let (org, alice, bob) = board_of_two();
    let id = propose_rule(&org, &alice);
    bob.gdo(&["proposals"]).accepted().shows(&id[..7]);
    bob.gdo(&["approve", &id[..12], "-m", "looks right"])
        .accepted()
        .shows("main is now ");
    assert!(has_remark(&org));
    org.check();
}

#[test]
fn a_proposal_that_was_withdrawn_does_not_come_back() {
    let (org, alice, bob) = board_of_two();
    let id = propose_rule(&org, &alice);
    let _ = note(&alice, "Gdo-Withdraw", &id).accepted();
    let _ = note(&bob, "Gdo-Approve", &id);
    assert!(!has_remark(&org));
    assert_eq!(org.status()["pending"], serde_json::json!([]));
    org.check();
}
