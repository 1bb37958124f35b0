//! What can go wrong with the chunk store.
//!
//! Damage is a value of its own: it names the object, the range, the chunk and the pack, so that the
//! one who reads knows what to bring again; the rest of the store stays readable.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use gdo_core::error::FormatError;
use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use thiserror::Error;

use crate::hash::ChunkId;

/// What can go wrong with the chunk store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No space is left.
    #[error("{path}: no space is left on the disk; free some, or run 'gdo chunks gc' twice", path = .path.display())]
    Full {
        /// The file that was written.
        path: PathBuf,
    },
    /// Another process has the store open.
    #[error("{dir} is in use by process {holder}; one process at a time may open a chunk store", dir = .dir.display())]
    Locked {
        /// The store.
        dir: PathBuf,
        /// Who holds it, as far as its lock says.
        holder: String,
    },
    /// The store was opened for reading alone.
    #[error("the chunk store is open for reading alone and cannot {what}")]
    ReadOnly {
        /// What was asked of it.
        what: &'static str,
    },
    /// There is no such object.
    #[error("object sha256:{oid} is not in the chunk store")]
    Missing {
        /// The object.
        oid: Digest,
    },
    /// A part of the store cannot be read as it was written.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// What came is not what was announced.
    #[error("expected {expected}, found {found}; nothing was kept under either name")]
    Mismatch {
        /// What was announced.
        expected: Pointer,
        /// What came.
        found: Pointer,
    },
    /// A file of the store is not of the form that this version writes.
    #[error("{path}: expected {expected}, found {found}", path = .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// An object or a part of it has a form that the formats of the store do not allow.
    #[error(transparent)]
    Invalid(#[from] FormatError),
    /// The index failed.
    #[error(
        "the index of the chunk store failed: {0}; 'gdo chunks reindex' makes it anew from the packs"
    )]
    Index(String),
    /// A write that this ingest rests on did not reach the disk.
    #[error("pack {pack} failed while the object was taken; send it again")]
    PackFailed {
        /// The pack's number.
        pack: u32,
    },
    /// The ingest failed before.
    #[error("the object was not taken whole because of an earlier error; send it again")]
    Abandoned,
}

/// A part of the store that cannot be read as it was written, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Damage {
    /// The object that was being read.
    pub object: Option<Digest>,
    /// Which of its bytes are concerned.
    pub range: Option<Range<u64>>,
    /// The chunk.
    pub chunk: Option<ChunkId>,
    /// The number of the pack.
    pub pack: Option<u32>,
    /// Where in the pack the record begins.
    pub offset: Option<u64>,
    /// What was expected and what was found.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the chunk store is damaged")?;
        if let Some(oid) = &self.object {
            write!(out, ": object sha256:{oid}")?;
        }
        if let Some(range) = &self.range {
            write!(out, ": bytes {}..{}", range.start, range.end)?;
        }
        if let Some(chunk) = &self.chunk {
            write!(out, ": chunk {chunk}")?;
        }
        if let Some(pack) = self.pack {
            write!(out, ": pack {pack}")?;
        }
        if let Some(offset) = self.offset {
            write!(out, " at {offset}")?;
        }
        write!(out, ": {}; store the object again to heal it", self.reason)
    }
}

impl StoreError {
    /// An error of the system at `path`; a full disk is a case of its own.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }

    /// A failure of the database under the index; a full disk is a case of its own.
    pub(crate) fn index(path: &Path, reason: &str) -> Self {
        if reason.contains("No space left") {
            return Self::Full {
                path: path.to_owned(),
            };
        }
        Self::Index(reason.to_owned())
    }

    /// As an error of a reader or writer; [`StoreError::from_io`] gets it back.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Io { source, .. } => source.kind(),
            Self::Full { .. } => io::ErrorKind::StorageFull,
            Self::Missing { .. } => io::ErrorKind::NotFound,
            Self::Damaged(_) => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }

    /// The store's own error inside of one that a reader or writer of the store gave.
    ///
    /// # Errors
    /// It came from elsewhere, and is given back.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}
