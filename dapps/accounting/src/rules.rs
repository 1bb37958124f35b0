//! The organisation's own rules: `acct/def/floors.toml` and `acct/def/posters.toml`.
//!
//! Both are data of the base: a proposal that changes them is judged by what it found, like every rule of
//! a ledger (P-7). Balances are meant as their holder counts them: for Assets and Expenses the sum of the
//! journal's amounts, for Liabilities, Equity and Income its negative. `Liabilities:Member:alice` at
//! `-50.00 USD` in the journal means that alice *has* 50.00.

use gdo_core::context::ContextMember;
use gdo_core::id::MemberName;
use gdo_core::policy::MemberSet;
use gdo_dapp_sdk::record::line_of;
use serde::Deserialize;

use crate::amount;
use crate::defs::{Account, Commodity};
use crate::fault::{Fault, rule};
use crate::pattern::Pattern;

/// Which balances may not fall below what.
#[derive(Debug, Clone, Default)]
pub struct Floors(Vec<Floor>);

#[derive(Debug, Clone)]
struct Floor {
    account: Pattern,
    commodity: Option<String>,
    floor: String,
}

/// Who may raise and lower which balances.
#[derive(Debug, Clone, Default)]
pub struct Posters(Vec<Poster>);

#[derive(Debug, Clone)]
struct Poster {
    who: MemberSet,
    raise: Vec<Pattern>,
    lower: Vec<Pattern>,
}

/// What a transaction does to one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Its holder has more afterwards.
    Raise,
    /// Its holder has less afterwards.
    Lower,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFloors {
    v: u32,
    #[serde(default)]
    floor: Vec<RawFloor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFloor {
    account: String,
    commodity: Option<String>,
    floor: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPosters {
    v: u32,
    #[serde(default)]
    poster: Vec<RawPoster>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoster {
    who: MemberSet,
    #[serde(default)]
    raise: Vec<String>,
    #[serde(default)]
    lower: Vec<String>,
}

impl Floors {
    /// Reads `acct/def/floors.toml`.
    ///
    /// # Errors
    /// The line and the key that is wrong.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let raw: RawFloors = read(text)?;
        check_version(raw.v)?;
        let floors = raw.floor.into_iter().enumerate().map(|(i, raw)| {
            let at = |message: String| definition(format!("floor {}: {message}", i + 1));
            let account = Pattern::parse(&raw.account).map_err(at)?;
            amount::parse(&raw.floor, amount::DECIMALS_MAX).map_err(at)?;
            Ok(Floor {
                account,
                commodity: raw.commodity,
                floor: raw.floor,
            })
        });
        floors.collect::<Result<_, _>>().map(Self)
    }

    /// The floor of `account` in units of `commodity`: a float's is 0, else the first entry that matches.
    #[must_use]
    pub fn floor(&self, account: &Account, commodity: &Commodity) -> Option<i128> {
        if account.float_device().is_some() {
            return Some(0);
        }
        let matches = |floor: &&Floor| {
            floor.account.matches(&account.name, "")
                && floor
                    .commodity
                    .as_ref()
                    .is_none_or(|symbol| *symbol == commodity.symbol)
        };
        // A floor with more decimals than the commodity has is met by rounding towards more money.
        let floor = self.0.iter().find(matches)?;
        let fine = amount::parse(&floor.floor, amount::DECIMALS_MAX).ok()?;
        let step = 10_i128.pow(u32::from(amount::DECIMALS_MAX - commodity.decimals));
        Some(fine.div_euclid(step) + i128::from(fine.rem_euclid(step) != 0))
    }
}

impl Posters {
    /// Reads `acct/def/posters.toml`.
    ///
    /// # Errors
    /// The line and the key that is wrong.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let raw: RawPosters = read(text)?;
        check_version(raw.v)?;
        let posters = raw.poster.into_iter().enumerate().map(|(i, raw)| {
            let patterns = |key: &str, texts: &[String]| {
                let parsed = texts.iter().map(|text| Pattern::parse(text));
                parsed
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|message| definition(format!("poster {}: {key}: {message}", i + 1)))
            };
            Ok(Poster {
                who: raw.who,
                raise: patterns("raise", &raw.raise)?,
                lower: patterns("lower", &raw.lower)?,
            })
        });
        posters.collect::<Result<_, _>>().map(Self)
    }

    /// Finds one entry that lets the member do all of `changes`. Without one, the index of the first
    /// change that stopped the entry which came furthest.
    ///
    /// # Errors
    /// That index; 0 when no entry speaks of the member.
    pub fn permit(
        &self,
        name: &MemberName,
        member: &ContextMember,
        changes: &[(&Account, Direction)],
    ) -> Result<(), usize> {
        let mut furthest = 0;
        for poster in self
            .0
            .iter()
            .filter(|poster| speaks_of(&poster.who, name, member))
        {
            let refused = changes.iter().position(|(account, direction)| {
                let patterns = match direction {
                    Direction::Raise => &poster.raise,
                    Direction::Lower => &poster.lower,
                };
                !patterns
                    .iter()
                    .any(|pattern| pattern.matches(&account.name, name.as_str()))
            });
            match refused {
                None => return Ok(()),
                Some(index) => furthest = furthest.max(index),
            }
        }
        Err(furthest)
    }
}

