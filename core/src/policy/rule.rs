//! Path rules: which lane, writers, approvals and dapps hold for a path (P-5, section 6).
//!
//! A pattern that ends in `/` holds for everything below it, any other for that one path; `""` is
//! the default. Of the rules that match, the one with most segments wins, then the one with most
//! literal segments; two rules that could tie on some path are refused when the policy is read.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{DappName, MemberName};
use crate::path::RepoPath;
use crate::policy::approve::{Approve, MemberSet};

/// How concurrent changes of a path meet (section 6), from the freest to the strictest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Create only, under the writer's own name.
    Append,
    /// Written by its owner alone.
    Owned,
    /// Compare and swap; the first in canonical order wins.
    Cas,
    /// Changed by checkpoints alone, with approvals and verdicts.
    Final,
}

impl Lane {
    /// The lane as policies and trailers spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Owned => "owned",
            Self::Cas => "cas",
            Self::Final => "final",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One segment of a rule's path.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    Literal(String),
    Any,
    Member,
}

/// The path of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
    below: bool,
}

impl Pattern {
    /// Reads a rule's path.
    ///
    /// # Errors
    /// What the pattern may not hold, as the form that was expected.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let below = text.is_empty() || text.ends_with('/');
        let body = text.strip_suffix('/').unwrap_or(text);
        let mut segments = Vec::new();
        for segment in body.split('/').filter(|_| !body.is_empty()) {
            segments.push(match segment {
                "*" => Segment::Any,
                "{member}" => Segment::Member,
                literal if literal.contains(['*', '{', '}']) => {
                    return Err(format!(
                        "'*' and '{{member}}' stand for whole segments, got '{literal}'"
                    ));
                }
                literal => {
                    literal
                        .parse::<RepoPath>()
                        .map_err(|error| error.to_string())?;
                    Segment::Literal(literal.to_owned())
                }
            });
        }
        if text.starts_with('/') || text == "/" {
            return Err("expected a path without a leading '/'".to_owned());
        }
        if segments.iter().filter(|s| **s == Segment::Member).count() > 1 {
            return Err("expected '{member}' at most once".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
            below,
        })
    }

    /// The pattern as the policy spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the path of an owner stands in the pattern.
    #[must_use]
    pub fn has_member(&self) -> bool {
        self.segments.contains(&Segment::Member)
    }

    /// Whether the rule holds for everything below its path.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.below
    }

    /// Rank among the rules that match: most segments, then most literal ones.
    pub(super) fn rank(&self) -> (usize, usize) {
        let literal = self
            .segments
            .iter()
            .filter(|s| matches!(s, Segment::Literal(_)))
            .count();
        (self.segments.len(), literal)
    }

    /// Matches `path`; on a match gives the segment that stands at `{member}`, if there is one.
    pub(super) fn matches<'p>(&self, path: &'p RepoPath) -> Option<Option<&'p str>> {
        let mut rest = path.segments();
        let mut owner = None;
        for segment in &self.segments {
            let found = rest.next()?;
            match segment {
                Segment::Literal(literal) if literal != found => return None,
                Segment::Member => owner = Some(found),
                Segment::Literal(_) | Segment::Any => {}
            }
        }
        // A rule for a directory does not hold for a file at the directory's own path, but for
        // the default rule, whose directory is the root.
        (rest.next().is_some() == self.below).then_some(owner)
    }

    /// Whether a file at `path` would stand on a proper prefix of paths that this pattern matches
    /// (section 6: such a file would block records).
    pub(super) fn is_blocked_by(&self, path: &RepoPath) -> bool {
        let depth = path.segments().count();
        let reach = self.segments.len() + usize::from(self.below);
        depth < reach
            && self
                .segments
                .iter()
                .zip(path.segments())
                .all(|(segment, found)| match segment {
                    Segment::Literal(literal) => literal == found,
                    Segment::Any | Segment::Member => true,
                })
    }

    /// Whether both patterns match some path with the same rank.
    pub(super) fn ties_with(&self, other: &Self) -> bool {
        self.rank() == other.rank()
            && self.below == other.below
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|pair| match pair {
                    (Segment::Literal(a), Segment::Literal(b)) => a == b,
                    _ => true,
                })
    }
}

/// One `[[rule]]` of the policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The paths that it holds for.
    pub path: Pattern,
    /// How concurrent changes meet.
    pub lane: Lane,
    /// Who may write, judged for the principal (P-10).
    pub writers: Vec<MemberSet>,
    /// The approvals that a change needs; only in lane final.
    pub approve: Option<Approve>,
    /// Whether those who signed the change may approve it too (P-8).
    pub self_approval: bool,
    /// The validator dapps that must pass.
    pub dapps: Vec<DappName>,
    /// Whether having no dapp is a decision (P-6).
    pub unvalidated: bool,
}

/// The rule that holds for a path, and whose path it is where the rule names `{member}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleMatch<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The segment at `{member}`: only this principal may write there.
    pub owner: Option<&'a str>,
}

impl RuleMatch<'_> {
    /// Whether `principal` owns the path, or the path has no owner.
    #[must_use]
    pub fn is_open_to(&self, principal: &MemberName) -> bool {
        self.owner.is_none_or(|owner| owner == principal.as_str())
    }
}
