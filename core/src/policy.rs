//! The policy: finality, limits and path rules, the content of `.gdo/policy.toml` (P-5 to P-8).
//!
//! The rules in force for a candidate are those of its base checkpoint (P-7), never those that the
//! candidate brings.
//!
//! **Invariants**: a parsed policy has a default rule, no two rules that tie, a safe quorum and no
//! limit above the kernel's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{FileError, read_toml};
use crate::id::{DappName, MemberName, Weight};
use crate::path::RepoPath;

pub mod approve;
pub mod rule;

pub use approve::{Approve, MemberSet};
pub use rule::{Lane, Pattern, Rule, RuleMatch};

/// The path of the policy in the ledger's tree.
pub const POLICY_FILE: &str = ".gdo/policy.toml";

/// The version of the protocol that this program speaks.
pub const PROTOCOL_VERSION: u64 = 1;

/// The policy of a ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Who makes checkpoints final, and when.
    pub finality: Finality,
    /// The caps on what is taken in.
    pub limits: Limits,
    /// The offline keys that repair a stuck or forked ledger (P-36).
    pub recovery: Option<Recovery>,
    /// Whether commits may name anybody or members' handles alone (P-9).
    pub authors: Authors,
    rules: Vec<Rule>,
}

/// The `[finality]` table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finality {
    /// The weight that makes a certificate.
    pub quorum: Weight,
    /// How long records may wait for a checkpoint, in milliseconds of local monotonic time.
    pub batch_ms: u64,
    /// The validators, in the order of their names.
    pub validators: Vec<Validator>,
}

/// A member whose votes count, and how much.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// The member, a node.
    pub member: MemberName,
    /// Its weight in finality.
    pub weight: Weight,
}

impl Finality {
    /// The weight of all validators together.
    #[must_use]
    pub fn total(&self) -> Weight {
        Weight(self.validators.iter().map(|v| v.weight.0).sum())
    }

    /// The weight of `member`, if it is a validator.
    #[must_use]
    pub fn weight_of(&self, member: &MemberName) -> Option<Weight> {
        self.validators
            .iter()
            .find(|v| v.member == *member)
            .map(|v| v.weight)
    }
}

/// The `[limits]` table: the kernel's caps, or lower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest plain blob, in bytes; larger files go to the chunk store.
    pub blob_bytes_max: u64,
    /// The most paths that one block may change.
    pub paths_per_block: u64,
    /// The most open records and swaps of one principal that take part in the head.
    pub blocks_per_member: u64,
    /// The most open final proposals of one principal.
    pub pending_per_member: u64,
    /// The heights after which an open block may expire (P-35a).
    pub pending_heights: u64,
    /// The days of ledger time after which an open block may expire (P-35a).
    pub pending_days: u64,
    /// The most blocks that one checkpoint disposes of.
    pub checkpoint_blocks_max: u64,
}

/// The kernel's caps: a policy may lower them, never raise them.
pub const LIMITS_MAX: Limits = Limits {
    blob_bytes_max: 64 << 20,
    paths_per_block: 1024,
    blocks_per_member: 4096,
    pending_per_member: 256,
    pending_heights: 1000,
    pending_days: 30,
    checkpoint_blocks_max: 4096,
};

/// The size of the largest plain blob where the policy says nothing.
pub const BLOB_BYTES_DEFAULT: u64 = 1 << 20;

/// The `[recovery]` table.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// How many of the keys must sign.
    pub k: u64,
    /// The offline keys.
    pub keys: Vec<crate::key::PublicKey>,
}

/// Whose names commits may carry (P-9).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authors {
    /// Any author and committer.
    #[default]
    Any,
    /// Only `<member> <member@…>`, because a name in a commit can never be erased.
    Handle,
}

