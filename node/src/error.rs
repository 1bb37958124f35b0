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

/// Why a large object could not be taken, found or kept.
#[derive(Debug, Error)]
pub enum ObjectsError {
    /// The store failed, or what came is not what was announced.
    #[error(transparent)]
    Store(#[from] gdo_chunkstore::StoreError),
    /// The ledger that names the objects cannot be read.
    #[error(transparent)]
    Ledger(#[from] gdo_ledger::LedgerError),
    /// An object that is larger than everything that may be staged.
    #[error(
        "an object of {bytes} bytes, expected at most {max}; its operator may raise http.staging_mib_max in node.toml"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What may be staged at all.
        max: u64,
    },
    /// Too much is here already that no proposal names.
    #[error(
        "{bytes} more bytes, but {held} of {max} are taken by uploads that no proposal names yet; propose what was uploaded, wait a day until it is collected, or have the operator raise http.staging_mib_max in node.toml"
    )]
    StagingFull {
        /// What was asked for.
        bytes: u64,
        /// What is staged or on its way.
        held: u64,
        /// What may be.
        max: u64,
    },
    /// The disk is all but full.
    #[error(
        "the node's disk is full: {free_mib} MiB are free, expected {expected_mib} MiB; nothing was taken, try again when its operator has made room"
    )]
    DiskFull {
        /// What is free.
        free_mib: u64,
        /// What uploads must leave.
        expected_mib: u64,
    },
    /// The bytes of an object could not be written.
    #[error("an object cannot be written: {source}")]
    Write {
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes of an object could not be read.
    #[error("an object cannot be read: {source}")]
    Read {
        /// What the system said.
        source: std::io::Error,
    },
    /// A pin cannot be written.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A file that git-lfs put into the repository, or a pin, cannot be read.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why an image could not be found, read or staged.
#[derive(Debug, Error)]
pub enum ImagesError {
    /// The objects of the image.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The ledger that holds the image.
    #[error(transparent)]
    Ledger(#[from] gdo_ledger::LedgerError),
    /// The files of its record.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A manifest that is not of its form.
    #[error("the manifest: {reason}")]
    Manifest {
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A manifest that names a blob that is not here.
    #[error("the manifest names {digest}, which is not here; push that blob first")]
    BlobUnknown {
        /// The blob.
        digest: String,
    },
    /// The image of a dapp, which comes with a proposal alone.
    #[error("{name}: images of dapps come with a proposal alone and cannot be pushed")]
    ReadOnly {
        /// The image.
        name: String,
    },
    /// An image that is to be pinned, and is not staged.
    #[error(
        "{name}@{digest} is not staged here, or not whole; push it again, or see 'gdo image list'"
    )]
    NotStaged {
        /// The image.
        name: String,
        /// Its manifest, with the algorithm.
        digest: String,
    },
    /// An image that is to be unpinned, and is not pinned.
    #[error("{name}@{digest} is not pinned")]
    NotPinned {
        /// The image.
        name: String,
        /// Its manifest, with the algorithm.
        digest: String,
    },
    /// Too many manifests or tags are staged.
    #[error("more than {max} are staged already; propose or wait a day until they are removed")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// A record that is not of its form.
    #[error("{file}: {reason}; delete the file")]
    Record {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}
