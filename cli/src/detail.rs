//! Proposals in detail: who signed what, what it changes, what it still needs.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::delta::Operation;
use gdo_core::id::{MemberName, ObjectId};
use gdo_core::path::RepoPath;
use gdo_core::policy::{Lane, Policy};
use gdo_core::proposal::{NoteVerb, Proposal};
use gdo_core::roster::Roster;
use gdo_ledger::{ProposalError, ProposalRules, Rules};
use serde::Serialize;

use crate::error::CommandError;
use crate::output;
use crate::source::Source;

/// A change of one path.
#[derive(Serialize, Clone, Debug)]
pub struct Change {
    /// The path.
    pub path: RepoPath,
    /// `added`, `changed` or `removed`.
    pub change: &'static str,
    /// The blob after it.
    pub blob: Option<ObjectId>,
}

/// Lists what a delta changes.
#[must_use]
pub fn changes(delta: &[Operation]) -> Vec<Change> {
    let change = |operation: &Operation| Change {
        path: operation.path.clone(),
        change: match (operation.old, operation.new) {
            (None, _) => "added",
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "removed",
        },
        blob: operation.new.map(|entry| entry.id),
    };
    delta.iter().map(change).collect()
}

/// Prints what a delta changes, a path a line.
///
/// # Errors
/// Standard output cannot be written.
pub fn print_changes(changes: &[Change]) -> Result<(), CommandError> {
    changes
        .iter()
        .try_for_each(|change| output::line(&format!("    {:<8} {}", change.change, change.path)))
}

/// What somebody said of a proposal in a note.
#[derive(Serialize, Clone, Debug)]
pub struct Said {
    /// `approve`, `reject` or `withdraw`.
    pub verb: &'static str,
    /// Who said it.
    pub member: MemberName,
    /// The note.
    pub note: ObjectId,
}

/// The approvals that a rule asks for.
#[derive(Serialize, Clone, Debug)]
pub struct Need {
    /// The path of the rule.
    pub rule: String,
    /// The approvals that it asks for.
    pub approve: String,
    /// Whether the notes that are there are enough.
    pub met: bool,
}

/// An open proposal.
#[derive(Serialize, Clone, Debug)]
pub struct OpenProposal {
    /// Its id.
    pub id: ObjectId,
    /// Who signed its tip.
    pub principal: MemberName,
    /// Everybody who signed a commit of it.
    pub signers: Vec<MemberName>,
    /// The first line of its message.
    pub subject: String,
    /// What it builds on.
    pub base: ObjectId,
    /// The strictest lane among its paths.
    pub lane: Lane,
    /// What it changes.
    pub changes: Vec<Change>,
    /// What was said of it.
    pub notes: Vec<Said>,
    /// The approvals that it needs.
    pub needs: Vec<Need>,
}

/// The open proposals, and those that the rules in force refuse, with the reason.
#[derive(Serialize, Debug, Default)]
pub struct OpenProposals {
    /// Those that stand.
    pub open: Vec<OpenProposal>,
    /// Those that do not, with the reason.
    pub refused: BTreeMap<ObjectId, String>,
}

/// Reads all open proposals; notes are put to what they are about.
///
/// # Errors
/// The ledger cannot be read.
pub fn open_proposals(source: &Source, rules: &Rules) -> Result<OpenProposals, CommandError> {
    let mut found = OpenProposals::default();
    let mut said: BTreeMap<ObjectId, Vec<Said>> = BTreeMap::new();
    let mut proposals = Vec::new();
    for tip in source.proposals()? {
        match read_proposal(source, rules, &tip) {
            Ok(proposal) => proposals.push(proposal),
            Err(ProposalError::Refused(refusal)) => {
                found.refused.insert(tip, refusal.to_string());
            }
            Err(ProposalError::Ledger(error)) => return Err(error.into()),
        }
    }
    for proposal in &proposals {
        for note in &proposal.notes {
            said.entry(note.proposal).or_default().push(Said {
                verb: match note.verb {
                    NoteVerb::Approve => "approve",
                    NoteVerb::Reject => "reject",
                    NoteVerb::Withdraw => "withdraw",
                },
                member: proposal.principal.clone(),
                note: proposal.id,
            });
        }
    }
    for proposal in proposals
        .into_iter()
        .filter(|proposal| proposal.notes.is_empty())
    {
        let notes = said.remove(&proposal.id).unwrap_or_default();
        let needs = needs(&proposal, &notes, &rules.policy, &rules.roster);
        found.open.push(OpenProposal {
            id: proposal.id,
            principal: proposal.principal,
            signers: proposal.signers,
            subject: proposal.subject,
            base: proposal.base,
            lane: proposal.lane,
            changes: changes(&proposal.delta),
            notes,
            needs,
        });
    }
    Ok(found)
}

/// Reads a proposal by the rules given.
///
/// # Errors
/// It is refused, or the ledger cannot be read.
pub fn read_proposal(
    source: &Source,
    rules: &Rules,
    tip: &ObjectId,
) -> Result<Proposal, ProposalError> {
    let roster = &rules.roster;
    let by = ProposalRules {
        roster,
        policy: &rules.policy,
        branch: &source.branch,
    };
    source
        .ledger
        .read_proposal(tip, None, &by, &|id| source.classify(id, roster))
}

/// What the rules of a proposal's paths ask for, and whether the notes give it (P-8, P-11).
fn needs(proposal: &Proposal, notes: &[Said], policy: &Policy, roster: &Roster) -> Vec<Need> {
    let against: BTreeSet<&MemberName> = notes
        .iter()
        .filter(|said| said.verb == "reject")
        .map(|said| &said.member)
        .collect();
    let mut found: Vec<Need> = Vec::new();
    for operation in &proposal.delta {
        let rule = policy.rule_for(&operation.path).rule;
        let Some(approve) = &rule.approve else {
            continue;
        };
        if found.iter().any(|need| need.rule == rule.path.as_str()) {
            continue;
        }
        let approved = notes
            .iter()
            .filter(|said| said.verb == "approve")
            .map(|said| &said.member);
        let mut names: BTreeSet<&MemberName> = approved
            .filter(|name| rule.self_approval || !proposal.signers.contains(name))
            .collect();
        if rule.self_approval {
            names.extend(&proposal.signers);
        }
        let approvers: Vec<_> = names
            .into_iter()
            .filter(|name| !against.contains(name))
            .filter_map(|name| Some((name, roster.get(name)?)))
            .filter(|(_, member)| member.is_active())
            .collect();
        found.push(Need {
            rule: rule.path.as_str().to_owned(),
            approve: approve.to_string(),
            met: approve.is_met_by(&approvers),
        });
    }
    found
}
