//! What a push does: accepted, refused, waiting, tried, repeated.
//!
//! Journeys A and B are played with stock git against the daemon; then every option of a push.

use gdo_tests::{Clone, Org};

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
