//! Closings: `acct/close/<period>.journal` fixes the books up to a period's last day.
//!
//! ```text
//! ; covers 3 transactions, sha256 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
//! include ../def/*.journal
//! include ../txn/2026/11/*.journal
//!
//! 2026-11-30 Close 2026-11
//!     ; id: 01KAJ3T6Z8Q4M2W9X5Y7B1C0DE
//!     Assets:Cash               0.00 USD = 50.00 USD
//!     Liabilities:Member:alice  0.00 USD = -50.00 USD
//! ```
//!
//! Balance assertions do not survive concurrent merges, so they stand here alone, over a set of
//! transactions that is named and can no longer grow. The file is a book of its own: the tools
//! open it as it is, and later months do not disturb its assertions.
//!
//! **Invariants**: a closing covers every transaction dated up to its last day; periods close in order.

use gdo_core::id::Digest;
use std::collections::{BTreeMap, BTreeSet};

use crate::amount;
use crate::book::Book;
use crate::date::{Date, Period};
use crate::defs::{AccountId, CommodityId, Definitions};
use crate::fault::{Fault, rule};
use crate::journal::{self, Grammar};
use crate::source::resolve_posting;

/// The transactions that a closing must cover: path to the SHA-256 of the file.
pub type Covered = BTreeMap<String, Digest>;

/// The digest that names a set of transactions: the SHA-256 of what `sha256sum` prints for their
/// paths in sorted order.
#[must_use]
pub fn digest(covered: &Covered) -> Digest {
    let mut text = String::new();
    for (path, digest) in covered {
        text.push_str(&format!("{digest}  {path}\n"));
    }
    Digest::of(text.as_bytes())
}

/// Checks a closing of `period` over the transactions it must cover and their balances.
///
/// # Errors
/// Each line that does not agree.
pub fn check(
    text: &str,
    period: Period,
    covered: &Covered,
    book: &Book,
    defs: &Definitions,
) -> Result<(), Vec<Fault>> {
    let head_lines = text.split('\n').take_while(|line| {
        line.is_empty() || line.starts_with(';') || line.starts_with("include ")
    });
    let head: Vec<&str> = head_lines.collect();
    let mut faults = Vec::new();
    check_covers(&head, covered, &mut faults);
    check_includes(&head, covered, &mut faults);
    let body_start: usize = head.iter().map(|line| line.len() + 1).sum();
    let body = text.get(body_start..).unwrap_or("");
    if let Err(fault) = check_assertions(body, head.len() + 1, period, book, defs, &mut faults) {
        faults.push(fault);
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn check_covers(head: &[&str], covered: &Covered, faults: &mut Vec<Fault>) {
    let expected = format!(
        "; covers {} transactions, sha256 {}",
        covered.len(),
        digest(covered)
    );
    let found = head.iter().position(|line| line.starts_with("; covers "));
    match found {
        Some(index) if head[index] == expected => {}
        found => {
            let line = found.map_or(0, |index| index + 1);
            faults.push(Fault::new(
                line,
                rule::CLOSE,
                format!("expected '{expected}'"),
            ));
        }
    }
}

fn check_includes(head: &[&str], covered: &Covered, faults: &mut Vec<Fault>) {
    let directory = |path: &String| {
        let dir = path
            .strip_prefix("acct/")
            .and_then(|path| path.rsplit_once('/'));
        dir.map(|(dir, _)| format!("include ../{dir}/*.journal"))
    };
    let mut expected: BTreeSet<String> = covered.keys().filter_map(directory).collect();
    expected.insert("include ../def/*.journal".to_owned());
    for (index, line) in head
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with("include "))
    {
        if !expected.remove(*line) {
            let message = format!("expected one include of each directory it covers, got '{line}'");
            faults.push(Fault::new(index + 1, rule::CLOSE, message));
        }
    }
    for line in expected {
        faults.push(Fault::new(
            0,
            rule::CLOSE,
            format!("expected a line '{line}'"),
        ));
    }
}

fn check_assertions(
    body: &str,
    first_line: usize,
    period: Period,
    book: &Book,
    defs: &Definitions,
    faults: &mut Vec<Fault>,
) -> Result<(), Fault> {
    let closing = journal::parse(body, first_line, Grammar::Closing)?;
    if closing.date != period.last() {
        let message = format!(
            "date: expected {}, the period's last day, got {}",
            period.last(),
            closing.date
        );
        faults.push(Fault::new(closing.line, rule::CLOSE, message));
    }
    let mut asserted: BTreeSet<(AccountId, CommodityId)> = BTreeSet::new();
    for posting in &closing.postings {
        let entry = resolve_posting(posting, defs)?;
        let commodity = defs.commodity(entry.commodity);
        let balance = book.balance(entry.account, entry.commodity);
        if entry.units != 0 || entry.asserted != Some(balance) {
            let message = format!(
                "expected 0 {} = {} {}",
                commodity.symbol,
                amount::show(balance, commodity.decimals),
                commodity.symbol
            );
            faults.push(Fault::new(entry.line, rule::CLOSE, message));
        }
        if !asserted.insert((entry.account, entry.commodity)) {
            let message = format!(
                "{} is asserted twice in {}",
                posting.account, posting.commodity
            );
            faults.push(Fault::new(entry.line, rule::CLOSE, message));
        }
    }
    for (account, commodity, _) in book.balances() {
        if !asserted.contains(&(account, commodity)) {
            let (account, commodity) = (defs.account(account), defs.commodity(commodity));
            let message = format!(
                "expected a line for {} in {}",
                account.name, commodity.symbol
            );
            faults.push(Fault::new(closing.line, rule::CLOSE, message));
        }
    }
    Ok(())
}

/// The day up to which the books are closed, by the periods of the closings.
#[must_use]
pub fn closed_until(periods: impl IntoIterator<Item = Period>) -> Option<Date> {
    periods.into_iter().map(Period::last).max()
}