fn speaks_of(set: &MemberSet, name: &MemberName, member: &ContextMember) -> bool {
    match set {
        MemberSet::Role(role) => member.roles.contains(role),
        MemberSet::Member(named) => named == name,
        MemberSet::Kind(kind) => member.kind == *kind,
        MemberSet::Any => true,
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Fault> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim().replace('\n', "; ");
        Fault::new(line_of(text, &error), rule::DEFINITION, message)
    })
}

fn check_version(v: u32) -> Result<(), Fault> {
    if v == 1 {
        Ok(())
    } else {
        Err(definition(format!("v: expected 1, got {v}")))
    }
}

fn definition(message: String) -> Fault {
    Fault::new(0, rule::DEFINITION, message)
}

#[cfg(test)]
mod tests {
    use gdo_core::id::Weight;
    use gdo_core::roster::{Kind, Status};

    use super::*;

    fn account(name: &str) -> Account {
        Account { name: name.into() }
    }

    fn commodity(symbol: &str, decimals: u8) -> Commodity {
        Commodity {
            symbol: symbol.into(),
            decimals,
        }
    }

    #[test]
    fn the_first_matching_floor_holds_and_floats_have_zero() {
        let text = "v = 1\n\
            [[floor]]\naccount = \"Liabilities:Member:house\"\nfloor = \"-100.00\"\n\
            [[floor]]\naccount = \"Liabilities:Member:*\"\ncommodity = \"USD\"\nfloor = \"0.005\"\n";
        let floors = Floors::parse(text).expect("good");
        let usd = commodity("USD", 2);
        let floor = |name: &str, commodity: &Commodity| floors.floor(&account(name), commodity);
        assert_eq!(floor("Liabilities:Member:house", &usd), Some(-10_000));
        assert_eq!(
            floor("Liabilities:Member:alice", &usd),
            Some(1),
            "rounded towards more money"
        );
        assert_eq!(
            floor("Liabilities:Member:alice", &commodity("EUR", 2)),
            None
        );
        assert_eq!(
            floor(
                "Liabilities:Member:alice:float:vending-b",
                &commodity("EUR", 2)
            ),
            Some(0)
        );
        assert_eq!(floor("Assets:Cash", &usd), None);
    }

    #[test]
    fn a_poster_needs_one_entry_that_allows_everything() {
        let text = "v = 1\n\
            [[poster]]\nwho = \"role:board\"\nraise = [\"**\"]\nlower = [\"**\"]\n\
            [[poster]]\nwho = \"kind:person\"\nraise = [\"Income:**\"]\nlower = [\"Liabilities:Member:{member}\"]\n\
            [[poster]]\nwho = \"member:bob\"\nraise = [\"Assets:Till\"]\nlower = [\"Income:**\"]\n";
        let posters = Posters::parse(text).expect("good");
        let member = |roles: &[&str]| ContextMember {
            kind: Kind::Person,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            status: Status::Active,
            weight: Weight(1),
        };
        let bob: MemberName = "bob".parse().expect("name");
        let own = account("Liabilities:Member:bob");
        let other = account("Liabilities:Member:alice");
        let income = account("Income:Bar");
        let till = account("Assets:Till");
        let spend = [(&own, Direction::Lower), (&income, Direction::Raise)];
        let steal = [(&income, Direction::Raise), (&other, Direction::Lower)];
        let mixed = [(&own, Direction::Lower), (&till, Direction::Raise)];
        let permit = |roles: &[&str], changes: &[(&Account, Direction)]| {
            posters.permit(&bob, &member(roles), changes)
        };
        assert_eq!(permit(&[], &spend), Ok(()));
        assert_eq!(
            permit(&[], &steal),
            Err(1),
            "the second change is what stopped it"
        );
        assert_eq!(permit(&["board"], &steal), Ok(()));
        assert_eq!(permit(&[], &mixed), Err(1), "two entries do not add up");
    }

    #[test]
    fn unknown_keys_and_versions_are_refused_with_their_line() {
        let cases = [
            ("v = 2\n", 0),
            ("v = 1\nfloors = []\n", 2),
            ("v = 1\n[[floor]]\naccount = \"a*\"\nfloor = \"0\"\n", 0),
            (
                "v = 1\n[[floor]]\naccount = \"Assets:**\"\nfloor = \"1,0\"\n",
                0,
            ),
            ("v = 1\n[[floor]]\naccount = \"Assets:**\"\nfloor = 0\n", 4),
            ("", 1),
        ];
        for (text, line) in cases {
            let fault = Floors::parse(text).expect_err(text);
            assert_eq!(
                (fault.rule, fault.line),
                (rule::DEFINITION, line),
                "{fault:?}"
            );
        }
        let fault = Posters::parse("v = 1\n[[poster]]\nwho = \"everybody\"\n").expect_err("set");
        assert_eq!(fault.line, 3, "{fault:?}");
    }
}
