//! The validator: reads both trees once, adds up what the base had, then judges what is new in order.
//!
//! Every transaction of the candidate is read and checked by itself, because definitions may have changed under
//! it. Ledger order matters for new ones alone: their blocks' order, then their paths. What is refused
//! is not added, so that one bad transaction does not drag others along.
//!
//! **Invariants**: each file is read at most twice (once more for a new closing); what is kept in
//! memory is the balances, ids and external references, and the new transactions.

use std::collections::BTreeMap;

use gdo_core::context::ContextMember;
use gdo_core::id::MemberName;
use gdo_dapp_sdk::contract::Input;
use gdo_dapp_sdk::error::Undecided;
use gdo_dapp_sdk::immutable;
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::tree::{Kind, Tree};
use gdo_dapp_sdk::ulid::Ulid;

use crate::book::{Book, changes, direction};
use crate::close;
use crate::date::{Date, Period};
use crate::defs::Definitions;
use crate::fault::{Fault, rule};
use crate::include::{self, Directories};
use crate::rules::{Direction, Floors, Posters};
use crate::source::{
    DEFINITION_BYTES_MAX, FLOORS, MAIN, POSTERS, Place, Resolved, Role, TRANSACTION_BYTES_MAX,
    classify, resolve,
};

/// Judges a candidate.
///
/// # Errors
/// Undecided when the input is not what the contract promises.
pub fn validate(input: &Input, report: &mut Report) -> Result<(), Undecided> {
    for (path, _) in input.base.under("acct/") {
        if is_record(path) && !input.candidate.contains(path) {
            report.file(
                path,
                immutable::DELETED,
                "deleted: post a transaction that reverses it instead",
            );
        }
    }
    if input.candidate.under("acct/").next().is_none() {
        return Ok(());
    }
    let Some(rules) = load_rules(input, report) else {
        return Ok(());
    };
    let mut run = Run::new(input, rules);
    let mut fresh = run.scan(report)?;
    run.check_main(report);
    fresh.sort_by(|a, b| (a.block, &a.path).cmp(&(b.block, &b.path)));
    for item in fresh {
        run.judge(&item, report)?;
    }
    Ok(())
}

/// Whether files at `path` are written once.
fn is_record(path: &str) -> bool {
    ["acct/txn/", "acct/log/", "acct/close/"]
        .iter()
        .any(|dir| path.starts_with(dir))
}

struct Rules {
    defs: Definitions,
    floors: Floors,
    posters: Posters,
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

fn tell(report: &mut Report, path: &str, fault: &Fault) {
    if fault.line == 0 {
        report.file(path, fault.rule, &fault.message);
    } else {
        report.line(path, fault.line, fault.rule, &fault.message);
    }
}

/// A file that the base does not have.
struct Fresh<'a> {
    path: &'a str,
    /// The place of its block in the ledger's order; `usize::MAX` without blocks.
    block: usize,
    principal: Option<&'a MemberName>,
    content: Content,
}

enum Content {
    Transaction(Place, Resolved),
    Closing(Period, String),
}

struct Run<'a> {
    input: &'a Input,
    rules: Rules,
    /// The first block that brings each path.
    blocks: BTreeMap<&'a str, usize>,
    book: Book,
    ids: BTreeMap<Ulid, String>,
    exts: BTreeMap<String, String>,
    /// The transactions that are in the books so far, in case a closing must cover them.
    booked: Vec<String>,
    directories: Directories,
    closed_until: Option<Date>,
}

impl<'a> Run<'a> {
    fn new(input: &'a Input, rules: Rules) -> Self {
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
        let closings =
            input
                .base
                .under("acct/close/")
                .filter_map(|(path, _)| match classify(path) {
                    Ok(Role::Closing(period)) => Some(period),
                    _ => None,
                });
        let closed_until = close::closed_until(closings);
        Self {
            input,
            rules,
            blocks,
            book: Book::default(),
            ids: BTreeMap::new(),
            exts: BTreeMap::new(),
            booked: Vec::new(),
            directories: Directories::new(),
            closed_until,
        }
    }

