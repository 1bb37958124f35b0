//! The structural audit: every checkpoint from genesis to main, held to its bytes (`gdo verify`).
//!
//! Checked here: the form of every checkpoint, block, head and anchor; every signature of a block and
//! of a proposal under the roster of its position; that the included blocks' operations make the
//! tree; that the record lists nothing twice and drops nothing that was open; that all of it has the
//! content that its ids say. Not checked here: whether heads recompute (P-20), verdicts and votes;
//! the caller joins those in, checkpoint by checkpoint.
//!
//! **Invariants**: nothing is written; a checkpoint is given out only after everything in it held.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gdo_core::block::{Block, BlockInPast, CheckpointRef};
use gdo_core::checkpoint::CheckpointRecord;
use gdo_core::commit::Commit;
use gdo_core::id::{Height, LedgerId, ObjectId};

use crate::ancestry::LedgerCommit;
use crate::block::{self, BlockError, BlockRules};
use crate::error::LedgerError;
use crate::head::head_base;
use crate::objects::Objects;
use crate::repository::Ledger;
use crate::state::Rules;

mod checkpoint;
mod past;

/// What an audit found wrong.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A checkpoint that is not what it must be.
    #[error("checkpoint {height} ({}): {reason}", .id.short(12))]
    Checkpoint {
        /// Its height, as far as the chain tells.
        height: Height,
        /// Its commit.
        id: ObjectId,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A block that is not valid.
    #[error("checkpoint {height}: {source}")]
    Block {
        /// The height of the checkpoint that lists it.
        height: Height,
        /// What is wrong with it.
        source: BlockError,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A checkpoint that held.
#[derive(Clone, Debug)]
pub struct AuditedCheckpoint {
    /// Its height and commit.
    pub checkpoint: CheckpointRef,
    /// Its tree.
    pub tree: ObjectId,
    /// Its record.
    pub record: CheckpointRecord,
    /// The blocks that it is the first to list, in the order of the record.
    pub blocks: Vec<BlockInPast>,
    /// The rules in force after it.
    pub rules: Arc<Rules>,
}

/// An audit that goes on checkpoint by checkpoint.
pub struct Audit<'a> {
    ledger: &'a Ledger,
    objects: Objects,
    id: LedgerId,
    branch: String,
    /// The commits of the checkpoints, genesis first.
    chain: Vec<ObjectId>,
    heights: BTreeMap<ObjectId, Height>,
    /// The rules after each checkpoint that was audited; equal ones are shared.
    rules: Vec<Arc<Rules>>,
    rules_key: Vec<(String, ObjectId)>,
    /// The blocks that a record lists, with the height that each builds on.
    blocks: BTreeMap<ObjectId, Height>,
    /// The operations of blocks that are not disposed of yet.
    open: BTreeMap<ObjectId, BlockInPast>,
    /// What each checkpoint leaves open, if anything.
    open_lists: BTreeMap<ObjectId, BTreeSet<ObjectId>>,
    disposed: BTreeSet<ObjectId>,
    /// What has the form of a head, or has not.
    heads: RefCell<BTreeMap<ObjectId, Option<Height>>>,
    last: Option<AuditedCheckpoint>,
}

impl<'a> Audit<'a> {
    /// An audit of the ledger whose newest checkpoint is `main`.
    ///
    /// # Errors
    /// The chain of first parents does not end in a genesis, or cannot be read.
    pub fn new(ledger: &'a Ledger, branch: &str, main: &ObjectId) -> Result<Self, AuditError> {
        let objects = ledger.objects().rehashing();
        let chain = chain_to(&objects, main, None)?;
        let genesis = *chain.first().unwrap_or(main);
        let heights = (0..)
            .map(Height)
            .zip(&chain)
            .map(|(height, id)| (*id, height))
            .collect();
        Ok(Self {
            ledger,
            objects,
            id: LedgerId(genesis),
            branch: branch.to_owned(),
            chain,
            heights,
            rules: Vec::new(),
            rules_key: Vec::new(),
            blocks: BTreeMap::new(),
            open: BTreeMap::new(),
            open_lists: BTreeMap::new(),
            disposed: BTreeSet::new(),
            heads: RefCell::default(),
            last: None,
        })
    }

    /// Goes on to a newer main: what was audited is not audited again.
    ///
    /// # Errors
    /// `main` does not build on the newest checkpoint that the audit knows, or cannot be read.
    pub fn advance(&mut self, main: &ObjectId) -> Result<(), AuditError> {
        let known = self.chain.last().copied();
        let more = chain_to(&self.objects, main, known)?;
        if known != more.first().copied() {
            return Err(AuditError::Checkpoint {
                height: Height(self.chain.len() as u64),
                id: *main,
                reason: "it does not build on the newest checkpoint that was audited".to_owned(),
            });
        }
        for id in more.into_iter().skip(1) {
            self.heights.insert(id, Height(self.chain.len() as u64));
            self.chain.push(id);
        }
        // What was no head over a known checkpoint may be one now.
        self.heads.borrow_mut().clear();
        Ok(())
    }

    /// The ledger that genesis makes.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        self.id
    }

    /// The number of checkpoints, genesis included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chain.len()
    }

    /// Never: a chain has at least one commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    /// Audits the next checkpoint; `None` after main.
    ///
    /// # Errors
    /// The first thing that does not hold, named by height.
    pub fn next_checkpoint(&mut self) -> Result<Option<&AuditedCheckpoint>, AuditError> {
        let height = self.rules.len();
        let Some(id) = self.chain.get(height).copied() else {
            return Ok(None);
        };
        let height = Height(height as u64);
        let found = self.checkpoint(CheckpointRef { height, id })?;
        Ok(Some(self.last.insert(found)))
    }

    /// What a commit is to the ledger, as far as the audit has come.
    fn view(&self, id: &ObjectId) -> Option<LedgerCommit> {
        if let Some(height) = self.heights.get(id) {
            return Some(LedgerCommit::Checkpoint(*height));
        }
        if let Some(height) = self.blocks.get(id) {
            return Some(LedgerCommit::Block(*height));
        }
        let known = self.heads.borrow().get(id).copied();
        let head = known.unwrap_or_else(|| {
            let base = self
                .objects
                .commit(id)
                .ok()
                .and_then(|raw| head_base(&raw, self.id));
            let base = base.filter(|base| self.heights.get(&base.id) == Some(&base.height));
            let found = base.map(|base| base.height);
            self.heads.borrow_mut().insert(*id, found);
            found
        });
        head.map(LedgerCommit::Head)
    }

    /// Reads the blocks that a record is the first to list, and judges each by its own rules.
    fn new_blocks(
        &mut self,
        height: Height,
        listed: &[ObjectId],
    ) -> Result<Vec<BlockInPast>, AuditError> {
        let wrong = |source| AuditError::Block { height, source };
        let mut read: Vec<Block> = Vec::with_capacity(listed.len());
        for id in listed {
            let block = block::parse_block(*id, &self.objects.commit(id)?).map_err(wrong)?;
            self.blocks
                .insert(*id, block.trailers.final_checkpoint.height);
            read.push(block);
        }
        let mut found = Vec::with_capacity(read.len());
        for block in &read {
            let rules = self.rules_for(height, block).map_err(wrong)?;
            let rules = BlockRules {
                ledger: self.id,
                roster: &rules.roster,
                policy: &rules.policy,
                branch: &self.branch,
            };
            let view = |id: &ObjectId| self.view(id);
            let empty = self.ledger.empty_tree();
            let judged = block::verify(&self.objects, block, &rules, &view, empty);
            let judged = judged.map_err(wrong)?;
            self.rehash_blobs(&judged)?;
            found.push(judged);
        }
        Ok(found)
    }

    /// The rules of the checkpoint that a block names, which must be one of the chain before.
    fn rules_for(&self, height: Height, block: &Block) -> Result<Arc<Rules>, BlockError> {
        let named = block.trailers.final_checkpoint;
        let known = self.heights.get(&named.id) == Some(&named.height) && named.height < height;
        let rules = usize::try_from(named.height.0)
            .ok()
            .and_then(|at| self.rules.get(at));
        match rules {
            Some(rules) if known => Ok(Arc::clone(rules)),
            _ => Err(BlockError::Structure {
                block: block.id,
                reason: format!(
                    "Gdo-Final {} {} is not on this chain",
                    named.height, named.id
                ),
                clause: "P-12",
            }),
        }
    }

    /// Reads what a block brings, so that its content is hashed.
    fn rehash_blobs(&self, block: &BlockInPast) -> Result<(), AuditError> {
        for entry in block
            .operations
            .iter()
            .filter_map(|operation| operation.new)
        {
            self.objects.blob(&entry.id, u64::MAX)?;
        }
        Ok(())
    }

    /// The bytes of a commit as its parts are encoded again.
    fn exact(&self, at: CheckpointRef) -> Result<(Vec<u8>, Commit), AuditError> {
        let raw = self.objects.commit(&at.id)?;
        let commit = Commit::parse_exact(&raw).map_err(|error| AuditError::Checkpoint {
            height: at.height,
            id: at.id,
            reason: error.to_string(),
        })?;
        Ok((raw, commit))
    }
}

/// The chain of first parents down to `end` or to a commit without parents, oldest first.
fn chain_to(
    objects: &Objects,
    main: &ObjectId,
    end: Option<ObjectId>,
) -> Result<Vec<ObjectId>, LedgerError> {
    let mut chain = vec![*main];
    let mut at = *main;
    while end != Some(at) {
        match objects.parsed(&at)?.1.parents.first() {
            Some(previous) => at = *previous,
            None => break,
        }
        chain.push(at);
    }
    chain.reverse();
    Ok(chain)
}
