//! Blocks: drafted byte for byte, read in their one form, and judged by structure (P-12 to P-16).
//!
//! What can be decided from a block and its past alone is decided here. What needs the head rule is
//! not: whether the base recomputes (P-20) and whether the operations apply by their lanes (section 6).
//!
//! **Invariants**: a block that was read has the one spelling of its form and a signature that
//! verifies; whose key it is, and whether that member is in force, is the head rule's question.

use gdo_core::block::{Block, BlockInPast, Draft, PARENTS_MAX, Trailers};
use gdo_core::checkpoint::is_kernel_managed;
use gdo_core::commit::{Commit, Identity, SignedText};
use gdo_core::delta::{Delta, Operation};
use gdo_core::id::{Digest, LedgerId, MemberName, ObjectId};
use gdo_core::policy::{Lane, Policy};
use gdo_core::proposal::Proposal;
use gdo_core::roster::Roster;

use crate::ancestry::{LedgerCommit, View, stands_below};
use crate::error::LedgerError;
use crate::objects::Objects;
use crate::proposal::{self, ProposalError, ProposalRules, is_record_path};
use crate::repository::Ledger;
use crate::signature;
use crate::tree::diff;

/// Why a commit is no block, or not a valid one.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// It does not have the form or the structure that the clause demands.
    #[error("block {}: {reason} ({clause})", .block.short(12))]
    Structure {
        /// The block.
        block: ObjectId,
        /// What is wrong, and what was expected.
        reason: String,
        /// The clause of the protocol.
        clause: &'static str,
    },
    /// The proposal in it is not valid.
    #[error("block {}: its proposal: {source}", .block.short(12))]
    Proposal {
        /// The block.
        block: ObjectId,
        /// What is wrong with the proposal.
        source: Box<ProposalError>,
    },
    /// The ledger itself could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The rules that a block is judged by: those of the checkpoint that its `Gdo-Final` names (P-7).
#[derive(Clone, Copy, Debug)]
pub struct BlockRules<'a> {
    /// The ledger.
    pub ledger: LedgerId,
    /// The roster of that checkpoint.
    pub roster: &'a Roster,
    /// The policy of that checkpoint.
    pub policy: &'a Policy,
    /// The branch, for the proposal's hints.
    pub branch: &'a str,
}

/// What a node writes into a block.
#[derive(Clone, Debug)]
pub struct BlockInput<'a> {
    /// The author.
    pub author: MemberName,
    /// The wall time that the author claims, in seconds.
    pub claimed_time: i64,
    /// The author's candidate head.
    pub base: ObjectId,
    /// The subject; of a proposal it is [`subject_of`].
    pub subject: String,
    /// The operations: the proposal's delta, or the author's own (P-13).
    pub operations: &'a [Operation],
    /// The trailers; previous block and proposal become parents as P-12 orders them.
    pub trailers: Trailers,
}

/// The subject of the block that embeds a proposal: the proposal's, or a word if it has none.
#[must_use]
pub fn subject_of(proposal: &Proposal) -> String {
    if proposal.subject.is_empty() {
        "(no subject)".to_owned()
    } else {
        proposal.subject.clone()
    }
}

impl Ledger {
    /// Makes the unsigned block: applies the operations to the base's tree and orders the parents.
    ///
    /// Sign `draft.commit().payload()`, put the armor into the commit and write its bytes with
    /// [`Ledger::write_commit`].
    ///
    /// # Errors
    /// The operations do not fit the shape of the base's tree, or the ledger cannot be read.
    pub fn draft_block(&self, input: BlockInput<'_>, view: View<'_>) -> Result<Draft, LedgerError> {
        let tree = self.read_commit(&input.base)?.tree;
        let parents = parents_of(&self.objects(), view, &input.base, &input.trailers)?;
        Ok(Draft {
            tree: self.apply(&tree, input.operations)?,
            author: input.author,
            claimed_time: input.claimed_time,
            parents,
            subject: input.subject,
            trailers: input.trailers,
        })
    }

