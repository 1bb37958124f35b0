//! `gdo chunks`: the store of large objects, as a node keeps it.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use gdo_ledger::Ledger;
use gdo_node::chunks::{self, Collected, Line, Reindexed, Stat, Task, Verified};
use gdo_node::clock::wall_seconds;
use gdo_node::config::Config;
use gdo_node::control;
use gdo_node::dir::NodeDir;
use gdo_node::objects::Objects;

use crate::error::CommandError;
use crate::output;
use crate::place;
use crate::progress::Bytes;
use crate::web::{Answer, Web};

mod fetch;

/// No line of an answer is longer: one with ten thousand damages.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// The commands on the chunk store of a node. They ask the daemon if it runs, else they work on the
/// store themselves
#[derive(Subcommand, Debug)]
pub enum Chunks {
    /// Show how many bytes there are, how many of them are different, and what they take
    Stat(StatArguments),
    /// Read everything and name what is damaged or missing (exit code 1)
    Verify,
    /// Remove what nothing in the ledger points to and came more than a day ago
    Gc,
    /// Make the index anew from the packs; the node must be stopped
    Reindex,
    /// Bring objects here that are missing or broken, from another node or a clone
    Fetch(fetch::Fetch),
}

/// How much to show.
#[derive(Args, Debug)]
pub struct StatArguments {
    /// A line for each object, too
    #[arg(long)]
    objects: bool,
}

impl Chunks {
    /// Runs the command.
    ///
    /// # Errors
    /// The store cannot be read, or it is not sound.
    pub fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let (task, objects_too) = match self {
            Self::Stat(arguments) => (Some(Task::Stat), arguments.objects),
            Self::Verify => (Some(Task::Verify), false),
            Self::Gc => (Some(Task::Collect), false),
            Self::Reindex => (None, false),
            Self::Fetch(fetch) => return fetch.run(dir, json),
        };
        let node = place::node(dir)?;
        let mut bar = Bytes::new("working through the chunk store");
        let mut tell = |line: Line| {
            if let Line::Progress {
                done_bytes,
                total_bytes,
                ..
            } = line
            {
                bar.tell(done_bytes, total_bytes);
            }
        };
        let Some(task) = task else {
            let found = chunks::reindex(&objects(&node)?, &mut tell);
            drop(bar);
            return print_reindexed(&found.map_err(CommandError::unknown)?, json);
        };
        let last = ask(&node, task, &mut tell)?;
        drop(bar);
        match last {
            Line::Stat(mut stat) => {
                if !objects_too && !json {
                    stat.objects.clear();
                }
                print_stat(&stat, json)
            }
            Line::Verified(found) => print_verified(&found, json),
            Line::Collected(found) => print_collected(&found, json),
            Line::Failed { reason } => Err(CommandError::unknown(reason)),
            Line::Progress { .. } => Err(CommandError::unknown("the node gave no answer")),
        }
    }
}

/// Asks the daemon, or does it here where none runs.
///
/// # Errors
/// The daemon went away, or the store cannot be opened or read.
pub fn ask(node: &NodeDir, task: Task, tell: &mut dyn FnMut(Line)) -> Result<Line, CommandError> {
    if let Ok(answer) = Web::Socket(node.control_socket()).post(&control::chunks::path(task)) {
        return last_line(answer, tell).map_err(CommandError::unknown);
    }
    let objects = objects(node)?;
    chunks::run(&objects, task, wall_seconds(), tell).map_err(CommandError::unknown)
}

/// Reads what a daemon answers, line by line.
fn last_line(answer: Answer, tell: &mut dyn FnMut(Line)) -> io::Result<Line> {
    if answer.code != 200 {
        return Err(io::Error::other(format!(
            "the node answered {}",
            answer.code
        )));
    }
    let mut body = BufReader::new(answer.body);
    let mut line = String::new();
    loop {
        line.clear();
        if (&mut body).take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Err(io::Error::other("the node stopped amid the work"));
        }
        match serde_json::from_str(&line)? {
            progress @ Line::Progress { .. } => tell(progress),
            last => return Ok(last),
        }
    }
}

