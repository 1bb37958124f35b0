//! Deltas: the path-level changes that a block makes.
//!
//! **Invariants**: operations are sorted by path, one per path, and each changes something.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::FormatError;
use crate::id::{ObjectId, serde_as_text};
use crate::path::RepoPath;

/// The kinds of file that a ledger holds (P-15): no submodules, no group-writable files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// `100644`
    File,
    /// `100755`
    Executable,
    /// `120000`
    Symlink,
}

impl Mode {
    /// The mode as git writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "100644" => Ok(Self::File),
            "100755" => Ok(Self::Executable),
            "120000" => Ok(Self::Symlink),
            _ => Err(FormatError::new("mode", "100644, 100755 or 120000", text)),
        }
    }
}

serde_as_text!(Mode);

/// What stands at a path: a mode and a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The kind of file.
    pub mode: Mode,
    /// The blob.
    pub id: ObjectId,
}

/// One change: what stood at a path before and what stands there after; `None` is nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// The path that changes.
    pub path: RepoPath,
    /// What the author saw there.
    pub old: Option<Entry>,
    /// What the author puts there.
    pub new: Option<Entry>,
}

/// The changes of one block or proposal, sorted by path, one per path.
pub type Delta = Vec<Operation>;
