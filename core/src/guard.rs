//! Guard rails: what a roster and a policy must keep so that the ledger can go on (P-5, P-6, P-27,
//! P-35).
//!
//! Each file may be well formed and the whole still lock everybody out: a validator that is no
//! member, approvals that nobody can give, a rule whose dapp is missing. The kernel, `gdo init`,
//! `gdo policy lint` and the `policy` dapp judge by these same functions.

use std::collections::BTreeMap;

use crate::dapp::Manifest;
use crate::error::FileError;
use crate::id::{DappName, MemberName, Weight};
use crate::policy::{POLICY_FILE, Policy, Rule};
use crate::roster::{Kind, Member, Roster, file_of};

/// Everything that would lock the ledger; empty is good.
#[must_use]
pub fn check(
    policy: &Policy,
    roster: &Roster,
    dapps: &BTreeMap<DappName, Manifest>,
) -> Vec<FileError> {
    let mut faults = validators(policy, roster);
    for rule in policy.rules() {
        faults.extend(approvals(rule, roster));
        for dapp in &rule.dapps {
            if !dapps.contains_key(dapp) {
                let message = format!(
                    "rule \"{}\": dapp '{dapp}' is not in the ledger, expected {}",
                    rule.path.as_str(),
                    Manifest::file_of(dapp)
                );
                faults.push(FileError::new(POLICY_FILE, message));
            }
        }
    }
    for (name, manifest) in dapps {
        faults.extend(runners(name, manifest, policy));
    }
    faults
}

/// What a change of the roster may never do: delete a file, or give a key to another member (P-3).
#[must_use]
pub fn check_change(before: &Roster, after: &Roster) -> Vec<FileError> {
    let mut faults = Vec::new();
    for (name, member) in before.iter() {
        if after.get(name).is_none() {
            let message = "roster files are never deleted; set status = \"removed\"";
            faults.push(FileError::new(file_of(name), message));
        }
        for entry in member.keys.iter().chain(&member.retired) {
            let moved = after
                .owner_of(&entry.key)
                .filter(|(owner, _)| *owner != name);
            if let Some((owner, _)) = moved {
                let message = format!(
                    "keys: {} was a key of {name}; a key never changes member",
                    entry.key.fingerprint()
                );
                faults.push(FileError::new(file_of(owner), message));
            }
        }
    }
    faults
}

fn validators(policy: &Policy, roster: &Roster) -> Vec<FileError> {
    let mut faults = Vec::new();
    let mut usable = Weight(0);
    for validator in &policy.finality.validators {
        let name = &validator.member;
        match roster.get(name) {
            None => {
                let message = format!("finality.validators: {name} is not in the roster");
                faults.push(FileError::new(POLICY_FILE, message));
            }
            Some(member) if member.kind != Kind::Node => {
                let message = format!("finality.validators: {name} is not of kind node");
                faults.push(FileError::new(POLICY_FILE, message));
            }
            Some(member) if member.is_active() => usable = Weight(usable.0 + validator.weight.0),
            Some(_) => {}
        }
    }
    if faults.is_empty() && usable < policy.finality.quorum {
        let message = format!(
            "finality.quorum: the active validators weigh {usable}, expected at least the quorum of {}",
            policy.finality.quorum
        );
        faults.push(FileError::new(POLICY_FILE, message));
    }
    faults
}

/// Whether somebody may write there, and enough others may then approve.
fn approvals(rule: &Rule, roster: &Roster) -> Option<FileError> {
    let approve = rule.approve.as_ref()?;
    let active: Vec<(&MemberName, &Member)> = roster
        .iter()
        .filter(|(_, member)| member.is_active())
        .collect();
    let mut writers = active
        .iter()
        .filter(|(name, member)| rule.writers.iter().any(|set| set.contains(name, member)));
    let met = writers.any(|(writer, _)| {
        let approvers: Vec<_> = active
            .iter()
            .copied()
            .filter(|(name, member)| {
                member.kind == Kind::Person && (rule.self_approval || name != writer)
            })
            .collect();
        approve.is_met_by(&approvers)
    });
    if met {
        return None;
    }
    let hint = if rule.self_approval {
        ""
    } else {
        ", or set self_approval = true while there are too few"
    };
    let message = format!(
        "rule \"{}\": nobody could change it any more: expected active persons who meet '{approve}'{hint}",
        rule.path.as_str()
    );
    Some(FileError::new(POLICY_FILE, message))
}

