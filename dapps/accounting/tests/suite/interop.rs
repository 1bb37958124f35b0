//! Stock `ledger` and `hledger` on the same books: they accept them, and count what our engine counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use gdo_dapp_accounting::amount;
use gdo_dapp_accounting::book::Book;
use gdo_dapp_accounting::source::{Role, classify, resolve};
use gdo_dapp_sdk::testing::{Rng, Scratch};

use super::orders::{definitions, generated};
use super::support::{Books, posted, spend, write_files};

/// Where the random part of these tests starts.
const SEED: u64 = 2026;

/// Runs a stock tool on a journal.
pub(crate) fn run(tool: &str, journal: &Path, arguments: &[&str]) -> Output {
    Command::new(tool)
        .arg("-f")
        .arg(journal)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", "/nonexistent")
        .output()
        .unwrap_or_else(|error| {
            panic!("{tool}: {error}; install it with: apt install ledger hledger")
        })
}

/// Asserts that both tools take the journal in their strictest mode without a word of complaint.
pub(crate) fn accepts(journal: &Path) {
    for (tool, arguments) in [
        ("ledger", ["--strict", "--pedantic", "bal"]),
        ("hledger", ["check", "--strict", "dates"]),
    ] {
        let arguments = if tool == "ledger" {
            &arguments[..]
        } else {
            &arguments[..2]
        };
        let output = run(tool, journal, arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && complaint.is_empty(),
            "{tool}: {complaint}"
        );
    }
}

type Balances = BTreeMap<(String, String), String>;

/// Account and commodity to amount, as our engine counts.
fn ours(books: &Books) -> Balances {
    let defs = definitions(books);
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("text");
    let mut book = Book::default();
    for (path, bytes) in &books.files {
        if let Ok(Role::Transaction(place)) = classify(path) {
            book.add(&resolve(&text(bytes), &place, &defs).expect("good"))
                .expect("fits");
        }
    }
    let shown = book.balances().map(|(account, commodity, units)| {
        let commodity = defs.commodity(commodity);
        let key = (defs.account(account).name.clone(), commodity.symbol.clone());
        (key, amount::show(units, commodity.decimals))
    });
    shown.collect()
}

/// What `ledger` counts: one line per account and commodity.
fn ledgers(journal: &Path) -> Balances {
    let format = "%(account)\\t%(quantity(scrub(amount)))\\t%(commodity(scrub(amount)))\\n";
    let output = run("ledger", journal, &["reg", "--format", format]);
    sum(&String::from_utf8_lossy(&output.stdout), '\t')
}

/// What `hledger` counts, from its CSV of postings.
fn hledgers(journal: &Path) -> Balances {
    let output = run(
        "hledger",
        journal,
        &[
            "bal",
            "--flat",
            "--no-total",
            "--layout=bare",
            "-O",
            "csv",
            "-c",
            "1000.00 USD",
            "-c",
            "1000.00000000 BTC",
        ],
    );
    let text = String::from_utf8_lossy(&output.stdout).replace('"', "");
    let mut balances = Balances::new();
    for line in text.lines().skip(1) {
        let [account, commodity, amount] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("unexpected line '{line}'");
        };
        let decimals = if commodity == "BTC" { 8 } else { 2 };
        let units = amount::parse(amount, decimals).expect("an amount");
        if units != 0 {
            balances.insert(
                (account.into(), commodity.into()),
                amount::show(units, decimals),
            );
        }
    }
    balances
}

/// Adds up lines of account, amount, commodity.
fn sum(text: &str, separator: char) -> Balances {
    let mut sums: BTreeMap<(String, String), i128> = BTreeMap::new();
    for line in text.lines() {
        let [account, amount, commodity] = line.split(separator).collect::<Vec<_>>()[..] else {
            panic!("unexpected line '{line}'");
        };
        let decimals = if commodity == "BTC" { 8 } else { 2 };
        let units = amount::parse(&amount.replace(',', ""), decimals).expect("an amount");
        *sums
            .entry((account.to_owned(), commodity.to_owned()))
            .or_default() += units;
    }
    let nonzero = sums.into_iter().filter(|(_, units)| *units != 0);
    nonzero
        .map(|(key, units)| {
            let decimals = if key.1 == "BTC" { 8 } else { 2 };
            (key, amount::show(units, decimals))
        })
        .collect()
}

#[test]
fn the_template_opens_in_both_tools() {
    let scratch = Scratch::new();
    accepts(&write_files(scratch.path(), &Books::new().files));
}

#[test]
fn a_generated_year_has_the_same_balances_in_all_three() {
    let books = Books::with_alice_at_50().with(generated(2026, 2_000));
    let scratch = Scratch::new();
    let main = write_files(scratch.path(), &books.files);
    let report = books.judge(&books);
    assert!(report.is_clean(), "{report}");
    accepts(&main);
    let expected = ours(&books);
    assert!(expected.len() >= 12, "{expected:?}");
    assert_eq!(ledgers(&main), expected, "ledger");
    assert_eq!(hledgers(&main), expected, "hledger");
}

/// Puts characters that mean something to one of the tools into a transaction.
fn season(rng: &mut Rng, text: &str) -> String {
    const SPICES: &str = ";|=~*!@#%&()[]{}<>\"'`,.:+-_/\\^$?0189aZé€\u{a0}\u{2003}\u{feff} \t";
    let spices: Vec<char> = SPICES.chars().collect();
    let mut out: Vec<char> = text.chars().collect();
    for _ in 0..=rng.below(2) {
        let at = rng.below(out.len());
        let spice = spices[rng.below(spices.len())];
        match rng.below(3) {
            0 => out[at] = spice,
            1 => out.insert(at, spice),
            _ => drop(out.remove(at)),
        }
    }
    out.into_iter().collect()
}

#[test]
fn whatever_we_accept_the_stock_tools_read_with_the_same_balances() {
    let mut books = Books::with_alice_at_50();
    let defs = definitions(&books);
    let mut rng = Rng::new(SEED);
    let mut accepted = Vec::new();
    for n in 0..6_000 {
        let day = ["2026-11-21", "2026-11-21 *", "2026-11-21 !"][rng.below(3)];
        let lines = [
            "; ext: b 1",
            "; a remark",
            "Assets:Petty cash  -5.50 USD",
            "Income:Sales  5.50 USD",
        ];
        let mut posted = posted(50_000 + n, &day[..10], &lines);
        posted.text = posted
            .text
            .replace(&day[..10], day)
            .replace("b 1", &format!("b {n}"));
        posted.text = season(&mut rng, &posted.text);
        let Ok(Role::Transaction(place)) = classify(&posted.path) else {
            unreachable!()
        };
        if resolve(&posted.text, &place, &defs).is_ok() {
            books.post(&posted);
            accepted.push(posted);
        }
    }
    assert!(
        accepted.len() > 400,
        "only {} were accepted",
        accepted.len()
    );
    let scratch = Scratch::new();
    let main = write_files(scratch.path(), &books.files);
    accepts(&main);
    let expected = ours(&books);
    assert_eq!(ledgers(&main), expected, "ledger");
    assert_eq!(hledgers(&main), expected, "hledger");
}

#[test]
fn both_tools_pass_the_double_spend_that_we_refuse() {
    let base = Books::with_alice_at_50();
    let both = base.with([spend(1, "alice", "40.00"), spend(2, "alice", "40.00")]);
    let scratch = Scratch::new();
    accepts(&write_files(scratch.path(), &both.files));
    let report = base.judge(&both);
    assert_eq!(super::support::only(&report).2, "floor");
}
