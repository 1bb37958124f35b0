//! What can go wrong with a ledger: one enum for the repository, one for refs, one for proposals.

use std::path::PathBuf;

use gdo_core::error::{FileError, FormatError};
use gdo_core::id::ObjectId;
use gdo_core::path::RepoPath;
use thiserror::Error;

/// What can go wrong with the repository and what is read from it.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The git binary could not be run.
    #[error("cannot run '{command}': {source}; install git 2.39.5 or newer")]
    GitMissing {
        /// The command.
        command: String,
        /// Why it could not be run.
        source: std::io::Error,
    },
    /// Git failed.
    #[error("'{command}' failed ({status}): {stderr}")]
    Git {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// Git does not tell its version.
    #[error("expected 'git version …' from git, got '{got}'")]
    GitVersion {
        /// What it said instead.
        got: String,
    },
    /// There is no git repository.
    #[error("{dir} is not a bare git repository: {reason}; make a ledger with 'gdo init'", dir = .dir.display())]
    NotARepository {
        /// The directory.
        dir: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// There is a repository already.
    #[error("{dir} holds a git repository already; choose an empty directory", dir = .dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// The repository keeps its refs in a form that is not supported.
    #[error("{dir} keeps its refs as '{found}', expected 'files'; clone it with 'git clone --bare --ref-format=files'", dir = .dir.display())]
    RefFormat {
        /// The directory.
        dir: PathBuf,
        /// The form.
        found: String,
    },
    /// The repository is no ledger.
    #[error("{dir} is a git repository but not a ledger: {reason}", dir = .dir.display())]
    NotALedger {
        /// The directory.
        dir: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The disk failed.
    #[error("cannot {action} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The object store failed.
    #[error("object store: cannot {action}: {reason}")]
    Store {
        /// What was tried.
        action: String,
        /// Why it failed.
        reason: String,
    },
    /// An object is not there.
    #[error("object {id} is missing")]
    Missing {
        /// The object.
        id: ObjectId,
    },
    /// An object is of another kind.
    #[error("object {id} is a {got}, expected a {expected}")]
    Kind {
        /// The object.
        id: ObjectId,
        /// What was expected.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// An object is larger than its reader takes.
    #[error("object {id} has {bytes} bytes, expected at most {max}")]
    TooLarge {
        /// The object.
        id: ObjectId,
        /// Its size.
        bytes: u64,
        /// The cap.
        max: u64,
    },
    /// An id of the wrong hash.
    #[error("object id {id} has {got} hex digits, expected {expected}: this ledger uses {format}")]
    WrongHash {
        /// The id.
        id: ObjectId,
        /// Its length.
        got: usize,
        /// The length of this ledger's ids.
        expected: usize,
        /// The name of this ledger's hash.
        format: &'static str,
    },
    /// A tree that git would not write, or that a ledger may not hold (P-15).
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file of the ledger that does not hold what it must.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value that does not have the form that it must have.
    #[error("commit {id}: {source}")]
    Commit {
        /// The commit.
        id: ObjectId,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A projection that is larger than its caps.
    #[error("projection: {path}: {reason}")]
    Projection {
        /// The path at which the cap was passed.
        path: String,
        /// The cap, and what came.
        reason: String,
    },
    /// A ref could not be read or written.
    #[error(transparent)]
    Ref(#[from] RefError),
}

/// What can be wrong with a tree, or with a change of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The bytes are no tree.
    #[error("tree {id}: expected sorted entries of mode, name and id, got {got}")]
    Format {
        /// The tree.
        id: ObjectId,
        /// What stands there.
        got: String,
    },
    /// An entry is of a kind that ledgers do not hold.
    #[error("{path}: mode {mode}, expected 100644, 100755 or 120000{hint}")]
    Mode {
        /// The path.
        path: String,
        /// The mode.
        mode: String,
        /// What it probably is.
        hint: &'static str,
    },
    /// A path that some machine reads differently.
    #[error("{0}")]
    Path(FormatError),
    /// More changes than one block may carry.
    #[error("more than {max} paths change")]
    TooManyPaths {
        /// The cap.
        max: usize,
    },
    /// A directory in which nothing is.
    #[error("{path}: an empty directory, which git does not keep; remove it")]
    EmptyDirectory {
        /// The directory.
        path: String,
    },
    /// A file of an append-only tree that would change.
    #[error("{path}: stands there with another content, and is never changed")]
    Kept {
        /// The path.
        path: String,
    },
    /// A file where a directory stands, or the reverse.
    #[error("{path}: a file where a directory stands, or the reverse")]
    Shape {
        /// The path.
        path: String,
    },
}

/// Why a change of refs did not happen.
#[derive(Debug, Error)]
pub enum RefError {
    /// A ref did not have the value that the change expects; nothing was changed.
    #[error("{name} is at {}, expected {}", show(.got), show(.expected))]
    Conflict {
        /// The ref.
        name: String,
        /// The value that the change expects; `None` is absent.
        expected: Option<ObjectId>,
        /// The value that it has; `None` is absent.
        got: Option<ObjectId>,
    },
    /// A name that git does not allow.
    #[error("bad ref name '{name}': {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Someone else holds the lock, or left it behind.
    #[error("cannot lock {name}: {reason}; if no git process runs, remove the .lock file")]
    Locked {
        /// The ref.
        name: String,
        /// Why.
        reason: String,
    },
    /// The ref store failed.
    #[error("refs: cannot {action}: {reason}")]
    Store {
        /// What was tried.
        action: String,
        /// Why it failed.
        reason: String,
    },
}

fn show(value: &Option<ObjectId>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |id| id.to_string())
}

impl LedgerError {
    /// An error of the disk.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl TreeError {
    /// The error of a path whose entry has a mode that ledgers do not hold.
    pub(crate) fn mode(path: String, mode: u32) -> Self {
        let hint = match mode {
            0o160_000 => ": a submodule; add its files instead",
            0o100_664 => ": git writes group-writable files no longer; commit the file again",
            _ => "",
        };
        Self::Mode {
            path,
            mode: format!("{mode:06o}"),
            hint,
        }
    }

    /// The error of a change that contradicts the shape of the tree.
    pub(crate) fn shape(path: &RepoPath) -> Self {
        Self::Shape {
            path: path.to_string(),
        }
    }
}
