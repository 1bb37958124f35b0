//! `gdo dapp`: what the author of a dapp needs.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use gdo_core::verdict::{Outcome, Problem};
use gdo_node::judge::Judged;

use crate::error::CommandError;

mod lint;
mod list;
mod new;
mod run;
mod template;
mod test;

/// The commands on dapps.
#[derive(Subcommand, Debug)]
pub enum Dapp {
    /// List the dapps of the ledger
    List(list::List),
    /// Start a dapp: manifest, program, image script and two cases
    New(new::New),
    /// Run a dapp on two trees, without a daemon
    Run(run::Run),
    /// Run a dapp on its cases: cases/<name>/{base,candidate,expect}
    Test(test::Test),
    /// Check a dapp before you propose it
    Lint(lint::Lint),
}

impl Dapp {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, with the exit code that says of which kind it is.
    pub fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        match self {
            Self::List(list) => list.run(dir, json),
            Self::New(new) => new.run(json),
            Self::Run(run) => run.run(dir, json),
            Self::Test(test) => test.run(json),
            Self::Lint(lint) => lint.run(json),
        }
    }
}

/// `pass`, `fail` or `inconclusive`.
fn word(result: &Result<Outcome, String>) -> &'static str {
    match result {
        Ok(Outcome::Pass) => "pass",
        Ok(Outcome::Fail) => "fail",
        Err(_) => "inconclusive",
    }
}

/// A reported problem as a line for people.
fn problem_line(problem: &Problem) -> String {
    let path = problem.path.as_deref().unwrap_or("(no path)");
    let line = problem
        .line
        .map_or_else(String::new, |line| format!(":{line}"));
    let rule = problem
        .rule
        .as_ref()
        .map_or_else(String::new, |rule| format!(" [{rule}]"));
    format!("{path}{line}: {}{rule}", problem.message)
}

/// All that a dapp said, a line each: its problems, then its output where that says more.
fn said(judged: &Judged) -> Vec<String> {
    let mut lines: Vec<String> = judged.problems.iter().map(problem_line).collect();
    for line in judged.output.lines() {
        if !lines.iter().any(|known| known == line) {
            lines.push(line.to_owned());
        }
    }
    lines
}
