//! Dapps that crash, loop, flood or hoard: their verdict is inconclusive, the proposal stays open,
//! and the node lives.
//!
//! A new dapp must pass the ledger as it stands, so these behave until they see a certain note.

use gdo_tests::{Clone, Org, dapp};

/// An organisation with a dapp that runs `script` when there is a note `bad.md`.
fn with_dapp(script: &str) -> (Org, Clone) {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    dapp::write_shell_dapp(
        &clone,
        "moody",
        &format!("[ -e notes/bad.md ] || exit 0\n{script}"),
    );
    clone.commit_all("Add a moody dapp");
    clone
        .propose(&[])
        .accepted()
        .shows("policy       pass")
        .shows("main is now ");
    clone.pull();
    (org, clone)
}

/// Proposes the note: undecided, still open, and others go on.
#[track_caller]
fn is_inconclusive(script: &str, reason: &str) {
    let (org, clone) = with_dapp(script);
    let main = org.main();
    let id = clone.commit(&[("notes/bad.md", "# bad\n")]);
    let seen = clone.propose(&[]).accepted();
    seen.shows("moody        inconclusive").shows(reason);
    seen.shows("the proposal stays open").hides("main is now ");
    assert_eq!(org.main(), main, "nothing merges without a verdict");
    assert_eq!(org.status()["pending"][0]["proposal"], id);

    let other = org.clone("other");
    other.commit(&[("elsewhere.md", "x\n")]);
    other.propose(&[]).accepted().shows("main is now ");
    assert_eq!(org.file("notes/bad.md"), None);
    assert_eq!(org.file("elsewhere.md").as_deref(), Some("x"));
    org.check();
}

#[test]
fn a_dapp_that_crashes_decides_nothing() {
    // The first process of a container is spared by the signals of its own; its child is not.
    is_inconclusive("sh -c 'kill -SEGV $$'; exit $?", "139");
}

#[test]
fn a_dapp_that_ends_with_a_code_that_is_no_verdict_decides_nothing() {
    is_inconclusive("exit 70", "70");
}

#[test]
fn a_dapp_that_answers_differently_twice_decides_nothing() {
    let script = "read -r id </proc/sys/kernel/random/uuid\n\
                  case $id in [0-7]*) exit 0 ;; esac\nexit 1";
    let (org, clone) = with_dapp(script);
    // A fail is made twice, so every fourth push on the average meets both answers.
    for number in 0..100 {
        let _ = clone.run(&["fetch", "-q", "origin"]);
        let _ = clone.run(&["reset", "-q", "--hard", "origin/main"]);
        clone.commit(&[("notes/bad.md", &format!("{number}\n"))]);
        let seen = clone.propose(&[]);
        if seen.text.contains("two different results for one input") {
            seen.accepted().shows("the proposal stays open");
            org.check();
            return;
        }
    }
    panic!("a dapp that tosses a coin was never found out");
}

#[test]
fn a_dapp_that_waits_for_ever_is_stopped_and_decides_nothing() {
    is_inconclusive("sleep 1000", "wall");
}

#[test]
fn a_dapp_that_loops_is_stopped_and_decides_nothing() {
    is_inconclusive("while :; do :; done", "");
}

#[test]
fn a_dapp_that_floods_is_stopped_and_decides_nothing() {
    is_inconclusive("yes flood", "output");
}

#[test]
fn a_dapp_that_hoards_memory_is_stopped_and_decides_nothing() {
    is_inconclusive("x=xxxxxxxx; while :; do x=$x$x; done", "memory");
}

#[test]
fn a_dapp_that_forks_without_end_is_stopped_and_decides_nothing() {
    is_inconclusive("f() { f & f; }; f; sleep 1000", "");
}

#[test]
fn a_dapp_that_says_no_sets_the_proposal_aside_with_its_words() {
    let (org, clone) = with_dapp("echo 'bad notes are not for us'; exit 1");
    clone.commit(&[("notes/bad.md", "# bad\n")]);
    let seen = clone.propose(&[]).refused();
    seen.shows("moody        FAIL")
        .shows("bad notes are not for us");
    assert_eq!(org.file("notes/bad.md"), None);
    assert_eq!(org.status()["pending"], serde_json::json!([]));
    org.check();
}

#[test]
fn a_new_dapp_that_fails_the_ledger_as_it_stands_is_refused_at_the_door() {
    for script in ["exit 1", "exit 70"] {
        let org = Org::new("blank");
        let clone = org.clone("alice");
        dapp::write_shell_dapp(&clone, "moody", script);
        clone.commit_all("Add a moody dapp");
        clone.propose(&[]).refused().shows("moody");
        org.check();
    }
}
