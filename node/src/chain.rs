//! The chain of checkpoints as this node knows it: which block and which proposal ended where.
//!
//! Built by walking the records from `main` to genesis at the start, and carried on by each new
//! checkpoint. Whether a block is disposed of is a question of these lists, not of git ancestry
//! (section 7, step 3).
//!
//! **Invariants**: `ids[h]` is the checkpoint of height h; a block or proposal ends at most once.

use std::collections::BTreeMap;

use gdo_consensus::facts::ProposalEnd;
use gdo_core::block::CheckpointRef;
use gdo_core::checkpoint::{CheckpointRecord, Reason};
use gdo_core::id::{Height, ObjectId};

/// How a checkpoint disposed of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockEnd {
    /// It is included, at this height.
    Included(Height),
    /// It is set aside for good, at this height.
    Aside(Height, Reason),
}

impl BlockEnd {
    /// The checkpoint's height.
    #[must_use]
    pub fn height(self) -> Height {
        match self {
            Self::Included(height) | Self::Aside(height, _) => height,
        }
    }
}

/// The checkpoints up to `main`.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    ids: Vec<ObjectId>,
    heights: BTreeMap<ObjectId, Height>,
    blocks: BTreeMap<ObjectId, BlockEnd>,
    proposals: BTreeMap<ObjectId, (ProposalEnd, Height)>,
}

impl Chain {
    /// Builds the chain from its records, genesis first.
    #[must_use]
    pub fn new(records: impl IntoIterator<Item = (ObjectId, CheckpointRecord)>) -> Self {
        let mut chain = Self::default();
        for (id, record) in records {
            chain.push(id, &record);
        }
        chain
    }

    /// Adds the next checkpoint.
    pub fn push(&mut self, id: ObjectId, record: &CheckpointRecord) {
        let height = record.height;
        self.ids.push(id);
        self.heights.insert(id, height);
        for included in &record.included {
            self.blocks
                .insert(included.block, BlockEnd::Included(height));
            if let Some(proposal) = included.proposal {
                self.proposals
                    .insert(proposal, (ProposalEnd::Included, height));
            }
        }
        for aside in &record.aside {
            self.blocks
                .insert(aside.block, BlockEnd::Aside(height, aside.reason));
        }
        for withdrawn in &record.withdrawn {
            self.proposals
                .insert(*withdrawn, (ProposalEnd::Withdrawn, height));
        }
    }

    /// Genesis.
    ///
    /// # Panics
    /// Never: a chain starts with genesis.
    #[must_use]
    pub fn genesis(&self) -> ObjectId {
        *self.ids.first().expect("a chain starts with genesis")
    }

    /// The newest checkpoint.
    ///
    /// # Panics
    /// Never: a chain starts with genesis.
    #[must_use]
    pub fn newest(&self) -> ObjectId {
        *self.ids.last().expect("a chain starts with genesis")
    }

    /// Whether a checkpoint is on the chain.
    #[must_use]
    pub fn contains(&self, checkpoint: CheckpointRef) -> bool {
        let at = usize::try_from(checkpoint.height.0).ok();
        at.and_then(|at| self.ids.get(at)) == Some(&checkpoint.id)
    }

    /// The height of a checkpoint, if it is on the chain.
    #[must_use]
    pub fn height_of(&self, checkpoint: ObjectId) -> Option<Height> {
        self.heights.get(&checkpoint).copied()
    }

    /// How a block ended, if it did.
    #[must_use]
    pub fn block_end(&self, block: ObjectId) -> Option<BlockEnd> {
        self.blocks.get(&block).copied()
    }

    /// How a proposal's life ended, and at which height, if it did.
    #[must_use]
    pub fn proposal_end(&self, proposal: ObjectId) -> Option<(ProposalEnd, Height)> {
        self.proposals.get(&proposal).copied()
    }
}