/// The store of a node whose daemon does not run.
fn objects(node: &NodeDir) -> Result<Objects, CommandError> {
    let config = Config::read(&node.config_file())?;
    let ledger = Arc::new(Ledger::open(&node.ledger())?);
    Ok(Objects::new(node, &config, ledger))
}

fn print_stat(stat: &Stat, json: bool) -> Result<ExitCode, CommandError> {
    if json {
        output::json(stat)?;
        return Ok(ExitCode::SUCCESS);
    }
    for object in &stat.objects {
        output::line(&format!(
            "{}  {:>12} logical {:>12} unique {:>12} stored  {} chunks",
            object.oid,
            object.logical_bytes,
            object.unique_bytes,
            object.stored_bytes,
            object.chunks
        ))?;
    }
    output::line(&format!("logical  {}", bytes(stat.logical_bytes)))?;
    output::line(&format!(
        "unique   {}  in {} chunks",
        bytes(stat.unique_bytes),
        stat.chunks
    ))?;
    output::line(&format!(
        "stored   {}  in {} packs{}",
        bytes(stat.stored_bytes),
        stat.packs,
        factor(stat.logical_bytes, stat.stored_bytes)
    ))?;
    output::line(&format!("index    {}", bytes(stat.index_bytes)))?;
    output::line(&format!(
        "plain    {}  in copies for clones by path",
        bytes(stat.plain_bytes)
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn print_verified(found: &Verified, json: bool) -> Result<ExitCode, CommandError> {
    if json {
        output::json(found)?;
    } else {
        for damage in &found.damages {
            output::line(damage)?;
        }
        for oid in &found.missing {
            output::line(&format!(
                "object sha256:{oid}: the ledger points to it, but it is not here"
            ))?;
        }
        output::line(&format!(
            "{} objects, {} chunks, {} in {} packs were read",
            found.objects,
            found.chunks,
            bytes(found.bytes),
            found.packs
        ))?;
        if found.copies_mended > 0 {
            output::line(&format!(
                "{} plain copies for clones by path were broken and were laid out anew",
                found.copies_mended
            ))?;
        }
    }
    if found.is_sound() {
        return Ok(ExitCode::SUCCESS);
    }
    let (damages, missing) = (found.damages_found, found.missing.len());
    let message =
        format!("the chunk store is not sound: {damages} damages, {missing} objects missing");
    Err(CommandError::no(message).hint(
        "bring them from another node or a clone that has them: gdo chunks fetch --from URL|DIR",
    ))
}

fn print_collected(found: &Collected, json: bool) -> Result<ExitCode, CommandError> {
    if json {
        output::json(found)?;
    } else {
        output::line(&format!(
            "{} objects kept, {} removed",
            found.objects_kept, found.objects_removed
        ))?;
        output::line(&format!(
            "{} freed in {} packs; {} packs wait for the next collection, {} were packed anew",
            bytes(found.freed_bytes),
            found.packs_deleted,
            found.packs_dead,
            found.packs_repacked
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_reindexed(found: &Reindexed, json: bool) -> Result<ExitCode, CommandError> {
    if json {
        output::json(found)?;
    } else {
        found
            .damages
            .iter()
            .try_for_each(|damage| output::line(damage))?;
        output::line(&format!(
            "{} records of {} packs ({}) are in the index",
            found.records,
            found.packs,
            bytes(found.bytes)
        ))?;
    }
    if found.damages.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(
        CommandError::no("a part of what the store had cannot be read").hint(
            "bring it from another node or a clone that has it: gdo chunks fetch --from URL|DIR",
        ),
    )
}

/// Bytes for people: exact, and in MiB once there are some.
fn bytes(count: u64) -> String {
    if count < 1 << 20 {
        return format!("{count} B");
    }
    let tenths = count / ((1 << 20) / 10);
    format!("{}.{} MiB ({count} B)", tenths / 10, tenths % 10)
}

fn factor(logical: u64, stored: u64) -> String {
    match (logical * 10).checked_div(stored) {
        Some(tenths) => format!(", {}.{} times less than logical", tenths / 10, tenths % 10),
        None => String::new(),
    }
}