#[derive(Deserialize)]
struct RawVersion {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    #[serde(rename = "version")]
    _version: u64,
    finality: RawFinality,
    #[serde(default)]
    limits: RawLimits,
    recovery: Option<Recovery>,
    #[serde(default)]
    identity: RawIdentity,
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFinality {
    quorum: Option<Weight>,
    #[serde(default = "batch_ms_default")]
    batch_ms: u64,
    validators: Vec<Validator>,
}

fn batch_ms_default() -> u64 {
    1000
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    blob_bytes_max: Option<u64>,
    paths_per_block: Option<u64>,
    blocks_per_member: Option<u64>,
    pending_per_member: Option<u64>,
    pending_heights: Option<u64>,
    pending_days: Option<u64>,
    checkpoint_blocks_max: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawIdentity {
    #[serde(default)]
    authors: Authors,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    path: String,
    lane: Lane,
    writers: Vec<MemberSet>,
    approve: Option<Approve>,
    #[serde(default)]
    self_approval: bool,
    #[serde(default)]
    dapps: Vec<DappName>,
    #[serde(default)]
    unvalidated: bool,
}

impl Policy {
    /// Reads the text of `.gdo/policy.toml`.
    ///
    /// # Errors
    /// The line and the key that is wrong, with what was expected.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        // The version comes first: a newer one may have keys that are unknown here.
        let RawVersion { version } = read_toml(POLICY_FILE, text)?;
        if version != PROTOCOL_VERSION {
            let message = format!(
                "version: this program speaks protocol version {PROTOCOL_VERSION}, got {version}; upgrade gdo"
            );
            return Err(wrong(message));
        }
        let raw: RawPolicy = read_toml(POLICY_FILE, text)?;
        let rules = raw
            .rule
            .into_iter()
            .map(read_rule)
            .collect::<Result<Vec<_>, _>>()?;
        check_ties(&rules)?;
        if !rules.iter().any(|rule| rule.path.as_str().is_empty()) {
            return Err(wrong("rule: expected a default rule, path = \"\""));
        }
        Ok(Self {
            finality: read_finality(raw.finality)?,
            limits: read_limits(&raw.limits)?,
            recovery: read_recovery(raw.recovery)?,
            authors: raw.identity.authors,
            rules,
        })
    }

    /// The rules in the order of the file.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule that holds for `path`.
    ///
    /// # Panics
    /// Never: a policy has a default rule, which matches every path.
    #[must_use]
    pub fn rule_for<'a>(&'a self, path: &'a RepoPath) -> RuleMatch<'a> {
        let matching = self.rules.iter().filter_map(|rule| {
            let owner = rule.path.matches(path)?;
            Some(RuleMatch { rule, owner })
        });
        matching
            .max_by_key(|found| found.rule.path.rank())
            .expect("a policy has a default rule")
    }

    /// Whether a file at `path` would stand in the way of records: on a proper prefix of a path
    /// that an append or owned rule matches (section 6).
    #[must_use]
    pub fn blocks_records(&self, path: &RepoPath) -> bool {
        let mut records = self.rules.iter().filter(|rule| rule.lane <= Lane::Owned);
        records.any(|rule| rule.path.is_blocked_by(path))
    }

    /// The strictest lane among `paths`; a change of nothing is final (P-11, P-12).
    #[must_use]
    pub fn lane_of<'a>(&self, paths: impl IntoIterator<Item = &'a RepoPath>) -> Lane {
        let lanes = paths.into_iter().map(|path| self.rule_for(path).rule.lane);
        lanes.max().unwrap_or(Lane::Final)
    }

    /// The dapps of the rules that hold for `paths`.
    #[must_use]
    pub fn dapps_for<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a RepoPath>,
    ) -> BTreeSet<DappName> {
        let rules = paths.into_iter().map(|path| self.rule_for(path).rule);
        rules.flat_map(|rule| rule.dapps.iter().cloned()).collect()
    }
}

fn wrong(message: impl std::fmt::Display) -> FileError {
    FileError::new(POLICY_FILE, message)
}

