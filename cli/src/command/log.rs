//! `gdo log`: the checkpoints, the newest first.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use gdo_core::checkpoint::{CheckpointRecord, Reason};
use gdo_core::id::{Height, MemberName, ObjectId};
use gdo_core::roster::Roster;
use serde::Serialize;

use crate::error::CommandError;
use crate::output;
use crate::source::{Reading, Source};
use crate::time::rfc3339;

/// How much of the log.
#[derive(Args, Debug)]
pub struct Log {
    /// Show this many checkpoints [default: all]
    #[arg(long, short = 'n', value_name = "COUNT")]
    limit: Option<usize>,
    #[command(flatten)]
    reading: Reading,
}

/// A checkpoint in the log.
#[derive(Serialize)]
struct Entry {
    height: Height,
    checkpoint: ObjectId,
    time: String,
    included: Vec<Line>,
    aside: Vec<Line>,
    withdrawn: Vec<ObjectId>,
    open: usize,
}

/// A block in the log.
#[derive(Serialize)]
struct Line {
    block: ObjectId,
    proposal: Option<ObjectId>,
    principal: Option<MemberName>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl Log {
    /// Prints the log; with JSON, one object a checkpoint, each on a line of its own.
    ///
    /// # Errors
    /// There is no ledger, or it cannot be read.
    pub fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let source = Source::open(dir, self.reading)?;
        let roster = source.rules()?.roster;
        for entry in source.checkpoints().take(self.limit.unwrap_or(usize::MAX)) {
            let (checkpoint, record) = entry?;
            let entry = entry_of(&source, &roster, checkpoint, &record);
            if json {
                output::json(&entry)?;
            } else {
                print(&entry)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn entry_of(
    source: &Source,
    roster: &Roster,
    checkpoint: ObjectId,
    record: &CheckpointRecord,
) -> Entry {
    let line = |block, proposal, reason| line_of(source, roster, block, proposal, reason);
    let included = record
        .included
        .iter()
        .map(|found| line(found.block, found.proposal, None));
    let aside = record
        .aside
        .iter()
        .map(|found| line(found.block, found.proposal, Some(found.reason)));
    Entry {
        height: record.height,
        checkpoint,
        time: rfc3339(record.ledger_time.0),
        included: included.collect(),
        aside: aside.collect(),
        withdrawn: record.withdrawn.clone(),
        open: record.open.len(),
    }
}

fn line_of(
    source: &Source,
    roster: &Roster,
    block: ObjectId,
    proposal: Option<ObjectId>,
    reason: Option<Reason>,
) -> Line {
    let signed = proposal.unwrap_or(block);
    let commit = source.ledger.read_commit(&block);
    Line {
        block,
        proposal,
        principal: source.signer(&signed, roster),
        subject: commit.map_or_else(
            |error| error.to_string(),
            |commit| gdo_core::commit::subject(&commit.message),
        ),
        reason,
    }
}

fn print(entry: &Entry) -> Result<(), CommandError> {
    output::line(&format!(
        "checkpoint {:<6} {}  {}",
        entry.height.0,
        entry.checkpoint.short(12),
        entry.time
    ))?;
    for line in entry.included.iter().chain(&entry.aside) {
        let word = if line.reason.is_none() {
            "merged"
        } else {
            "aside"
        };
        let principal = line
            .principal
            .as_ref()
            .map_or("(unknown)", MemberName::as_str);
        let reason = line
            .reason
            .map_or_else(String::new, |reason| format!(" ({reason})"));
        let id = line.proposal.unwrap_or(line.block).short(12);
        output::line(&format!(
            "    {word:<9} {id}  {principal:<12} {}{reason}",
            line.subject
        ))?;
    }
    for proposal in &entry.withdrawn {
        output::line(&format!("    withdrawn {}", proposal.short(12)))?;
    }
    if entry.open > 0 {
        output::line(&format!("    {} open", entry.open))?;
    }
    Ok(())
}
