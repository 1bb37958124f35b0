//! Whether the heads that blocks build on are what the head rule makes of their past (P-20).
//!
//! The form of a synthetic head proves nothing: its tree may hold anything. So the rule is applied
//! again, to the blocks below the head that were unfinished as of the checkpoint that the block
//! names, and the commit that comes out must be the very one that the block builds on. Blocks of one
//! chain build on heads whose past grows, so what was computed for one is carried on for the next.
//!
//! **Invariants**: the window that is carried on holds exactly the blocks of `past`.

use std::collections::BTreeSet;

use gdo_consensus::window::Window;
use gdo_core::block::{BlockInPast, CheckpointRef};
use gdo_core::id::ObjectId;
use gdo_ledger::{BlockRules, Checkpoint, Ledger, LedgerCommit};

use super::{VerifyError, Walk};
use crate::facts;

/// The head rule as far as it was computed again over one checkpoint.
pub(super) struct Recomputed {
    checkpoint: Checkpoint,
    window: Window,
    /// The blocks that the window holds.
    past: BTreeSet<ObjectId>,
    /// The last head that held.
    head: ObjectId,
}

impl Walk<'_> {
    /// Recomputes what a block builds on, unless that is a checkpoint: it is what it is.
    pub(super) fn head_below(&mut self, block: &BlockInPast) -> Result<(), VerifyError> {
        let base = block.block.base();
        let over = block.block.trailers.final_checkpoint;
        if self.chain.height_of(base).is_some() {
            return Ok(());
        }
        let known = self.recomputed.take();
        let known = known.filter(|known| known.checkpoint.id == over.id);
        if known.as_ref().is_some_and(|known| known.head == base) {
            self.recomputed = known;
            return Ok(());
        }
        let past = self.past_of(base, over)?;
        let known = known.filter(|known| known.past.is_subset(&past));
        let mut found = match known {
            Some(known) => known,
            None => self.over(over)?,
        };
        self.carry_on(&mut found, &past)?;
        let plan = found.window.plan();
        let head = facts::write_head(self.subject.ledger, self.id, &plan)?;
        if head != base {
            return Err(VerifyError::Head {
                block: block.block.id,
                base,
                expected: head,
            });
        }
        found.head = head;
        self.recomputed = Some(found);
        Ok(())
    }

    /// The head rule over a checkpoint, with nothing unfinished yet.
    fn over(&self, over: CheckpointRef) -> Result<Recomputed, VerifyError> {
        let checkpoint = self.subject.ledger.read_checkpoint(&over.id)?;
        let (record, rules) = (&checkpoint.record, &checkpoint.rules);
        let base = facts::base_of(self.id, over, record, rules).map_err(VerifyError::Stuck)?;
        Ok(Recomputed {
            window: Window::new(base),
            past: BTreeSet::new(),
            head: over.id,
            checkpoint,
        })
    }

    /// The blocks below a commit that were unfinished as of a checkpoint.
    fn past_of(
        &self,
        base: ObjectId,
        over: CheckpointRef,
    ) -> Result<BTreeSet<ObjectId>, VerifyError> {
        let ledger = self.subject.ledger;
        let unfinished = |id: &ObjectId| self.is_unfinished(id, over);
        let mut queue = facts::nearest_blocks(ledger, &unfinished, &[base])?;
        let mut past = BTreeSet::new();
        while let Some(id) = queue.pop() {
            if past.insert(id) {
                let parents = ledger.read_commit(&id)?.parents;
                queue.extend(facts::nearest_blocks(ledger, &unfinished, &parents)?);
            }
        }
        Ok(past)
    }

    fn is_unfinished(&self, id: &ObjectId, over: CheckpointRef) -> bool {
        match self.chain.block_end(*id) {
            Some(end) => end.height() > over.height,
            None => self.open.contains_key(id),
        }
    }

    /// Lets the blocks of a larger past into the window.
    fn carry_on(
        &self,
        found: &mut Recomputed,
        past: &BTreeSet<ObjectId>,
    ) -> Result<(), VerifyError> {
        let more: Vec<ObjectId> = past.difference(&found.past).copied().collect();
        let mut blocks = Vec::with_capacity(more.len());
        for id in more {
            blocks.push(self.block_below(&id)?);
            found.past.insert(id);
        }
        blocks.sort_by_key(|block| (block.block.trailers.seq, block.block.id));
        let over = found.window.base().checkpoint;
        for block in blocks {
            let facts = facts::gather(
                self.subject.ledger,
                &self.chain,
                over,
                found.checkpoint.tree,
                &|id| self.is_unfinished(id, over),
                block,
            )?;
            found
                .window
                .insert(facts)
                .map_err(|error| VerifyError::Stuck(error.to_string()))?;
        }
        Ok(())
    }

    /// A block that was audited before; one that is disposed of is read again.
    fn block_below(&self, id: &ObjectId) -> Result<BlockInPast, VerifyError> {
        if let Some(block) = self.open.get(id) {
            return Ok(block.clone());
        }
        let ledger = self.subject.ledger;
        let stuck = |error: gdo_ledger::BlockError| VerifyError::Stuck(error.to_string());
        let block = ledger.read_block(id).map_err(stuck)?;
        let rules = ledger.read_checkpoint(&block.trailers.final_checkpoint.id)?;
        let rules = BlockRules {
            ledger: self.id,
            roster: &rules.rules.roster,
            policy: &rules.rules.policy,
            branch: self.subject.refs.branch(),
        };
        let view = |id: &ObjectId| self.view(ledger, id);
        ledger.verify_block(&block, &rules, &view).map_err(stuck)
    }

    /// What a commit below a block that was audited before is to the ledger.
    fn view(&self, ledger: &Ledger, id: &ObjectId) -> Option<LedgerCommit> {
        if let Some(height) = self.chain.height_of(*id) {
            return Some(LedgerCommit::Checkpoint(height));
        }
        if self.chain.block_end(*id).is_some() || self.open.contains_key(id) {
            let block = ledger.read_block(id).ok()?;
            return Some(LedgerCommit::Block(block.trailers.final_checkpoint.height));
        }
        let base = ledger.read_head_base(id, self.id).ok()??;
        Some(LedgerCommit::Head(base.height))
    }
}
