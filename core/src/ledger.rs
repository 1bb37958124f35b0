//! `.gdo/ledger.toml`: the file that makes a tree a ledger's, and names it (P-1).
//!
//! **Invariants**: a parsed file is of a protocol version that this program speaks.

use serde::{Deserialize, Serialize};

use crate::checkpoint::LEDGER_FILE;
use crate::error::{FileError, read_toml};
use crate::policy::PROTOCOL_VERSION;

/// The content of `.gdo/ledger.toml`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerFile {
    /// The version of the protocol that the ledger began with.
    pub version: u64,
    /// What people call the ledger: one line of 1 to 100 characters.
    pub name: String,
    /// 32 random hex digits: two ledgers of one founder, name and second are still two.
    pub nonce: String,
}

impl LedgerFile {
    /// Reads the file.
    ///
    /// # Errors
    /// The line and the key that is wrong, or a version that this program does not speak.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let file: Self = read_toml(LEDGER_FILE, text)?;
        if file.version != PROTOCOL_VERSION {
            let message = format!(
                "version: this program speaks protocol version {PROTOCOL_VERSION}, got {}; upgrade gdo",
                file.version
            );
            return Err(FileError::new(LEDGER_FILE, message));
        }
        let length = file.name.chars().count();
        if !(1..=100).contains(&length) || file.name.chars().any(char::is_control) {
            let message = "name: expected one line of 1 to 100 characters";
            return Err(FileError::new(LEDGER_FILE, message));
        }
        if file.nonce.len() != 32
            || !file
                .nonce
                .bytes()
                .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(FileError::new(
                LEDGER_FILE,
                "nonce: expected 32 lower-case hex digits",
            ));
        }
        Ok(file)
    }

    /// The text of the file.
    ///
    /// # Panics
    /// Never: a number and a text have a TOML form.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a number and a text have a TOML form")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_round_trips_and_other_versions_are_refused() {
        let file = LedgerFile {
            version: 1,
            name: "Räder & Söhne".to_owned(),
            nonce: "0a".repeat(16),
        };
        assert_eq!(LedgerFile::parse(&file.to_toml()).expect("own text"), file);
        let nonce = &file.nonce;
        for (bad, expected) in [
            (
                format!("version = 2\nname = \"x\"\nnonce = \"{nonce}\"\n"),
                "version",
            ),
            (
                format!("version = 1\nname = \"\"\nnonce = \"{nonce}\"\n"),
                "name",
            ),
            (
                "version = 1\nname = \"x\"\nnonce = \"00\"\n".to_owned(),
                "nonce",
            ),
            (
                format!("version = 1\nname = \"x\"\nnonce = \"{nonce}\"\ncolour = 1\n"),
                "colour",
            ),
        ] {
            let error = LedgerFile::parse(&bad).expect_err(&bad).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
