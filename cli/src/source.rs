//! The ledger that a command reads: of a node, or of a clone that was just fetched.
//!
//! What is shown is what the node says; whether it is true is the question of `gdo verify`.

use std::path::Path;

use clap::Args;
use gdo_core::checkpoint::{CheckpointRecord, checkpoint_height};
use gdo_core::commit::{Commit, trailers};
use gdo_core::id::{Height, MemberName, ObjectId};
use gdo_core::roster::{Kind, Roster};
use gdo_ledger::{Ledger, LedgerCommit, Rules};

use crate::error::CommandError;
use crate::place::{self, Place};

/// How the ledger is read.
#[derive(Args, Debug, Clone, Copy, Default)]
pub struct Reading {
    /// In a clone: read what was fetched before
    #[arg(long)]
    pub no_fetch: bool,
}

/// A ledger opened for reading, as of its newest checkpoint.
#[derive(Debug)]
pub struct Source {
    /// Where it was found.
    pub place: Place,
    /// The repository.
    pub ledger: Ledger,
    /// The ledger's branch.
    pub branch: String,
    /// The newest checkpoint.
    pub main: ObjectId,
    /// The tree of the newest checkpoint.
    pub tree: ObjectId,
}

impl Source {
    /// Finds, fetches and opens the ledger that `dir` is in.
    ///
    /// # Errors
    /// There is none, it cannot be fetched, or the repository is no ledger.
    pub fn open(dir: Option<&Path>, reading: Reading) -> Result<Self, CommandError> {
        let place = place::find(dir)?;
        let (ledger, branch, main_ref) = match &place {
            Place::Node(node) => {
                let ledger = Ledger::open_clone(&node.ledger())?;
                (ledger, "main".to_owned(), "refs/heads/main".to_owned())
            }
            Place::Clone(clone) => {
                if !reading.no_fetch {
                    clone.fetch()?;
                }
                (clone.open()?, clone.branch().to_owned(), clone.main_ref())
            }
        };
        let main = ledger.read_ref(&main_ref).map_err(CommandError::unknown)?;
        let not_a_ledger = |reason: String| {
            CommandError::usage(format!("{} is no ledger: {reason}", ledger.dir().display()))
                .hint("which remote and branch are the ledger's say 'git config gdo.remote' and 'gdo.branch'")
        };
        let main = main.ok_or_else(|| not_a_ledger(format!("{main_ref} is missing")))?;
        let commit = ledger.read_commit(&main)?;
        if checkpoint_height(&commit.message).is_none() {
            return Err(not_a_ledger(format!(
                "{main_ref} is at {main}, which is no checkpoint"
            )));
        }
        Ok(Self {
            place,
            ledger,
            branch,
            main,
            tree: commit.tree,
        })
    }

    /// The rules of the newest checkpoint.
    ///
    /// # Errors
    /// A file under `.gdo/` is missing or wrong.
    pub fn rules(&self) -> Result<Rules, CommandError> {
        Ok(self.ledger.read_rules(&self.tree)?)
    }

    /// The open proposals.
    ///
    /// # Errors
    /// The refs cannot be read.
    pub fn proposals(&self) -> Result<Vec<ObjectId>, CommandError> {
        let below = format!("refs/gdo/{}/proposals/", self.branch);
        let listed = self
            .ledger
            .list_refs(&below)
            .map_err(CommandError::unknown)?;
        Ok(listed.into_iter().map(|(_, tip)| tip).collect())
    }

    /// The checkpoints from the newest one down to genesis, each with its record.
    #[must_use]
    pub fn checkpoints(&self) -> Checkpoints<'_> {
        Checkpoints {
            ledger: &self.ledger,
            next: Some(self.main),
        }
    }

    /// What a commit is to the ledger, by its form.
    #[must_use]
    pub fn classify(&self, id: &ObjectId, roster: &Roster) -> Option<LedgerCommit> {
        classify(&self.ledger, id, &self.ledger.read_commit(id).ok()?, roster)
    }

    /// The member whose key signed a commit; `None` if the signature is nobody's.
    #[must_use]
    pub fn signer(&self, id: &ObjectId, roster: &Roster) -> Option<MemberName> {
        let commit = self.ledger.read_commit_raw(id).ok()?;
        let text = gdo_core::commit::SignedText::split(&commit).ok()?;
        let signature = text.signature().ok()?;
        signature
            .verify(gdo_core::key::NAMESPACE_GIT, &text.payload)
            .ok()?;
        roster
            .owner_of(signature.key())
            .map(|(name, _)| name.clone())
    }
}

/// What a commit is to the ledger, by its form and its author.
fn classify(
    ledger: &Ledger,
    id: &ObjectId,
    commit: &Commit,
    roster: &Roster,
) -> Option<LedgerCommit> {
    if let Some(height) = checkpoint_height(&commit.message) {
        let unsigned = commit.signature.is_none();
        return (unsigned || height == Height(0)).then_some(LedgerCommit::Checkpoint(height));
    }
    if commit.message.starts_with("gdo head\n") && commit.signature.is_none() {
        let found = trailers(&commit.message)
            .into_iter()
            .find(|(key, _)| *key == "Gdo-Final")?;
        let height = found.1.split(' ').next()?.parse().ok()?;
        return Some(LedgerCommit::Head(height));
    }
    let block = ledger.read_block(id).ok()?;
    let (owner, member) = roster.owner_of(&block.key)?;
    let is_author = *owner == block.author && member.kind != Kind::Person;
    is_author.then_some(LedgerCommit::Block(block.trailers.final_checkpoint.height))
}

/// A walk from a checkpoint down to genesis.
#[derive(Debug)]
pub struct Checkpoints<'a> {
    ledger: &'a Ledger,
    next: Option<ObjectId>,
}

impl Iterator for Checkpoints<'_> {
    type Item = Result<(ObjectId, CheckpointRecord), CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next.take()?;
        let read = || {
            let commit = self.ledger.read_commit(&id)?;
            let record = self.ledger.read_record(&commit.tree)?;
            Ok((id, record))
        };
        let read = read();
        if let Ok((_, record)) = &read {
            self.next = record.prev;
        }
        Some(read)
    }
}
