//! The text of a git commit: read, taken apart from its signature, and written byte for byte.
//!
//! Blocks, heads and checkpoints must be the same bytes on every node (P-12, P-19, P-30), so their
//! text is made here and not by a git library's idea of a commit.
//!
//! **Invariants**: `Commit::parse(commit.encode()) == commit`; a text that would not encode to the
//! same bytes is refused by `parse_exact`.

use crate::error::FormatError;
use crate::id::ObjectId;
use crate::key::ArmoredSignature;

/// The header that holds a signature in SHA-1 repositories.
const SIGNATURE_SHA1: &str = "gpgsig";
/// The header that holds a signature in SHA-256 repositories.
const SIGNATURE_SHA256: &str = "gpgsig-sha256";

/// Who made a commit, and when they claim to have done so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The address, without the angle brackets.
    pub email: String,
    /// Seconds since 1970-01-01 UTC.
    pub time: i64,
    /// The zone as git writes it: `+0000`.
    pub zone: String,
}

impl Identity {
    /// An identity of this program's own making, in UTC.
    #[must_use]
    pub fn utc(name: impl Into<String>, email: impl Into<String>, time: i64) -> Self {
        Self {
            name: name.into(),
            email: email.into(),
            time,
            zone: "+0000".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text
            .split_once(" <")
            .or_else(|| Some(("", text.strip_prefix('<')?)))?;
        let (email, rest) = rest.split_once("> ")?;
        let (time, zone) = rest.split_once(' ')?;
        let time = time.parse().ok()?;
        Some(Self {
            name: name.to_owned(),
            email: email.to_owned(),
            time,
            zone: zone.to_owned(),
        })
    }

    fn encode(&self) -> String {
        let gap = if self.name.is_empty() { "" } else { " " };
        format!(
            "{}{gap}<{}> {} {}",
            self.name, self.email, self.time, self.zone
        )
    }
}

/// A commit of the plain form that blocks, heads and checkpoints have: no header but these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The tree.
    pub tree: ObjectId,
    /// The parents in their order.
    pub parents: Vec<ObjectId>,
    /// The author.
    pub author: Identity,
    /// The committer.
    pub committer: Identity,
    /// The SSHSIG armor, if the commit is signed.
    pub signature: Option<String>,
    /// Everything after the empty line.
    pub message: String,
}

impl Commit {
    /// The bytes of the commit object, with the signature if there is one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("tree {}\n", self.tree);
        for parent in &self.parents {
            text.push_str(&format!("parent {parent}\n"));
        }
        text.push_str(&format!("author {}\n", self.author.encode()));
        text.push_str(&format!("committer {}\n", self.committer.encode()));
        if let Some(armor) = &self.signature {
            let header = if self.tree.as_bytes().len() == 20 {
                SIGNATURE_SHA1
            } else {
                SIGNATURE_SHA256
            };
            text.push_str(header);
            for line in armor.trim_end().lines() {
                text.push_str(&format!(" {line}\n"));
            }
        }
        text.push('\n');
        text.push_str(&self.message);
        text.into_bytes()
    }

    /// The bytes that a signature covers: the commit without it.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        Self {
            signature: None,
            ..self.clone()
        }
        .encode()
    }

    /// Reads a commit object and refuses one that has other headers or another spelling (P-15).
    ///
    /// # Errors
    /// What is not of the plain form.
    pub fn parse_exact(raw: &[u8]) -> Result<Self, FormatError> {
        let commit = SignedText::split(raw)?.parse()?;
        if commit.encode() == raw {
            Ok(commit)
        } else {
            Err(FormatError::new(
                "commit",
                "tree, parents, author, committer, signature alone",
                "another form",
            ))
        }
    }
}

/// A commit object of anybody, with the signature taken out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedText {
    /// The bytes that the signature covers.
    pub payload: Vec<u8>,
    /// The SSHSIG armor, if there is one; one line end after each line.
    pub armor: Option<String>,
}

impl SignedText {
    /// Takes the signature header out of a raw commit, as git does.
    ///
    /// # Errors
    /// No end of the headers, two signatures, or a signature that is not text.
    pub fn split(raw: &[u8]) -> Result<Self, FormatError> {
        let wrong =
            |got: &str| FormatError::new("commit", "headers, an empty line and a message", got);
        let end = raw
            .windows(2)
            .position(|pair| pair == b"\n\n")
            .ok_or_else(|| wrong("no empty line"))?;
        let (headers, message) = raw.split_at(end + 1);
        let mut payload = Vec::with_capacity(raw.len());
        let mut armor: Option<String> = None;
        let mut in_signature = false;
        for line in headers.split_inclusive(|&byte| byte == b'\n') {
            let start = signature_start(line);
            if let Some(first) = start {
                if armor.is_some() {
                    return Err(wrong("two signatures"));
                }
                armor = Some(text_of(first)?);
                in_signature = true;
            } else if in_signature && line.first() == Some(&b' ') {
                let more = text_of(&line[1..])?;
                armor.get_or_insert_default().push_str(&more);
            } else {
                in_signature = false;
                payload.extend_from_slice(line);
            }
        }
        payload.extend_from_slice(message);
        Ok(Self { payload, armor })
    }

