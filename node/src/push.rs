//! A push on its way through the node: what was asked for, and the news for the pusher.

use std::sync::mpsc::Sender;

use gdo_core::hook::{CommandOutcome, Report, Topic};
use gdo_core::proposal::Proposal;

/// A verified proposal and what its pusher asked for.
#[derive(Debug)]
pub struct Push {
    /// The proposal.
    pub proposal: Proposal,
    /// Run everything, merge nothing.
    pub dry_run: bool,
    /// The topic that it belongs to.
    pub topic: Option<Topic>,
    /// Where its news goes; nobody may be listening.
    pub news: Sender<PushNews>,
}

/// What the pusher is told.
#[derive(Debug)]
pub enum PushNews {
    /// A line that stays.
    Line(String),
    /// A line that the next one overwrites.
    Transient(String),
    /// The proposal is safe: it will be decided whether or not somebody waits.
    Taken(Report),
    /// It is decided, or refused before it was taken.
    Decided(CommandOutcome),
}

/// Why a push is refused: one line for git, more for the pusher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRefusal {
    /// The line in git's parentheses.
    pub reason: String,
    /// What to do, a line each.
    pub hints: Vec<String>,
}

impl PushRefusal {
    /// A refusal that explains itself.
    #[must_use]
    pub fn new(reason: impl Into<String>, hints: impl IntoIterator<Item = String>) -> Self {
        Self {
            reason: reason.into(),
            hints: hints.into_iter().collect(),
        }
    }

    /// All lines as the pusher sees them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("gdo: {}", self.reason)];
        lines.extend(self.hints.iter().map(|hint| format!("gdo:   {hint}")));
        lines
    }
}