/// P-27: pass and fail cannot both be certified without double signers.
fn runners(name: &DappName, manifest: &Manifest, policy: &Policy) -> Option<FileError> {
    let (total, k_pass, k_fail) = thresholds(manifest, policy);
    let wrong = |message: String| Some(FileError::new(Manifest::file_of(name), message));
    if k_pass.0 == 0 || k_fail.0 == 0 || k_pass > total || k_fail > total {
        return wrong(format!(
            "k_pass and k_fail: expected 1 to {total}, got {k_pass} and {k_fail}"
        ));
    }
    if k_pass.0 + k_fail.0 <= total.0 {
        return wrong(format!(
            "k_pass + k_fail: expected more than the runners' weight {total}, got {}",
            k_pass.0 + k_fail.0
        ));
    }
    None
}

/// The weight of a dapp's runners, and the weights of passes and of fails that are enough (P-27).
#[must_use]
pub fn thresholds(manifest: &Manifest, policy: &Policy) -> (Weight, Weight, Weight) {
    let runners = &manifest.validator.runners;
    let (total, quorum) = match &runners.members {
        None => (policy.finality.total(), policy.finality.quorum),
        Some(members) => {
            let total = members.len() as u64;
            (Weight(total), Weight(2 * total / 3 + 1))
        }
    };
    let k_pass = runners.k_pass.unwrap_or(quorum);
    let k_fail = runners
        .k_fail
        .unwrap_or(Weight(total.0.saturating_sub(k_pass.0) + 1));
    (total, k_pass, k_fail)
}

/// The weight of `member` among a dapp's runners; `None` if it is no runner.
#[must_use]
pub fn runner_weight(manifest: &Manifest, policy: &Policy, member: &MemberName) -> Option<Weight> {
    match &manifest.validator.runners.members {
        None => policy.finality.weight_of(member),
        Some(members) => members.contains(member).then_some(Weight(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    fn member(kind: &str, seed: u8, status: &str) -> String {
        let key = NodeKey::from_seed([seed; 32]).public();
        format!(
            "kind = \"{kind}\"\nkeys = [\"{key}\"]\nroles = [\"board\"]\nstatus = \"{status}\"\n"
        )
    }

    fn roster(members: &[(&str, String)]) -> Roster {
        let files: Vec<(String, &String)> = members
            .iter()
            .map(|(name, text)| (format!(".gdo/roster/{name}.toml"), text))
            .collect();
        Roster::parse(
            files
                .iter()
                .map(|(file, text)| (file.as_str(), text.as_str())),
        )
        .expect("valid")
    }

    fn policy(rule: &str) -> Policy {
        Policy::parse(&format!(
            "version = 1\n[finality]\nvalidators = [{{ member = \"hub\", weight = 1 }}]\n\
             [[rule]]\npath = \"\"\nlane = \"cas\"\nwriters = [\"any\"]\nunvalidated = true\n\
             [[rule]]\npath = \".gdo/\"\nlane = \"final\"\nwriters = [\"kind:person\"]\n{rule}\n"
        ))
        .expect("valid")
    }

    fn faults(policy: &Policy, roster: &Roster) -> String {
        let faults = check(policy, roster, &BTreeMap::new());
        faults
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn one_person_needs_self_approval() {
        let roster = roster(&[
            ("alice", member("person", 1, "active")),
            ("hub", member("node", 2, "active")),
        ]);
        let alone = policy("approve = \"role:board\"\nunvalidated = true");
        assert!(faults(&alone, &roster).contains("self_approval"));
        let own = policy("approve = \"role:board\"\nself_approval = true\nunvalidated = true");
        assert_eq!(faults(&own, &roster), "");
    }

    #[test]
    fn a_ledger_without_a_usable_validator_is_refused() {
        let open = policy("unvalidated = true");
        let alice = ("alice", member("person", 1, "active"));
        assert!(
            faults(&open, &roster(std::slice::from_ref(&alice)))
                .contains("hub is not in the roster")
        );
        let gone = roster(&[alice.clone(), ("hub", member("node", 2, "removed"))]);
        assert!(faults(&open, &gone).contains("finality.quorum"));
        let person = roster(&[alice, ("hub", member("person", 2, "active"))]);
        assert!(faults(&open, &person).contains("kind node"));
    }

    #[test]
    fn a_rule_whose_dapp_is_missing_is_refused() {
        let roster = roster(&[
            ("alice", member("person", 1, "active")),
            ("hub", member("node", 2, "active")),
        ]);
        assert!(
            faults(&policy("dapps = [\"policy\"]"), &roster)
                .contains("'policy' is not in the ledger")
        );
    }

    #[test]
    fn roster_files_stay_and_keys_do_not_wander() {
        let before = roster(&[
            ("alice", member("person", 1, "active")),
            ("bob", member("person", 2, "active")),
        ]);
        let after = roster(&[("alice", member("person", 2, "active"))]);
        let faults = check_change(&before, &after);
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            shown.iter().any(|fault| fault.contains("never deleted")),
            "{shown:?}"
        );
        assert!(
            shown
                .iter()
                .any(|fault| fault.contains("never changes member")),
            "{shown:?}"
        );
    }
}