    /// Reads every file once: adds what the base had, returns what is new.
    fn scan(&mut self, report: &mut Report) -> Result<Vec<Fresh<'a>>, Undecided> {
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
            if matches!(role, Role::Transaction(_)) {
                self.note_directory(path);
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
                Role::Transaction(place) => match resolve(&text, &place, &self.rules.defs) {
                    Ok(resolved) => Content::Transaction(place, resolved),
                    Err(fault) => {
                        tell(report, path, &fault);
                        continue;
                    }
                },
                Role::Closing(_) if old => continue,
                Role::Closing(period) => Content::Closing(period, text),
                Role::Declarations | Role::Named => continue,
            };
            if !old {
                fresh.push(self.place_in_order(path, content)?);
            } else if let Content::Transaction(place, resolved) = content {
                self.book_it(path, &place, &resolved, report);
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

    fn judge(&mut self, item: &Fresh<'_>, report: &mut Report) -> Result<(), Undecided> {
        match &item.content {
            Content::Transaction(place, resolved) => {
                let faults = self.judge_transaction(item, place, resolved)?;
                for fault in &faults {
                    tell(report, item.path, fault);
                }
                if faults.is_empty() {
                    self.book_it(item.path, place, resolved, report);
                }
            }
            Content::Closing(period, text) => match self.judge_closing(*period, text) {
                Ok(()) => self.closed_until = Some(period.last()),
                Err(faults) => faults
                    .iter()
                    .for_each(|fault| tell(report, item.path, fault)),
            },
        }
        Ok(())
    }

    fn judge_transaction(
        &self,
        item: &Fresh<'_>,
        place: &Place,
        resolved: &Resolved,
    ) -> Result<Vec<Fault>, Undecided> {
        let first_line = resolved.entries.first().map_or(1, |entry| entry.line);
        if let Some(closed) = self.closed_until.filter(|closed| resolved.date <= *closed) {
            let message = format!(
                "the books are closed until {closed}: date it later, with a line '    ; for: {}'",
                resolved.date
            );
            return Ok(vec![Fault::new(first_line, rule::CLOSED, message)]);
        }
        if let Some(principal) = item.principal {
            let member = self.input.context.roster.get(principal).ok_or_else(|| {
                Undecided::Context(format!("no roster entry for the principal {principal}"))
            })?;
            if let Err(fault) = self.check_poster(principal, member, place, resolved) {
                return Ok(vec![fault]);
            }
        }
        let Rules { defs, floors, .. } = &self.rules;
        let judged = self.book.judge(
            resolved,
            place.writer.as_ref(),
            item.principal,
            defs,
            floors,
        );
        Ok(judged.err().unwrap_or_default())
    }

    fn check_poster(
        &self,
        principal: &MemberName,
        member: &ContextMember,
        place: &Place,
        resolved: &Resolved,
    ) -> Result<(), Fault> {
        let defs = &self.rules.defs;
        if let Some(writer) = place.writer.as_ref().filter(|writer| *writer != principal) {
            let message = format!("the log of {writer} was written by {principal}");
            return Err(Fault::new(1, rule::POSTER, message));
        }
        let changes = changes(resolved);
        let named: Vec<_> = changes
            .iter()
            .map(|change| (defs.account(change.account), direction(change, defs)))
            .collect();
        self.rules.posters.permit(principal, member, &named).map_err(|index| {
            let Some((account, direction)) = named.get(index) else {
                return Fault::new(1, rule::POSTER, format!("{principal} may not post"));
            };
            let verb = match direction {
                Direction::Raise => "raise",
                Direction::Lower => "lower",
            };
            let message = format!(
                "{principal} may not {verb} {} in this transaction: no entry of {POSTERS} allows it",
                account.name
            );
            Fault::new(changes[index].line, rule::POSTER, message)
        })
    }

    fn judge_closing(&self, period: Period, text: &str) -> Result<(), Vec<Fault>> {
        if let Some(closed) = self.closed_until.filter(|closed| period.last() <= *closed) {
            let message = format!("expected a period that ends after {closed}, the last closing");
            return Err(vec![Fault::new(0, rule::CLOSE, message)]);
        }
        let mut book = Book::default();
        let mut covered = close::Covered::new();
        for path in &self.booked {
            // It was read and resolved before.
            let Ok(text) = self.input.candidate.read_text(path, TRANSACTION_BYTES_MAX) else {
                continue;
            };
            let Ok(Role::Transaction(place)) = classify(path) else {
                continue;
            };
            let Ok(resolved) = resolve(&text, &place, &self.rules.defs) else {
                continue;
            };
            if resolved.date <= period.last() {
                covered.insert(path.clone(), gdo_core::id::Digest::of(text.as_bytes()));
                book.add(&resolved).map_err(|fault| vec![fault])?;
            }
        }
        close::check(text, period, &covered, &book, &self.rules.defs)
    }

    /// Takes a transaction into the books, unless its id or reference is taken.
    fn book_it(&mut self, path: &str, place: &Place, resolved: &Resolved, report: &mut Report) {
        if let Some(other) = self.ids.get(&place.id) {
            report.file(
                path,
                rule::DUPLICATE,
                format!("id {} is that of {other}", place.id),
            );
            return;
        }
        if let Some((line, ext)) = &resolved.ext {
            if let Some(other) = self.exts.get(ext) {
                report.line(
                    path,
                    *line,
                    rule::EXT,
                    format!("ext {ext} is that of {other}"),
                );
                return;
            }
            self.exts.insert(ext.clone(), path.to_owned());
        }
        if let Err(fault) = self.book.add(resolved) {
            return tell(report, path, &fault);
        }
        self.ids.insert(place.id, path.to_owned());
        self.booked.push(path.to_owned());
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
