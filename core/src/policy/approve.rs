//! The `approve` grammar of policy rules (P-8).
//!
//! `expr := N of SET | weight >= N | SET | all(expr, …) | any(expr, …)` with
//! `SET := role:x | member:x | kind:x`. A bare `SET` asks for one of its members.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::FormatError;
use crate::id::{MemberName, Weight, serde_as_text};
use crate::roster::{Kind, Member, is_word};

/// A set of members, named by role, name or kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MemberSet {
    /// Everybody with the role.
    Role(String),
    /// One member.
    Member(MemberName),
    /// Everybody of the kind.
    Kind(Kind),
    /// Every active member; only as a writer.
    Any,
}

impl MemberSet {
    /// Whether the member is in the set, whatever its status.
    #[must_use]
    pub fn contains(&self, name: &MemberName, member: &Member) -> bool {
        match self {
            Self::Role(role) => member.roles.contains(role),
            Self::Member(named) => named == name,
            Self::Kind(kind) => member.kind == *kind,
            Self::Any => true,
        }
    }
}

impl FromStr for MemberSet {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::new("member set", "role:x, member:x, kind:x or any", text);
        match text.split_once(':') {
            None if text == "any" => Ok(Self::Any),
            Some(("role", role)) if is_word(role) => Ok(Self::Role(role.to_owned())),
            Some(("member", name)) => name.parse().map(Self::Member).map_err(|_| wrong()),
            Some(("kind", "person")) => Ok(Self::Kind(Kind::Person)),
            Some(("kind", "node")) => Ok(Self::Kind(Kind::Node)),
            Some(("kind", "service")) => Ok(Self::Kind(Kind::Service)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for MemberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => write!(f, "role:{role}"),
            Self::Member(name) => write!(f, "member:{name}"),
            Self::Kind(Kind::Person) => f.write_str("kind:person"),
            Self::Kind(Kind::Node) => f.write_str("kind:node"),
            Self::Kind(Kind::Service) => f.write_str("kind:service"),
            Self::Any => f.write_str("any"),
        }
    }
}

/// How many approvals of whom a change needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Approve {
    /// At least so many members of a set.
    Count(u64, MemberSet),
    /// Members whose roster weights add up to at least so much.
    Weight(Weight),
    /// Every one of these.
    All(Vec<Approve>),
    /// One of these.
    Any(Vec<Approve>),
}

impl Approve {
    /// Whether these approvers, each counted once, are enough. All are active members.
    #[must_use]
    pub fn is_met_by(&self, approvers: &[(&MemberName, &Member)]) -> bool {
        match self {
            Self::Count(needed, set) => {
                let count = approvers
                    .iter()
                    .filter(|(name, member)| set.contains(name, member));
                count.count() as u64 >= *needed
            }
            Self::Weight(needed) => {
                let sum = approvers
                    .iter()
                    .map(|(_, member)| u128::from(member.weight.0))
                    .sum::<u128>();
                sum >= u128::from(needed.0)
            }
            Self::All(parts) => parts.iter().all(|part| part.is_met_by(approvers)),
            Self::Any(parts) => parts.iter().any(|part| part.is_met_by(approvers)),
        }
    }
}

impl FromStr for Approve {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let mut parser = Parser {
            text,
            rest: text.trim_start(),
        };
        let parsed = parser.expression(0)?;
        if parser.rest.is_empty() {
            Ok(parsed)
        } else {
            Err(parser.wrong())
        }
    }
}

impl fmt::Display for Approve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, parts: &[Approve]| {
            let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
            write!(f, "{word}({})", parts.join(", "))
        };
        match self {
            Self::Count(1, set) => write!(f, "{set}"),
            Self::Count(needed, set) => write!(f, "{needed} of {set}"),
            Self::Weight(needed) => write!(f, "weight >= {needed}"),
            Self::All(parts) => list(f, "all", parts),
            Self::Any(parts) => list(f, "any", parts),
        }
    }
}

serde_as_text!(Approve, MemberSet);

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn wrong(&self) -> FormatError {
        let expected =
            "N of SET, weight >= N, SET, all(…) or any(…), SET being role:x, member:x or kind:x";
        FormatError::new(
            format!("approve expression '{}'", self.text),
            expected,
            self.rest,
        )
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> &'a str {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':';
        let end = self.rest.find(|c| !inner(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn number(&mut self) -> Result<u64, FormatError> {
        let before = self.rest;
        let number = self.word().parse().ok().filter(|n| *n > 0);
        number.ok_or_else(|| {
            self.rest = before;
            self.wrong()
        })
    }

    fn expression(&mut self, depth: usize) -> Result<Approve, FormatError> {
        if depth > 8 {
            return Err(self.wrong());
        }
        if self.eat("all(") {
            return self.list(depth).map(Approve::All);
        }
        if self.eat("any(") {
            return self.list(depth).map(Approve::Any);
        }
        if self.rest.starts_with("weight") {
            self.eat("weight");
            return if self.eat(">=") {
                self.number().map(|n| Approve::Weight(Weight(n)))
            } else {
                Err(self.wrong())
            };
        }
        let needed = if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            let needed = self.number()?;
            if !self.eat("of ") {
                return Err(self.wrong());
            }
            needed
        } else {
            1
        };
        let before = self.rest;
        match self.word().parse() {
            Ok(set) if set != MemberSet::Any => Ok(Approve::Count(needed, set)),
            _ => {
                self.rest = before;
                Err(self.wrong())
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Approve>, FormatError> {
        let mut parts = vec![self.expression(depth + 1)?];
        while self.eat(",") {
            parts.push(self.expression(depth + 1)?);
        }
        if self.eat(")") {
            Ok(parts)
        } else {
            Err(self.wrong())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_round_trip() {
        for text in [
            "role:board",
            "2 of role:devops",
            "weight >= 100",
            "any(member:cto, 2 of role:devops, all(10 of role:developer, weight >= 100))",
        ] {
            assert_eq!(text.parse::<Approve>().expect("valid").to_string(), text);
        }
    }

    #[test]
    fn what_the_grammar_does_not_say_is_refused() {
        for text in [
            "",
            "any",
            "any()",
            "0 of role:x",
            "2 role:x",
            "role:",
            "role:x,",
            "weight > 3",
            "weight >= 0",
            "any(role:x",
            "any(role:x))",
            "role:x role:y",
            "kind:human",
            "2 of any",
        ] {
            assert!(text.parse::<Approve>().is_err(), "{text:?} was accepted");
        }
        let deep = format!("{}role:x{}", "all(".repeat(2000), ")".repeat(2000));
        assert!(deep.parse::<Approve>().is_err());
    }
}
