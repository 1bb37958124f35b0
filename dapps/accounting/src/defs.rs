//! The definitions under `acct/def/*.journal`: commodities with their decimals, accounts, tags.
//!
//! ```text
//! commodity USD
//!     format 1,000.00 USD
//! account Assets:Cash
//! tag id
//! ```
//!
//! Names are numbered here once; the books count by number.
//!
//! **Invariants**: a name stands for one number; a commodity has 1 to 8 decimals.

use std::collections::BTreeMap;

use crate::amount::DECIMALS_MAX;
use crate::fault::{Fault, rule};
use crate::journal::{is_account, is_commodity};

/// The segment before the device in a float's name: `…:float:<device>`.
pub(crate) const FLOAT_SEGMENT: &str = "float";

/// An account's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId(u32);

/// A commodity's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommodityId(u32);

/// A declared account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its full name.
    pub name: String,
}

/// A declared commodity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commodity {
    /// Its symbol.
    pub symbol: String,
    /// How many decimals its amounts have.
    pub decimals: u8,
}

/// Everything that is declared.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    accounts: Vec<Account>,
    account_numbers: BTreeMap<String, AccountId>,
    commodities: Vec<Commodity>,
    commodity_numbers: BTreeMap<String, CommodityId>,
    tags: Vec<String>,
}

impl Account {
    /// Whether a credit (a negative amount in the journal) is what this account *has*: what the
    /// organisation owes to a member is the member's money.
    #[must_use]
    pub fn is_credit(&self) -> bool {
        !(self.name.starts_with("Assets:") || self.name.starts_with("Expenses:"))
    }

    /// The balance as its holder counts it, from the sum of the journal's amounts.
    #[must_use]
    pub fn natural(&self, units: i128) -> i128 {
        if self.is_credit() { -units } else { units }
    }

    /// The device that alone may debit this account, if it is a float: `…:float:<device>`.
    #[must_use]
    pub fn float_device(&self) -> Option<&str> {
        let (rest, device) = self.name.rsplit_once(':')?;
        (rest.rsplit_once(':')?.1 == FLOAT_SEGMENT).then_some(device)
    }

    /// How messages speak of its balance: `alice's balance`, `alice's float for vending-b`, or
    /// `Assets:Cash's balance`.
    #[must_use]
    pub fn balance_name(&self) -> String {
        let parts: Vec<&str> = self.name.split(':').collect();
        match parts[..] {
            ["Liabilities", "Member", person] => format!("{person}'s balance"),
            ["Liabilities", "Member", person, FLOAT_SEGMENT, device] => {
                format!("{person}'s float for {device}")
            }
            _ => format!("{}'s balance", self.name),
        }
    }
}

impl Definitions {
    /// Adds the declarations of one file.
    ///
    /// # Errors
    /// The first line that is no declaration of the subset, or declares a name again.
    pub fn add(&mut self, text: &str) -> Result<(), Fault> {
        let mut lines = text
            .split('\n')
            .enumerate()
            .map(|(i, line)| (i + 1, line))
            .peekable();
        while let Some((line, text)) = lines.next() {
            let fault = |message: String| Fault::new(line, rule::DEFINITION, message);
            if text.chars().any(char::is_control) {
                return Err(fault(
                    "expected no tab, carriage return or other control character".into(),
                ));
            }
            match text.split_once(' ') {
                None if text.is_empty() => {}
                _ if text.starts_with(';') => {}
                Some(("account", name)) if is_account(name) => {
                    let number = AccountId(self.accounts.len() as u32);
                    if self
                        .account_numbers
                        .insert(name.to_owned(), number)
                        .is_some()
                    {
                        return Err(fault(format!("account {name} is declared twice")));
                    }
                    self.accounts.push(Account {
                        name: name.to_owned(),
                    });
                }
                Some(("commodity", symbol)) if is_commodity(symbol) => {
                    let (_, format) = lines.next().unwrap_or((line, ""));
                    let decimals = read_format(format, symbol)
                        .map_err(|message| Fault::new(line + 1, rule::DEFINITION, message))?;
                    self.add_commodity(symbol, decimals).map_err(fault)?;
                }
                Some(("tag", name)) if ["id", "ext", "for"].contains(&name) => {
                    if self.tags.iter().any(|tag| tag == name) {
                        return Err(fault(format!("tag {name} is declared twice")));
                    }
                    self.tags.push(name.to_owned());
                }
                _ => {
                    let expected = "expected 'account <name>', 'commodity <letters>' with a format line, 'tag id', 'tag ext' or 'tag for'";
                    return Err(fault(format!("{expected}, got '{text}'")));
                }
            }
        }
        Ok(())
    }

