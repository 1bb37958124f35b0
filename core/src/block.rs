//! Blocks: what nodes write (P-12 to P-16).
//!
//! A block is a commit signed by its author's key that carries one delta. Its message holds the
//! subject and a fixed list of trailers; the text is made and read here, byte for byte.
//!
//! **Invariants**: `Trailers::parse(trailers.encode()) == trailers`, and no other text parses.

use std::fmt;
use std::str::FromStr;

use crate::commit::{Commit, Identity};
use crate::delta::Delta;
use crate::error::FormatError;
use crate::id::{Digest, Height, LedgerId, MemberName, ObjectId, Seq};
use crate::key::{KeyId, PublicKey};
use crate::policy::{Lane, PROTOCOL_VERSION};
use crate::proposal::Note;

/// The largest message of a block, in bytes (P-15).
pub const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// The most parents of a block or head (P-15).
pub const PARENTS_MAX: usize = 66;
/// The most `Gdo-Depends` of a block (P-12).
pub const DEPENDS_MAX: usize = 16;

/// A checkpoint by height and id, as `Gdo-Final` names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CheckpointRef {
    /// Its height.
    pub height: Height,
    /// Its commit.
    pub id: ObjectId,
}

/// What the author's machine said of its clocks (P-12): claims, never inputs of the head rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clock {
    /// The boot that `mono_ms` counts from.
    pub boot: String,
    /// Milliseconds of monotonic time since then.
    pub mono_ms: u64,
    /// How far the wall clock may be off, in milliseconds; `None` is unknown.
    pub uncertainty_ms: Option<u64>,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot={} mono_ms={} unc_ms=", self.boot, self.mono_ms)?;
        match self.uncertainty_ms {
            Some(uncertainty) => write!(f, "{uncertainty}"),
            None => f.write_str("unknown"),
        }
    }
}

impl FromStr for Clock {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let parse = || {
            let (boot, rest) = text.strip_prefix("boot=")?.split_once(" mono_ms=")?;
            let (mono, uncertainty) = rest.split_once(" unc_ms=")?;
            let uuid = boot.len() == 36
                && boot
                    .bytes()
                    .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f' | b'-'));
            let uncertainty_ms = match uncertainty {
                "unknown" => None,
                number => Some(number.parse().ok()?),
            };
            let clock = Self {
                boot: boot.to_owned(),
                mono_ms: mono.parse().ok()?,
                uncertainty_ms,
            };
            (uuid && clock.to_string() == text).then_some(clock)
        };
        parse().ok_or_else(|| {
            FormatError::new(
                "Gdo-Clock",
                "boot=<uuid> mono_ms=<n> unc_ms=<n|unknown>",
                text,
            )
        })
    }
}

/// The trailers of a block, in their order (P-12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trailers {
    /// The ledger.
    pub ledger: LedgerId,
    /// The position in the chain of the author's key.
    pub seq: Seq,
    /// The block before it in that chain.
    pub prev: Option<ObjectId>,
    /// The checkpoint that the base builds on (P-20).
    pub final_checkpoint: CheckpointRef,
    /// The strictest lane among the paths.
    pub lane: Lane,
    /// The tip of the embedded proposal.
    pub proposal: Option<ObjectId>,
    /// Blocks that must be applied before this one.
    pub depends: Vec<ObjectId>,
    /// The author's clocks.
    pub clock: Clock,
}

impl Trailers {
    /// The message of the block: the subject, an empty line and the trailers.
    #[must_use]
    pub fn message(&self, subject: &str) -> String {
        let mut text = format!("{subject}\n\n");
        let prev = self
            .prev
            .map_or_else(|| "none".to_owned(), |id| id.to_string());
        let final_checkpoint = self.final_checkpoint;
        let mut line =
            |key: &str, value: &dyn fmt::Display| text.push_str(&format!("{key}: {value}\n"));
        line("Gdo-Version", &PROTOCOL_VERSION);
        line("Gdo-Ledger", &self.ledger);
        line("Gdo-Seq", &self.seq);
        line("Gdo-Prev", &prev);
        line(
            "Gdo-Final",
            &format_args!("{} {}", final_checkpoint.height, final_checkpoint.id),
        );
        line("Gdo-Lane", &self.lane);
        if let Some(proposal) = &self.proposal {
            line("Gdo-Proposal", proposal);
        }
        for depends in &self.depends {
            line("Gdo-Depends", depends);
        }
        line("Gdo-Clock", &self.clock);
        text
    }

