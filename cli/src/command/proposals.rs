//! `gdo proposals`: what is proposed and not decided yet.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::detail::{OpenProposal, open_proposals};
use crate::error::CommandError;
use crate::output;
use crate::source::{Reading, Source};

/// Which proposals.
#[derive(Args, Debug)]
pub struct Proposals {
    #[command(flatten)]
    reading: Reading,
}

impl Proposals {
    /// Prints the open proposals.
    ///
    /// # Errors
    /// There is no ledger, or it cannot be read.
    pub fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let source = Source::open(dir, self.reading)?;
        let found = open_proposals(&source, &source.rules()?)?;
        if json {
            output::json(&found)?;
            return Ok(ExitCode::SUCCESS);
        }
        found.open.iter().try_for_each(print)?;
        for (id, reason) in &found.refused {
            output::line(&format!("{}  refused: {reason}", id.short(12)))?;
        }
        if found.open.is_empty() && found.refused.is_empty() {
            eprintln!("gdo: no proposal is open");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(proposal: &OpenProposal) -> Result<(), CommandError> {
    let paths = proposal.changes.len();
    output::line(&format!(
        "{}  {:<12} {} ({paths} {}, lane {})",
        proposal.id.short(12),
        proposal.principal,
        proposal.subject,
        if paths == 1 { "path" } else { "paths" },
        proposal.lane,
    ))?;
    for said in &proposal.notes {
        output::line(&format!(
            "    {:<8} {}  {}",
            said.verb,
            said.note.short(12),
            said.member
        ))?;
    }
    for need in &proposal.needs {
        let word = if need.met { "approved" } else { "needs" };
        output::line(&format!(
            "    {word:<8} {} (rule \"{}\")",
            need.approve, need.rule
        ))?;
    }
    Ok(())
}
