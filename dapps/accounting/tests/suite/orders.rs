//! Ledger order: what it decides, and what it must not show in.

use gdo_core::policy::Lane;
use gdo_dapp_accounting::book::Book;
use gdo_dapp_accounting::defs::Definitions;
use gdo_dapp_accounting::source::{Role, classify, resolve};
use gdo_dapp_sdk::testing::{self, Files, Rng};

use super::support::{Books, Posted, only, opening, posted, posted_in, spend};

#[test]
fn blocks_are_judged_in_their_order_not_in_that_of_paths() {
    let base = Books::new();
    let deposit = opening("alice", "50.00");
    let mut spent = spend(0, "alice", "40.00");
    // The spend's path sorts before the deposit's.
    assert!(spent.path < deposit.path);
    let candidate = base.with([&deposit, &spent]);
    let in_order = |first: &str, second: &str| {
        let blocks: [(&str, Lane, &[&str]); 2] = [
            ("treasurer", Lane::Final, &[first]),
            ("treasurer", Lane::Final, &[second]),
        ];
        base.judge_blocks(&candidate, &blocks)
    };
    assert!(in_order(&deposit.path, &spent.path).is_clean());
    let report = in_order(&spent.path, &deposit.path);
    assert_eq!(
        only(&report).3,
        "alice's balance would be -40.00 USD (floor 0.00)"
    );
    // A later date does not help: the order of the ledger counts, not the day of booking.
    spent.text = spent.text.replace("2026-11-21", "2026-11-30");
    assert_eq!(only(&in_order(&spent.path, &deposit.path)).2, "floor");
}

#[test]
fn of_two_spends_in_one_checkpoint_the_later_block_is_refused() {
    let base = Books::with_alice_at_50();
    let (one, two) = (spend(1, "alice", "40.00"), spend(2, "alice", "40.00"));
    let candidate = base.with([&one, &two]);
    for (first, second) in [(&one, &two), (&two, &one)] {
        let report = base.judge_blocks(
            &candidate,
            &[
                ("alice", Lane::Final, &[&first.path]),
                ("alice", Lane::Final, &[&second.path]),
            ],
        );
        assert_eq!(only(&report).0, second.path);
    }
}

/// Folds all transactions of a tree, in a random order of the files.
fn fold(files: &Files, defs: &Definitions, rng: &mut Rng) -> Book {
    let mut order: Vec<_> = files.iter().collect();
    rng.shuffle(&mut order);
    let mut book = Book::default();
    for (path, bytes) in order {
        let Ok(Role::Transaction(place)) = classify(path) else {
            continue;
        };
        let text = std::str::from_utf8(bytes).expect("text");
        book.add(&resolve(text, &place, defs).expect("good"))
            .expect("fits");
    }
    book
}

/// Everything that the books declare.
pub(crate) fn definitions(books: &Books) -> Definitions {
    let mut defs = Definitions::default();
    for (path, bytes) in &books.files {
        if classify(path) == Ok(Role::Declarations) {
            defs.add(std::str::from_utf8(bytes).expect("text"))
                .expect("good");
        }
    }
    defs
}

/// `count` transactions between members, cash and sales.
pub(crate) fn generated(seed: u64, count: u64) -> Vec<Posted> {
    let accounts = [
        "Assets:Cash",
        "Assets:Bank",
        "Assets:Petty cash",
        "Income:Sales",
        "Income:Donations",
        "Expenses:Supplies",
    ];
    let mut rng = Rng::new(seed);
    let transaction = |n| {
        let day = format!("2026-{:02}-{:02}", 1 + rng.below(12), 1 + rng.below(28));
        let cents = 1 + rng.below(1_000_000);
        let sats = 1 + rng.below(1_000_000_000);
        let mut pick = || accounts[rng.below(accounts.len())];
        let (a, b, c, d) = (pick(), pick(), pick(), pick());
        let lines = [
            format!("{a}  {}.{:02} USD", cents / 100, cents % 100),
            format!("{b}  -{}.{:02} USD", cents / 100, cents % 100),
            format!("{c}  {}.{:08} BTC", sats / 100_000_000, sats % 100_000_000),
            format!("{d}  -{}.{:08} BTC", sats / 100_000_000, sats % 100_000_000),
        ];
        let count = if n % 3 == 0 { 4 } else { 2 };
        let lines: Vec<&str> = lines.iter().take(count).map(String::as_str).collect();
        let place = if n % 4 == 0 { "log/till" } else { "txn" };
        posted_in(place, 10_000 + n, &day, &lines)
    };
    (0..count).map(transaction).collect()
}

#[test]
fn every_merge_order_of_10000_transactions_gives_the_same_balances() {
    let mut books = Books::new();
    for posted in generated(11, 10_000) {
        books.files.insert(posted.path, posted.text.into_bytes());
    }
    let defs = definitions(&books);
    let mut rng = Rng::new(5);
    let expected = fold(&books.files, &defs, &mut rng);
    assert!(expected.balances().count() >= 10);
    testing::any_merge_order_gives_one_fold(23, 8, &books.files, |files| {
        fold(files, &defs, &mut rng)
    });
}

#[test]
fn logs_commute_every_order_of_their_blocks_passes() {
    let float = "Liabilities:Member:alice:float:vending-b";
    let mut base = Books::with_alice_at_50();
    base.post(&posted(
        1,
        "2026-11-10",
        &[
            "Liabilities:Member:alice  20.00 USD",
            &format!("{float}  -20.00 USD"),
        ],
    ));
    let debit = format!("{float}  5.00 USD");
    let sales = (0..4).map(|n| {
        posted_in(
            "log/vending-b",
            20 + n,
            "2026-11-11",
            &["Income:Sales  -5.00 USD", &debit],
        )
    });
    let deposits = (0..4).map(|n| {
        posted_in(
            "log/treasurer",
            30 + n,
            "2026-11-11",
            &[
                "Assets:Cash  3.00 USD",
                "Liabilities:Member:alice  -3.00 USD",
            ],
        )
    });
    let mut records: Vec<Posted> = sales.chain(deposits).collect();
    let candidate = base.with(&records);
    let mut rng = Rng::new(3);
    for _ in 0..50 {
        rng.shuffle(&mut records);
        let paths: Vec<[&str; 1]> = records
            .iter()
            .map(|record| [record.path.as_str()])
            .collect();
        let writer = |path: &str| {
            if path.contains("vending-b") {
                "vending-b"
            } else {
                "treasurer"
            }
        };
        let blocks: Vec<(&str, Lane, &[&str])> = paths
            .iter()
            .map(|path| (writer(path[0]), Lane::Append, &path[..]))
            .collect();
        let report = base.judge_blocks(&candidate, &blocks);
        assert!(report.is_clean(), "{report}");
    }
}
