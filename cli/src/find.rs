//! Finds what an id names, and how it ended.
//!
//! Ids may be abbreviated to 4 digits or more. Of the objects that fit, only the ledger's commits
//! count: checkpoints, blocks, candidate heads and signed proposals.

use gdo_core::block::Block;
use gdo_core::checkpoint::{CheckpointRecord, Reason};
use gdo_core::id::{Height, MemberName, ObjectId};
use gdo_core::roster::Roster;
use gdo_ledger::LedgerCommit;
use serde::Serialize;

use crate::error::CommandError;
use crate::source::Source;

/// The fewest digits of an abbreviated id, as git has it.
const DIGITS_MIN: usize = 4;

/// What an id names.
#[derive(Debug)]
pub enum Thing {
    /// A checkpoint of this height.
    Checkpoint(ObjectId, Height),
    /// A block.
    Block(Box<Block>),
    /// A candidate head over the checkpoint of this height.
    Head(ObjectId, Height),
    /// A proposal that this member signed.
    Proposal(ObjectId, MemberName),
}

impl Thing {
    /// Its commit.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        match self {
            Self::Checkpoint(id, _) | Self::Head(id, _) | Self::Proposal(id, _) => *id,
            Self::Block(block) => block.id,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Checkpoint(id, height) => format!("checkpoint {height} {id}"),
            Self::Block(block) => format!("block {} of {}", block.id, block.author),
            Self::Head(id, height) => format!("head {id} over checkpoint {height}"),
            Self::Proposal(id, member) => format!("proposal {id} of {member}"),
        }
    }
}

/// What `text` names: a full or abbreviated id, or the name of the branch.
///
/// # Errors
/// Nothing of the ledger fits, or more than one thing does.
pub fn thing(source: &Source, roster: &Roster, text: &str) -> Result<Thing, CommandError> {
    let ids = if text == source.branch {
        vec![source.main]
    } else {
        candidates(source, text)?
    };
    let mut things: Vec<Thing> = ids
        .iter()
        .filter_map(|id| thing_of(source, roster, id))
        .collect();
    match things.len() {
        1 => Ok(things.remove(0)),
        0 => Err(nothing(source, text, &ids)),
        _ => {
            let list: Vec<String> = things.iter().map(Thing::describe).collect();
            let message = format!("'{text}' is ambiguous:\n    {}", list.join("\n    "));
            Err(CommandError::usage(message).hint("give more digits"))
        }
    }
}

fn nothing(source: &Source, text: &str, ids: &[ObjectId]) -> CommandError {
    let digits = source.ledger.format().id_bytes() * 2;
    if let [only] = ids {
        let message = format!("{only} is no checkpoint, block or proposal of this ledger");
        return CommandError::usage(message);
    }
    let message = format!("the ledger has no checkpoint, block or proposal '{text}'");
    CommandError::usage(message).hint(format!(
        "ids of this ledger have {digits} hex digits and may be cut to {DIGITS_MIN}; 'gdo log' and 'gdo proposals' list them"
    ))
}

/// The commits whose ids start with `text`.
fn candidates(source: &Source, text: &str) -> Result<Vec<ObjectId>, CommandError> {
    let is_hex = text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let digits = source.ledger.format().id_bytes() * 2;
    if !is_hex || !(DIGITS_MIN..=digits).contains(&text.len()) {
        let message =
            format!("bad id '{text}': expected {DIGITS_MIN} to {digits} lower-case hex digits");
        return Err(CommandError::usage(message));
    }
    let question = format!("--disambiguate={text}");
    let listed = gdo_ledger::git::run(source.ledger.dir(), &["rev-parse", &question])?;
    let ids = listed
        .lines()
        .filter_map(|line| line.parse::<ObjectId>().ok());
    Ok(ids
        .filter(|id| source.ledger.read_commit_raw(id).is_ok())
        .collect())
}

fn thing_of(source: &Source, roster: &Roster, id: &ObjectId) -> Option<Thing> {
    match source.classify(id, roster) {
        Some(LedgerCommit::Checkpoint(height)) => Some(Thing::Checkpoint(*id, height)),
        Some(LedgerCommit::Head(height)) => Some(Thing::Head(*id, height)),
        Some(LedgerCommit::Block(_)) => source
            .ledger
            .read_block(id)
            .ok()
            .map(|block| Thing::Block(Box::new(block))),
        None => source
            .signer(id, roster)
            .map(|member| Thing::Proposal(*id, member)),
    }
}

