//! Shape R: a record is one TOML file that is created once, `…/<ulid>-<verb>.toml`.
//!
//! Its path is its identity and its bytes never change, so records of any number of writers unite in any
//! order to one set. What a set of records *means* is the dapp's fold over it, in the order of
//! [`Record`]s, which is a function of the set alone.
//!
//! **Invariants**: a record of the base stays; a ULID stands for one record in its directory tree.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::contract::Input;
use crate::error::Undecided;
use crate::header::Header;
use crate::immutable;
use crate::report::Report;
use crate::ulid::Ulid;

/// Rule id: the name is not `<ulid>-<verb>.toml`, or the verb is unknown.
pub const NAME: &str = "record-name";
/// Rule id: the content is no record.
pub const FORM: &str = "record-form";
/// Rule id: two records with one ULID.
pub const DUPLICATE: &str = "record-duplicate";

/// What the records of one kind look like.
#[derive(Debug, Clone)]
pub struct RecordShape<'a> {
    /// The directory that holds them at any depth, with its slash: `cert/`.
    pub dir: &'a str,
    /// The verbs, in the order in which records with one ULID time would be told apart.
    pub verbs: &'a [&'a str],
    /// The versions of the form that the reader knows.
    pub versions: &'a [u32],
    /// The largest record.
    pub bytes_max: u64,
}

/// One record, parsed. Records order by ULID, then path.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id.
    pub ulid: Ulid,
    /// Its path in the tree.
    pub path: String,
    /// What happened.
    pub verb: String,
    /// The common fields.
    pub header: Header,
    /// All fields, the common ones included.
    pub fields: toml::Table,
}

impl RecordShape<'_> {
    /// Checks all records of the candidate against the base and returns those that are well formed.
    ///
    /// # Errors
    /// Undecided when a file cannot be compared.
    pub fn check(&self, input: &Input, report: &mut Report) -> Result<Vec<Record>, Undecided> {
        immutable::check(
            &input.base,
            &input.candidate,
            |path| path.starts_with(self.dir),
            report,
        )?;
        let mut records = Vec::new();
        let mut first: BTreeMap<Ulid, String> = BTreeMap::new();
        for (path, _) in input.candidate.under(self.dir) {
            let Some(record) = self.read(input, path, report) else {
                continue;
            };
            if let Some(other) = first.get(&record.ulid) {
                report.file(
                    path,
                    DUPLICATE,
                    format!("id {} is that of {other}", record.ulid),
                );
                continue;
            }
            first.insert(record.ulid, record.path.clone());
            records.push(record);
        }
        records.sort_by(|a, b| (a.ulid, &a.path).cmp(&(b.ulid, &b.path)));
        Ok(records)
    }

    fn read(&self, input: &Input, path: &str, report: &mut Report) -> Option<Record> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let parts = name
            .strip_suffix(".toml")
            .and_then(|stem| stem.split_once('-'));
        let Some((ulid, verb)) = parts.filter(|(_, verb)| self.verbs.contains(verb)) else {
            let verbs = self.verbs.join(", ");
            report.file(
                path,
                NAME,
                format!("expected <ulid>-<verb>.toml, the verb one of {verbs}"),
            );
            return None;
        };
        let ulid = ulid
            .parse::<Ulid>()
            .map_err(|error| report.file(path, NAME, error))
            .ok()?;
        let text = input
            .candidate
            .read_text(path, self.bytes_max)
            .map_err(|error| report.file(path, FORM, error))
            .ok()?;
        let fields: toml::Table = toml::from_str(&text)
            .map_err(|error| report.line(path, line_of(&text, &error), FORM, error.message()))
            .ok()?;
        let header = Header::deserialize(toml::Value::Table(fields.clone()))
            .map_err(|error| report.file(path, FORM, error.message()))
            .ok()?;
        header
            .check(self.versions)
            .map_err(|error| report.file(path, FORM, error))
            .ok()?;
        Some(Record {
            ulid,
            path: path.to_owned(),
            verb: verb.to_owned(),
            header,
            fields,
        })
    }
}

/// The line of a TOML error, from 1.
#[must_use]
pub fn line_of(text: &str, error: &toml::de::Error) -> usize {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    text.as_bytes()[..start]
        .iter()
        .filter(|&&c| c == b'\n')
        .count()
        + 1
}
