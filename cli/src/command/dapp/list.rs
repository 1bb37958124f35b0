//! `gdo dapp list`: the dapps of the ledger.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use gdo_core::dapp::Scope;
use gdo_core::id::{DappName, Digest};
use gdo_core::path::Glob;
use serde::Serialize;

use crate::error::CommandError;
use crate::output;
use crate::source::{Reading, Source};

/// Which dapps.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    reading: Reading,
}

#[derive(Serialize)]
struct Row {
    name: DappName,
    version: String,
    scope: Scope,
    digest: Option<Digest>,
    image: Option<Digest>,
    reads: Vec<Glob>,
    /// The paths of the rules that name it.
    rules: Vec<String>,
}

impl List {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let rules = Source::open(dir, self.reading)?.rules()?;
        let rows: Vec<Row> = rules
            .dapps
            .iter()
            .map(|(name, dapp)| Row {
                name: name.clone(),
                version: dapp.manifest.version.clone(),
                scope: dapp.manifest.validator.scope,
                digest: dapp.digest(),
                image: dapp.image,
                reads: dapp.manifest.validator.reads.clone(),
                rules: rules
                    .policy
                    .rules()
                    .iter()
                    .filter(|rule| rule.dapps.contains(name))
                    .map(|rule| rule.path.as_str().to_owned())
                    .collect(),
            })
            .collect();
        if json {
            output::json(&rows)?;
        } else {
            rows.iter().try_for_each(print)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(row: &Row) -> Result<(), CommandError> {
    let digest = row
        .digest
        .map_or_else(|| "(no image)".to_owned(), |digest| digest.short(12));
    let reads: Vec<&str> = row.reads.iter().map(Glob::as_str).collect();
    let rules: Vec<String> = row.rules.iter().map(|path| format!("\"{path}\"")).collect();
    output::line(&format!("{:<16} {:<8} {digest}", row.name, row.version))?;
    output::line(&format!("    reads  {}", reads.join(", ")))?;
    let rules = if rules.is_empty() {
        "none".to_owned()
    } else {
        rules.join(", ")
    };
    output::line(&format!("    rules  {rules}"))
}