fn read_rule(raw: RawRule) -> Result<Rule, FileError> {
    let named = |message: String| wrong(format!("rule \"{}\": {message}", raw.path));
    let path = Pattern::parse(&raw.path).map_err(named)?;
    if raw.dapps.is_empty() && !raw.unvalidated {
        return Err(named(
            "expected dapps, or unvalidated = true: zero checks must be a decision".into(),
        ));
    }
    if !raw.dapps.is_empty() && raw.unvalidated {
        return Err(named(
            "unvalidated = true contradicts dapps; drop one of them".into(),
        ));
    }
    if raw.lane <= Lane::Owned && !path.has_member() {
        let message = format!("lane {} needs a {{member}} segment in the path", raw.lane);
        return Err(named(message));
    }
    if raw.approve.is_some() && raw.lane != Lane::Final {
        return Err(named(format!(
            "approve holds in lane final alone, got lane {}",
            raw.lane
        )));
    }
    if raw.writers.is_empty() {
        return Err(named(
            "writers: expected at least one of role:x, member:x, kind:x or any".into(),
        ));
    }
    Ok(Rule {
        path,
        lane: raw.lane,
        writers: raw.writers,
        approve: raw.approve,
        self_approval: raw.self_approval,
        dapps: raw.dapps,
        unvalidated: raw.unvalidated,
    })
}

fn check_ties(rules: &[Rule]) -> Result<(), FileError> {
    for (i, rule) in rules.iter().enumerate() {
        if let Some(other) = rules[..i]
            .iter()
            .find(|other| other.path.ties_with(&rule.path))
        {
            return Err(wrong(format!(
                "rules \"{}\" and \"{}\" match the same paths equally well; make one more specific",
                other.path.as_str(),
                rule.path.as_str()
            )));
        }
    }
    Ok(())
}

fn read_finality(raw: RawFinality) -> Result<Finality, FileError> {
    let mut validators = raw.validators;
    validators.sort_by(|a, b| a.member.cmp(&b.member));
    if let Some(pair) = validators
        .windows(2)
        .find(|pair| pair[0].member == pair[1].member)
    {
        return Err(wrong(format!(
            "finality.validators: {} stands there twice",
            pair[0].member
        )));
    }
    if let Some(validator) = validators
        .iter()
        .find(|v| v.weight.0 == 0 || v.weight.0 > 1_000_000)
    {
        let message = format!(
            "finality.validators: {}: expected a weight of 1 to 1000000, got {}",
            validator.member, validator.weight
        );
        return Err(wrong(message));
    }
    let total: u64 = validators.iter().map(|v| v.weight.0).sum();
    if total == 0 {
        return Err(wrong(
            "finality.validators: expected at least one validator",
        ));
    }
    let quorum = raw.quorum.unwrap_or(Weight(2 * total / 3 + 1));
    if 2 * u128::from(quorum.0) <= u128::from(total) || quorum.0 > total {
        let message = format!(
            "finality.quorum: expected more than half of the total weight {total} and at most all of it, got {quorum}"
        );
        return Err(wrong(message));
    }
    Ok(Finality {
        quorum,
        batch_ms: raw.batch_ms,
        validators,
    })
}

fn read_limits(raw: &RawLimits) -> Result<Limits, FileError> {
    let limit = |name: &str, value: Option<u64>, default: u64, max: u64| match value {
        None => Ok(default),
        Some(value) if (1..=max).contains(&value) => Ok(value),
        Some(value) => Err(wrong(format!(
            "limits.{name}: expected 1 to {max} (the kernel's cap), got {value}"
        ))),
    };
    let cap = LIMITS_MAX;
    let plain = |name: &str, value: Option<u64>, max: u64| limit(name, value, max, max);
    Ok(Limits {
        blob_bytes_max: limit(
            "blob_bytes_max",
            raw.blob_bytes_max,
            BLOB_BYTES_DEFAULT,
            cap.blob_bytes_max,
        )?,
        paths_per_block: plain("paths_per_block", raw.paths_per_block, cap.paths_per_block)?,
        blocks_per_member: plain(
            "blocks_per_member",
            raw.blocks_per_member,
            cap.blocks_per_member,
        )?,
        pending_per_member: plain(
            "pending_per_member",
            raw.pending_per_member,
            cap.pending_per_member,
        )?,
        pending_heights: plain("pending_heights", raw.pending_heights, cap.pending_heights)?,
        pending_days: plain("pending_days", raw.pending_days, cap.pending_days)?,
        checkpoint_blocks_max: plain(
            "checkpoint_blocks_max",
            raw.checkpoint_blocks_max,
            cap.checkpoint_blocks_max,
        )?,
    })
}

