//! Proposals: what a person pushed, read and judged by its structure (P-9 to P-11, P-15).
//!
//! The one implementation of the checks of a push: the daemon calls it with the quarantine of the
//! push, later without, and again for every block that embeds a proposal.
//!
//! **Invariants**: what is refused is refused for a reason that names the commit or path; nothing is
//! written; rules and roster are those that the caller says are in force.

use std::path::Path;

use gdo_core::checkpoint::is_kernel_managed;
use gdo_core::commit::subject;
use gdo_core::delta::{Delta, Mode};
use gdo_core::id::{MemberName, ObjectId};
use gdo_core::policy::{Authors, Lane, Policy};
use gdo_core::proposal::{Proposal, notes_in};
use gdo_core::roster::Roster;

use crate::ancestry::{self, LedgerCommit, Range, RangeCommit, View};
use crate::error::LedgerError;
use crate::objects::Objects;
use crate::repository::Ledger;
use crate::signature::{self, SignerError};
use crate::tree::diff;

mod refusal;

pub use refusal::Refusal;

/// The most commits of a proposal.
pub const COMMITS_MAX: usize = 4096;

/// The rules that a proposal is judged by.
#[derive(Clone, Copy, Debug)]
pub struct ProposalRules<'a> {
    /// The roster in force.
    pub roster: &'a Roster,
    /// The policy in force.
    pub policy: &'a Policy,
    /// The branch that is proposed to, for hints.
    pub branch: &'a str,
}

/// Why there is no proposal to work with.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// The proposal is refused.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// The ledger itself could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<Refusal> for ProposalError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl Ledger {
    /// Reads the proposal whose last commit is `tip`, and checks its structure.
    ///
    /// `quarantine` is the object directory of a push that is not taken in yet: it is read first and
    /// never written. `view` tells which commits are the ledger's.
    ///
    /// # Errors
    /// [`ProposalError::Refused`] with the reason and what to do, or the ledger cannot be read.
    pub fn read_proposal(
        &self,
        tip: &ObjectId,
        quarantine: Option<&Path>,
        rules: &ProposalRules<'_>,
        view: View<'_>,
    ) -> Result<Proposal, ProposalError> {
        read(
            &Objects::new(self, quarantine)?,
            tip,
            rules,
            view,
            self.empty_tree(),
        )
    }
}

/// As [`Ledger::read_proposal`], over the objects of the caller.
pub(crate) fn read(
    objects: &Objects,
    tip: &ObjectId,
    rules: &ProposalRules<'_>,
    view: View<'_>,
    empty: ObjectId,
) -> Result<Proposal, ProposalError> {
    Reader {
        objects,
        rules,
        view,
        empty,
    }
    .read(tip)
}

/// One proposal being read.
struct Reader<'a> {
    objects: &'a Objects,
    rules: &'a ProposalRules<'a>,
    view: View<'a>,
    empty: ObjectId,
}

