//! Paths in the ledger's tree, and the globs by which a dapp names what it reads.
//!
//! A path must mean the same on every machine that checks the tree out: what git, Windows or a
//! case-folding file system would read differently is refused at the door (P-15).
//!
//! **Invariants**: a `RepoPath` is 1 to 16 segments, NFC, and safe to join to a directory.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::is_nfc;

use crate::error::FormatError;
use crate::id::serde_as_text;

/// The most segments a path may have (P-15).
pub const PATH_DEPTH_MAX: usize = 16;

/// A path of a file in the ledger's tree, segments separated by `/` (P-15).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(String);

impl RepoPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, from the root.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('/')
    }

    /// The proper prefixes, shortest first: for `a/b/c` these are `a` and `a/b`.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }

    /// Whether this path is `dir` itself or lies below it; `dir` has no trailing slash.
    #[must_use]
    pub fn is_within(&self, dir: &str) -> bool {
        self.0
            .strip_prefix(dir)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path with case folded away, by which `case` conflicts are found (protocol section 6).
    #[must_use]
    pub fn case_folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl FromStr for RepoPath {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = |expected: &str| Err(FormatError::new("path", expected, text));
        if text.is_empty() || text.len() > 1024 {
            return wrong("1 to 1024 bytes");
        }
        if !is_nfc(text) {
            return wrong("unicode in normal form C");
        }
        if text.split('/').count() > PATH_DEPTH_MAX {
            return wrong("at most 16 segments");
        }
        for segment in text.split('/') {
            if let Some(expected) = segment_fault(segment) {
                return wrong(expected);
            }
        }
        Ok(Self(text.to_owned()))
    }
}

/// What is wrong with one segment, as the form that was expected.
fn segment_fault(segment: &str) -> Option<&'static str> {
    let stem = segment.split('.').next().unwrap_or(segment).trim_end();
    let reserved = ["con", "prn", "aux", "nul"];
    let numbered = |prefix: &str| {
        stem.len() == 4
            && stem
                .get(..3)
                .is_some_and(|s| s.eq_ignore_ascii_case(prefix))
            && stem.as_bytes()[3].is_ascii_digit()
    };
    if segment.is_empty() || segment == "." || segment == ".." {
        return Some("no empty, '.' or '..' segment");
    }
    if segment.len() > 255 {
        return Some("segments of at most 255 bytes");
    }
    let folded = segment.to_lowercase();
    // NTFS' short name for .git, and characters that HFS+ ignores, would open the repository.
    if folded.trim_end_matches([' ', '.']) == ".git" || folded.starts_with("git~") {
        return Some("no segment that a file system may read as '.git'");
    }
    if segment
        .chars()
        .any(|c| c.is_control() || "<>:\"\\|?*".contains(c))
    {
        return Some("no control character and none of < > : \" \\ | ? *");
    }
    if segment.chars().any(is_ignorable) {
        return Some("no invisible or bidirectional control character");
    }
    if segment.ends_with([' ', '.']) {
        return Some("no segment that ends in a space or a dot");
    }
    if reserved.iter().any(|name| stem.eq_ignore_ascii_case(name))
        || numbered("com")
        || numbered("lpt")
    {
        return Some("no name that Windows reserves");
    }
    None
}

/// Zero-width and direction-changing characters: HFS+ ignores some, people see none.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A glob over paths: `*` is any run within one segment, `**` any number of segments.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Glob(String);

impl Glob {
    /// The glob as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path` matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let glob: Vec<&str> = self.0.split('/').collect();
        let path: Vec<&str> = path.split('/').collect();
        segments_match(&glob, &path)
    }

    /// Whether some path below the directory `dir` (no trailing slash, "" is the root) may match.
    #[must_use]
    pub fn may_match_below(&self, dir: &str) -> bool {
        if dir.is_empty() {
            return true;
        }
        let mut glob = self.0.split('/');
        for segment in dir.split('/') {
            match glob.next() {
                Some("**") => return true,
                Some(pattern) if segment_matches(pattern, segment) => {}
                _ => return false,
            }
        }
        glob.next().is_some()
    }
}

impl FromStr for Glob {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let bad =
            |s: &str| s.is_empty() || s == "." || s == ".." || (s != "**" && s.contains("**"));
        if text.split('/').any(bad) || text.split('/').count() > PATH_DEPTH_MAX {
            let expected = "segments of text and '*', or '**' alone, with no leading '/'";
            return Err(FormatError::new("glob", expected, text));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Matches with a table instead of recursion, so that `**/**/…` costs glob times path at the most.
fn segments_match(glob: &[&str], path: &[&str]) -> bool {
    let mut reach = vec![false; path.len() + 1];
    reach[0] = true;
    for pattern in glob {
        if *pattern == "**" {
            let first = reach.iter().position(|&r| r).unwrap_or(reach.len());
            reach.iter_mut().skip(first).for_each(|r| *r = true);
        } else {
            for i in (0..path.len()).rev() {
                reach[i + 1] = reach[i] && segment_matches(pattern, path[i]);
            }
            reach[0] = false;
        }
    }
    reach[path.len()]
}

/// Matches one segment against text with `*`.
fn segment_matches(pattern: &str, segment: &str) -> bool {
    let mut parts = pattern.split('*');
    let head = parts.next().unwrap_or("");
    let Some(mut rest) = segment.strip_prefix(head) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((tail, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= tail.len() && rest.ends_with(tail)
}

serde_as_text!(RepoPath, Glob);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_some_machine_reads_differently_are_refused() {
        let bad = [
            "",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            "./a",
            ".git/config",
            "a/.GIT/x",
            "a/.git./x",
            "git~1",
            "con",
            "a/COM1.txt",
            "lpt9",
            "a:b",
            "a\\b",
            "a?b",
            "a\u{7}b",
            "a ",
            "a.",
            "e\u{301}",
            "a\u{200d}b",
            "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q",
        ];
        for path in bad {
            assert!(path.parse::<RepoPath>().is_err(), "{path:?} was accepted");
        }
        for path in [
            ".gdo/policy.toml",
            "a",
            "acct/txn/2026/11/01.journal",
            "é",
            ".gitignore",
        ] {
            assert!(path.parse::<RepoPath>().is_ok(), "{path:?} was refused");
        }
    }

    #[test]
    fn globs_match_by_segment() {
        let cases = [
            ("acct/**", "acct/a/b", true),
            ("acct/**", "acct", true),
            ("acct/**", "accts/a", false),
            ("**/x", "a/b/x", true),
            ("**/x", "x", true),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/d/c", false),
            ("*.toml", "a.toml", true),
            ("*.toml", "a/b.toml", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
            ("ab*ba", "aba", false),
        ];
        for (glob, path, expected) in cases {
            let parsed: Glob = glob.parse().expect("valid glob");
            assert_eq!(parsed.matches(path), expected, "{glob} on {path}");
        }
    }

    #[test]
    fn a_directory_is_entered_only_when_something_below_it_can_match() {
        let glob: Glob = ".gdo/roster/**".parse().expect("valid glob");
        assert!(glob.may_match_below(".gdo"));
        assert!(glob.may_match_below(".gdo/roster"));
        assert!(!glob.may_match_below(".gdo/dapps"));
        let exact: Glob = "a/b".parse().expect("valid glob");
        assert!(!exact.may_match_below("a/b"));
    }

    #[test]
    fn prefixes_are_the_directories_above() {
        let path: RepoPath = "a/b/c".parse().expect("valid");
        assert_eq!(path.prefixes().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
