//! What enters this crate: blocks with what their history says of them, and the checkpoint in force.
//!
//! Consensus never sees a git tree. A block therefore comes with its operations and with what
//! tree(K) holds around each path that it touches; everything later is computed from these facts
//! and kept up to date by the deltas of checkpoints alone.
//!
//! **Invariants**: facts are relative to one checkpoint, which they name; blocks enter after the
//! undisposed blocks of their past, or wait for them.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::block::{BlockInPast, CheckpointRef};
use gdo_core::checkpoint::CheckpointRecord;
use gdo_core::dapp::Manifest;
use gdo_core::delta::Entry;
use gdo_core::id::{DappName, Digest, LedgerId, ObjectId};
use gdo_core::path::RepoPath;
use gdo_core::policy::Policy;
use gdo_core::roster::Roster;

/// What stands at a path in tree(K).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// Nothing.
    #[default]
    Nothing,
    /// A file.
    File(Entry),
    /// A directory with so many files below it, at any depth.
    Directory {
        /// The files below it.
        files: u64,
    },
}

/// What tree(K) holds around one path that a block touches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PathFacts {
    /// What stands at the path itself.
    pub at: Standing,
    /// The file that stands at a proper prefix of the path, if one does.
    pub file_above: Option<(RepoPath, Entry)>,
    /// The files whose paths differ from this one by case alone.
    pub case_siblings: Vec<(RepoPath, Entry)>,
}

/// Where the checkpoint stands that a block names as `Gdo-Final`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FinalPlace {
    /// On K's chain.
    #[default]
    OnChain,
    /// On a branch that a recovery checkpoint of K's chain abandoned.
    Abandoned,
    /// On another branch: the block is quarantined (section 7, step 3).
    Elsewhere,
}

/// How an earlier checkpoint ended a proposal's life (P-9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProposalEnd {
    /// A checkpoint includes it.
    Included,
    /// Its principal withdrew it.
    Withdrawn,
}

/// What the ledger up to the checkpoint `as_of` says of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// The checkpoint that all of this is relative to: K when the facts were gathered.
    pub as_of: ObjectId,
    /// Where its `Gdo-Final` stands.
    pub final_place: FinalPlace,
    /// Of the proposals that it embeds or that its notes name: those that are dead, and why.
    pub ended: BTreeMap<ObjectId, ProposalEnd>,
    /// Of its `Gdo-Depends`: those that checkpoints up to `as_of` include.
    pub depends_included: BTreeSet<ObjectId>,
    /// For each operation, in the same order, what stands around its path.
    pub paths: Vec<PathFacts>,
}

/// A structurally valid block (P-15) on its way into the window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockFacts {
    /// The block and what its past says: principal, signers, operations, notes.
    pub block: BlockInPast,
    /// Its nearest ancestors among the blocks that no checkpoint up to `history.as_of` disposes of:
    /// the walk goes through every other commit, disposed blocks too, and ends at a checkpoint,
    /// whose `open` list it takes.
    pub ancestors: Vec<ObjectId>,
    /// What the ledger says of it.
    pub history: History,
}

impl BlockFacts {
    /// The block's id.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        self.block.block.id
    }
}

/// A dapp as tree(K) has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DappInForce {
    /// The digest that names its validator (P-23).
    pub digest: Digest,
    /// Its manifest: scope, limits, runners.
    pub manifest: Manifest,
}

/// The checkpoint in force, K, and the rules that it brings (P-7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base {
    /// The ledger.
    pub ledger: LedgerId,
    /// K's height and commit.
    pub checkpoint: CheckpointRef,
    /// K's record; genesis has one too.
    pub record: CheckpointRecord,
    /// policy(K).
    pub policy: Policy,
    /// roster(K).
    pub roster: Roster,
    /// The dapps of tree(K).
    pub dapps: BTreeMap<DappName, DappInForce>,
}
