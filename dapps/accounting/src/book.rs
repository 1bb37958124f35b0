//! The balances, and what one more transaction would do to them.
//!
//! **Invariants**: balances are plain sums, so the order in which transactions of one set were added
//! does not show; only [`Book::judge`] looks at the order, and it judges nothing but what a
//! transaction lowers.

use std::collections::BTreeMap;

use gdo_core::id::MemberName;

use crate::amount;
use crate::defs::{AccountId, CommodityId, Definitions};
use crate::fault::{Fault, rule};
use crate::rules::{Direction, Floors};
use crate::source::{Entry, Resolved};

/// The balance of every account in every commodity, as the journal's amounts add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    balances: BTreeMap<(AccountId, CommodityId), i128>,
}

/// What a transaction does to one account in one commodity, all its postings together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The account.
    pub account: AccountId,
    /// The commodity.
    pub commodity: CommodityId,
    /// The sum of the postings' amounts.
    pub units: i128,
    /// The line of the first posting that goes the way of the sum.
    pub line: usize,
}

impl Book {
    /// Adds a transaction.
    ///
    /// # Errors
    /// A balance beyond what 127 bits hold.
    pub fn add(&mut self, transaction: &Resolved) -> Result<(), Fault> {
        for entry in &transaction.entries {
            let balance = self
                .balances
                .entry((entry.account, entry.commodity))
                .or_default();
            *balance = balance.checked_add(entry.units).ok_or_else(|| {
                Fault::new(
                    entry.line,
                    rule::PRECISION,
                    "the balance has more digits than a book can hold",
                )
            })?;
        }
        Ok(())
    }

    /// The balance as the journal's amounts add up.
    #[must_use]
    pub fn balance(&self, account: AccountId, commodity: CommodityId) -> i128 {
        self.balances
            .get(&(account, commodity))
            .copied()
            .unwrap_or(0)
    }

    /// All balances that are not zero.
    pub fn balances(&self) -> impl Iterator<Item = (AccountId, CommodityId, i128)> {
        let all = self.balances.iter().filter(|(_, units)| **units != 0);
        all.map(|((account, commodity), units)| (*account, *commodity, *units))
    }

    /// Checks floors and floats for a transaction that comes next, of `writer`'s log or (none) of `acct/txn/`
    /// with `principal` answerable for it.
    ///
    /// # Errors
    /// Each change that breaks a rule.
    pub fn judge(
        &self,
        transaction: &Resolved,
        writer: Option<&MemberName>,
        principal: Option<&MemberName>,
        defs: &Definitions,
        floors: &Floors,
    ) -> Result<(), Vec<Fault>> {
        let judged = changes(transaction).into_iter().filter_map(|change| {
            let account = defs.account(change.account);
            if direction(&change, defs) == Direction::Raise {
                return None;
            }
            if let Some(device) = account.float_device() {
                let by = writer.or(principal).map(MemberName::as_str);
                if by.is_some_and(|by| by != device) {
                    let message = format!(
                        "{} may be debited by {device} alone, got {}",
                        account.name,
                        by.unwrap_or("nobody")
                    );
                    return Some(Fault::new(change.line, rule::FLOAT, message));
                }
            }
            let commodity = defs.commodity(change.commodity);
            let floor = floors.floor(account, commodity)?;
            if writer.is_some() && account.float_device().is_none() {
                let message = format!(
                    "{} has a floor, and a log may not lower it: post it to acct/txn/, or use a float",
                    account.name
                );
                return Some(Fault::new(change.line, rule::FLOAT, message));
            }
            let units = self.balance(change.account, change.commodity).saturating_add(change.units);
            let after = account.natural(units);
            (after < floor).then(|| {
                let show = |units| amount::show(units, commodity.decimals);
                let message = format!(
                    "{} would be {} {} (floor {})",
                    account.balance_name(),
                    show(after),
                    commodity.symbol,
                    show(floor)
                );
                Fault::new(change.line, rule::FLOOR, message)
            })
        });
        let faults: Vec<Fault> = judged.collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }
}

/// The changes of a transaction, one per account and commodity, in the order of their lines.
///
/// Postings that cancel each other out change nothing.
#[must_use]
pub fn changes(transaction: &Resolved) -> Vec<Change> {
    let mut sums: BTreeMap<(AccountId, CommodityId), i128> = BTreeMap::new();
    for entry in &transaction.entries {
        // At most 500 amounts below 10^26: no overflow.
        *sums.entry((entry.account, entry.commodity)).or_default() += entry.units;
    }
    let first_line = |account, commodity, units: i128| {
        let ours = |e: &&Entry| e.account == account && e.commodity == commodity;
        let same_way = |e: &&Entry| (e.units < 0) == (units < 0) && e.units != 0;
        transaction
            .entries
            .iter()
            .filter(ours)
            .find(same_way)
            .map_or(0, |e| e.line)
    };
    let nonzero = sums.into_iter().filter(|(_, units)| *units != 0);
    let mut changes: Vec<Change> = nonzero
        .map(|((account, commodity), units)| Change {
            account,
            commodity,
            units,
            line: first_line(account, commodity, units),
        })
        .collect();
    changes.sort_by_key(|change| (change.line, change.commodity));
    changes
}

/// Whether the holder of the account has more or less after the change.
#[must_use]
pub fn direction(change: &Change, defs: &Definitions) -> Direction {
    match defs.account(change.account).natural(change.units) {
        units if units < 0 => Direction::Lower,
        _ => Direction::Raise,
    }
}