    /// Reads a block that is in the repository.
    ///
    /// # Errors
    /// It is missing, or not of the form of P-12, or its signature does not verify.
    pub fn read_block(&self, id: &ObjectId) -> Result<Block, BlockError> {
        parse_block(*id, &self.read_commit_raw(id)?)
    }

    /// Reads a block from its bytes; nothing is written.
    ///
    /// # Errors
    /// As [`Ledger::read_block`].
    pub fn parse_block(&self, raw: &[u8]) -> Result<Block, BlockError> {
        parse_block(self.commit_id(raw), raw)
    }

    /// Judges a block by what its past tells (P-9 to P-15), and gives what the head rule needs of it.
    ///
    /// `view` tells which commits are the ledger's. That the base recomputes (P-20) is for the
    /// caller to check.
    ///
    /// # Errors
    /// The clause that the block breaks and how, or the ledger cannot be read.
    pub fn verify_block(
        &self,
        block: &Block,
        rules: &BlockRules<'_>,
        view: View<'_>,
    ) -> Result<BlockInPast, BlockError> {
        verify(&self.objects(), block, rules, view, self.empty_tree())
    }
}

/// As [`Ledger::verify_block`], over the objects of the caller.
pub(crate) fn verify(
    objects: &Objects,
    block: &Block,
    rules: &BlockRules<'_>,
    view: View<'_>,
    empty: ObjectId,
) -> Result<BlockInPast, BlockError> {
    let judge = Judge {
        objects,
        block,
        rules,
        view,
        empty,
    };
    judge.form()?;
    let Some(tip) = block.trailers.proposal else {
        return judge.own_records();
    };
    let rules = ProposalRules {
        roster: rules.roster,
        policy: rules.policy,
        branch: rules.branch,
    };
    let proposal = proposal::read(objects, &tip, &rules, view, empty);
    let proposal = proposal.map_err(|source| match source {
        ProposalError::Ledger(error) => BlockError::Ledger(error),
        refused @ ProposalError::Refused(_) => BlockError::Proposal {
            block: block.id,
            source: Box::new(refused),
        },
    })?;
    judge.embedded(proposal)
}

/// Reads a block from its bytes.
pub(crate) fn parse_block(id: ObjectId, raw: &[u8]) -> Result<Block, BlockError> {
    let wrong = |reason: String| BlockError::Structure {
        block: id,
        reason,
        clause: "P-12",
    };
    let commit = Commit::parse_exact(raw).map_err(|error| wrong(error.to_string()))?;
    let text = SignedText::split(raw).map_err(|error| wrong(error.to_string()))?;
    let key = signature::verify(&id, raw, &text).map_err(|error| wrong(error.to_string()))?;
    if key.is_security_key() {
        return Err(wrong(
            "signed by a security key, expected ssh-ed25519".to_owned(),
        ));
    }
    let (subject, trailers) =
        Trailers::parse(&commit.message).map_err(|error| wrong(error.to_string()))?;
    let author: MemberName = commit
        .author
        .name
        .parse()
        .map_err(|error| wrong(format!("author: {error}")))?;
    let address = format!("{author}@{}", trailers.ledger.0.short(12));
    let expected = Identity::utc(author.as_str(), address, commit.author.time);
    if commit.author != expected || commit.committer != expected {
        let shown = format!("{} <{}>", expected.name, expected.email);
        return Err(wrong(format!(
            "expected author and committer '{shown}', in UTC, at one time"
        )));
    }
    if commit.parents.is_empty() || commit.parents.len() > PARENTS_MAX {
        return Err(wrong("expected a base".to_owned()));
    }
    Ok(Block {
        id,
        author,
        key,
        payload: Digest::of(&text.payload),
        claimed_time: commit.author.time,
        tree: commit.tree,
        parents: commit.parents,
        subject,
        trailers,
    })
}