    /// Reads the message of a block; gives the subject and the trailers.
    ///
    /// # Errors
    /// Any text that [`Trailers::message`] would not write.
    pub fn parse(message: &str) -> Result<(String, Self), FormatError> {
        let wrong = |expected: &str, got: &str| FormatError::new("block message", expected, got);
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(wrong("at most 16 KiB", &message.len().to_string()));
        }
        let (subject, rest) = message
            .split_once("\n\n")
            .ok_or_else(|| wrong("a subject and trailers", message))?;
        let mut fields = Fields {
            lines: rest.lines().collect(),
            at: 0,
        };
        let version: u64 = fields.take("Gdo-Version")?.parse().unwrap_or(0);
        if version != PROTOCOL_VERSION {
            return Err(wrong("Gdo-Version: 1", &version.to_string()));
        }
        let ledger = fields.take("Gdo-Ledger")?.parse()?;
        let seq = fields.take("Gdo-Seq")?.parse()?;
        let prev = match fields.take("Gdo-Prev")? {
            "none" => None,
            id => Some(id.parse()?),
        };
        let named = fields.take("Gdo-Final")?;
        let (height, id) = named
            .split_once(' ')
            .ok_or_else(|| wrong("Gdo-Final: <height> <id>", named))?;
        let final_checkpoint = CheckpointRef {
            height: height.parse()?,
            id: id.parse()?,
        };
        let lane = read_lane(fields.take("Gdo-Lane")?)?;
        let proposal = fields.take_if("Gdo-Proposal").map(str::parse).transpose()?;
        let mut depends = Vec::new();
        while let Some(id) = fields.take_if("Gdo-Depends") {
            depends.push(id.parse()?);
        }
        let clock = fields.take("Gdo-Clock")?.parse()?;
        let trailers = Self {
            ledger,
            seq,
            prev,
            final_checkpoint,
            lane,
            proposal,
            depends,
            clock,
        };
        let one_line = !subject.contains('\n') && !subject.is_empty();
        if !one_line || trailers.depends.len() > DEPENDS_MAX || trailers.message(subject) != message
        {
            return Err(wrong(
                "the trailers of a block, each once and in order",
                rest,
            ));
        }
        Ok((subject.to_owned(), trailers))
    }
}

fn read_lane(text: &str) -> Result<Lane, FormatError> {
    [Lane::Append, Lane::Owned, Lane::Cas, Lane::Final]
        .into_iter()
        .find(|lane| lane.as_str() == text)
        .ok_or_else(|| FormatError::new("Gdo-Lane", "append, owned, cas or final", text))
}

struct Fields<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Fields<'a> {
    fn take_if(&mut self, key: &str) -> Option<&'a str> {
        let line = self.lines.get(self.at).copied()?;
        let value = line.strip_prefix(key)?.strip_prefix(": ")?;
        self.at += 1;
        Some(value)
    }

    fn take(&mut self, key: &str) -> Result<&'a str, FormatError> {
        let got = self.lines.get(self.at).copied().unwrap_or("the end");
        self.take_if(key)
            .ok_or_else(|| FormatError::new("block message", format!("{key}: …"), got))
    }
}

