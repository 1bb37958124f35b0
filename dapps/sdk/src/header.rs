//! The fields that open every record: `{v, wall, boot, mono_ns, base}`.
//!
//! `v` is the version of the record's form; records are immutable, so a dapp reads all versions it
//! ever wrote. The wall time is a claim, `base` (the checkpoint the record was decided on) is the
//! evidence.

use gdo_core::error::FormatError;
use gdo_core::id::ObjectId;
use serde::{Deserialize, Serialize};

/// The common fields of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the record's form, from 1.
    pub v: u32,
    /// The writer's clock in seconds since 1970: a claim.
    pub wall: i64,
    /// The writer's boot, an id that is new at every start of the machine.
    pub boot: String,
    /// Monotonic time since that boot, in nanoseconds.
    pub mono_ns: u64,
    /// The checkpoint that the writer saw: 40 or 64 hex digits.
    pub base: String,
}

impl Header {
    /// Checks the fields against the versions that the reader knows.
    ///
    /// # Errors
    /// Names the field and what was expected.
    pub fn check(&self, versions: &[u32]) -> Result<(), FormatError> {
        if !versions.contains(&self.v) {
            let known: Vec<String> = versions.iter().map(ToString::to_string).collect();
            return Err(FormatError::new(
                "v",
                format!("one of {}", known.join(", ")),
                self.v,
            ));
        }
        let boot_ok = (1..=64).contains(&self.boot.len())
            && self
                .boot
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if !boot_ok {
            return Err(FormatError::new(
                "boot",
                "1 to 64 letters, digits and '-'",
                &self.boot,
            ));
        }
        let base = || FormatError::new("base", "the object id of a checkpoint", &self.base);
        self.base
            .parse::<ObjectId>()
            .map(|_| ())
            .map_err(|_| base())
    }
}
