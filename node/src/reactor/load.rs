//! Starting: what the ledger, the log and the refs say after whatever ended the last run.
//!
//! A crash may have come between any two steps. The certificate's ref moves before `main` does, so a
//! certificate ahead of `main` is a checkpoint that is final and only needs its ref; the signer's log
//! comes before a block's commit, so a logged block that is missing is made again, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use gdo_consensus::facts::Base;
use gdo_consensus::machine::{self, Input, Machine};
use gdo_core::block::{Block, BlockInPast, CheckpointRef};
use gdo_core::id::{LedgerId, ObjectId};
use gdo_ledger::{BlockError, BlockRules, Checkpoint, Ledger, LedgerError, RefEdit};

use super::Event;
use super::news::Watchers;
use super::settle::{Settled, settle};
use super::state::State;
use crate::clock::Clocks;
use crate::config::Config;
use crate::dir::{NodeDir, write_durably};
use crate::error::NodeError;
use crate::facts;
use crate::fault;
use crate::judge::Judges;
use crate::known::{Commits, Known};
use crate::refs::Refs;
use crate::signer::Signer;

/// The branch of a ledger that is no fork.
const BRANCH: &str = "main";
/// Δ0 of finality, in milliseconds.
const DELTA0_MS: u64 = 500;
/// How long an inconclusive block is left alone the first time, in milliseconds.
const RETRY_MS: u64 = 10_000;

impl State {
    /// Loads a node's state.
    pub(super) fn load(
        dir: &NodeDir,
        config: &Config,
        ledger: Arc<Ledger>,
        judges: Judges,
        events: SyncSender<Event>,
    ) -> Result<Self, NodeError> {
        let mut signer = Signer::open(dir, config.name.clone())?;
        let Settled {
            checkpoint,
            chain,
            certificate,
        } = settle(&ledger, &refs(), &mut signer)?;
        let ledger_id = LedgerId(chain.genesis());
        let commits = Commits {
            chain,
            ..Commits::default()
        };
        let rules = checkpoint.rules.clone();
        let known = Arc::new(Known::new(Arc::clone(&ledger), refs(), commits, rules));
        check_key(dir, &signer, &checkpoint)?;
        let own_tip = settle_own_chain(&ledger, &mut signer)?;
        let (machine, first) = Machine::new(
            machine::Config {
                me: config.name.clone(),
                delta0_ms: DELTA0_MS,
                retry_ms: RETRY_MS,
            },
            base_of(ledger_id, &checkpoint)?,
            certificate,
            signer.ballots(),
            Vec::new(),
        );
        let mut state = Self {
            dir: dir.clone(),
            ledger,
            ledger_id,
            known,
            machine,
            signer,
            judges,
            clocks: Clocks::open(config.clock_uncertainty_ms)?,
            events,
            head: checkpoint.id,
            checkpoint,
            blocks: BTreeMap::new(),
            own_tip,
            head_is_stale: true,
            watchers: Watchers::default(),
            asked: BTreeMap::new(),
            unattested: Vec::new(),
            timers: BTreeMap::new(),
            cool_at: None,
            first,
            urls: Vec::new(),
            warnings: Vec::new(),
        };
        state.export_signers()?;
        state.load_window()?;
        fault::point("window loaded");
        state.settle_proposal_refs()?;
        Ok(state)
    }

    /// Writes the keys of all members for stock git (P-4).
    pub(super) fn export_signers(&self) -> Result<(), NodeError> {
        let text = self.checkpoint.rules.roster.allowed_signers();
        write_durably(&self.dir.allowed_signers(), text.as_bytes(), 0o644)
    }

    /// Gives the machine the blocks that no checkpoint has disposed of, oldest first.
    fn load_window(&mut self) -> Result<(), NodeError> {
        let mut open: Vec<Block> = Vec::new();
        let tips = self
            .ledger
            .list_refs(&refs().blocks())
            .map_err(LedgerError::from)?;
        // A block may be open behind a newer one of its chain that ended; the checkpoint lists it.
        let listed = self.checkpoint.record.open.iter().map(|open| open.block);
        let starts: Vec<ObjectId> = tips.into_iter().map(|(_, tip)| tip).chain(listed).collect();
        for tip in starts {
            let mut next = Some(tip);
            while let Some(id) = next {
                let ended = self
                    .known
                    .read(|commits| commits.chain.block_end(id).is_some());
                if ended || open.iter().any(|block| block.id == id) {
                    break;
                }
                let block = self.ledger.read_block(&id).map_err(damaged)?;
                next = block.trailers.prev;
                open.push(block);
            }
        }
        open.sort_by_key(|block| (block.trailers.seq, block.id));
        for block in open {
            let rules = self.rules_of(block.trailers.final_checkpoint)?;
            let known = Arc::clone(&self.known);
            let view = move |id: &ObjectId| known.view_of_own(id);
            let rules = BlockRules {
                ledger: self.ledger_id,
                roster: &rules.roster,
                policy: &rules.policy,
                branch: BRANCH,
            };
            let in_past = self
                .ledger
                .verify_block(&block, &rules, &view)
                .map_err(damaged)?;
            self.enter(in_past)?;
        }
        Ok(())
    }