    /// The signature, read but not verified.
    ///
    /// # Errors
    /// There is none, or it is no SSHSIG of a key that members may use.
    pub fn signature(&self) -> Result<ArmoredSignature, crate::key::SignatureError> {
        let armor = self.armor.as_deref().unwrap_or_default();
        if armor.is_empty() {
            return Err(crate::key::SignatureError::Armor(
                "there is no signature".to_owned(),
            ));
        }
        ArmoredSignature::parse(armor)
    }

    /// Reads the headers that every commit has; others, such as `encoding`, are passed over.
    ///
    /// # Errors
    /// What a commit must have and this one has not, or text that is not UTF-8.
    pub fn parse(&self) -> Result<Commit, FormatError> {
        let text = text_of(&self.payload)?;
        let wrong =
            |got: &str| FormatError::new("commit", "tree, parents, author and committer", got);
        let (headers, message) = text
            .split_once("\n\n")
            .ok_or_else(|| wrong("no empty line"))?;
        let mut lines = headers.lines().peekable();
        let mut take = |key: &str| {
            let value = lines.peek().and_then(|line| line.strip_prefix(key))?;
            lines.next();
            Some(value.to_owned())
        };
        let tree = take("tree ").ok_or_else(|| wrong("no tree"))?.parse()?;
        let mut parents = Vec::new();
        while let Some(parent) = take("parent ") {
            parents.push(parent.parse()?);
        }
        let author = take("author ").ok_or_else(|| wrong("no author"))?;
        let committer = take("committer ").ok_or_else(|| wrong("no committer"))?;
        Ok(Commit {
            tree,
            parents,
            author: Identity::parse(&author).ok_or_else(|| wrong(&author))?,
            committer: Identity::parse(&committer).ok_or_else(|| wrong(&committer))?,
            signature: self.armor.clone(),
            message: message.to_owned(),
        })
    }
}

/// The rest of a line that starts a signature header of either kind.
fn signature_start(line: &[u8]) -> Option<&[u8]> {
    let after = |header: &str| line.strip_prefix(header.as_bytes())?.strip_prefix(b" ");
    after(SIGNATURE_SHA1).or_else(|| after(SIGNATURE_SHA256))
}

fn text_of(raw: &[u8]) -> Result<String, FormatError> {
    String::from_utf8(raw.to_vec())
        .map_err(|_| FormatError::new("commit", "UTF-8 text", "other bytes"))
}

/// The trailers of a message: the `Key: value` lines of its last paragraph, in their order.
#[must_use]
pub fn trailers(message: &str) -> Vec<(&str, &str)> {
    let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let pairs: Vec<_> = last.lines().map(|line| line.split_once(": ")).collect();
    if pairs.iter().all(Option::is_some) {
        pairs.into_iter().flatten().collect()
    } else {
        Vec::new()
    }
}

/// The first line of a message, cut to what a subject may hold.
#[must_use]
pub fn subject(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    fn commit() -> Commit {
        let id: ObjectId = "ab".repeat(32).parse().expect("valid");
        let who = Identity::utc("hub", "hub@abc", 5);
        Commit {
            tree: id,
            parents: vec![id, id],
            author: who.clone(),
            committer: who,
            signature: None,
            message: "subject\n\nGdo-Version: 1\n".to_owned(),
        }
    }

    #[test]
    fn a_signed_commit_round_trips_and_its_payload_is_the_unsigned_one() {
        let mut signed = commit();
        signed.signature = Some(NodeKey::from_seed([1; 32]).sign("git", &signed.payload()));
        let raw = signed.encode();
        assert!(
            String::from_utf8_lossy(&raw)
                .contains("\ngpgsig-sha256 -----BEGIN SSH SIGNATURE-----\n ")
        );
        assert_eq!(Commit::parse_exact(&raw).expect("own form"), signed);
        let split = SignedText::split(&raw).expect("own form");
        assert_eq!(split.payload, commit().encode());
        split
            .signature()
            .expect("armor")
            .verify("git", &split.payload)
            .expect("own signature");
    }

    #[test]
    fn other_headers_are_no_exact_commit_but_can_be_read() {
        let raw = String::from_utf8(commit().encode()).expect("text");
        let raw = raw.replace("\n\nsubject", "\nencoding latin1\n\nsubject");
        assert!(Commit::parse_exact(raw.as_bytes()).is_err());
        let read = SignedText::split(raw.as_bytes())
            .and_then(|text| text.parse())
            .expect("readable");
        assert_eq!(read.message, commit().message);
    }

    #[test]
    fn trailers_are_the_last_paragraph_if_every_line_is_one() {
        assert_eq!(trailers("s\n\nA: 1\nB: 2\n"), [("A", "1"), ("B", "2")]);
        assert!(trailers("s\n\nA: 1\nnot one\n").is_empty());
        assert!(trailers("subject only\n").is_empty());
    }
}
