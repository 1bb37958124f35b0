//! ULIDs, the names of records: 26 characters of Crockford's base 32, sortable by time.
//!
//! They are written in upper case, or in lower case where the path must be: lanes append and owned take
//! `[a-z0-9._-]` alone (P-15). Both spellings are one id.

use std::fmt;
use std::str::FromStr;

use gdo_core::error::FormatError;

/// The alphabet, without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A ULID: 48 bits of milliseconds, then 80 bits that make it unique.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(u128);

impl Ulid {
    /// The ULID of a time in milliseconds and 80 random bits; higher bits of both are dropped.
    #[must_use]
    pub fn from_parts(millis: u64, random: u128) -> Self {
        let millis = u128::from(millis & ((1 << 48) - 1));
        Self((millis << 80) | (random & ((1 << 80) - 1)))
    }

    /// The time that its writer claims, in milliseconds since 1970.
    #[must_use]
    pub fn millis(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

impl FromStr for Ulid {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let expected = "a ULID: 26 characters of 0123456789ABCDEFGHJKMNPQRSTVWXYZ, the first 0..7, all in one case";
        let wrong = || FormatError::new("id", expected, text);
        let mixed = text.bytes().any(|c| c.is_ascii_lowercase())
            && text.bytes().any(|c| c.is_ascii_uppercase());
        if text.len() != 26 || text.as_bytes()[0] > b'7' || mixed {
            return Err(wrong());
        }
        let digit = |c: u8| {
            ALPHABET
                .iter()
                .position(|&a| a == c.to_ascii_uppercase())
                .ok_or_else(wrong)
        };
        let fold = |value: u128, c: u8| Ok((value << 5) | digit(c)? as u128);
        text.bytes().try_fold(0, fold).map(Self)
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for shift in (0..26).rev() {
            let digit = (self.0 >> (5 * shift)) & 31;
            write!(f, "{}", char::from(ALPHABET[digit as usize]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ulid_has_one_spelling_a_case() {
        for text in [
            "01KAJ3T6Z8Q4M2W9X5Y7B1C0DE",
            "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "00000000000000000000000000",
        ] {
            let ulid: Ulid = text.parse().expect(text);
            assert_eq!(ulid.to_string(), text);
            assert_eq!(text.to_lowercase().parse(), Ok(ulid));
        }
        let bad = [
            "",
            "01KAJ3T6Z8Q4M2W9X5Y7B1C0D",
            "01kaj3t6z8q4m2w9x5y7b1c0dE",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01KAJ3T6Z8Q4M2W9X5Y7B1C0DI",
            "01KAJ3T6Z8Q4M2W9X5Y7B1C0Dé",
        ];
        for text in bad {
            assert!(text.parse::<Ulid>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn ulids_sort_by_their_time() {
        let early = Ulid::from_parts(1_700_000_000_000, u128::MAX);
        let late = Ulid::from_parts(1_700_000_000_001, 0);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.millis(), 1_700_000_000_001);
    }
}
