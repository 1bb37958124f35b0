//! Closed periods.

use gdo_core::id::Digest;
use gdo_dapp_accounting::close::{Covered, digest};

use super::support::{Books, Posted, only, opening, posted, spend};

/// A closing of 2026-11 over these transactions.
fn closing(covered: &[&Posted], assertions: &[&str]) -> (String, String) {
    let set: Covered = covered
        .iter()
        .map(|posted| (posted.path.clone(), Digest::of(posted.text.as_bytes())))
        .collect();
    let lines: String = assertions
        .iter()
        .map(|line| format!("    {line}\n"))
        .collect();
    let text = format!(
        "; covers {} transactions, sha256 {}\ninclude ../def/*.journal\ninclude ../txn/2026/11/*.journal\n\n\
         2026-11-30 Close 2026-11\n    ; id: 01KAJ3T6Z8Q4M2W9X5Y7B1C0DE\n{lines}",
        set.len(),
        digest(&set)
    );
    ("acct/close/2026-11.journal".into(), text)
}

const GOOD: [&str; 3] = [
    "Assets:Cash  0.00 USD = 50.00 USD",
    "Liabilities:Member:alice  0.00 USD = -10.00 USD",
    "Income:Sales  0.00 USD = -40.00 USD",
];

fn close(base: &Books, (path, text): (String, String)) -> Books {
    let mut closed = base.clone();
    closed.append(&path, &text);
    closed
}

fn november() -> (Books, Posted, Posted) {
    let (deposit, mut spent) = (opening("alice", "50.00"), spend(1, "alice", "40.00"));
    // The period's last day belongs to it.
    spent.text = spent.text.replace("2026-11-21", "2026-11-30");
    (Books::new().with([&deposit, &spent]), deposit, spent)
}

#[test]
fn a_closing_that_agrees_passes_and_shuts_its_period() {
    let (base, deposit, spent) = november();
    let closed = close(&base, closing(&[&deposit, &spent], &GOOD));
    let report = base.judge(&closed);
    assert!(report.is_clean(), "{report}");
    let late = posted(
        7,
        "2026-11-30",
        &["Assets:Cash  1.00 USD", "Income:Donations  -1.00 USD"],
    );
    let report = closed.judge(&closed.with([late]));
    let (_, _, rule, message) = only(&report);
    assert_eq!(rule, "closed-period");
    assert!(
        message.contains("2026-11-30") && message.contains("; for: "),
        "{message}"
    );
    let open = posted(
        8,
        "2026-12-01",
        &[
            "; for: 2026-11-30",
            "Assets:Cash  1.00 USD",
            "Income:Donations  -1.00 USD",
        ],
    );
    assert!(closed.judge(&closed.with([open])).is_clean());
    let mut again = closed.clone();
    again.append("acct/close/2026-10.journal", "anything");
    assert_eq!(only(&closed.judge(&again)).2, "close");
}

#[test]
fn a_closing_that_leaves_something_out_is_refused() {
    let (base, deposit, spent) = november();
    let judge = |(path, text): (String, String)| base.judge(&close(&base, (path, text)));
    let all = [&deposit, &spent];
    assert_eq!(
        only(&judge(closing(&all[..1], &GOOD))).1,
        1,
        "a transaction is not covered"
    );
    let report = judge(closing(&all, &GOOD[..2]));
    assert!(only(&report).3.contains("Income:Sales"), "{report}");
    let wrong = ["Assets:Cash  0.00 USD = 51.00 USD", GOOD[1], GOOD[2]];
    assert_eq!(
        only(&judge(closing(&all, &wrong))),
        (
            "acct/close/2026-11.journal",
            7,
            "close",
            "expected 0 USD = 50.00 USD"
        )
    );
    let (path, text) = closing(&all, &GOOD);
    for (from, to) in [
        ("include ../txn/2026/11/*.journal\n", ""),
        (
            "include ../def/*.journal\n",
            "include ../def/*.journal\ninclude /etc/passwd\n",
        ),
        ("2026-11-30", "2026-11-29"),
        ("Assets:Cash  0.00", "Assets:Cash  1.00"),
    ] {
        let report = judge((path.clone(), text.replacen(from, to, 1)));
        assert_eq!(only(&report).2, "close", "{from} -> {to}");
    }
}

#[test]
fn sha256sum_names_the_covered_set() {
    let (base, deposit, spent) = november();
    let scratch = gdo_dapp_sdk::testing::Scratch::new();
    super::support::write_files(scratch.path(), &base.files);
    let readme = include_str!("../../README.md");
    let command = readme
        .lines()
        .find(|line| line.starts_with("find acct/txn"))
        .expect("there");
    let output = std::process::Command::new("sh")
        .args(["-c", &command.replace("acct/txn acct/log", "acct/txn")])
        .current_dir(scratch.path())
        .output()
        .expect("sh runs");
    let named = String::from_utf8_lossy(&output.stdout);
    let (_, text) = closing(&[&deposit, &spent], &GOOD);
    let digest = named.split(' ').next().expect("a digest");
    assert!(
        digest.len() == 64 && text.contains(digest),
        "{named} is not in\n{text}"
    );
}

#[test]
fn the_stock_tools_open_a_closing_as_a_book() {
    let (mut base, deposit, spent) = november();
    let (path, text) = closing(&[&deposit, &spent], &GOOD);
    base.append(&path, &text);
    base.post(&posted(
        7,
        "2026-12-30",
        &["Assets:Cash  1.00 USD", "Income:Donations  -1.00 USD"],
    ));
    let scratch = gdo_dapp_sdk::testing::Scratch::new();
    super::support::write_files(scratch.path(), &base.files);
    let file = scratch.path().join(&path);
    super::interop::accepts(&file);
    let broken = text.replace("= 50.00", "= 51.00");
    std::fs::write(&file, broken).expect("writable");
    assert!(
        !super::interop::run("ledger", &file, &["--strict", "--pedantic", "bal"])
            .status
            .success()
    );
    assert!(
        !super::interop::run("hledger", &file, &["check", "--strict"])
            .status
            .success()
    );
}
