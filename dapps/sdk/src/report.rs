//! What a validator found wrong, for programs (`report.json`) and for people (stdout).
//!
//! The number of problems that are kept is bounded: a flood of output would turn a clear "fail" into
//! "could not tell", because the runner cuts output off at `output_kib`.
//!
//! **Invariants**: the order is the order of discovery, which is deterministic; a report with at
//! least one problem is a fail, even when that problem was not kept.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// The most problems that are kept and printed.
pub const PROBLEMS_MAX: usize = 100;

/// The longest message that is kept, in bytes: messages quote the candidate.
const MESSAGE_BYTES_MAX: usize = 1000;

/// One thing that is wrong, at a place in the candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The path in the tree.
    pub path: String,
    /// The line, from 1; none speaks of the whole file.
    pub line: Option<u32>,
    /// The stable id of the rule that is broken, as the dapp's README lists it.
    pub rule: String,
    /// What is wrong and what was expected: lower case, no full stop.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {} [{}]", self.path, self.message, self.rule),
            None => write!(f, "{}: {} [{}]", self.path, self.message, self.rule),
        }
    }
}

/// All problems of one run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    problems: Vec<Problem>,
    /// Problems beyond the bound: counted, not kept.
    #[serde(skip)]
    dropped: usize,
    /// Lines for people that are no problems.
    #[serde(skip)]
    notes: Vec<String>,
}

impl Report {
    /// Adds a problem with a whole file.
    pub fn file(&mut self, path: &str, rule: &str, message: impl fmt::Display) {
        self.push(path, None, rule, &message);
    }

    /// Adds a problem at a line, counted from 1.
    pub fn line(&mut self, path: &str, line: usize, rule: &str, message: impl fmt::Display) {
        self.push(
            path,
            Some(u32::try_from(line).unwrap_or(u32::MAX)),
            rule,
            &message,
        );
    }

    /// Adds a line for people which does not change the result.
    pub fn note(&mut self, text: impl fmt::Display) {
        if self.notes.len() < PROBLEMS_MAX {
            self.notes.push(printable(&text.to_string()));
        }
    }

    /// The problems that were kept.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many problems there are, kept or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.problems.len() + self.dropped
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.count() == 0
    }

    /// `report.json`: `{"problems":[{"path","line","rule","message"}]}`.
    ///
    /// # Panics
    /// Never: strings and integers have a JSON form.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and integers have a JSON form")
    }

    fn push(&mut self, path: &str, line: Option<u32>, rule: &str, message: &dyn fmt::Display) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.dropped += 1;
            return;
        }
        self.problems.push(Problem {
            path: printable(path),
            line,
            rule: rule.to_owned(),
            message: printable(&message.to_string()),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        if self.dropped > 0 {
            writeln!(f, "and {} more problems", self.dropped)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

/// Makes quoted input safe for a terminal and bounded: control characters are shown, not sent.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MESSAGE_BYTES_MAX));
    for c in text.chars() {
        if out.len() >= MESSAGE_BYTES_MAX {
            out.push('…');
            break;
        }
        if c.is_control() {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_problems_is_counted_but_not_kept() {
        let mut report = Report::default();
        for n in 1..=10_000 {
            report.line("a", n, "rule", "x".repeat(5000));
        }
        assert_eq!(report.count(), 10_000);
        assert_eq!(report.problems().len(), PROBLEMS_MAX);
        assert!(report.to_string().len() < 200_000);
        assert!(report.to_string().contains("and 9900 more problems"));
    }

    #[test]
    fn what_the_candidate_wrote_cannot_drive_the_terminal() {
        let mut report = Report::default();
        report.file("a\u{1b}[2J", "rule", "name\n\u{7}");
        assert_eq!(report.to_string(), "a\\u{1b}[2J: name\\u{a}\\u{7} [rule]\n");
    }

    #[test]
    fn the_json_has_exactly_the_fields_of_the_contract() {
        let mut report = Report::default();
        report.line("a", 4, "floor", "too low");
        report.file("b", "form", "bad");
        report.note("not part of it");
        assert_eq!(
            report.to_json(),
            r#"{"problems":[{"path":"a","line":4,"rule":"floor","message":"too low"},{"path":"b","line":null,"rule":"form","message":"bad"}]}"#
        );
    }
}
