//! Every rule of the format, each broken once; and the shared property tests.

use gdo_core::policy::Lane;
use gdo_dapp_accounting::validate::validate;
use gdo_dapp_sdk::testing;

use super::support::{Books, context, only, opening, posted, posted_in, spend};

#[test]
fn the_template_and_an_honest_spend_pass() {
    let empty = Books {
        files: testing::Files::new(),
    };
    let fresh = Books::new();
    assert!(empty.judge(&fresh).is_clean(), "{}", empty.judge(&fresh));
    assert!(fresh.judge(&fresh).is_clean());
    let base = Books::with_alice_at_50();
    let report = fresh.judge(&base);
    assert!(report.is_clean(), "{report}");
    let spent = spend(1, "alice", "40.00");
    let candidate = base.with([&spent]);
    let report = base.judge_blocks(&candidate, &[("alice", Lane::Final, &[&spent.path])]);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn the_second_spend_of_40_of_50_is_refused_with_the_balance_that_would_result() {
    let first = spend(1, "alice", "40.00");
    let base = Books::with_alice_at_50().with([&first]);
    let second = spend(2, "alice", "40.00");
    let candidate = base.with([&second]);
    let report = base.judge_blocks(&candidate, &[("alice", Lane::Final, &[&second.path])]);
    let expected = "alice's balance would be -30.00 USD (floor 0.00)";
    assert_eq!(only(&report), (&*second.path, 4, "floor", expected));
}

#[test]
fn each_broken_rule_is_named_with_its_line() {
    let day = "2026-11-21";
    let cash = ["Assets:Cash  5.00 USD", "Income:Sales  -5.00 USD"];
    let again = ["; ext: bank-1", cash[0], cash[1]];
    let cases: Vec<(&[&str], u32, &str)> = vec![
        (
            &["Assets:Cash  5.00 USD", "Income:Sales  -4.00 USD"],
            1,
            "unbalanced",
        ),
        (
            &["Assets:Cash  5.00 USD", "Income:Sales  -5.00 BTC"],
            1,
            "unbalanced",
        ),
        (
            &["Assets:Vault  5.00 USD", "Income:Sales  -5.00 USD"],
            3,
            "undeclared-account",
        ),
        (
            &["Assets:Cash  5.00 EUR", "Income:Sales  -5.00 EUR"],
            3,
            "undeclared-commodity",
        ),
        (
            &["Assets:Cash  5.001 USD", "Income:Sales  -5.001 USD"],
            3,
            "precision",
        ),
        (
            &["Assets:Cash  5,000.00 USD", "Income:Sales  -5,000.00 USD"],
            3,
            "precision",
        ),
        (&["Assets:Cash  5.00 USD", "Income:Sales"], 4, "syntax"),
        (
            &[
                "Assets:Cash  5.00 USD = 5.00 USD",
                "Income:Sales  -5.00 USD",
            ],
            3,
            "syntax",
        ),
        (&again, 3, "ext-reused"),
    ];
    let mut base = Books::with_alice_at_50();
    base.post(&posted(900, day, &again));
    for (lines, line, rule) in cases {
        let broken = posted(1, day, lines);
        let report = base.judge(&base.with([&broken]));
        let (path, at, broke, message) = only(&report);
        assert_eq!((path, at, broke), (&*broken.path, line, rule), "{message}");
    }
}

#[test]
fn a_file_stands_where_its_id_and_date_say_and_nowhere_twice() {
    let base = Books::with_alice_at_50();
    let good = spend(1, "alice", "1.00");
    let mut elsewhere = good.clone();
    elsewhere.path = good.path.replace("2026/11", "2026/12");
    assert_eq!(only(&base.judge(&base.with([elsewhere]))).2, "date");
    let mut renamed = good.clone();
    renamed.path = spend(2, "alice", "1.00").path;
    assert_eq!(only(&base.judge(&base.with([renamed]))).2, "id");
    let mut copied = good.clone();
    copied.path = good.path.replace("txn", "log/treasurer");
    copied.text = good.text.replace("Liabilities:Member:alice", "Assets:Cash");
    let with_good = base.with([&good]);
    let report = with_good.judge(&with_good.with([copied]));
    let (_, _, rule, message) = only(&report);
    assert_eq!(rule, "duplicate-id");
    assert!(message.contains(&good.path), "{message}");
    for stray in [
        "acct/notes.txt",
        "acct/txn/2026/13/x.journal",
        "acct/txn/x.journal",
        "acct/log/A/2026/11/x.journal",
    ] {
        let mut candidate = base.clone();
        candidate.append(stray, "text");
        assert_eq!(only(&base.judge(&candidate)).2, "path", "{stray}");
    }
}

#[test]
fn definitions_must_be_there_and_in_the_subset() {
    let base = Books::with_alice_at_50();
    let cases = [
        ("acct/def/floors.toml", None, "definition"),
        ("acct/def/posters.toml", None, "definition"),
        ("acct/def/tags.journal", None, "definition"),
        ("acct/main.journal", None, "definition"),
        (
            "acct/def/floors.toml",
            Some("v = 1\ncolour = 1\n"),
            "definition",
        ),
        (
            "acct/def/accounts.journal",
            Some("account Cash\n"),
            "definition",
        ),
        (
            "acct/main.journal",
            Some("include def/*.journal\n"),
            "include",
        ),
        (
            "acct/main.journal",
            Some("include ../../etc/*.journal\n"),
            "include",
        ),
    ];
    for (path, text, rule) in cases {
        let mut candidate = base.clone();
        candidate.files.remove(path);
        if let Some(text) = text {
            candidate.append(path, text);
        }
        let report = base.judge(&candidate);
        let found = report.problems().iter().any(|p| p.rule == rule);
        assert!(found, "{path} {text:?}: {report}");
    }
    let mut undeclared = base.clone();
    let accounts = undeclared
        .files
        .get_mut("acct/def/accounts.journal")
        .expect("there");
    let text = String::from_utf8_lossy(accounts).replace("account Assets:Cash\n", "");
    *accounts = text.into_bytes();
    assert_eq!(
        only(&base.judge(&undeclared)).2,
        "undeclared-account",
        "an account in use"
    );
}

#[test]
fn a_month_is_opened_by_comments_alone_and_its_include() {
    let base = Books::with_alice_at_50();
    let open = |text: &str, include: &str| {
        let mut candidate = base.clone();
        candidate.append("acct/txn/2028/01/month.journal", text);
        candidate.append("acct/main.journal", include);
        base.judge(&candidate)
    };
    let line = "include txn/2028/01/*.journal\n";
    assert!(open("; 2028-01\n", line).is_clean());
    assert_eq!(only(&open("; 2028-01\n", "")).2, "include");
    assert_eq!(
        only(&open("; 2028-01\n", "include txn/2028/02/*.journal\n")).2,
        "include"
    );
    let hidden =
        "; 2028-01\n2028-01-01 Hidden\n    Assets:Cash  1.00 USD\n    Income:Sales  -1.00 USD\n";
    assert_eq!(
        (only(&open(hidden, line)).1, only(&open(hidden, line)).2),
        (2, "syntax")
    );
}

#[test]
fn who_posts_what_is_held_to_the_posters_of_the_base() {
    let base = Books::with_alice_at_50();
    let judge = |principal: &str, candidate: &Books, path: &str| {
        base.judge_blocks(candidate, &[(principal, Lane::Final, &[path])])
    };
    let theft = spend(1, "alice", "40.00");
    let report = judge("bob", &base.with([&theft]), &theft.path);
    let (path, line, rule, message) = only(&report);
    assert_eq!((path, line, rule), (&*theft.path, 4, "poster"));
    assert!(
        message.starts_with("bob may not lower Liabilities:Member:alice"),
        "{message}"
    );

    let minted = posted(
        2,
        "2026-11-21",
        &[
            "Equity:Opening  5.00 USD",
            "Liabilities:Member:bob  -5.00 USD",
        ],
    );
    assert_eq!(
        only(&judge("bob", &base.with([&minted]), &minted.path)).2,
        "poster"
    );

    // A proposal cannot bring the rule that would allow it (P-7).
    let mut bold = base.with([&theft]);
    bold.append(
        "acct/def/posters.toml",
        "[[poster]]\nwho = \"member:bob\"\nraise = [\"**\"]\nlower = [\"**\"]\n",
    );
    assert_eq!(only(&judge("bob", &bold, &theft.path)).2, "poster");
    let mut generous = base.with([spend(3, "alice", "60.00")]);
    generous
        .files
        .insert("acct/def/floors.toml".into(), b"v = 1\n".to_vec());
    assert_eq!(only(&base.judge(&generous)).2, "floor");
}

#[test]
fn a_deposit_below_the_floor_is_welcome_and_a_raised_floor_binds_spending_alone() {
    let mut base = Books::with_alice_at_50();
    base.files.insert(
        "acct/def/floors.toml".into(),
        b"v = 1\n[[floor]]\naccount = \"Liabilities:Member:*\"\nfloor = \"100\"\n".to_vec(),
    );
    assert!(base.judge(&base).is_clean());
    let report = base.judge(&base.with([posted(
        1,
        "2026-11-02",
        &[
            "Assets:Cash  1.00 USD",
            "Liabilities:Member:alice  -1.00 USD",
        ],
    )]));
    assert!(report.is_clean(), "{report}");
    let report = base.judge(&base.with([spend(2, "alice", "0.01")]));
    assert_eq!(
        only(&report).3,
        "alice's balance would be 49.99 USD (floor 100.00)"
    );
}

#[test]
fn a_float_is_debited_by_its_device_alone_and_not_beyond_zero() {
    let float = "Liabilities:Member:alice:float:vending-b";
    let base = Books::with_alice_at_50();
    let fund = posted(
        1,
        "2026-11-10",
        &[
            "Liabilities:Member:alice  20.00 USD",
            &format!("{float}  -20.00 USD"),
        ],
    );
    let funded = base.with([&fund]);
    let report = base.judge_blocks(&funded, &[("treasurer", Lane::Final, &[&fund.path])]);
    assert!(report.is_clean(), "{report}");
    let sale = |place: &str, n, amount: &str| {
        let lines = [
            format!("Income:Sales  -{amount} USD"),
            format!("{float}  {amount} USD"),
        ];
        posted_in(place, n, "2026-11-11", &[&lines[0], &lines[1]])
    };
    let judge = |who: &str, posted: &[super::support::Posted]| {
        let candidate = funded.with(posted);
        let paths: Vec<&str> = posted.iter().map(|posted| &*posted.path).collect();
        funded.judge_blocks(&candidate, &[(who, Lane::Append, &paths)])
    };
    let good = sale("log/vending-b", 2, "15.00");
    assert!(judge("vending-b", std::slice::from_ref(&good)).is_clean());
    let report = judge("vending-b", &[good, sale("log/vending-b", 3, "15.00")]);
    assert_eq!(
        only(&report).3,
        "alice's float for vending-b would be -10.00 USD (floor 0.00)"
    );
    assert_eq!(
        only(&judge("treasurer", &[sale("log/treasurer", 4, "1.00")])).2,
        "float"
    );
    assert_eq!(
        only(&judge("treasurer", &[sale("txn", 5, "1.00")])).2,
        "float"
    );
    assert_eq!(
        only(&judge("vending-b", &[sale("log/vending-c", 6, "1.00")])).2,
        "poster"
    );
    let direct = posted_in(
        "log/treasurer",
        7,
        "2026-11-11",
        &[
            "Income:Sales  -1.00 USD",
            "Liabilities:Member:alice  1.00 USD",
        ],
    );
    let report = judge("treasurer", &[direct]);
    assert_eq!(
        only(&report).2,
        "float",
        "a log may not lower what has a floor"
    );
}

#[test]
fn records_cannot_be_touched() {
    let mut base = Books::with_alice_at_50();
    base.post(&posted_in(
        "log/treasurer",
        3,
        "2026-11-11",
        &["Assets:Cash  1.00 USD", "Income:Sales  -1.00 USD"],
    ));
    let record = |path: &str| {
        let below = path.starts_with("acct/txn/") || path.starts_with("acct/log/");
        below && !path.ends_with("/month.journal")
    };
    testing::records_cannot_be_touched(&base.files, record, &["deleted", "changed"], validate);
}

#[test]
fn fuzzed_books_never_panic_the_validator() {
    let base = Books::with_alice_at_50();
    let candidate = base.with([spend(1, "alice", "10.00"), opening("bob", "7.00")]);
    let rounds = 1500;
    let refused =
        testing::fuzzed_input_never_panics(7, rounds, &base.files, &candidate.files, validate);
    assert!(
        refused > rounds / 2,
        "only {refused} of {rounds} mutants were refused"
    );
}

#[test]
fn a_new_file_that_no_block_brings_is_not_judged() {
    let base = Books::with_alice_at_50();
    let spent = spend(1, "alice", "1.00");
    let other = "acct/README.md";
    let context = context(&[("alice", Lane::Final, &[other])]);
    let candidate = base.with([spent]);
    let result = testing::judge_in_order(&base.files, &candidate.files, context, validate);
    assert!(
        result.is_err(),
        "the contract promises the block of every change"
    );
}