/// A block: the commit and what it says, without what only its past can tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The commit's id.
    pub id: ObjectId,
    /// The node or service whose key signed it.
    pub author: MemberName,
    /// That key.
    pub key: PublicKey,
    /// The hash of the signed bytes: the block's identity when equivocation is judged (P-16).
    pub payload: Digest,
    /// The wall time that the author claims, in seconds.
    pub claimed_time: i64,
    /// The tree after the block's delta on its base.
    pub tree: ObjectId,
    /// The parents: base, previous block, proposal tip, as P-12 orders them.
    pub parents: Vec<ObjectId>,
    /// The proposal's subject, or what the author says of its records.
    pub subject: String,
    /// The trailers.
    pub trailers: Trailers,
}

impl Block {
    /// The author's candidate head when it wrote.
    ///
    /// # Panics
    /// Never: a block has at least one parent.
    #[must_use]
    pub fn base(&self) -> ObjectId {
        *self.parents.first().expect("a block has a base")
    }

    /// The chain that the block stands in.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key.id()
    }
}

/// What a node fills in when it writes a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The author.
    pub author: MemberName,
    /// The wall time that the author claims, in seconds.
    pub claimed_time: i64,
    /// The tree after the delta on the base.
    pub tree: ObjectId,
    /// Base, previous block if it is not in the base's past, proposal tip if there is one.
    pub parents: Vec<ObjectId>,
    /// The subject.
    pub subject: String,
    /// The trailers.
    pub trailers: Trailers,
}

impl Draft {
    /// The unsigned commit of the block (P-12).
    #[must_use]
    pub fn commit(&self) -> Commit {
        let domain = self.trailers.ledger.0.short(12);
        let who = Identity::utc(
            self.author.as_str(),
            format!("{}@{domain}", self.author),
            self.claimed_time,
        );
        Commit {
            tree: self.tree,
            parents: self.parents.clone(),
            author: who.clone(),
            committer: who,
            signature: None,
            message: self.trailers.message(&self.subject),
        }
    }
}

/// A block with what its past tells: the form in which rules are judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockInPast {
    /// The block.
    pub block: Block,
    /// Who is answerable for its changes (P-10).
    pub principal: MemberName,
    /// Everybody who signed a commit of the embedded proposal.
    pub signers: Vec<MemberName>,
    /// Its operations: the proposal's delta (P-13), or what it changes on its base.
    pub operations: Delta,
    /// What an embedded note says.
    pub notes: Vec<Note>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers() -> Trailers {
        let id: ObjectId = "cd".repeat(32).parse().expect("valid");
        Trailers {
            ledger: LedgerId(id),
            seq: Seq(3),
            prev: Some(id),
            final_checkpoint: CheckpointRef {
                height: Height(2),
                id,
            },
            lane: Lane::Final,
            proposal: Some(id),
            depends: vec![id],
            clock: Clock {
                boot: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
                mono_ms: 12,
                uncertainty_ms: None,
            },
        }
    }

    #[test]
    fn a_block_message_round_trips() {
        let mut plain = trailers();
        plain.prev = None;
        plain.proposal = None;
        plain.depends.clear();
        for trailers in [trailers(), plain] {
            let message = trailers.message("spend 40");
            let (subject, again) = Trailers::parse(&message).expect("own text");
            assert_eq!((subject.as_str(), again), ("spend 40", trailers));
        }
    }

    #[test]
    fn any_other_spelling_is_refused() {
        let good = trailers().message("s");
        let bad = [
            good.replace("Gdo-Seq: 3", "Gdo-Seq: 03"),
            good.replace("Gdo-Seq: 3", "Gdo-Seq:  3"),
            good.replace("Gdo-Version: 1", "Gdo-Version: 2"),
            good.replace("Gdo-Lane: final", "Gdo-Lane: Final"),
            good.replace("unc_ms=unknown", "unc_ms=-1"),
            good.replace("Gdo-Prev", "Gdo-Previous"),
            format!("{good}Gdo-Extra: 1\n"),
            format!("{good}\n"),
            good.trim_end().to_owned(),
            good.replace("s\n\n", "s\n\nbody\n\n"),
        ];
        for text in bad {
            assert!(Trailers::parse(&text).is_err(), "accepted:\n{text}");
        }
    }
}
