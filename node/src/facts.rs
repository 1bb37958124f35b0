//! Gathers what the ledger says of a block: the facts with which it enters consensus.
//!
//! **Invariants**: the facts are relative to the checkpoint in force, which they name.

use std::collections::{BTreeMap, BTreeSet};

use gdo_consensus::facts::{
    Base, BlockFacts, DappInForce, FinalPlace, History, PathFacts as ConsensusPathFacts,
    Standing as ConsensusStanding,
};
use gdo_consensus::plan::Plan;
use gdo_core::block::{BlockInPast, CheckpointRef};
use gdo_core::checkpoint::{CheckpointRecord, checkpoint_height};
use gdo_core::id::{LedgerId, ObjectId};
use gdo_ledger::{HeadPlan, Ledger, LedgerError, PathFacts, Rules, Standing};

use crate::chain::{BlockEnd, Chain};

/// A checkpoint as consensus takes it.
///
/// # Errors
/// The image of a dapp is missing: its file.
pub fn base_of(
    ledger: LedgerId,
    checkpoint: CheckpointRef,
    record: &CheckpointRecord,
    rules: &Rules,
) -> Result<Base, String> {
    let in_force = rules.dapps.iter().map(|(name, dapp)| {
        let missing = || {
            format!(
                "{}/index.json is missing from the ledger",
                dapp.manifest.image_dir()
            )
        };
        let in_force = DappInForce {
            digest: dapp.digest().ok_or_else(missing)?,
            manifest: dapp.manifest.clone(),
        };
        Ok((name.clone(), in_force))
    });
    Ok(Base {
        ledger,
        checkpoint,
        record: record.clone(),
        policy: rules.policy.clone(),
        roster: rules.roster.clone(),
        dapps: in_force.collect::<Result<_, String>>()?,
    })
}

/// Writes the head that the rule planned, and gives its id.
///
/// # Errors
/// The ledger cannot be read or written.
pub fn write_head(ledger: &Ledger, id: LedgerId, plan: &Plan) -> Result<ObjectId, LedgerError> {
    ledger.write_head(&HeadPlan {
        ledger: id,
        base: plan.base,
        delta: &plan.delta,
        tips: &plan.tips,
        anchored: &plan.anchored,
        set: plan.set,
        time: plan.time,
        shortcut: plan.shortcut,
    })
}

/// What the ledger says of `block` as of the checkpoint `base`, whose tree is `tree`; `in_window` tells the blocks that no checkpoint disposed of.
///
/// # Errors
/// The ledger cannot be read.
pub fn gather(
    ledger: &Ledger,
    chain: &Chain,
    base: CheckpointRef,
    tree: ObjectId,
    in_window: &dyn Fn(&ObjectId) -> bool,
    block: BlockInPast,
) -> Result<BlockFacts, LedgerError> {
    let ancestors = nearest_blocks(ledger, in_window, &block.block.parents)?;
    let named = block.block.trailers.proposal.into_iter();
    let named = named.chain(block.notes.iter().map(|note| note.proposal));
    let ended: BTreeMap<_, _> = named
        .filter_map(|id| {
            let (end, height) = chain.proposal_end(id)?;
            (height <= base.height).then_some((id, end))
        })
        .collect();
    let included = |id: &&ObjectId| matches!(chain.block_end(**id), Some(BlockEnd::Included(height)) if height <= base.height);
    let depends_included = block
        .block
        .trailers
        .depends
        .iter()
        .filter(included)
        .copied()
        .collect();
    let final_place = if chain.contains(block.block.trailers.final_checkpoint) {
        FinalPlace::OnChain
    } else {
        FinalPlace::Elsewhere
    };
    let paths = ledger.facts(
        &tree,
        block.operations.iter().map(|operation| &operation.path),
    )?;
    let paths = paths.into_iter().map(convert).collect();
    Ok(BlockFacts {
        block,
        ancestors,
        history: History {
            as_of: base.id,
            final_place,
            ended,
            depends_included,
            paths,
        },
    })
}

fn convert(facts: PathFacts) -> ConsensusPathFacts {
    ConsensusPathFacts {
        at: match facts.at {
            Standing::Absent => ConsensusStanding::Nothing,
            Standing::File(entry) => ConsensusStanding::File(entry),
            Standing::Directory => ConsensusStanding::Directory {
                files: facts.files_below,
            },
        },
        file_above: facts.file_above,
        case_siblings: facts.case_siblings,
    }
}

/// The nearest ancestors that are in the window, through any other commits; a checkpoint ends the
/// walk with its open blocks.
///
/// # Errors
/// The ledger cannot be read.
pub fn nearest_blocks(
    ledger: &Ledger,
    in_window: &dyn Fn(&ObjectId) -> bool,
    parents: &[ObjectId],
) -> Result<Vec<ObjectId>, LedgerError> {
    let mut found = BTreeSet::new();
    let mut seen: BTreeSet<ObjectId> = parents.iter().copied().collect();
    let mut queue: Vec<ObjectId> = parents.to_vec();
    while let Some(id) = queue.pop() {
        if in_window(&id) {
            found.insert(id);
            continue;
        }
        let commit = ledger.read_commit(&id)?;
        if checkpoint_height(&commit.message).is_some() {
            let record = ledger.read_record(&commit.tree)?;
            found.extend(
                record
                    .open
                    .iter()
                    .map(|open| open.block)
                    .filter(|id| in_window(id)),
            );
            continue;
        }
        queue.extend(
            commit
                .parents
                .into_iter()
                .filter(|parent| seen.insert(*parent)),
        );
    }
    Ok(found.into_iter().collect())
}