/// The parents of a block: its base, its previous block unless the base has it in its past, and the
/// proposal's tip (P-12).
fn parents_of(
    objects: &Objects,
    view: View<'_>,
    base: &ObjectId,
    trailers: &Trailers,
) -> Result<Vec<ObjectId>, LedgerError> {
    let mut parents = vec![*base];
    if let Some(prev) = trailers.prev
        && !stands_below(objects, view, base, &prev)?
    {
        parents.push(prev);
    }
    parents.extend(trailers.proposal);
    Ok(parents)
}

/// One block being judged.
struct Judge<'a> {
    objects: &'a Objects,
    block: &'a Block,
    rules: &'a BlockRules<'a>,
    view: View<'a>,
    empty: ObjectId,
}

impl Judge<'_> {
    fn wrong(&self, clause: &'static str, reason: impl Into<String>) -> BlockError {
        BlockError::Structure {
            block: self.block.id,
            reason: reason.into(),
            clause,
        }
    }

    fn base_tree(&self) -> Result<ObjectId, LedgerError> {
        Ok(self.objects.parsed(&self.block.base())?.1.tree)
    }

    /// The ledger, the parents and what may depend on what (P-12).
    fn form(&self) -> Result<(), BlockError> {
        let trailers = &self.block.trailers;
        if trailers.ledger != self.rules.ledger {
            let reason = format!(
                "of ledger {}, expected {}",
                trailers.ledger, self.rules.ledger
            );
            return Err(self.wrong("P-12", reason));
        }
        if (trailers.seq.0 == 0) != trailers.prev.is_none() {
            return Err(self.wrong("P-12", "Gdo-Prev is none exactly at Gdo-Seq 0"));
        }
        if let Some(prev) = trailers.prev {
            self.follows(&prev)?;
        }
        let base = self.block.base();
        let named = trailers.final_checkpoint;
        let builds_on = match (self.view)(&base) {
            Some(LedgerCommit::Checkpoint(height)) => height == named.height && base == named.id,
            Some(LedgerCommit::Block(height) | LedgerCommit::Head(height)) => {
                height == named.height
            }
            None => {
                let reason = format!("base {base} is no checkpoint, block or head of this ledger");
                return Err(self.wrong("P-12", reason));
            }
        };
        if !builds_on {
            let reason = format!(
                "its base is not over checkpoint {} {}",
                named.height, named.id
            );
            return Err(self.wrong("P-20", reason));
        }
        let expected = parents_of(self.objects, self.view, &base, trailers)?;
        if expected != self.block.parents {
            let reason = format!(
                "expected {} parents: the base, the previous block if the base does not have it, \
                 the proposal",
                expected.len()
            );
            return Err(self.wrong("P-12", reason));
        }
        let may_depend = trailers.proposal.is_none() && trailers.lane >= Lane::Cas;
        if !trailers.depends.is_empty() && !may_depend {
            return Err(self.wrong(
                "P-12",
                "Gdo-Depends is for cas and final without a proposal",
            ));
        }
        Ok(())
    }

    /// The previous block is of the same key, one number before; its own signature was verified when
    /// it came, for it is in this one's past.
    fn follows(&self, prev: &ObjectId) -> Result<(), BlockError> {
        let raw = self.objects.commit(prev)?;
        let place = || {
            let text = SignedText::split(&raw).ok()?;
            let key = text.signature().ok()?.key().clone();
            let (_, trailers) = Trailers::parse(&text.parse().ok()?.message).ok()?;
            Some((key, trailers.seq.next()))
        };
        if place() == Some((self.block.key.clone(), self.block.trailers.seq)) {
            return Ok(());
        }
        let reason = format!("Gdo-Prev {prev} is not the block before it in the chain of its key");
        Err(self.wrong("P-12", reason))
    }

    /// A block of the node's own records: what it changes on its base (P-13, P-14).
    fn own_records(&self) -> Result<BlockInPast, BlockError> {
        let block = self.block;
        let limits = &self.rules.policy.limits;
        let max = usize::try_from(limits.paths_per_block).unwrap_or(usize::MAX);
        let operations = diff::between(
            self.objects,
            &self.base_tree()?,
            &block.tree,
            max,
            self.empty,
        );
        let operations = operations.map_err(|error| match error {
            LedgerError::Tree(error) => self.wrong("P-15", error.to_string()),
            other => other.into(),
        })?;
        if operations.is_empty() {
            return Err(self.wrong("P-13", "changes nothing and embeds no proposal"));
        }
        for operation in &operations {
            self.own_path(operation)?;
        }
        self.lane(
            self.rules
                .policy
                .lane_of(operations.iter().map(|op| &op.path)),
        )?;
        Ok(BlockInPast {
            block: block.clone(),
            principal: block.author.clone(),
            signers: Vec::new(),
            operations,
            notes: Vec::new(),
        })
    }

    fn own_path(&self, operation: &Operation) -> Result<(), BlockError> {
        let path = &operation.path;
        let lane = self.rules.policy.rule_for(path).rule.lane;
        if is_kernel_managed(path) {
            return Err(self.wrong("P-15", format!("{path}: written by checkpoints alone")));
        }
        if lane <= Lane::Owned && !is_record_path(path) {
            return Err(self.wrong("P-15", format!("{path}: expected segments of [a-z0-9._-]")));
        }
        let block_lane = self.block.trailers.lane;
        if block_lane <= Lane::Owned && lane != block_lane {
            let reason = format!("{path} is of lane {lane}, in a block of lane {block_lane}");
            return Err(self.wrong("P-14", reason));
        }
        if let Some(entry) = &operation.new {
            let (bytes, max) = (
                self.objects.blob_bytes(&entry.id)?,
                self.rules.policy.limits.blob_bytes_max,
            );
            if bytes > max {
                let reason = format!("{path}: {bytes} bytes, expected at most {max}");
                return Err(self.wrong("P-15", reason));
            }
        }
        Ok(())
    }

    /// A block that embeds a proposal: exactly what the person signed (P-13).
    fn embedded(&self, proposal: Proposal) -> Result<BlockInPast, BlockError> {
        let block = self.block;
        if block.subject != subject_of(&proposal) {
            let reason = format!(
                "expected the proposal's subject '{}'",
                subject_of(&proposal)
            );
            return Err(self.wrong("P-12", reason));
        }
        self.lane(proposal.lane)?;
        let base = block.base();
        let mut known = stands_below(self.objects, self.view, &base, &proposal.base)?;
        if let (false, Some(prev)) = (known, block.trailers.prev) {
            known = stands_below(self.objects, self.view, &prev, &proposal.base)?;
        }
        if !known {
            let reason = format!(
                "the proposal builds on {}, which the base lacks",
                proposal.base
            );
            return Err(self.wrong("P-15", reason));
        }
        self.exactly(&proposal.delta)?;
        Ok(BlockInPast {
            block: block.clone(),
            principal: proposal.principal,
            signers: proposal.signers,
            operations: proposal.delta,
            notes: proposal.notes,
        })
    }

    fn lane(&self, expected: Lane) -> Result<(), BlockError> {
        let got = self.block.trailers.lane;
        if got == expected {
            return Ok(());
        }
        Err(self.wrong("P-14", format!("Gdo-Lane {got}, expected {expected}")))
    }

    /// The block's tree is the base's with the delta on it, and nothing else.
    fn exactly(&self, delta: &Delta) -> Result<(), BlockError> {
        let expected = delta
            .iter()
            .map(|operation| (&operation.path, operation.new))
            .collect();
        let wrong = diff::mismatch(
            self.objects,
            &self.base_tree()?,
            &self.block.tree,
            &expected,
            &|_| false,
            self.empty,
        );
        let wrong = wrong.map_err(|error| match error {
            LedgerError::Tree(error) => self.wrong("P-13", error.to_string()),
            other => other.into(),
        })?;
        match wrong {
            None => Ok(()),
            Some(path) => Err(self.wrong("P-13", format!("{path}: not what the proposal says"))),
        }
    }
}
