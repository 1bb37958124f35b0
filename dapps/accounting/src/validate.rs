//! The validator: reads both trees once, adds up what the base had, then judges what is new in order.
//!
//! Every transaction of the candidate is read and checked by itself, because definitions may have
//! changed under it. Ledger order matters for new ones alone: their blocks' order, then their paths.
//!
//! **Invariants**: each file is read at most twice (once more for a new closing); what is kept in
//! memory is the balances, ids and external references, and the new transactions.

use std::collections::BTreeMap;

use gdo_dapp_sdk::contract::Input;
use gdo_dapp_sdk::error::Undecided;
use gdo_dapp_sdk::immutable;
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::tree::{Kind, Tree};

use crate::defs::Definitions;
use crate::fault::{Fault, rule, tell};
use crate::include::{self, Directories};
use crate::journal;
use crate::judge::{Content, Fresh, Judge, Rules};
use crate::rules::{Floors, Posters};
use crate::source::{
    DEFINITION_BYTES_MAX, FLOORS, MAIN, POSTERS, Role, TRANSACTION_BYTES_MAX, classify, resolve,
};

/// Judges a candidate.
///
/// # Errors
/// Undecided when the input is not what the contract promises.
pub fn validate(input: &Input, report: &mut Report) -> Result<(), Undecided> {
    for (path, _) in input.base.under("acct/") {
        if is_record(path) && !input.candidate.contains(path) {
            let message = "deleted: post a transaction that reverses it instead";
            report.file(path, immutable::DELETED, message);
        }
    }
    if input.candidate.under("acct/").next().is_none() {
        return Ok(());
    }
    let Some(rules) = load_rules(input, report) else {
        return Ok(());
    };
    let mut scan = Scan::new(input, Judge::new(input, rules));
    let mut fresh = scan.run(report)?;
    scan.check_main(report);
    fresh.sort_by(|a, b| (a.block, a.path).cmp(&(b.block, b.path)));
    for item in fresh {
        scan.judge.judge(&item, report)?;
    }
    Ok(())
}

/// Whether files at `path` are written once.
fn is_record(path: &str) -> bool {
    let dirs = ["acct/txn/", "acct/log/", "acct/close/"];
    dirs.iter().any(|dir| path.starts_with(dir)) && classify(path) != Ok(Role::Month)
}

/// Reads the definitions of the candidate, and the floors and posters of the base (P-7). Without them
/// nothing else can be judged.
fn load_rules(input: &Input, report: &mut Report) -> Option<Rules> {
    let before = report.count();
    let mut defs = Definitions::default();
    for (path, _) in input.candidate.under("acct/def/") {
        if classify(path) == Ok(Role::Declarations) {
            with_text(&input.candidate, path, report, |text| defs.add(text));
        }
    }
    for tag in defs.missing_tags() {
        report.file(
            "acct/def/",
            rule::DEFINITION,
            format!("expected a line 'tag {tag}' in a journal here"),
        );
    }
    let floors = load_rule_file(input, FLOORS, report, Floors::parse);
    let posters = load_rule_file(input, POSTERS, report, Posters::parse);
    if report.count() > before {
        return None;
    }
    Some(Rules {
        defs,
        floors: floors?,
        posters: posters?,
    })
}

/// Parses the candidate's file, and returns the base's if there is one.
fn load_rule_file<T>(
    input: &Input,
    path: &str,
    report: &mut Report,
    parse: impl Fn(&str) -> Result<T, Fault>,
) -> Option<T> {
    let proposed = with_text(&input.candidate, path, report, &parse);
    // The base passed this validator or an older one: a file that it left behind broken binds nobody.
    let in_force = input.base.read_text(path, DEFINITION_BYTES_MAX).ok();
    in_force.and_then(|text| parse(&text).ok()).or(proposed)
}

fn with_text<T>(
    tree: &Tree,
    path: &str,
    report: &mut Report,
    read: impl FnOnce(&str) -> Result<T, Fault>,
) -> Option<T> {
    match tree.read_text(path, DEFINITION_BYTES_MAX) {
        Err(error) => {
            report.file(path, rule::DEFINITION, error);
            None
        }
        Ok(text) => read(&text).map_err(|fault| tell(report, path, &fault)).ok(),
    }
}

/// One pass over the files of the candidate.
struct Scan<'a> {
    input: &'a Input,
    judge: Judge<'a>,
    /// The first block that brings each path.
    blocks: BTreeMap<&'a str, usize>,
    directories: Directories,
}

