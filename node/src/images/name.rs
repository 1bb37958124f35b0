//! Names of images, tags, and what an image is asked for by.
//!
//! **Invariants**: a name and a tag are safe as names of files and folders; no name holds `..`.

use std::fmt;
use std::str::FromStr;

use gdo_core::error::FormatError;
use gdo_core::id::{DappName, Digest};

/// The longest name.
const NAME_BYTES_MAX: usize = 64;
/// The longest tag.
const TAG_BYTES_MAX: usize = 128;
/// Where the images of dapps are read.
const DAPPS: &str = "dapps/";

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageName {
    /// One of `.gdo/images/`.
    Image(String),
    /// That of a dapp, which is read as `dapps/<name>`.
    Dapp(DappName),
}

impl ImageName {
    /// The folder of its layout in the ledger.
    #[must_use]
    pub fn folder(&self) -> String {
        match self {
            Self::Image(name) => format!(".gdo/images/{name}"),
            Self::Dapp(name) => format!(".gdo/dapps/{name}/image"),
        }
    }

    /// Whether it is a dapp's, which cannot be pushed to.
    #[must_use]
    pub fn is_dapp(&self) -> bool {
        matches!(self, Self::Dapp(_))
    }
}

impl FromStr for ImageName {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        if let Some(name) = text.strip_prefix(DAPPS) {
            return Ok(Self::Dapp(name.parse()?));
        }
        let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let parts = |text: &str| {
            text.split(['.', '_', '-'])
                .all(|part| !part.is_empty() && part.bytes().all(letter))
        };
        if text.len() <= NAME_BYTES_MAX && parts(text) {
            return Ok(Self::Image(text.to_owned()));
        }
        let expected = "at most 64 of a-z and 0-9, with single '.', '_' or '-' between, no '/'";
        let shown: String = text.chars().take(80).collect();
        Err(FormatError::new("image name", expected, &shown))
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(name) => out.write_str(name),
            Self::Dapp(name) => write!(out, "{DAPPS}{name}"),
        }
    }
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(word);
        if first && text.len() <= TAG_BYTES_MAX && bytes.all(|c| word(c) || b".-".contains(&c)) {
            return Ok(Self(text.to_owned()));
        }
        let expected =
            "at most 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'";
        let shown: String = text.chars().take(80).collect();
        Err(FormatError::new("tag", expected, &shown))
    }
}

/// What an image is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A tag.
    Tag(Tag),
    /// The digest of a manifest.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        if text.contains(':') {
            parse_digest(text).map(Self::Digest)
        } else {
            text.parse().map(Self::Tag)
        }
    }
}

/// Reads `sha256:<hex>`.
///
/// # Errors
/// It is of another form, or of another algorithm.
pub fn parse_digest(text: &str) -> Result<Digest, FormatError> {
    let hex = text.strip_prefix("sha256:").ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        FormatError::new("digest", "sha256: and 64 lower-case hex digits", &shown)
    })?;
    hex.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_segment_or_are_a_dapps() {
        for text in ["a", "debian", "debian-12.slim", "0_1", "dapps/policy"] {
            let name: ImageName = text.parse().expect(text);
            assert_eq!(name.to_string(), text);
        }
        let long = "a".repeat(65);
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "../a",
            "a/b",
            "library/debian",
            "A",
            "a-",
            "-a",
            "a--b",
            "a b",
            "ä",
            "dapps/",
            "dapps/..",
            "dapps/a/b",
            "dapps/A",
            "/a",
            "a/",
            &long,
            "a\0",
            "a\n",
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn tags_are_safe_as_names_of_files() {
        for text in ["latest", "1.0", "_x", "A-b.c"] {
            assert_eq!(text.parse::<Tag>().expect(text).as_str(), text);
        }
        let long = "a".repeat(129);
        for text in ["", ".", "..", "-x", ".x", "a/b", "a:b", "ä", &long, "a\n"] {
            assert!(text.parse::<Tag>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn digests_are_of_sha256() {
        let hex = Digest::of(b"x").to_string();
        assert_eq!(parse_digest(&format!("sha256:{hex}")), Ok(Digest::of(b"x")));
        for text in [hex.clone(), format!("sha512:{hex}"), "sha256:".to_owned()] {
            assert!(parse_digest(&text).is_err(), "{text}");
        }
        assert!("sha256:..".parse::<Reference>().is_err());
    }
}
