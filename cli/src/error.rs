//! The one error of the command line: what went wrong, which exit code that is, and what to do.

use std::fmt;
use std::process::ExitCode;

/// What an exit code tells a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 1: the answer is no (a check failed, a proposal was refused).
    No,
    /// 2: the command was used in a wrong way, or a file that it was given is wrong.
    Usage,
    /// 3: the question could not be answered (the node is down, a disk failed).
    Unknown,
}

/// An error with its exit code and, where there is one, the next step.
#[derive(Debug)]
pub struct CommandError {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl CommandError {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The answer is no.
    pub fn no(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::No, message)
    }

    /// The command was used in a wrong way.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// The question could not be answered.
    pub fn unknown(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unknown, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Prints the error for people and gives its exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("gdo: {}", self.message);
        if let Some(hint) = &self.hint {
            eprintln!("  hint: {hint}");
        }
        ExitCode::from(match self.kind {
            ErrorKind::No => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Unknown => 3,
        })
    }
}

impl From<gdo_node::error::NodeError> for CommandError {
    fn from(error: gdo_node::error::NodeError) -> Self {
        use gdo_node::error::NodeError;
        let kind = match error {
            NodeError::NotANode { .. }
            | NodeError::NotEmpty { .. }
            | NodeError::NewerFormat { .. }
            | NodeError::File { .. }
            | NodeError::Refused(_) => ErrorKind::Usage,
            _ => ErrorKind::Unknown,
        };
        Self::new(kind, error)
    }
}

impl From<gdo_ledger::LedgerError> for CommandError {
    fn from(error: gdo_ledger::LedgerError) -> Self {
        Self::unknown(error)
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::unknown(error)
    }
}
