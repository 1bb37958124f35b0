//! Why a validator could not decide, and why one file could not be read.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The run has no answer: the program ends with 70 and the runner tries again (P-26).
///
/// This is never the fault of the candidate: what a candidate can cause is a
/// [`Problem`](crate::report::Problem).
#[derive(Debug, Error)]
pub enum Undecided {
    /// The runner's input could not be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// What was being read.
        path: PathBuf,
        /// The reason of the system.
        source: io::Error,
    },
    /// `context.json` is not what the contract promises.
    #[error("bad context.json: {0}")]
    Context(String),
    /// The tree is larger than this validator is built for.
    #[error("{tree}: more than {max} files, which this validator does not take")]
    TooManyFiles {
        /// `base` or `candidate`.
        tree: PathBuf,
        /// The bound.
        max: usize,
    },
    /// A directory that is deeper than any path of a ledger (P-15).
    #[error("{0}: deeper than 16 levels")]
    TooDeep(PathBuf),
    /// A dapp's own reason.
    #[error("{0}")]
    Other(String),
}

/// Why one file of a tree gives no content. Each is the candidate's doing, so each is a problem.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// No such file.
    #[error("no such file")]
    Missing,
    /// A symlink: never followed, because a candidate chooses where it points.
    #[error("is a symlink, expected a plain file")]
    Symlink,
    /// Neither a file nor a symlink.
    #[error("is no plain file")]
    NotAFile,
    /// Larger than the reader allows.
    #[error("has {bytes} bytes, expected at most {max}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// Not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// The system could not read it.
    #[error("cannot be read: {0}")]
    Io(String),
}
