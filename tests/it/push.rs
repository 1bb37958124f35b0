//! What a push does: accepted, refused, waiting, tried, repeated.
//!
//! Journeys A and B are played with stock git against the daemon; then every option of a push.

use gdo_tests::{Clone, Org, Seen};

/// A posting that spends from alice's balance of 50.
fn spend(clone: &Clone, id: &str, what: &str) -> String {
    let path = format!("acct/txn/2026/11/{id}.journal");
    let text = format!(
        "2026-11-02 {what}\n    ; id: {id}\n    Liabilities:Member:alice    40.00 USD\n    \
         Income:Sales               -40.00 USD\n"
    );
    clone.commit(&[(&path, &text)])
}

/// A clone in which alice has paid in 50, merged already.
fn paid_in(org: &Org) -> Clone {
    let clone = org.clone("alice");
    let id = "01KAJ3T6Z8Q4M2W9X5Y7B1C0D0";
    let text = format!(
        "2026-11-01 Alice pays in 50\n    ; id: {id}\n    Assets:Bank                 50.00 USD\n    \
         Liabilities:Member:alice   -50.00 USD\n"
    );
    clone.write(&format!("acct/txn/2026/11/{id}.journal"), text);
    let include = "include txn/2026/11/*.journal\n";
    let journal = clone.read("acct/main.journal");
    if !journal.lines().any(|line| line == include.trim_end()) {
        clone.write("acct/main.journal", journal + include);
    }
    clone.commit_all("Alice pays in 50");
    let seen = clone.propose(&[]).accepted();
    seen.shows("gdo: proposal ")
        .shows("by alice, ")
        .shows("lane final");
    seen.shows("accounting   pass")
        .shows("main is now ")
        .shows("(checkpoint 1)");
    clone.pull();
    clone
}

#[test]
fn a_proposal_that_passes_is_on_main_and_a_clone_pulls_it() {
    let org = Org::new("books");
    let before = org.main();
    let clone = paid_in(&org);
    assert_ne!(org.main(), before);
    assert_eq!(clone.tip(), org.main());
    assert_eq!(org.status()["height"], 1);
    org.check();
}

#[test]
fn of_two_clones_that_spend_the_same_money_the_second_is_refused_with_file_and_line() {
    let org = Org::new("books");
    let _ = paid_in(&org);
    let (desk, phone) = (org.clone("desk"), org.clone("phone"));
    spend(&desk, "01KAJ3T6Z8Q4M2W9X5Y7B1C0D1", "Alice buys a drill");
    spend(&phone, "01KAJ3T6Z8Q4M2W9X5Y7B1C0D2", "Alice buys a saw");
    desk.propose(&[]).accepted().shows("accounting   pass");
    let main = org.git(&["rev-parse", "main^{tree}"]);
    let seen = phone.propose(&[]).refused();
    seen.shows("accounting   FAIL");
    seen.shows("acct/txn/2026/11/01KAJ3T6Z8Q4M2W9X5Y7B1C0D2.journal:3");
    seen.shows("alice's balance would be -30.00 USD (floor 0.00)");
    seen.shows("[remote rejected] HEAD -> refs/for/main (accounting: 1 problem)");
    assert_eq!(
        org.file("acct/txn/2026/11/01KAJ3T6Z8Q4M2W9X5Y7B1C0D2.journal"),
        None
    );
    let files = org.git(&["diff", "--name-only", &main, "main"]);
    assert_eq!(
        files, ".gdo/checkpoint.json",
        "only the record of the refusal was added"
    );
    org.check();
}

#[test]
fn what_the_newest_checkpoint_holds_is_also_the_head() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone.commit(&[("notes/a.md", "a\n")]);
    let _ = clone.propose(&[]).accepted();
    assert_eq!(org.git(&["rev-parse", "refs/gdo/main/head"]), org.main());
    assert_eq!(org.status()["head"], org.main());
    assert_eq!(org.status()["pending"], serde_json::json!([]));
    org.check();
}

#[test]
fn a_dry_run_names_the_dapps_and_merges_nothing() {
    let org = Org::new("books");
    let clone = paid_in(&org);
    let before = (org.main(), org.refs());
    spend(&clone, "01KAJ3T6Z8Q4M2W9X5Y7B1C0D1", "Alice buys a drill");
    let seen = clone.propose(&["dry-run"]).accepted();
    seen.shows("accounting   pass")
        .shows("gdo: dry run: nothing was merged");
    assert_eq!((org.main(), org.refs()), before);
    let seen = Seen::of(&mut clone.git(&["push", "origin", "HEAD:refs/for/main%dry-run"]));
    seen.accepted()
        .shows("(cached)")
        .shows("dry run: nothing was merged");
    spend(&clone, "01KAJ3T6Z8Q4M2W9X5Y7B1C0D2", "Alice buys a saw");
    let seen = clone.propose(&["dry-run"]).refused();
    seen.shows("accounting   FAIL")
        .shows("balance would be -30.00 USD")
        .shows("accounting: 1 problem");
    assert_eq!((org.main(), org.refs()), before);
    org.check();
}

