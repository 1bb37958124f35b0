//! `gdo dapp test`: runs a dapp on its cases.
//!
//! A case is a folder `cases/<name>/` with `base/`, `candidate/` (an absent one is empty) and
//! `expect`: the result on the first line (`pass`, `fail` or `inconclusive`), and below it texts that
//! the dapp must say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use gdo_core::id::MemberName;
use serde::Serialize;

use super::{said, word};
use crate::error::CommandError;
use crate::lfs;
use crate::output;
use crate::trial::{Candidate, Dapp, Trial};

/// Which dapp.
#[derive(Args, Debug)]
pub struct Test {
    /// The directory of the dapp
    #[arg(value_name = "DAPP_DIR", default_value = ".")]
    dapp: PathBuf,
    /// Run even where this machine cannot isolate the dapp fully
    #[arg(long)]
    degraded: bool,
}

/// How a case went.
#[derive(Serialize)]
struct Tested {
    case: String,
    ok: bool,
    expected: String,
    result: &'static str,
    reason: Option<String>,
    /// Texts that the dapp did not say.
    missing: Vec<String>,
    said: Vec<String>,
    wall_ms: u64,
}

impl Test {
    pub(super) fn run(self, json: bool) -> Result<ExitCode, CommandError> {
        let cases = cases(&self.dapp)?;
        let trial = Trial::new(None, self.degraded, lfs::around(Some(&self.dapp)))?;
        let dapp = trial.dapp_in(&self.dapp)?;
        let mut tested = Vec::new();
        for case in &cases {
            let found = test(&trial, &dapp, case)?;
            if !json {
                found.print()?;
            }
            tested.push(found);
        }
        if json {
            output::json(&tested)?;
        }
        let bad = tested.iter().filter(|found| !found.ok).count();
        if bad == 0 {
            eprintln!("gdo: {} cases are as expected", tested.len());
            return Ok(ExitCode::SUCCESS);
        }
        Err(CommandError::no(format!(
            "{bad} of {} cases are not as expected",
            tested.len()
        )))
    }
}

fn cases(dapp: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let home = dapp.join("cases");
    let missing = |error: &dyn std::fmt::Display| {
        CommandError::usage(format!(
            "{} has no cases: cannot read {}: {error}",
            dapp.display(),
            home.display()
        ))
        .hint("a case is cases/<name>/{base,candidate,expect}")
    };
    let mut cases = Vec::new();
    for entry in fs::read_dir(&home).map_err(|error| missing(&error))? {
        let path = entry.map_err(|error| missing(&error))?.path();
        if path.is_dir() {
            cases.push(path);
        }
    }
    cases.sort();
    if cases.is_empty() {
        Err(missing(&"it is empty"))
    } else {
        Ok(cases)
    }
}

fn test(trial: &Trial, dapp: &Dapp, case: &Path) -> Result<Tested, CommandError> {
    let file = case.join("expect");
    let text = fs::read_to_string(&file).map_err(|error| {
        CommandError::usage(format!("cannot read {}: {error}", file.display()))
            .hint("its first line is pass, fail or inconclusive")
    })?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let expected = lines.next().unwrap_or_default().to_owned();
    if !matches!(expected.as_str(), "pass" | "fail" | "inconclusive") {
        return Err(CommandError::usage(format!(
            "{}: expected pass, fail or inconclusive on the first line, got '{expected}'",
            file.display()
        )));
    }
    let tree = |side: &str| {
        let dir = case.join(side);
        if dir.is_dir() {
            trial.tree_of(&dir, None)
        } else {
            Ok(trial.ledger().empty_tree())
        }
    };
    let member: MemberName = "author".parse().map_err(CommandError::unknown)?;
    let candidate = Candidate {
        base: tree("base")?,
        candidate: tree("candidate")?,
        member: &member,
        ledger: None,
    };
    let (_, judged) = trial.run(dapp, &candidate)?;
    let result = word(&judged.result);
    let said = said(&judged);
    let is_said = |text: &&str| said.iter().any(|line| line.contains(*text));
    let missing: Vec<String> = lines
        .filter(|text| !is_said(text))
        .map(str::to_owned)
        .collect();
    Ok(Tested {
        case: case
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        ok: result == expected && missing.is_empty(),
        expected,
        result,
        reason: judged.result.err(),
        missing,
        said,
        wall_ms: judged.wall_ms,
    })
}

impl Tested {
    fn print(&self) -> Result<(), CommandError> {
        let word = if self.ok { "ok" } else { "NOT OK" };
        output::line(&format!(
            "{:<24} {word:<6} {} {} ms",
            self.case, self.result, self.wall_ms
        ))?;
        if self.ok {
            return Ok(());
        }
        if self.result != self.expected {
            output::line(&format!("  expected {}", self.expected))?;
        }
        for text in &self.missing {
            output::line(&format!("  expected it to say: {text}"))?;
        }
        let reason = self.reason.iter();
        reason
            .chain(&self.said)
            .try_for_each(|line| output::line(&format!("  {line}")))
    }
}
