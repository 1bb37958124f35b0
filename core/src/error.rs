//! What can be wrong with the texts of others: one error for a value, one for a file.

use std::fmt;

use thiserror::Error;

/// A value that does not have the form it must have: what it is, what was expected, what came.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("bad {what}: expected {expected}, got '{got}'")]
pub struct FormatError {
    what: String,
    expected: String,
    got: String,
}

impl FormatError {
    /// Names the kind of value, the form that was expected and what came instead.
    #[must_use]
    pub fn new(
        what: impl fmt::Display,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        let mut got = got.to_string();
        if got.len() > 200 {
            let cut = (0..=200)
                .rev()
                .find(|&i| got.is_char_boundary(i))
                .unwrap_or(0);
            got.truncate(cut);
            got.push('…');
        }
        Self {
            what: what.to_string(),
            expected: expected.to_string(),
            got,
        }
    }
}

/// A file of the ledger that does not hold what it must: the file, the place in it and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The path within the ledger's tree.
    pub file: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, what was expected and what to do.
    pub message: String,
}

impl FileError {
    /// An error about a whole file.
    #[must_use]
    pub fn new(file: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            file: file.into(),
            line: None,
            message: message.to_string(),
        }
    }

    /// Adds the line, counted from 1.
    #[must_use]
    pub fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for FileError {}

/// Reads a TOML file of the ledger into `T`, which denies unknown keys.
///
/// # Errors
/// The file, the line and the key that is wrong, with what was expected.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned>(
    file: &str,
    text: &str,
) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim().replace('\n', "; ");
        let found = FileError::new(file, message);
        match error.span() {
            Some(span) => found.at_line(text[..span.start].matches('\n').count() + 1),
            None => found,
        }
    })
}