impl Reader<'_> {
    fn read(&self, tip: &ObjectId) -> Result<Proposal, ProposalError> {
        let (base, commits) = self.range(tip)?;
        let mut signers = Vec::new();
        for commit in &commits {
            signers.push(self.signer(commit)?);
        }
        let principal = signers
            .first()
            .cloned()
            .ok_or(Refusal::InLedger { tip: *tip })?;
        signers.sort();
        signers.dedup();
        let Some(last) = commits.first() else {
            return Err(Refusal::InLedger { tip: *tip }.into());
        };
        let delta = self.delta(&base, &last.commit.tree)?;
        let notes = notes_in(&last.commit.message).map_err(Refusal::Note)?;
        if delta.is_empty() && notes.is_empty() {
            return Err(Refusal::Empty { base }.into());
        }
        let notes = if delta.is_empty() { notes } else { Vec::new() };
        let lane = self
            .rules
            .policy
            .lane_of(delta.iter().map(|operation| &operation.path));
        let subject = subject(&last.commit.message);
        Ok(Proposal {
            id: *tip,
            base,
            principal,
            signers,
            subject,
            delta,
            notes,
            lane,
        })
    }

    /// The base, and the commits above it with the tip first (P-9).
    fn range(&self, tip: &ObjectId) -> Result<(ObjectId, Vec<RangeCommit>), ProposalError> {
        let branch = self.rules.branch.to_owned();
        let found = ancestry::range(self.objects, self.view, tip, COMMITS_MAX);
        let Range {
            commits,
            bases,
            too_many,
        } = found.map_err(|error| -> ProposalError {
            match error {
                LedgerError::Kind { id, got, .. } if id == *tip => {
                    Refusal::NotACommit { tip: id, got }.into()
                }
                LedgerError::Commit { id, source } => Refusal::Commit { commit: id, source }.into(),
                LedgerError::TooLarge { id, bytes, max } => Refusal::CommitTooLarge {
                    commit: id,
                    bytes,
                    max,
                }
                .into(),
                other => other.into(),
            }
        })?;
        if too_many {
            return Err(Refusal::TooManyCommits {
                tip: *tip,
                max: COMMITS_MAX,
                branch,
            }
            .into());
        }
        if commits.is_empty() {
            return Err(Refusal::InLedger { tip: *tip }.into());
        }
        let bases_left = ancestry::maximal(self.objects, self.view, &bases)?;
        match bases_left.as_slice() {
            [] => Err(Refusal::NoBase { tip: *tip, branch }.into()),
            [base] => Ok((*base, self.above(base, &bases, commits)?)),
            [one, other, ..] => {
                let (one, other) = (*one, *other);
                Err(Refusal::ManyBases {
                    tip: *tip,
                    one,
                    other,
                    branch,
                }
                .into())
            }
        }
    }

    /// Drops the commits that are in the past of the base already: only where the branch also builds
    /// on an older ledger commit can there be any.
    fn above(
        &self,
        base: &ObjectId,
        bases: &std::collections::BTreeMap<ObjectId, LedgerCommit>,
        mut commits: Vec<RangeCommit>,
    ) -> Result<Vec<RangeCommit>, LedgerError> {
        let height = |known: &LedgerCommit| match known {
            LedgerCommit::Checkpoint(height)
            | LedgerCommit::Block(height)
            | LedgerCommit::Head(height) => *height,
        };
        let others = bases.iter().filter(|(id, _)| *id != base);
        let Some(lowest) = others.map(|(_, known)| height(known)).min() else {
            return Ok(commits);
        };
        let mut past = std::collections::BTreeSet::new();
        ancestry::walk_past(self.objects, self.view, base, lowest, |id| {
            past.insert(*id);
            true
        })?;
        commits.retain(|commit| !past.contains(&commit.id));
        Ok(commits)
    }

    /// The member who signed a commit of the range.
    fn signer(&self, found: &RangeCommit) -> Result<MemberName, ProposalError> {
        let roster = self.rules.roster;
        let refuse = |reason: SignerError| Refusal::Signer {
            commit: found.id,
            subject: subject(&found.commit.message),
            reason,
            branch: self.rules.branch.to_owned(),
        };
        let key = signature::verify(&found.id, &found.raw, &found.text).map_err(refuse)?;
        let member = signature::member_in_force(roster, &key).map_err(refuse)?;
        if self.rules.policy.authors == Authors::Handle {
            for who in [&found.commit.author, &found.commit.committer] {
                if !signature::is_handle(roster, who) {
                    return Err(Refusal::Author {
                        commit: found.id,
                        got: format!("{} <{}>", who.name, who.email),
                        member,
                    }
                    .into());
                }
            }
        }
        Ok(member)
    }

    /// What the proposal changes, within the caps (P-15).
    fn delta(&self, base: &ObjectId, tip_tree: &ObjectId) -> Result<Delta, ProposalError> {
        let base_tree = self.objects.parsed(base)?.1.tree;
        let limits = &self.rules.policy.limits;
        let max = usize::try_from(limits.paths_per_block).unwrap_or(usize::MAX);
        let delta = diff::between(self.objects, &base_tree, tip_tree, max, self.empty);
        let delta = delta.map_err(|error| -> ProposalError {
            match error {
                LedgerError::Tree(error) => Refusal::Tree(error).into(),
                LedgerError::TooLarge { id, bytes, max } => Refusal::TreeTooLarge {
                    tree: id,
                    bytes,
                    max,
                }
                .into(),
                other => other.into(),
            }
        })?;
        for operation in &delta {
            let path = &operation.path;
            if is_kernel_managed(path) {
                let (path, is_new) = (path.clone(), operation.old.is_none());
                return Err(Refusal::KernelManaged {
                    path,
                    base: *base,
                    is_new,
                }
                .into());
            }
            if self.rules.policy.rule_for(path).rule.lane <= Lane::Owned && !is_record_path(path) {
                return Err(Refusal::RecordPath { path: path.clone() }.into());
            }
            if let Some(entry) = &operation.new {
                let bytes = self.objects.blob_bytes(&entry.id)?;
                // A link's target is a path, whatever a policy says of files.
                let max = match entry.mode {
                    Mode::Symlink => SYMLINK_BYTES_MAX.min(limits.blob_bytes_max),
                    Mode::File | Mode::Executable => limits.blob_bytes_max,
                };
                if bytes > max {
                    let path = path.clone();
                    return Err(Refusal::BlobTooLarge { path, bytes, max }.into());
                }
            }
        }
        Ok(delta)
    }
}

/// The longest target of a symbolic link: what Linux takes.
const SYMLINK_BYTES_MAX: u64 = 4095;

/// Whether a path may carry records: segments of `[a-z0-9._-]` alone (P-15).
pub(crate) fn is_record_path(path: &gdo_core::path::RepoPath) -> bool {
    path.as_str()
        .bytes()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-/".contains(&c))
}
