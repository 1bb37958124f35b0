//! What can go wrong in a node, each naming the thing and what to do.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of the node itself; what is wrong with others' input is an answer to them instead.
#[derive(Debug, Error)]
pub enum NodeError {
    /// A file operation failed.
    #[error("cannot {verb} {path}: {source}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory is no node directory.
    #[error(
        "{dir} is not a node directory (it has no 'format' file); make one with 'gdo init {dir}'"
    )]
    NotANode {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory was written by a newer program.
    #[error("{dir} has layout version {version}, this program knows up to {known}; upgrade gdo")]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// Its version.
        version: u64,
        /// The newest version known here.
        known: u64,
    },
    /// A new node needs an empty directory.
    #[error("{dir} is not empty; expected a new or empty directory")]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// Another daemon runs on the directory.
    #[error("{dir} is held by another process; one daemon at a time runs on a node directory")]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A file does not hold what it must.
    #[error("{file}: {message}")]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong, what was expected and what to do.
        message: String,
    },
    /// The ledger's store failed or is damaged.
    #[error(transparent)]
    Ledger(#[from] gdo_ledger::LedgerError),
    /// A file of the ledger is wrong.
    #[error(transparent)]
    LedgerFile(#[from] gdo_core::error::FileError),
    /// A value in the ledger does not have its form.
    #[error(transparent)]
    Format(#[from] gdo_core::error::FormatError),
    /// The node was asked for something that it cannot do as it stands.
    #[error("{0}")]
    Refused(String),
}

impl NodeError {
    /// An error of the file system.
    #[must_use]
    pub fn io(verb: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }
}
