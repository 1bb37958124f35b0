//! Data on standard output: JSON for scripts, text for people.

use std::io::Write as _;

use serde::Serialize;

use crate::error::CommandError;

/// Prints `value` as one line of JSON.
///
/// # Errors
/// Standard output cannot be written.
pub fn json<T: Serialize>(value: &T) -> Result<(), CommandError> {
    let text = serde_json::to_string(value).map_err(CommandError::unknown)?;
    line(&text)
}

/// Prints one line of data; a reader that has seen enough ends the program quietly.
///
/// # Errors
/// Standard output cannot be written.
pub fn line(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(CommandError::from),
    }
}