fn read_recovery(raw: Option<Recovery>) -> Result<Option<Recovery>, FileError> {
    let Some(recovery) = raw else { return Ok(None) };
    let distinct: BTreeSet<_> = recovery.keys.iter().collect();
    if recovery.k == 0 || recovery.k > distinct.len() as u64 {
        let message = format!(
            "recovery.k: expected 1 to {} (the distinct keys), got {}",
            distinct.len(),
            recovery.k
        );
        return Err(wrong(message));
    }
    Ok(Some(recovery))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "version = 1\n[finality]\nvalidators = [{ member = \"hub\", weight = 1 }]\n";
    const DEFAULT: &str =
        "[[rule]]\npath = \"\"\nlane = \"cas\"\nwriters = [\"any\"]\nunvalidated = true\n";

    fn policy(rules: &str) -> Result<Policy, FileError> {
        Policy::parse(&format!("{HEAD}{DEFAULT}{rules}"))
    }

    fn rule(path: &str, lane: &str) -> String {
        format!(
            "[[rule]]\npath = \"{path}\"\nlane = \"{lane}\"\nwriters = [\"any\"]\nunvalidated = true\n"
        )
    }

    fn path(text: &str) -> RepoPath {
        text.parse().expect("valid path")
    }

    #[test]
    fn the_longest_then_most_literal_rule_wins() {
        let rules = [
            rule("a/*/", "cas"),
            rule("a/b/", "final"),
            rule("a/*/{member}/", "append"),
        ]
        .concat();
        let policy = policy(&rules).expect("valid");
        let lane = |p: &str| policy.rule_for(&path(p)).rule.lane;
        assert_eq!(lane("x"), Lane::Cas);
        assert_eq!(lane("a/b/c"), Lane::Final);
        assert_eq!(lane("a/c/d"), Lane::Cas);
        assert_eq!(lane("a/b/bob/x"), Lane::Append);
        let own = path("a/b/bob/x");
        assert_eq!(policy.rule_for(&own).owner, Some("bob"));
    }

    #[test]
    fn rules_that_could_tie_are_refused() {
        let error = policy(&[rule("a/*/", "cas"), rule("*/b/", "cas")].concat()).expect_err("tie");
        assert!(error.to_string().contains("a/*/"), "{error}");
        assert!(policy(&rule("", "cas")).is_err());
        assert!(policy(&[rule("a/b", "cas"), rule("a/b/", "cas")].concat()).is_ok());
    }

    #[test]
    fn unsafe_policies_are_refused_with_the_key_that_is_wrong() {
        let cases = [
            (
                policy("[[rule]]\npath = \"x/\"\nlane = \"cas\"\nwriters = [\"any\"]\n"),
                "unvalidated",
            ),
            (policy(&rule("x/", "append")), "{member}"),
            (Policy::parse(HEAD), "default rule"),
            (
                Policy::parse(&format!(
                    "{}{DEFAULT}",
                    HEAD.replace("version = 1", "version = 2")
                )),
                "version",
            ),
            (
                policy("[limits]\npaths_per_block = 5000\n"),
                "limits.paths_per_block",
            ),
            (policy("[limits]\ncolour = 1\n"), "colour"),
            (
                Policy::parse(&format!(
                    "version = 1\n[finality]\nquorum = 1\nvalidators = [{{ member = \"a\", weight = 1 }}, {{ member = \"b\", weight = 1 }}]\n{DEFAULT}"
                )),
                "finality.quorum",
            ),
        ];
        for (result, expected) in cases {
            let error = result.expect_err(expected).to_string();
            assert!(error.contains(expected), "{error} does not name {expected}");
        }
    }

    #[test]
    fn a_file_on_the_way_to_records_is_noticed() {
        let policy = policy(&rule("door/*/log/{member}/", "append")).expect("valid");
        for blocked in ["door", "door/x", "door/x/log", "door/x/log/bob"] {
            assert!(policy.blocks_records(&path(blocked)), "{blocked}");
        }
        for free in ["doors", "door/x/policy.toml", "door/x/log/bob/1"] {
            assert!(!policy.blocks_records(&path(free)), "{free}");
        }
    }

    #[test]
    fn quorum_defaults_to_more_than_two_thirds() {
        assert_eq!(policy("").expect("valid").finality.quorum, Weight(1));
    }
}