    /// The account's number, if it is declared.
    #[must_use]
    pub fn account_id(&self, name: &str) -> Option<AccountId> {
        self.account_numbers.get(name).copied()
    }

    /// The commodity's number, if it is declared.
    #[must_use]
    pub fn commodity_id(&self, symbol: &str) -> Option<CommodityId> {
        self.commodity_numbers.get(symbol).copied()
    }

    /// The account of a number.
    #[must_use]
    pub fn account(&self, id: AccountId) -> &Account {
        &self.accounts[id.0 as usize]
    }

    /// The commodity of a number.
    #[must_use]
    pub fn commodity(&self, id: CommodityId) -> &Commodity {
        &self.commodities[id.0 as usize]
    }

    /// The tags that transactions use and no file declares: `ledger --pedantic` would refuse them.
    pub fn missing_tags(&self) -> impl Iterator<Item = &'static str> + '_ {
        ["id", "ext", "for"]
            .into_iter()
            .filter(|name| !self.tags.iter().any(|tag| tag == name))
    }

    fn add_commodity(&mut self, symbol: &str, decimals: u8) -> Result<(), String> {
        let number = CommodityId(self.commodities.len() as u32);
        if self
            .commodity_numbers
            .insert(symbol.to_owned(), number)
            .is_some()
        {
            return Err(format!("commodity {symbol} is declared twice"));
        }
        self.commodities.push(Commodity {
            symbol: symbol.to_owned(),
            decimals,
        });
        Ok(())
    }
}

/// The decimals of `    format 1,000.00 USD`. A format without decimals has no form that both tools read.
fn read_format(line: &str, symbol: &str) -> Result<u8, String> {
    let decimals = line
        .strip_prefix("    format 1,000.")
        .and_then(|rest| rest.strip_suffix(symbol))
        .and_then(|rest| rest.strip_suffix(' '))
        .filter(|zeros| (1..=usize::from(DECIMALS_MAX)).contains(&zeros.len()))
        .filter(|zeros| zeros.bytes().all(|c| c == b'0'));
    decimals.map(|zeros| zeros.len() as u8).ok_or_else(|| {
        format!(
            "expected '    format 1,000.00 {symbol}' with 1 to {DECIMALS_MAX} zeros, got '{line}'"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_and_everything_else_is_refused_at_its_line() {
        let good = "; def\ncommodity USD\n    format 1,000.00 USD\n\naccount Assets:Cash\ntag id\n";
        let mut defs = Definitions::default();
        defs.add(good).expect("good");
        let usd = defs.commodity_id("USD").expect("declared");
        assert_eq!(defs.commodity(usd).decimals, 2);
        assert_eq!(defs.missing_tags().collect::<Vec<_>>(), ["ext", "for"]);
        let bad = [
            (good.replace("1,000.00", "1.000,00"), 3),
            (good.replace("1,000.00", "1,000."), 3),
            (good.replace("1,000.00 USD", "1,000.00 EUR"), 3),
            (good.replace("    format", "format"), 3),
            (good.replace("tag id", "tag colour"), 6),
            (good.replace("tag id", "include /etc/passwd"), 6),
            (good.replace("tag id", "account Assets:Cash"), 6),
            (good.replace("tag id", "account Assets:Cash  ; note"), 6),
            (good.replace("tag id", "alias a=b"), 6),
            (good.replace("tag id", "D 1000.00 USD"), 6),
            (good.replace('\n', "\r\n"), 1),
        ];
        for (text, line) in bad {
            let fault = Definitions::default().add(&text).expect_err(&text);
            assert_eq!(fault.line, line, "{fault:?} in\n{text}");
        }
    }

    #[test]
    fn what_the_organisation_owes_is_the_holders_money() {
        let account = |name: &str| Account { name: name.into() };
        assert_eq!(account("Liabilities:Member:alice").natural(-5000), 5000);
        assert_eq!(account("Income:Bar").natural(-5000), 5000);
        assert_eq!(account("Assets:Cash").natural(5000), 5000);
        assert_eq!(account("Expenses:Rent").natural(5000), 5000);
    }

    #[test]
    fn messages_name_the_person() {
        let named = |name: &str| Account { name: name.into() }.balance_name();
        assert_eq!(named("Liabilities:Member:alice"), "alice's balance");
        assert_eq!(
            named("Liabilities:Member:alice:float:vending-b"),
            "alice's float for vending-b"
        );
        assert_eq!(named("Assets:Cash"), "Assets:Cash's balance");
        let float = Account {
            name: "Liabilities:Member:alice:float:vending-b".into(),
        };
        assert_eq!(float.float_device(), Some("vending-b"));
        assert_eq!(
            Account {
                name: "Liabilities:Member:alice".into()
            }
            .float_device(),
            None
        );
    }
}
