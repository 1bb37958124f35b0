//! `gdo verify`: audits the whole ledger, from genesis to main.

mod large;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use gdo_node::audit::store::{self, Hashed};
use gdo_node::audit::{Counts, Subject, Verified, VerifyError, verify};
use gdo_node::config::Isolation;
use gdo_node::helper::Helper;
use gdo_node::judge::{Judge, Layers};
use gdo_node::refs::Refs;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::error::CommandError;
use crate::lfs;
use crate::output;
use crate::scratch::Scratch;
use crate::source::{Reading, Source};

/// How much to verify.
#[derive(Args, Debug)]
pub struct Verify {
    /// Run the dapps again, too: every verdict must come out as it is certified
    #[arg(long)]
    rerun: bool,
    /// With --rerun: run them even where this machine cannot isolate them fully
    #[arg(long, requires = "rerun")]
    degraded: bool,
    #[command(flatten)]
    reading: Reading,
}

/// What the audit found.
#[derive(Serialize)]
struct Found {
    ledger: String,
    height: u64,
    main: String,
    #[serde(flatten)]
    counts: Counts,
    object_files: u64,
    object_bytes: u64,
    large_objects: u64,
    large_objects_elsewhere: u64,
    wall_ms: u64,
}

impl Verify {
    /// Audits the ledger and says what was checked.
    ///
    /// # Errors
    /// The first thing that does not hold, with exit code 1.
    pub fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let source = Source::open(dir, self.reading)?;
        let started = Instant::now();
        let hashed = store::check(&source.ledger).map_err(failed)?;
        let scratch = Scratch::new(Some(&source.ledger))?;
        let judge = if self.rerun {
            Some(self.judge(&scratch, lfs::around(dir))?)
        } else {
            None
        };
        let refs = Refs::new(source.branch.clone());
        let subject = Subject {
            ledger: scratch.ledger(),
            claims: &source.ledger,
            refs: &refs,
            main: source.main,
            rerun: judge.as_ref(),
        };
        let mut progress = Progress::new(started);
        let verified = verify(subject, |counts, total| progress.tell(counts, total));
        progress.end();
        let verified = verified.map_err(|error| failed(place(&source, error)))?;
        let checked = large::check(&source)?;
        let found = found(&source, &verified, hashed, &checked, started.elapsed());
        if json {
            output::json(&found)?;
        } else {
            found.print()?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn judge(&self, scratch: &Scratch, layers: Layers) -> Result<Judge, CommandError> {
        let isolation = if self.degraded {
            Isolation::Degraded
        } else {
            Isolation::Full
        };
        let ledger = std::sync::Arc::clone(scratch.ledger());
        let judge = Judge::new(&scratch.node_dir()?, isolation, ledger, Helper::find()?)?;
        Ok(judge.with_layers(layers))
    }
}

/// Adds where an object stands that could not be read.
fn place(source: &Source, error: VerifyError) -> VerifyError {
    match error {
        VerifyError::Structure(gdo_ledger::audit::AuditError::Ledger(
            gdo_ledger::LedgerError::Missing { id },
        )) => VerifyError::Object {
            id,
            place: store::place_of(&source.ledger, id),
            reason: "it is missing".to_owned(),
        },
        other => other,
    }
}

fn failed(error: VerifyError) -> CommandError {
    match error {
        VerifyError::Stuck(_) => CommandError::unknown(error),
        _ => CommandError::no(format!("the ledger does not verify: {error}"))
            .hint("take nothing from it; compare with another node's copy ('git fsck' names further objects)"),
    }
}

fn found(
    source: &Source,
    verified: &Verified,
    hashed: Hashed,
    checked: &large::Checked,
    took: Duration,
) -> Found {
    Found {
        ledger: verified.ledger.to_string(),
        height: verified.height.0,
        main: source.main.to_string(),
        counts: verified.counts,
        object_files: hashed.files,
        object_bytes: hashed.bytes,
        large_objects: checked.here,
        large_objects_elsewhere: checked.elsewhere,
        wall_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1),
    }
}

impl Found {
    fn print(&self) -> Result<(), CommandError> {
        let counts = &self.counts;
        let lines = [
            format!("ledger      {}", self.ledger),
            format!("main        {} (checkpoint {})", self.main, self.height),
            format!(
                "checked     {} checkpoints with {} votes",
                counts.checkpoints, counts.votes
            ),
            format!(
                "            {} blocks with {} changes of paths",
                counts.blocks, counts.operations
            ),
            format!(
                "            {} verdicts, {} approvals, {} refs",
                counts.verdicts, counts.approvals, counts.refs
            ),
            format!(
                "            {} files of objects, {} bytes",
                self.object_files, self.object_bytes
            ),
        ];
        lines.iter().try_for_each(|line| output::line(line))?;
        if self.large_objects + self.large_objects_elsewhere > 0 {
            output::line(&format!(
                "            {} large objects{}",
                self.large_objects,
                match self.large_objects_elsewhere {
                    0 => String::new(),
                    count => format!(", {count} more are not in this clone"),
                }
            ))?;
        }
        if counts.reruns > 0 {
            output::line(&format!(
                "            {} validators ran again",
                counts.reruns
            ))?;
        }
        let rate = counts.blocks * 1000 / self.wall_ms;
        let (seconds, rest) = (self.wall_ms / 1000, self.wall_ms % 1000);
        output::line(&format!(
            "verified    in {seconds}.{rest:03} s ({rate} blocks a second)"
        ))
    }
}

/// A progress bar for audits of more than a second; quiet where nobody looks.
struct Progress {
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(started: Instant) -> Self {
        Self { started, bar: None }
    }

    fn tell(&mut self, counts: &Counts, total: usize) {
        if self.bar.is_none() && self.started.elapsed() > Duration::from_secs(1) {
            self.bar = Some(ProgressBar::new(total as u64));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(counts.checkpoints);
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
