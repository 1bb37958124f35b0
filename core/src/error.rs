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
        let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
            return FileError::new(file, message);
        };
        let message = match key_of_value(before) {
            Some(key) if !message.contains(key) => format!("{key}: {message}"),
            _ => message,
        };
        FileError::new(file, message).at_line(before.matches('\n').count() + 1)
    })
}

/// The key whose value begins where `before` ends; `None` if no value begins there.
fn key_of_value(before: &str) -> Option<&str> {
    let line = before.rsplit('\n').next()?;
    let key = line.trim_end_matches([' ', '\t', '[']).strip_suffix('=')?;
    let key = key.trim_end();
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let start = key.rfind(|c| !is_part(c)).map_or(0, |at| at + 1);
    (start < key.len()).then(|| &key[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_wrong_value_is_found() {
        let cases = [
            ("lane = ", Some("lane")),
            ("version = 1\nlane=", Some("lane")),
            ("limits = { wall_ms = ", Some("wall_ms")),
            ("keys = [", Some("keys")),
            ("http.listen = [", Some("http.listen")),
            ("", None),
            ("version = 1\n", None),
            ("= ", None),
            ("writers = [\"a\", ", None),
        ];
        for (before, key) in cases {
            assert_eq!(key_of_value(before), key, "{before}");
        }
    }

    #[test]
    fn a_wrong_value_is_told_with_file_line_and_key() {
        #[derive(serde::Deserialize, Debug)]
        #[serde(rename_all = "lowercase")]
        enum Colour {
            Red,
        }
        #[derive(serde::Deserialize, Debug)]
        struct Car {
            #[expect(dead_code, reason = "only read from text")]
            colour: Colour,
        }
        let error = read_toml::<Car>("car.toml", "\ncolour = \"blue\"\n").expect_err("not red");
        let text = error.to_string();
        assert!(text.starts_with("car.toml:2: colour: "), "{text}");
        assert!(
            text.contains("blue") && text.contains("expected `red`"),
            "{text}"
        );
        assert!(read_toml::<Car>("car.toml", "colour = \"red\"").is_ok());
    }
}
