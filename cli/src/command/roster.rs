//! `gdo roster`: who the members are.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use gdo_core::id::Weight;
use gdo_core::roster::{Kind, MemberKey, Status};
use serde::Serialize;

use crate::error::CommandError;
use crate::output;
use crate::source::{Reading, Source};

/// Which roster.
#[derive(Args, Debug)]
pub struct Roster {
    #[command(flatten)]
    reading: Reading,
}

/// A member in the list.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    kind: Kind,
    status: Status,
    roles: &'a [String],
    weight: Weight,
    /// What the member weighs in finality, if it is a validator.
    finality_weight: Option<Weight>,
    keys: Vec<Key<'a>>,
    retired: Vec<Key<'a>>,
}

/// A key of a member.
#[derive(Serialize)]
struct Key<'a> {
    key: String,
    fingerprint: String,
    comment: &'a str,
}

impl Roster {
    /// Prints the members of the newest checkpoint.
    ///
    /// # Errors
    /// There is no ledger, or it cannot be read.
    pub fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let source = Source::open(dir, self.reading)?;
        let rules = source.rules()?;
        let rows: Vec<Row<'_>> = rules
            .roster
            .iter()
            .map(|(name, member)| Row {
                name: name.as_str(),
                kind: member.kind,
                status: member.status,
                roles: &member.roles,
                weight: member.weight,
                finality_weight: rules.policy.finality.weight_of(name),
                keys: member.keys.iter().map(key).collect(),
                retired: member.retired.iter().map(key).collect(),
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

fn key(entry: &MemberKey) -> Key<'_> {
    Key {
        key: entry.key.to_string(),
        fingerprint: entry.key.fingerprint(),
        comment: &entry.comment,
    }
}

fn print(row: &Row<'_>) -> Result<(), CommandError> {
    let kind = format!("{:?}", row.kind).to_lowercase();
    let mut notes = Vec::new();
    if row.status != Status::Active {
        notes.push(format!("{:?}", row.status).to_lowercase());
    }
    if !row.roles.is_empty() {
        notes.push(row.roles.join(", "));
    }
    if row.weight != Weight(1) {
        notes.push(format!("weight {}", row.weight));
    }
    if let Some(weight) = row.finality_weight {
        notes.push(format!("validator of weight {weight}"));
    }
    let line = format!("{:<16} {kind:<8} {}", row.name, notes.join("; "));
    output::line(line.trim_end())?;
    for (key, word) in row
        .keys
        .iter()
        .map(|key| (key, ""))
        .chain(row.retired.iter().map(|key| (key, " retired")))
    {
        let line = format!("    {}{word} {}", key.fingerprint, key.comment);
        output::line(line.trim_end())?;
    }
    Ok(())
}
