//! `acct/main.journal`, which stock `ledger` and `hledger` open: what it must include.
//!
//! `ledger` takes wildcards in the last segment of an include alone, and both tools fail when an include
//! matches nothing, so every month's directory is named as soon as it holds a file. Two proposals that
//! bring the same line to the same place agree byte for byte.
//!
//! **Invariants**: what the tools show is the whole book, but for logs whose month nobody has
//! included yet (a device cut off cannot edit this file): those are noted.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::{Fault, rule};

/// The include of all declarations, which comes first.
const DEFINITIONS: &str = "def/*.journal";

/// The directories that hold transactions, relative to `acct/`, with one path of each, for messages.
pub type Directories = BTreeMap<String, String>;

/// What the main journal lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Directories of `acct/txn/`: a problem.
    pub required: Vec<String>,
    /// Directories of logs: a note.
    pub noted: Vec<String>,
}

/// Checks the text of the main journal against the directories that hold transactions.
///
/// # Errors
/// The first line that is no include of such a directory.
pub fn check(text: &str, directories: &Directories) -> Result<Missing, Fault> {
    let mut seen = BTreeSet::new();
    let mut definitions = false;
    for (line, text) in text.split('\n').enumerate().map(|(i, line)| (i + 1, line)) {
        let fault = |message: String| Fault::new(line, rule::INCLUDE, message);
        if text.chars().any(char::is_control) {
            return Err(fault(
                "expected no tab, carriage return or other control character".into(),
            ));
        }
        if text.is_empty() || text.starts_with(';') {
            continue;
        }
        let Some(included) = text.strip_prefix("include ") else {
            return Err(fault(format!(
                "expected 'include …' or a comment, got '{text}'"
            )));
        };
        if included == DEFINITIONS {
            definitions = true;
            continue;
        }
        if !definitions {
            return Err(fault(format!(
                "expected 'include {DEFINITIONS}' first, got '{text}'"
            )));
        }
        let directory = included.strip_suffix("/*.journal").unwrap_or(included);
        if !directories.contains_key(directory) {
            let expected = "expected the directory of a month that holds a journal";
            return Err(fault(format!(
                "{expected}, such as 'include txn/2026/11/*.journal', got '{text}'"
            )));
        }
        if !included.ends_with("/*.journal") {
            return Err(fault(format!(
                "expected 'include {directory}/*.journal', got '{text}'"
            )));
        }
        if !seen.insert(directory) {
            return Err(fault(format!(
                "{directory} is included twice: its transactions would count twice"
            )));
        }
    }
    if !definitions {
        let message = format!("expected a line 'include {DEFINITIONS}'");
        return Err(Fault::new(0, rule::INCLUDE, message));
    }
    let mut missing = Missing::default();
    for directory in directories
        .keys()
        .filter(|directory| !seen.contains(directory.as_str()))
    {
        let list = if directory.starts_with("txn/") {
            &mut missing.required
        } else {
            &mut missing.noted
        };
        list.push(directory.clone());
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directories(list: &[&str]) -> Directories {
        list.iter()
            .map(|dir| ((*dir).to_owned(), format!("acct/{dir}/x.journal")))
            .collect()
    }

    #[test]
    fn every_month_of_transactions_must_be_included_and_every_include_must_match() {
        let there = directories(&["txn/2026/10", "txn/2026/11", "log/vending-b/2026/11"]);
        let text = "; the books\ninclude def/*.journal\ninclude txn/2026/11/*.journal\n";
        let missing = check(text, &there).expect("good lines");
        assert_eq!(missing.required, ["txn/2026/10"]);
        assert_eq!(missing.noted, ["log/vending-b/2026/11"]);
        let bad = [
            (format!("{text}include txn/2026/12/*.journal\n"), 4),
            (format!("{text}include txn/2026/11/*.journal\n"), 4),
            (format!("{text}include txn/2026/10/x.journal\n"), 4),
            (format!("{text}include /etc/passwd\n"), 4),
            (format!("{text}2026-11-21 Hidden\n"), 4),
            (format!("{text}include txn/2026/10/*.journal\r\n"), 4),
            (text.replace("include def/*.journal\n", ""), 2),
            (String::new(), 0),
        ];
        for (text, line) in bad {
            assert_eq!(check(&text, &there).expect_err(&text).line, line, "{text}");
        }
    }
}
