//! Which file of `acct/` is what, and its transaction with every name resolved.
//!
//! **Invariants**: a resolved transaction balances in every commodity, uses declared names only, and
//! stands in the file and directory that its id and date name.

use gdo_core::id::MemberName;
use gdo_dapp_sdk::ulid::Ulid;

use crate::amount;
use crate::date::{Date, Period};
use crate::defs::{AccountId, CommodityId, Definitions};
use crate::fault::{Fault, rule};
use crate::journal::{self, Grammar, Posting};

/// The largest transaction file.
pub const TRANSACTION_BYTES_MAX: u64 = 65_536;

/// The largest definition or closing.
pub const DEFINITION_BYTES_MAX: u64 = 4 << 20;

/// The main journal, which the stock tools open.
pub const MAIN: &str = "acct/main.journal";
/// The floors.
pub const FLOORS: &str = "acct/def/floors.toml";
/// The posters.
pub const POSTERS: &str = "acct/def/posters.toml";

/// What a path of `acct/` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A transaction: of everybody (lane final) or of one writer's log (lane append).
    Transaction(Place),
    /// The comment that opens a month: both tools fail when an include matches nothing.
    Month,
    /// A closing, by its period.
    Closing(Period),
    /// A file of declarations.
    Declarations,
    /// The main journal, the floors, the posters or the README: read by name.
    Named,
}

/// The name of the file that opens a month's directory.
pub const MONTH_FILE: &str = "month.journal";

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The writer whose log it is; none is `acct/txn/`.
    pub writer: Option<MemberName>,
    /// The directory of its month: `2026/11`.
    pub month: String,
    /// The id that its name is.
    pub id: Ulid,
}

/// A transaction, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The day it is booked on.
    pub date: Date,
    /// The external reference, with its line.
    pub ext: Option<(usize, String)>,
    /// Its postings.
    pub entries: Vec<Entry>,
}

/// A posting, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The posting's line.
    pub line: usize,
    /// The account.
    pub account: AccountId,
    /// The commodity.
    pub commodity: CommodityId,
    /// The amount as the journal has it.
    pub units: i128,
    /// In a closing, the balance that is asserted.
    pub asserted: Option<i128>,
}

/// Says what a path of `acct/` holds.
///
/// # Errors
/// Says which paths there are.
pub fn classify(path: &str) -> Result<Role, String> {
    let parts: Vec<&str> = path.split('/').collect();
    let place = |writer: Option<&str>, year: &str, month: &str, name: &str| {
        let writer = writer
            .map(str::parse)
            .transpose()
            .map_err(|error: gdo_core::error::FormatError| error.to_string())?;
        let month = format!("{year}/{month}");
        let first_day = format!("{}-01", month.replace('/', "-"));
        first_day.parse::<Date>()?;
        if name == MONTH_FILE {
            return Ok(Role::Month);
        }
        let id = name.strip_suffix(".journal").unwrap_or("").parse::<Ulid>();
        let id = id.map_err(|error| error.to_string())?;
        Ok(Role::Transaction(Place { writer, month, id }))
    };
    match parts[..] {
        ["acct", "txn", year, month, name] => place(None, year, month, name),
        ["acct", "log", writer, year, month, name] => place(Some(writer), year, month, name),
        ["acct", "close", name] if name.ends_with(".journal") => {
            name.strip_suffix(".journal").unwrap_or("").parse().map(Role::Closing)
        }
        ["acct", "def", name] if name.ends_with(".journal") => Ok(Role::Declarations),
        ["acct", "README.md"] => Ok(Role::Named),
        _ if [MAIN, FLOORS, POSTERS].contains(&path) => Ok(Role::Named),
        _ => Err("expected acct/main.journal, acct/def/*.journal, acct/def/{floors,posters}.toml, acct/txn/<yyyy>/<mm>/<ulid>.journal, acct/log/<writer>/<yyyy>/<mm>/<ulid>.journal or acct/close/<period>.journal".into()),
    }
}

/// Reads the transaction that stands at `place`.
///
/// # Errors
/// The first rule that it breaks by itself.
pub fn resolve(text: &str, place: &Place, defs: &Definitions) -> Result<Resolved, Fault> {
    let transaction = journal::parse(text, 1, Grammar::Transaction)?;
    if transaction.id != place.id {
        let message = format!(
            "id: expected {}, as the file is named, got {}",
            place.id, transaction.id
        );
        return Err(Fault::new(transaction.line, rule::ID, message));
    }
    if transaction.date.directory() != place.month {
        let message = format!(
            "date: expected a day of {}, as the directory is named, got {}",
            place.month, transaction.date
        );
        return Err(Fault::new(transaction.line, rule::DATE, message));
    }
    let entries = transaction
        .postings
        .iter()
        .map(|posting| resolve_posting(posting, defs));
    let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
    check_balanced(transaction.line, &entries, defs)?;
    let ext = transaction.ext.map(|(line, text)| (line, text.to_owned()));
    Ok(Resolved {
        date: transaction.date,
        ext,
        entries,
    })
}

/// Resolves one posting.
///
/// # Errors
/// An undeclared name, or an amount that the commodity cannot hold.
pub fn resolve_posting(posting: &Posting<'_>, defs: &Definitions) -> Result<Entry, Fault> {
    let fault = |rule, message: String| Fault::new(posting.line, rule, message);
    let account = defs.account_id(posting.account).ok_or_else(|| {
        let message = format!(
            "account {} is not declared: add 'account {}' to acct/def/",
            posting.account, posting.account
        );
        fault(rule::ACCOUNT, message)
    })?;
    let commodity = defs.commodity_id(posting.commodity).ok_or_else(|| {
        let message = format!(
            "commodity {} is not declared: add it to acct/def/",
            posting.commodity
        );
        fault(rule::COMMODITY, message)
    })?;
    let decimals = defs.commodity(commodity).decimals;
    let read = |text: &str| {
        amount::parse(text, decimals).map_err(|message| fault(rule::PRECISION, message))
    };
    let units = read(posting.number)?;
    let asserted = posting.assertion.map(read).transpose()?;
    Ok(Entry {
        line: posting.line,
        account,
        commodity,
        units,
        asserted,
    })
}

fn check_balanced(line: usize, entries: &[Entry], defs: &Definitions) -> Result<(), Fault> {
    let mut commodities: Vec<CommodityId> = entries.iter().map(|entry| entry.commodity).collect();
    commodities.sort_unstable();
    commodities.dedup();
    for id in commodities {
        // At most 500 amounts below 10^26: no overflow.
        let sum: i128 = entries
            .iter()
            .filter(|e| e.commodity == id)
            .map(|e| e.units)
            .sum();
        if sum != 0 {
            let commodity = defs.commodity(id);
            let message = format!(
                "expected postings that add up to 0, got {} {}",
                amount::show(sum, commodity.decimals),
                commodity.symbol
            );
            return Err(Fault::new(line, rule::UNBALANCED, message));
        }
    }
    Ok(())
}
