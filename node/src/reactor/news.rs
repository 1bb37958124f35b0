//! What pushers are told, and how it reads.
//!
//! The push output is the product: it names each dapp, its result and its time, the reason with path
//! and line on a failure, and the checkpoint on success.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

use gdo_core::hook::{CommandOutcome, Report, Topic};
use gdo_core::id::{DappName, ObjectId};
use gdo_core::proposal::Proposal;
use gdo_core::verdict::{Outcome, Problem};

use crate::judge::Judged;
use crate::push::PushNews;
use crate::refs::Refs;

/// Problems of one dapp that are shown; the rest is counted.
const PROBLEMS_MAX: usize = 20;
/// Lines of a dapp's own output that are shown when it reported no problem.
const OUTPUT_LINES_MAX: usize = 20;

/// Those who wait for news, by proposal.
#[derive(Debug, Default)]
pub struct Watchers {
    by_proposal: BTreeMap<ObjectId, Vec<Sender<PushNews>>>,
}

impl Watchers {
    /// Adds a pusher.
    pub fn add(&mut self, proposal: ObjectId, news: Sender<PushNews>) {
        self.by_proposal.entry(proposal).or_default().push(news);
    }

    /// Whether somebody waits for `proposal`.
    #[must_use]
    pub fn has(&self, proposal: ObjectId) -> bool {
        self.by_proposal.contains_key(&proposal)
    }

    /// Tells everybody who waits for `proposal` a line.
    pub fn line(&mut self, proposal: ObjectId, text: &str) {
        self.tell(proposal, || PushNews::Line(text.to_owned()));
    }

    /// Tells everybody who waits for `proposal` a line that the next one overwrites.
    pub fn transient(&mut self, proposal: ObjectId, text: &str) {
        self.tell(proposal, || PushNews::Transient(text.to_owned()));
    }

    /// Tells everybody who waits for `proposal` how it ended, and forgets them.
    pub fn decide(&mut self, proposal: ObjectId, outcome: &CommandOutcome) {
        self.tell(proposal, || PushNews::Decided(outcome.clone()));
        self.by_proposal.remove(&proposal);
    }

    /// Tells everybody who waits the same outcome, and forgets them.
    pub fn decide_all(&mut self, outcome: &CommandOutcome) {
        let proposals: Vec<ObjectId> = self.by_proposal.keys().copied().collect();
        proposals
            .into_iter()
            .for_each(|proposal| self.decide(proposal, outcome));
    }

    fn tell(&mut self, proposal: ObjectId, news: impl Fn() -> PushNews) {
        if let Some(watchers) = self.by_proposal.get_mut(&proposal) {
            // Who hung up hears nothing more.
            watchers.retain(|watcher| watcher.send(news()).is_ok());
        }
    }
}

/// The proposal's ref, which the client is told it pushed to.
#[must_use]
pub fn report(refs: &Refs, proposal: ObjectId) -> Report {
    Report {
        reference: refs.proposal(proposal),
        new: proposal,
    }
}

/// The first line: what was pushed.
#[must_use]
pub fn headline(proposal: &Proposal, topic: Option<&Topic>) -> String {
    let paths = match proposal.delta.len() {
        0 => "a note".to_owned(),
        1 => "1 path".to_owned(),
        more => format!("{more} paths"),
    };
    let topic = topic
        .map(|topic| format!(", topic {topic}"))
        .unwrap_or_default();
    format!(
        "gdo: proposal {} by {}, {paths}, lane {}{topic}",
        proposal.id.short(7),
        proposal.principal,
        proposal.lane
    )
}

/// The lines about one dapp: its result, its time and, on a failure, its reasons.
#[must_use]
pub fn dapp_lines(dapp: &DappName, judged: &Judged) -> Vec<String> {
    let result = match judged.result {
        Ok(Outcome::Pass) => "pass",
        Ok(Outcome::Fail) => "FAIL",
        Err(_) => "inconclusive",
    };
    let cached = if judged.cached { " (cached)" } else { "" };
    let mut lines = vec![format!(
        "gdo:   {:<12} {result:<6} {:>5} ms{cached}",
        dapp.as_str(),
        judged.wall_ms
    )];
    if let Err(reason) = &judged.result {
        lines.push(format!("gdo:     {reason}"));
    }
    if judged.result != Ok(Outcome::Pass) {
        lines.extend(judged.problems.iter().take(PROBLEMS_MAX).map(problem_line));
        if judged.problems.len() > PROBLEMS_MAX {
            lines.push(format!(
                "gdo:     and {} more",
                judged.problems.len() - PROBLEMS_MAX
            ));
        }
        if judged.problems.is_empty() {
            let output = judged.output.lines().take(OUTPUT_LINES_MAX);
            lines.extend(output.map(|line| format!("gdo:     {line}")));
        }
    }
    for missing in &judged.degraded {
        lines.push(format!("gdo:     not isolated fully: {missing}"));
    }
    lines
}

fn problem_line(problem: &Problem) -> String {
    let place = match (&problem.path, problem.line) {
        (Some(path), Some(line)) => format!("{path}:{line}  "),
        (Some(path), None) => format!("{path}  "),
        _ => String::new(),
    };
    format!("gdo:     {place}{}", problem.message)
}

/// The reason in git's parentheses when a dapp failed.
#[must_use]
pub fn failure(dapp: &DappName, judged: &Judged) -> String {
    match judged.problems.len() {
        0 => format!("{dapp}: failed"),
        1 => format!("{dapp}: 1 problem"),
        more => format!("{dapp}: {more} problems"),
    }
}