impl<'a> Scan<'a> {
    fn new(input: &'a Input, judge: Judge<'a>) -> Self {
        let mut blocks = BTreeMap::new();
        for (index, block) in input.context.blocks.iter().enumerate() {
            for operation in block
                .operations
                .iter()
                .filter(|operation| operation.new.is_some())
            {
                blocks.entry(operation.path.as_str()).or_insert(index);
            }
        }
        Self {
            input,
            judge,
            blocks,
            directories: Directories::new(),
        }
    }

    /// Reads every file once: adds what the base had, returns what is new.
    fn run(&mut self, report: &mut Report) -> Result<Vec<Fresh<'a>>, Undecided> {
        let input = self.input;
        let mut fresh = Vec::new();
        for (path, kind) in input.candidate.under("acct/") {
            let role = match classify(path) {
                Ok(role) => role,
                Err(message) => {
                    report.file(path, rule::PATH, message);
                    continue;
                }
            };
            if matches!(role, Role::Declarations | Role::Named) {
                continue;
            }
            if matches!(role, Role::Transaction(_) | Role::Month) {
                self.note_directory(path);
            }
            if role == Role::Month {
                with_text(&input.candidate, path, report, journal::check_comments);
                continue;
            }
            let old = input.base.contains(path);
            let text = match input.candidate.read_text(path, bytes_max(&role)) {
                Ok(text) => text,
                Err(error) => {
                    report.file(
                        path,
                        if old { immutable::CHANGED } else { rule::PATH },
                        error,
                    );
                    continue;
                }
            };
            if old && !is_unchanged(&input.base, path, kind, &text) {
                let message = "changed: post a transaction that corrects it instead";
                report.file(path, immutable::CHANGED, message);
                continue;
            }
            let content = match role {
                Role::Transaction(place) => match resolve(&text, &place, &self.judge.rules.defs) {
                    Ok(resolved) => Content::Transaction(place, resolved),
                    Err(fault) => {
                        tell(report, path, &fault);
                        continue;
                    }
                },
                Role::Closing(_) if old => continue,
                Role::Closing(period) => Content::Closing(period, text),
                Role::Declarations | Role::Named | Role::Month => continue,
            };
            if !old {
                fresh.push(self.place_in_order(path, content)?);
            } else if let Content::Transaction(place, resolved) = content {
                self.judge.book_it(path, &place, &resolved, report);
            }
        }
        Ok(fresh)
    }

    fn place_in_order(&self, path: &'a str, content: Content) -> Result<Fresh<'a>, Undecided> {
        let blocks = &self.input.context.blocks;
        let index = self.blocks.get(path).copied();
        if index.is_none() && !blocks.is_empty() {
            let message = format!("no block brings {path}, which is new in the candidate");
            return Err(Undecided::Context(message));
        }
        let principal = index.map(|index| &blocks[index].principal);
        Ok(Fresh {
            path,
            block: index.unwrap_or(usize::MAX),
            principal,
            content,
        })
    }

    fn note_directory(&mut self, path: &str) {
        let directory = path
            .strip_prefix("acct/")
            .and_then(|path| path.rsplit_once('/'));
        if let Some((directory, _)) = directory
            && !self.directories.contains_key(directory)
        {
            self.directories
                .insert(directory.to_owned(), path.to_owned());
        }
    }

    fn check_main(&self, report: &mut Report) {
        let directories = &self.directories;
        let missing = with_text(&self.input.candidate, MAIN, report, |text| {
            include::check(text, directories)
        });
        let missing = missing.unwrap_or_default();
        for directory in missing.required {
            let path = &directories[&directory];
            let message = format!("expected a line 'include {directory}/*.journal' for {path}");
            report.file(MAIN, rule::INCLUDE, message);
        }
        for directory in missing.noted {
            report.note(format!(
                "{MAIN} does not include {directory}/*.journal: ledger and hledger do not show it yet"
            ));
        }
    }
}

fn bytes_max(role: &Role) -> u64 {
    match role {
        Role::Transaction(_) => TRANSACTION_BYTES_MAX,
        _ => DEFINITION_BYTES_MAX,
    }
}

/// Whether the base has the same file. Its bytes are compared with those that were just read.
fn is_unchanged(base: &Tree, path: &str, kind: Kind, text: &str) -> bool {
    base.kind(path) == Some(kind)
        && base
            .read(path, text.len() as u64)
            .is_ok_and(|bytes| bytes == text.as_bytes())
}
