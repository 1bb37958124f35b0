//! Shape S: one TOML file that is changed by naming the version it replaces.
//!
//! `prev = "<blob id>"` in the new text is what `git rev-parse main:<path>` printed for the
//! version that its author saw; the first version has none. The lane (cas or final) already
//! compares, but the name *inside* the text is evidence that outlives the block.
//!
//! **Invariants**: a singleton is never deleted; its versions form one chain.

use gdo_core::delta::Operation;
use gdo_core::id::Digest;

use crate::contract::Input;
use crate::error::Undecided;
use crate::record::line_of;
use crate::report::Report;

/// Rule id: the singleton is gone.
pub const DELETED: &str = "singleton-deleted";
/// Rule id: the content is not TOML, or `v` or `prev` is not what it must be.
pub const FORM: &str = "singleton-form";
/// Rule id: `prev` does not name the version that is replaced.
pub const PREVIOUS: &str = "singleton-prev";

/// The checks on one singleton.
#[derive(Debug, Clone)]
pub struct Singleton<'a> {
    /// Its path.
    pub path: &'a str,
    /// The versions of the form (`v`) that the reader knows.
    pub versions: &'a [i64],
    /// The largest file.
    pub bytes_max: u64,
}

impl Singleton<'_> {
    /// Checks the candidate's version against the base's and returns its fields, if it has any.
    ///
    /// # Errors
    /// Undecided when the files cannot be compared.
    pub fn check(
        &self,
        input: &Input,
        report: &mut Report,
    ) -> Result<Option<toml::Table>, Undecided> {
        if !input.candidate.contains(self.path) {
            if input.base.contains(self.path) {
                report.file(
                    self.path,
                    DELETED,
                    "deleted: expected a new version instead",
                );
            }
            return Ok(None);
        }
        let Some(table) = self.read(input, report) else {
            return Ok(None);
        };
        if !input.base.same(&input.candidate, self.path)? {
            self.check_previous(input, &table, report);
        }
        Ok(Some(table))
    }

    fn read(&self, input: &Input, report: &mut Report) -> Option<toml::Table> {
        let text = input
            .candidate
            .read_text(self.path, self.bytes_max)
            .map_err(|error| report.file(self.path, FORM, error))
            .ok()?;
        let table: toml::Table = toml::from_str(&text)
            .map_err(|error| report.line(self.path, line_of(&text, &error), FORM, error.message()))
            .ok()?;
        let version = table.get("v").and_then(toml::Value::as_integer);
        if !version.is_some_and(|v| self.versions.contains(&v)) {
            let message = format!("v: expected one of {:?}, got {version:?}", self.versions);
            report.file(self.path, FORM, message);
            return None;
        }
        Some(table)
    }

    fn check_previous(&self, input: &Input, table: &toml::Table, report: &mut Report) {
        let named = match table.get("prev") {
            None => None,
            Some(toml::Value::String(text)) => Some(text.as_str()),
            Some(other) => {
                let message = format!("prev: expected the id of a blob, got {}", other.type_str());
                return report.file(self.path, FORM, message);
            }
        };
        let Some(expected) = self.replaced(input) else {
            return;
        };
        if named != expected.as_deref() {
            let shown = |id: Option<&str>| id.map_or("none".to_owned(), |id| format!("'{id}'"));
            report.file(
                self.path,
                PREVIOUS,
                format!(
                    "prev: expected {}, the version it replaces, got {}",
                    shown(expected.as_deref()),
                    shown(named)
                ),
            );
        }
    }

    /// The blob id of the version that the candidate's replaces; the outer `None` is "cannot tell".
    fn replaced(&self, input: &Input) -> Option<Option<String>> {
        // Several blocks of one checkpoint may change it: the last one made this version.
        let mut operations = input
            .context
            .blocks
            .iter()
            .flat_map(|block| &block.operations);
        let last: Option<&Operation> =
            operations.rfind(|operation| operation.path.as_str() == self.path);
        if let Some(operation) = last {
            return Some(operation.old.map(|entry| entry.id.to_string()));
        }
        if !input.base.contains(self.path) {
            return Some(None);
        }
        // Tried on plain directories: git's blob id for SHA-256 repositories.
        let bytes = input.base.read(self.path, self.bytes_max).ok()?;
        let mut object = format!("blob {}\0", bytes.len()).into_bytes();
        object.extend_from_slice(&bytes);
        Some(Some(Digest::of(&object).to_string()))
    }
}
