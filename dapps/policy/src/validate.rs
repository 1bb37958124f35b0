//! The checks, from single files to the whole.
//!
//! What concerns several files is judged only when each of them could be read: else one typo
//! would be reported as ten lock-outs.

use std::collections::BTreeMap;

use gdo_core::checkpoint::is_kernel_managed;
use gdo_core::dapp::DAPPS_DIR;
use gdo_core::error::FileError;
use gdo_core::guard;
use gdo_core::id::MemberName;
use gdo_core::path::RepoPath;
use gdo_core::policy::{Lane, POLICY_FILE, Policy};
use gdo_core::roster::{Member, ROSTER_DIR, Roster, file_of, member_of};
use gdo_dapp_sdk::contract::Input;
use gdo_dapp_sdk::error::Undecided;
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::tree::{Kind, Tree};

use crate::dapps::{self, IMAGES_DIR};
use crate::faults::{TEXT_BYTES_MAX, tell};
use crate::rules;

/// Judges a candidate.
///
/// # Errors
/// Undecided when the base, which passed once, cannot be read.
pub fn validate(input: &Input, report: &mut Report) -> Result<(), Undecided> {
    let candidate = &input.candidate;
    check_paths(candidate, report);
    let roster = read_roster(candidate, report);
    let policy = read_policy(candidate, report);
    let manifests = dapps::read(candidate, report);
    dapps::check_images(candidate, report);
    if let Some(roster) = &roster {
        let before = read_base_roster(&input.base)?;
        for fault in guard::check_change(&before, roster) {
            tell(report, rules::HISTORY, &fault);
        }
        check_dropped_keys(&before, roster, report);
    }
    if let (Some(roster), Some(policy), Some(manifests)) = (&roster, &policy, &manifests) {
        for fault in guard::check(policy, roster, manifests) {
            tell(report, rules::LOCK_OUT, &fault);
        }
        check_own_rules(policy, roster, report);
        dapps::check_sight(policy, manifests, report);
    }
    Ok(())
}

/// A misspelt path would be ignored in silence, and a symlink would be read as something else by
/// every reader.
fn check_paths(candidate: &Tree, report: &mut Report) {
    for (path, kind) in candidate.under(".gdo/") {
        if !matches!(kind, Kind::File { .. }) {
            report.file(path, rules::PATH, "expected a plain file");
            continue;
        }
        let below = |dir: &str| {
            path.strip_prefix(dir)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        let kernels = path
            .parse::<RepoPath>()
            .is_ok_and(|path| is_kernel_managed(&path));
        let known = kernels
            || [POLICY_FILE, ".gdo/README.md"].contains(&path)
            || below(ROSTER_DIR)
            || below(DAPPS_DIR)
            || below(IMAGES_DIR);
        if !known {
            let message = format!(
                "nothing reads this file: expected {POLICY_FILE}, {ROSTER_DIR}/<member>.toml, {DAPPS_DIR}/<name>/… or {IMAGES_DIR}/<name>/…"
            );
            report.file(path, rules::PATH, message);
        }
    }
}

fn read_roster(candidate: &Tree, report: &mut Report) -> Option<Roster> {
    let before = report.count();
    let mut members: BTreeMap<MemberName, Member> = BTreeMap::new();
    for (path, _) in candidate.under(&format!("{ROSTER_DIR}/")) {
        let parsed = member_of(path).and_then(|name| {
            let text = candidate.read_text(path, TEXT_BYTES_MAX);
            let text = text.map_err(|error| FileError::new(path, error))?;
            Ok((name, Member::parse(path, &text)?))
        });
        match parsed {
            Ok((name, member)) => drop(members.insert(name, member)),
            Err(fault) => tell(report, rules::ROSTER, &fault),
        }
    }
    if report.count() > before {
        return None;
    }
    Roster::new(members)
        .map_err(|fault| tell(report, rules::ROSTER, &fault))
        .ok()
}

fn read_policy(candidate: &Tree, report: &mut Report) -> Option<Policy> {
    let text = candidate.read_text(POLICY_FILE, TEXT_BYTES_MAX);
    let text = text
        .map_err(|error| report.file(POLICY_FILE, rules::POLICY, error))
        .ok()?;
    Policy::parse(&text)
        .map_err(|fault| tell(report, rules::POLICY, &fault))
        .ok()
}

fn read_base_roster(base: &Tree) -> Result<Roster, Undecided> {
    let dir = format!("{ROSTER_DIR}/");
    let mut files = Vec::new();
    for (path, _) in base.under(&dir) {
        let text = base.read_text(path, TEXT_BYTES_MAX);
        files.push((
            path,
            text.map_err(|error| Undecided::Other(format!("base: {path} {error}")))?,
        ));
    }
    Roster::parse(files.iter().map(|(path, text)| (*path, text.as_str())))
        .map_err(|fault| Undecided::Other(format!("base: {fault}")))
}

/// A key that leaves `keys` goes to `retired`: else it could come back as somebody else's later (P-3),
/// and its last blocks would wait for ever.
fn check_dropped_keys(before: &Roster, after: &Roster, report: &mut Report) {
    for (name, member) in before.iter() {
        if after.get(name).is_none() {
            continue;
        }
        for entry in member.keys.iter().chain(&member.retired) {
            if after.owner_of(&entry.key).is_none() {
                let message = format!(
                    "keys: {} {} is gone; move its line to retired",
                    entry.key.fingerprint(),
                    entry.comment
                );
                report.file(&file_of(name), rules::HISTORY, message);
            }
        }
    }
}

/// The rules for `.gdo/` itself: lane final (P-35), this dapp in force, and somebody who may write.
fn check_own_rules(policy: &Policy, roster: &Roster, report: &mut Report) {
    let own = [
        POLICY_FILE,
        ".gdo/roster/member.toml",
        ".gdo/dapps/name/dapp.toml",
    ];
    for path in own {
        let path: RepoPath = path.parse().expect("a literal path of this list is valid");
        let rule = policy.rule_for(&path).rule;
        let mut wrong = |message: String| {
            let message = format!(
                "rule \"{}\", which holds for {path}: {message}",
                rule.path.as_str()
            );
            report.file(POLICY_FILE, rules::LOCK_OUT, message);
        };
        if rule.lane != Lane::Final {
            wrong(format!("expected lane final, got {}", rule.lane));
        }
        if !rule.dapps.iter().any(|dapp| dapp.as_str() == "policy") {
            wrong("expected the dapp 'policy', which keeps you from locking yourselves out".into());
        }
        let mut writers = roster.iter().filter(|(name, member)| {
            member.is_active() && rule.writers.iter().any(|set| set.contains(name, member))
        });
        if writers.next().is_none() {
            wrong("expected an active member among its writers: nobody could change it".into());
        }
    }
}
