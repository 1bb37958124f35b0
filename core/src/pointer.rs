//! Pointers to large files: what stands in a tree in place of the file (Git LFS v1, P-40).
//!
//! A pointer is a small text file that names an object by SHA-256 and size. Stock git-lfs writes and
//! reads it, so a member needs nothing else to keep large files. Git LFS has extensions, older
//! versions and lenient readers; a ledger takes the one canonical form alone, so that there is one
//! pointer, and one git blob, for each object.
//!
//! **Invariants**: [`Pointer::parse`] takes exactly what [`Pointer::to_text`] writes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::FormatError;
use crate::id::Digest;

/// What every pointer begins with.
const VERSION: &str = "version https://git-lfs.github.com/spec/v1\n";
/// No pointer is longer; git-lfs itself looks at no more.
pub const POINTER_BYTES_MAX: u64 = 1024;

/// The name of a large object: the hash and the number of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Pointer {
    /// The SHA-256 of the object's bytes.
    pub oid: Digest,
    /// How many bytes it has.
    pub size: u64,
}

impl Pointer {
    /// Whether a file claims to be a pointer; one that does and does not parse is a mistake.
    #[must_use]
    pub fn is_meant(text: &[u8]) -> bool {
        text.starts_with(b"version https://git-lfs.github.com/spec/")
    }

    /// Reads the text of a pointer.
    ///
    /// # Errors
    /// It is not of the canonical form of Git LFS v1.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let found = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        let wrong = || {
            let expected = "the three lines of a Git LFS v1 pointer (version, oid sha256, size)";
            FormatError::new("pointer", expected, &found)
        };
        let lines = std::str::from_utf8(text).map_err(|_| wrong())?;
        let lines = lines.strip_prefix(VERSION).ok_or_else(wrong)?;
        let lines = lines.strip_prefix("oid sha256:").ok_or_else(wrong)?;
        let (oid, size) = lines.split_once("\nsize ").ok_or_else(wrong)?;
        let size = size.strip_suffix('\n').ok_or_else(wrong)?;
        let pointer = Self {
            oid: oid.parse()?,
            size: size.parse().map_err(|_| wrong())?,
        };
        if pointer.to_text().as_bytes() == text {
            Ok(pointer)
        } else {
            Err(wrong())
        }
    }

    /// The text that stands in the tree.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{VERSION}oid sha256:{}\nsize {}\n", self.oid, self.size)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sha256:{} ({} bytes)", self.oid, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer() -> Pointer {
        Pointer {
            oid: Digest::of(b"abc"),
            size: 3,
        }
    }

    #[test]
    fn a_pointer_is_read_as_it_was_written() {
        let text = pointer().to_text();
        assert_eq!(
            text,
            "version https://git-lfs.github.com/spec/v1\noid sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\nsize 3\n"
        );
        assert!(Pointer::is_meant(text.as_bytes()));
        assert_eq!(Pointer::parse(text.as_bytes()), Ok(pointer()));
    }

    #[test]
    fn any_other_form_is_refused() {
        let good = pointer().to_text();
        let others = [
            good.replace("size 3", "size 03"),
            good.replace("size 3", "size +3"),
            good.replace("size 3", "size -3"),
            good.replace("size 3", "size 99999999999999999999"),
            good.replace("oid sha256:b", "oid sha256:B"),
            good.replace("oid sha256", "oid sha512"),
            good.replace('\n', "\r\n"),
            good.replace("spec/v1", "spec/v2"),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("{good}x y\n"),
            good.replace("oid", "ext-0-foo sha256:00\noid"),
            String::new(),
        ];
        for text in others {
            assert!(Pointer::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