#[test]
fn the_verdict_of_a_dry_run_serves_the_push_of_the_same_change() {
    let org = Org::new("books");
    let clone = paid_in(&org);
    spend(&clone, "01KAJ3T6Z8Q4M2W9X5Y7B1C0D1", "Alice buys a drill");
    clone.propose(&["dry-run"]).accepted().hides("(cached)");
    let seen = clone.propose(&[]).accepted();
    seen.shows("accounting   pass")
        .shows("(cached)")
        .shows("main is now ");
    org.check();
}

#[test]
fn a_push_that_does_not_wait_is_decided_all_the_same() {
    let org = Org::new("books");
    let clone = paid_in(&org);
    spend(&clone, "01KAJ3T6Z8Q4M2W9X5Y7B1C0D1", "Alice buys a drill");
    let seen = clone.propose(&["wait=none"]).accepted();
    seen.shows("not decided yet; the node goes on with it")
        .hides("main is now");
    org.wait_for_log("final height=2");
    clone.run(&["fetch", "-q"]);
    assert_eq!(org.status()["height"], 2);
    org.check();
}

#[test]
fn the_same_tip_pushed_again_is_the_same_proposal() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone.commit(&[("notes/a.md", "a\n")]);
    clone.propose(&[]).accepted().shows("(checkpoint 1)");
    let before = (org.main(), org.refs());
    let seen = clone.propose(&[]).accepted();
    seen.shows("it ended at checkpoint 1 already");
    assert_eq!((org.main(), org.refs()), before);
    org.check();
}

#[test]
fn a_tip_that_is_on_main_is_nothing_to_propose() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone
        .propose(&[])
        .refused()
        .shows("is in the ledger already: there is nothing to propose");
    org.check();
}

#[test]
fn a_change_of_what_somebody_else_changed_first_is_refused_with_the_rebase_that_helps() {
    let org = Org::new("blank");
    let (one, two) = (org.clone("one"), org.clone("two"));
    one.commit(&[("plan.md", "one\n")]);
    two.commit(&[("plan.md", "two\n")]);
    let _ = one.propose(&[]).accepted();
    let seen = two.propose(&[]).refused();
    seen.shows("git fetch origin")
        .shows("git rebase origin/main");
    seen.shows("git push origin HEAD:refs/for/main");
    assert_eq!(org.file("plan.md").as_deref(), Some("one"));

    two.run(&["fetch", "-q", "origin"]);
    two.run(&["rebase", "-q", "-X", "theirs", "origin/main"]);
    let _ = two.propose(&[]).accepted();
    assert_eq!(org.file("plan.md").as_deref(), Some("two"));
    org.check();
}

#[test]
fn a_change_that_does_not_touch_what_others_changed_needs_no_rebase() {
    let org = Org::new("blank");
    let (one, two) = (org.clone("one"), org.clone("two"));
    one.commit(&[("a.md", "a\n")]);
    two.commit(&[("b.md", "b\n")]);
    let _ = one.propose(&[]).accepted();
    let _ = two.propose(&[]).accepted();
    assert_eq!(org.file("a.md").as_deref(), Some("a"));
    assert_eq!(org.file("b.md").as_deref(), Some("b"));
    org.check();
}

#[test]
fn two_proposals_of_one_push_are_decided_each() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone.run(&["checkout", "-q", "-b", "one"]);
    clone.commit(&[("one.md", "1\n")]);
    clone.run(&["checkout", "-q", "-b", "two", "origin/main"]);
    clone.commit(&[("two.md", "2\n")]);
    let specs = [
        "push",
        "origin",
        "one:refs/for/main%topic=one",
        "two:refs/for/main%topic=two",
    ];
    let seen = Seen::of(&mut clone.git(&specs)).accepted();
    seen.shows("(checkpoint 1)").shows("(checkpoint 2)");
    assert_eq!(org.file("one.md").as_deref(), Some("1"));
    assert_eq!(org.file("two.md").as_deref(), Some("2"));
    org.check();
}

#[test]
fn an_unknown_option_and_an_unknown_branch_are_refused_by_name() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone.commit(&[("a.md", "a\n")]);
    clone.propose(&["dryrun"]).refused().shows("dryrun");
    let push = ["push", "origin", "HEAD:refs/for/mian"];
    let seen = Seen::of(&mut clone.git(&push)).refused();
    seen.shows("there is no branch mian here, push to refs/for/main");
    org.check();
}
