//! What is new, judged one by one in the order of the ledger.
//!
//! What is refused is not added to the books, so that one bad transaction does not drag others
//! along: the kernel sets it aside in the same way.

use std::collections::BTreeMap;

use gdo_core::context::ContextMember;
use gdo_core::id::{Digest, MemberName};
use gdo_dapp_sdk::contract::Input;
use gdo_dapp_sdk::error::Undecided;
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::ulid::Ulid;

use crate::book::{Book, changes, direction};
use crate::close;
use crate::date::{Date, Period};
use crate::defs::{AccountId, CommodityId, Definitions};
use crate::fault::{Fault, rule, tell};
use crate::rules::{Direction, Floors, Posters};
use crate::source::{POSTERS, Place, Resolved, Role, TRANSACTION_BYTES_MAX, classify, resolve};

/// The rules that a candidate is judged by.
pub(crate) struct Rules {
    /// What the candidate declares.
    pub(crate) defs: Definitions,
    /// The floors of the base.
    pub(crate) floors: Floors,
    /// The posters of the base.
    pub(crate) posters: Posters,
}

/// A file that the base does not have.
pub(crate) struct Fresh<'a> {
    pub(crate) path: &'a str,
    /// The place of its block in the ledger's order; `usize::MAX` without blocks.
    pub(crate) block: usize,
    pub(crate) principal: Option<&'a MemberName>,
    pub(crate) content: Content,
}

/// What a new file holds.
pub(crate) enum Content {
    /// A transaction that is good by itself.
    Transaction(Place, Resolved),
    /// A closing's text.
    Closing(Period, String),
}

/// The books so far.
pub(crate) struct Judge<'a> {
    input: &'a Input,
    pub(crate) rules: Rules,
    book: Book,
    ids: BTreeMap<Ulid, &'a str>,
    exts: BTreeMap<String, &'a str>,
    /// The transactions that are in the books so far, in case a closing must cover them.
    booked: Vec<&'a str>,
    /// The transaction that lowered each balance last, to be named when the next one is refused.
    lowered: BTreeMap<(AccountId, CommodityId), &'a str>,
    closed_until: Option<Date>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(input: &'a Input, rules: Rules) -> Self {
        let closings =
            input
                .base
                .under("acct/close/")
                .filter_map(|(path, _)| match classify(path) {
                    Ok(Role::Closing(period)) => Some(period),
                    _ => None,
                });
        Self {
            input,
            rules,
            book: Book::default(),
            ids: BTreeMap::new(),
            exts: BTreeMap::new(),
            booked: Vec::new(),
            lowered: BTreeMap::new(),
            closed_until: close::closed_until(closings),
        }
    }

    /// Judges what comes next, and takes it into the books if it is good.
    pub(crate) fn judge(&mut self, item: &Fresh<'a>, report: &mut Report) -> Result<(), Undecided> {
        match &item.content {
            Content::Transaction(place, resolved) => {
                let faults = self.judge_transaction(item, place, resolved)?;
                for fault in &faults {
                    tell(report, item.path, fault);
                    self.name_the_other(item.path, fault, resolved, report);
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

    /// A refused spend is good by itself: says which one came before it.
    fn name_the_other(&self, path: &str, fault: &Fault, resolved: &Resolved, report: &mut Report) {
        let at_line = resolved
            .entries
            .iter()
            .find(|entry| entry.line == fault.line);
        let key = at_line
            .filter(|_| fault.rule == rule::FLOOR)
            .map(|e| (e.account, e.commodity));
        if let Some(other) = key.and_then(|key| self.lowered.get(&key)) {
            report.note(format!(
                "{path}:{}: the balance was last lowered by {other}",
                fault.line
            ));
        }
    }

    fn judge_transaction(
        &self,
        item: &Fresh<'a>,
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
                covered.insert((*path).to_owned(), Digest::of(text.as_bytes()));
                book.add(&resolved).map_err(|fault| vec![fault])?;
            }
        }
        close::check(text, period, &covered, &book, &self.rules.defs)
    }

    /// Takes a transaction into the books, unless its id or reference is taken.
    pub(crate) fn book_it(
        &mut self,
        path: &'a str,
        place: &Place,
        resolved: &Resolved,
        report: &mut Report,
    ) {
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
            self.exts.insert(ext.clone(), path);
        }
        if let Err(fault) = self.book.add(resolved) {
            return tell(report, path, &fault);
        }
        for change in changes(resolved) {
            if direction(&change, &self.rules.defs) == Direction::Lower {
                self.lowered
                    .insert((change.account, change.commodity), path);
            }
        }
        self.ids.insert(place.id, path);
        self.booked.push(path);
    }
}
