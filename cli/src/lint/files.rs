//! Where rules are read from: a directory of this machine, or a tree of the ledger.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use gdo_core::id::ObjectId;
use gdo_ledger::{Ledger, Standing};

use crate::error::CommandError;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Text files by their paths in a ledger's tree.
pub trait Files {
    /// The text at `path`, if a file stands there.
    ///
    /// # Errors
    /// It cannot be read, or is no text.
    fn read(&self, path: &str) -> Result<Option<String>, CommandError>;

    /// The names directly below the directory `dir`, sorted.
    ///
    /// # Errors
    /// It cannot be read.
    fn list(&self, dir: &str) -> Result<Vec<String>, CommandError>;
}

/// The files below a directory.
#[derive(Debug)]
pub struct DirFiles {
    /// The directory that stands for the root of the tree.
    pub root: PathBuf,
}

impl Files for DirFiles {
    fn read(&self, path: &str) -> Result<Option<String>, CommandError> {
        let file = self.root.join(path);
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(CommandError::unknown(format!(
                "cannot read {}: {error}",
                file.display()
            ))),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, CommandError> {
        let dir = self.root.join(dir);
        let cannot = |error: std::io::Error| {
            CommandError::unknown(format!("cannot read {}: {error}", dir.display()))
        };
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(cannot(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(
                entry
                    .map_err(cannot)?
                    .file_name()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
        names.sort();
        Ok(names)
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The files of a tree.
#[derive(Debug)]
pub struct TreeFiles<'a> {
    /// The repository.
    pub ledger: &'a Ledger,
    /// The tree.
    pub tree: ObjectId,
    /// A file that is read from elsewhere: its path and its text.
    pub instead: Option<(&'static str, String)>,
}

impl Files for TreeFiles<'_> {
    fn read(&self, path: &str) -> Result<Option<String>, CommandError> {
        if let Some((_, text)) = self.instead.as_ref().filter(|(other, _)| *other == path) {
            return Ok(Some(text.clone()));
        }
        let parsed = path.parse().map_err(CommandError::unknown)?;
        match self.ledger.entry(&self.tree, &parsed)? {
            Standing::File(_) => Ok(Some(self.ledger.read_text(
                &self.tree,
                path,
                FILE_BYTES_MAX,
            )?)),
            Standing::Absent | Standing::Directory => Ok(None),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, CommandError> {
        Ok(self
            .ledger
            .list(&self.tree, dir)?
            .into_iter()
            .map(|(name, _)| name)
            .collect())
    }
}