/// How a block or proposal ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "end")]
pub enum End {
    /// A checkpoint includes it.
    Included {
        /// The height of the checkpoint.
        height: Height,
        /// The checkpoint.
        checkpoint: ObjectId,
    },
    /// A checkpoint set it aside for good.
    SetAside {
        /// The height of the checkpoint.
        height: Height,
        /// The checkpoint.
        checkpoint: ObjectId,
        /// Why.
        reason: Reason,
    },
    /// Its principal withdrew it.
    Withdrawn {
        /// The height of the checkpoint that says so.
        height: Height,
        /// The checkpoint.
        checkpoint: ObjectId,
    },
    /// No checkpoint disposed of it yet.
    Open,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Included { height, checkpoint } => {
                write!(f, "merged by checkpoint {height} {}", checkpoint.short(12))
            }
            Self::SetAside {
                height,
                checkpoint,
                reason,
            } => {
                write!(
                    f,
                    "set aside by checkpoint {height} {}: {reason}",
                    checkpoint.short(12)
                )
            }
            Self::Withdrawn { height, checkpoint } => {
                write!(
                    f,
                    "withdrawn, says checkpoint {height} {}",
                    checkpoint.short(12)
                )
            }
            Self::Open => f.write_str("open"),
        }
    }
}

impl End {
    /// The checkpoint that disposed of it.
    #[must_use]
    pub fn checkpoint(&self) -> Option<ObjectId> {
        match self {
            Self::Included { checkpoint, .. }
            | Self::SetAside { checkpoint, .. }
            | Self::Withdrawn { checkpoint, .. } => Some(*checkpoint),
            Self::Open => None,
        }
    }
}

/// How a block ended: a search from the newest checkpoint down to the one that it builds on.
///
/// # Errors
/// A record cannot be read.
pub fn end_of_block(source: &Source, block: &Block) -> Result<End, CommandError> {
    for entry in source.checkpoints() {
        let (checkpoint, record) = entry?;
        let height = record.height;
        if height <= block.trailers.final_checkpoint.height {
            break;
        }
        if record
            .included
            .iter()
            .any(|included| included.block == block.id)
        {
            return Ok(End::Included { height, checkpoint });
        }
        if let Some(aside) = record.aside.iter().find(|aside| aside.block == block.id) {
            return Ok(End::SetAside {
                height,
                checkpoint,
                reason: aside.reason,
            });
        }
    }
    Ok(End::Open)
}

/// How a proposal ended, and the block that carried it then.
///
/// # Errors
/// A record cannot be read.
pub fn end_of_proposal(
    source: &Source,
    tip: &ObjectId,
) -> Result<(End, Option<ObjectId>), CommandError> {
    let mut aside = None;
    for entry in source.checkpoints() {
        let (checkpoint, record) = entry?;
        match end_in(&record, checkpoint, tip) {
            // A block of it may have been set aside before or after another one was included.
            Some((end @ End::SetAside { .. }, block)) => aside = aside.or(Some((end, block))),
            Some(end) => return Ok(end),
            None => {}
        }
    }
    Ok(aside.unwrap_or((End::Open, None)))
}

fn end_in(
    record: &CheckpointRecord,
    checkpoint: ObjectId,
    tip: &ObjectId,
) -> Option<(End, Option<ObjectId>)> {
    let height = record.height;
    if let Some(found) = record
        .included
        .iter()
        .find(|found| found.proposal == Some(*tip))
    {
        return Some((End::Included { height, checkpoint }, Some(found.block)));
    }
    if record.withdrawn.contains(tip) {
        return Some((End::Withdrawn { height, checkpoint }, None));
    }
    let found = record
        .aside
        .iter()
        .find(|found| found.proposal == Some(*tip))?;
    Some((
        End::SetAside {
            height,
            checkpoint,
            reason: found.reason,
        },
        Some(found.block),
    ))
}
