//! Ids, names and counters: one newtype for every kind of value that must not be confused.
//!
//! Git object ids are kept with their length, because a ledger may use SHA-1 or SHA-256 and nothing
//! may assume which.
//!
//! **Invariants**: a value of one of these types is always well formed; parsing is the only way in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::FormatError;

/// The id of a git object: 20 bytes (SHA-1) or 32 bytes (SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    bytes: [u8; 32],
    len: u8,
}

impl ObjectId {
    /// Takes the 20 or 32 raw bytes of an object id.
    ///
    /// # Errors
    /// Any other length is refused.
    pub fn from_bytes(raw: &[u8]) -> Result<Self, FormatError> {
        if raw.len() != 20 && raw.len() != 32 {
            return Err(FormatError::new("object id", "20 or 32 bytes", raw.len()));
        }
        let mut bytes = [0; 32];
        bytes[..raw.len()].copy_from_slice(raw);
        Ok(Self {
            bytes,
            len: raw.len() as u8,
        })
    }

    /// The raw bytes, 20 or 32 of them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The first `digits` hex digits, for people.
    #[must_use]
    pub fn short(&self, digits: usize) -> String {
        let mut hex = self.to_string();
        hex.truncate(digits);
        hex
    }

    /// Whether this is the all-zero id, by which git means "no object".
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.bytes == [0; 32]
    }
}

impl FromStr for ObjectId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::new("object id", "40 or 64 lower-case hex digits", text);
        if text.bytes().any(|c| c.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let raw = hex::decode(text).map_err(|_| wrong())?;
        Self::from_bytes(&raw).map_err(|_| wrong())
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes `data`.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(data).into())
    }

    /// Takes the 32 bytes of a digest that was computed elsewhere.
    #[must_use]
    pub fn from_bytes(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first `digits` hex digits, for people.
    #[must_use]
    pub fn short(&self, digits: usize) -> String {
        let mut hex = self.to_string();
        hex.truncate(digits);
        hex
    }
}

impl FromStr for Digest {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::new("sha256 digest", "64 lower-case hex digits", text);
        if text.bytes().any(|c| c.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let mut raw = [0; 32];
        hex::decode_to_slice(text, &mut raw).map_err(|_| wrong())?;
        Ok(Self(raw))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of a ledger: the object id of its genesis commit (P-1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LedgerId(pub ObjectId);

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for LedgerId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        text.parse().map(Self)
    }
}

/// `[a-z0-9][a-z0-9-]{0,39}`, the form of the names of members and dapps (P-2).
fn check_name(what: &'static str, text: &str) -> Result<(), FormatError> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let ok =
        !text.is_empty() && text.len() <= 40 && !text.starts_with('-') && text.bytes().all(inner);
    if ok {
        Ok(())
    } else {
        Err(FormatError::new(what, "[a-z0-9][a-z0-9-]{0,39}", text))
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = FormatError;

            fn from_str(text: &str) -> Result<Self, FormatError> {
                check_name($what, text).map(|()| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// The name of a member: the stem of its file under `.gdo/roster/` (P-2).
    MemberName,
    "member name"
);
name_type!(
    /// The name of a dapp: its folder under `.gdo/dapps/`.
    DappName,
    "dapp name"
);

macro_rules! counter_type {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = FormatError;

            fn from_str(text: &str) -> Result<Self, FormatError> {
                let wrong = || FormatError::new(stringify!($name), "a whole number", text);
                let value: $inner = text.parse().map_err(|_| wrong())?;
                // "+1" and "01" also parse: one value has one spelling.
                if value.to_string() == text { Ok(Self(value)) } else { Err(wrong()) }
            }
        }
    };
}

counter_type!(
    /// The height of a checkpoint: genesis is 0.
    Height,
    u64
);
counter_type!(
    /// The position of a block in the chain of its author's key (P-12).
    Seq,
    u64
);
counter_type!(
    /// A view of the finality protocol at one height, from 1 (P-32).
    View,
    u64
);
counter_type!(
    /// A weight in finality, verdicts or approvals.
    Weight,
    u64
);
counter_type!(
    /// Seconds since 1970-01-01 UTC as the ledger agrees on them (P-30); never a local clock.
    LedgerTime,
    i64
);

impl Height {
    /// The height after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Seq {
    /// The sequence number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

macro_rules! serde_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
pub(crate) use serde_as_text;

serde_as_text!(ObjectId, Digest, LedgerId, MemberName, DappName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_ids_of_both_lengths_round_trip_and_others_are_refused() {
        for digits in [40, 64] {
            let text = "ab".repeat(digits / 2);
            assert_eq!(text.parse::<ObjectId>().expect("valid").to_string(), text);
        }
        for bad in [
            "",
            "ab",
            &"AB".repeat(20),
            &"zz".repeat(32),
            &"ab".repeat(33),
        ] {
            assert!(bad.parse::<ObjectId>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn names_follow_the_published_form() {
        for good in ["a", "door-1", "0", &"x".repeat(40)] {
            assert!(good.parse::<MemberName>().is_ok(), "{good} was refused");
        }
        for bad in ["", "-a", "A", "a_b", "a/b", "ä", &"x".repeat(41)] {
            assert!(bad.parse::<MemberName>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn numbers_have_one_spelling() {
        assert!("7".parse::<Seq>().is_ok());
        for bad in ["+7", "07", "", "-1", "7 "] {
            assert!(bad.parse::<Seq>().is_err(), "{bad} was accepted");
        }
    }
}