    /// Lets a block into the window; its effects are carried out later.
    fn enter(&mut self, block: BlockInPast) -> Result<(), NodeError> {
        let facts = self.facts_of(block.clone())?;
        self.remember(block);
        let effects = self.machine.step(self.now(), Input::Block(Box::new(facts)));
        self.first.extend(effects);
        Ok(())
    }

    fn rules_of(&self, checkpoint: CheckpointRef) -> Result<gdo_ledger::Rules, NodeError> {
        if checkpoint.id == self.checkpoint.id {
            return Ok(self.checkpoint.rules.clone());
        }
        Ok(self.ledger.read_checkpoint(&checkpoint.id)?.rules)
    }

    /// Names every open proposal and no other: a crash may have come between a block's ref and its
    /// proposal's, or between a checkpoint and the removal of what it ended.
    fn settle_proposal_refs(&self) -> Result<(), NodeError> {
        let listed = self
            .ledger
            .list_refs(&refs().proposals())
            .map_err(LedgerError::from)?;
        let open = self.blocks.values();
        let open: BTreeSet<ObjectId> = open
            .filter_map(|block| block.block.trailers.proposal)
            .collect();
        let named: BTreeSet<ObjectId> = listed.iter().map(|(_, tip)| *tip).collect();
        let ended = listed.into_iter().filter(|(_, tip)| !open.contains(tip));
        let missing = open.difference(&named);
        let edits: Vec<_> = ended
            .map(|(name, tip)| RefEdit::remove(name, tip))
            .chain(missing.map(|id| RefEdit::set(refs().proposal(*id), None, *id)))
            .collect();
        Ok(self.ledger.transaction(&edits)?)
    }
}

fn damaged(error: BlockError) -> NodeError {
    NodeError::Refused(format!("the ledger is damaged: {error}; see 'gdo verify'"))
}

fn refs() -> Refs {
    Refs::new(BRANCH)
}

/// The node's key must be a key of the member that node.toml names.
fn check_key(dir: &NodeDir, signer: &Signer, checkpoint: &Checkpoint) -> Result<(), NodeError> {
    match checkpoint.rules.roster.active_owner_of(&signer.public()) {
        Some((owner, _)) if owner == signer.member() => Ok(()),
        found => {
            let owner = found.map_or("nobody's".to_owned(), |(name, _)| format!("{name}'s"));
            Err(NodeError::File {
                file: dir.config_file(),
                message: format!(
                    "name is '{}', but the key in {} is {owner} in the roster",
                    signer.member(),
                    dir.key_file().display()
                ),
            })
        }
    }
}

/// The newest block of the own key: what the ref says, or the logged one that a crash kept from it.
fn settle_own_chain(ledger: &Ledger, signer: &mut Signer) -> Result<Option<ObjectId>, NodeError> {
    let name = refs().block(signer.member(), signer.public().id());
    let tip = ledger.read_ref(&name).map_err(LedgerError::from)?;
    let Some((_, commit)) = signer.last_block()? else {
        return Ok(tip);
    };
    let raw = commit.encode();
    let id = ledger.commit_id(&raw);
    if tip == Some(id) {
        return Ok(tip);
    }
    let block = ledger.parse_block(&raw).map_err(damaged)?;
    if block.trailers.prev != tip {
        return Err(NodeError::Refused(format!(
            "the log of this node's key is at block {}, but the ledger is elsewhere; restore the \
             ledger from another node, or the log",
            block.trailers.seq
        )));
    }
    tracing::info!(block = %id, "made a block again that a crash had kept from the ledger");
    ledger.write_commit(&raw)?;
    fault::point("block made again");
    let mut edits = vec![RefEdit::set(name, tip, id)];
    if let Some(proposal) = block.trailers.proposal {
        let name = refs().proposal(proposal);
        let old = ledger.read_ref(&name).map_err(LedgerError::from)?;
        edits.push(RefEdit::set(name, old, proposal));
    }
    ledger.transaction(&edits)?;
    fault::point("own chain settled");
    Ok(Some(id))
}

/// A checkpoint as consensus takes it.
///
/// # Errors
/// A dapp's image is missing.
pub(super) fn base_of(ledger: LedgerId, checkpoint: &Checkpoint) -> Result<Base, NodeError> {
    let at = CheckpointRef {
        height: checkpoint.record.height,
        id: checkpoint.id,
    };
    facts::base_of(ledger, at, &checkpoint.record, &checkpoint.rules).map_err(NodeError::Refused)
}
