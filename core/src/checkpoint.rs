//! Checkpoints: the content of `.gdo/checkpoint.json` and the commit around it (P-30).
//!
//! `main` is the newest checkpoint. Its record says which blocks it disposes of and why, carries
//! the verdicts that prove it and the certificate that made the one before it final, so that a
//! plain clone proves itself.
//!
//! **Invariants**: a record has one spelling; every block is disposed of at most once in a chain.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::canonical;
use crate::commit::{Commit, Identity, trailers};
use crate::error::FormatError;
use crate::id::{Digest, Height, LedgerId, LedgerTime, MemberName, ObjectId, serde_as_text};
use crate::policy::Finality;
use crate::verdict::VerdictCertificate;
use crate::vote::{Certificate, Evidence};

/// The path of the record in the ledger's tree.
pub const CHECKPOINT_FILE: &str = ".gdo/checkpoint.json";
/// The folder of the evidence in the ledger's tree, without a trailing slash.
pub const EVIDENCE_DIR: &str = ".gdo/evidence";
/// The file that names the ledger and its protocol version.
pub const LEDGER_FILE: &str = ".gdo/ledger.toml";

/// Whether only checkpoints may write `path` (P-15).
#[must_use]
pub fn is_kernel_managed(path: &crate::path::RepoPath) -> bool {
    matches!(path.as_str(), CHECKPOINT_FILE | LEDGER_FILE) || path.is_within(EVIDENCE_DIR)
}

/// Why a block is set aside: in a head it is tentative, in a checkpoint for good (P-22).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// The author or key is not in force, or the block builds on no final checkpoint.
    Quarantine,
    /// Its proposal had its effect already, or was withdrawn.
    Duplicate,
    /// The principal may not write there.
    Policy,
    /// A block that it depends on was not applied.
    Depends,
    /// A record of that name is there with another content.
    Exists,
    /// What the author saw at a path is not what stands there.
    Conflict,
    /// A file where a directory stands, or the reverse.
    Shape,
    /// A path that differs from another one by case alone.
    Case,
    /// A validator dapp failed it.
    Dapp,
    /// It was open too long.
    Expired,
    /// Its principal withdrew it.
    Withdrawn,
}

const REASONS: [(Reason, &str); 11] = [
    (Reason::Quarantine, "quarantine"),
    (Reason::Duplicate, "duplicate"),
    (Reason::Policy, "policy"),
    (Reason::Depends, "depends"),
    (Reason::Exists, "exists"),
    (Reason::Conflict, "conflict"),
    (Reason::Shape, "shape"),
    (Reason::Case, "case"),
    (Reason::Dapp, "dapp"),
    (Reason::Expired, "expired"),
    (Reason::Withdrawn, "withdrawn"),
];

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = REASONS
            .iter()
            .find(|(reason, _)| reason == self)
            .map(|(_, text)| *text);
        f.pad(text.expect("every reason is in the table"))
    }
}

impl FromStr for Reason {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let found = REASONS
            .iter()
            .find(|(_, known)| *known == text)
            .map(|(reason, _)| *reason);
        found.ok_or_else(|| FormatError::new("reason", "one of protocol section 7", text))
    }
}

serde_as_text!(Reason);

/// A block that a checkpoint includes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Included {
    /// The block.
    pub block: ObjectId,
    /// The proposal that it embeds.
    pub proposal: Option<ObjectId>,
}

/// A block that a checkpoint sets aside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aside {
    /// The block.
    pub block: ObjectId,
    /// The proposal that it embeds.
    pub proposal: Option<ObjectId>,
    /// Why.
    pub reason: Reason,
}

/// A block that a checkpoint leaves open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// The block.
    pub block: ObjectId,
    /// The height that first listed it.
    pub since: Height,
    /// The ledger time of that checkpoint.
    pub since_time: LedgerTime,
}

/// An approval that a checkpoint counted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The proposal.
    pub proposal: ObjectId,
    /// Who approved it.
    pub member: MemberName,
    /// The block that carries the note.
    pub block: ObjectId,
}

/// Whether a checkpoint is an ordinary one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointKind {
    /// The first commit of a ledger.
    Genesis,
    /// One that the validators made final.
    Normal,
    /// One that mends a fork (P-36).
    Recovery,
}

/// The content of `.gdo/checkpoint.json` (P-30).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointRecord {
    /// Which kind of checkpoint this is.
    pub kind: CheckpointKind,
    /// The height; genesis is 0.
    pub height: Height,
    /// The checkpoint before.
    pub prev: Option<ObjectId>,
    /// The blocks that it includes, in the order in which they were applied.
    pub included: Vec<Included>,
    /// The blocks that it sets aside, in canonical order.
    pub aside: Vec<Aside>,
    /// Proposals that their principals withdrew.
    pub withdrawn: Vec<ObjectId>,
    /// The rest of the window, sorted by block.
    pub open: Vec<Open>,
    /// The verdicts that prove it, sorted.
    pub verdicts: Vec<VerdictCertificate>,
    /// The approvals that it counted, sorted.
    pub approvals: Vec<Approval>,
    /// Evidence of double signing.
    pub evidence: Vec<Evidence>,
    /// What made the checkpoint before final; `None` at heights 0 and 1, since genesis has none.
    pub certificate: Option<Certificate>,
    /// The digest of the validator set of the next height.
    pub validators: Digest,
    /// The ledger's time.
    pub ledger_time: LedgerTime,
    /// The newest clock claim of each validator in included blocks, carried along; `None` is unknown.
    pub claims: BTreeMap<MemberName, Option<LedgerTime>>,
}

impl CheckpointRecord {
    /// The text of the file: canonical JSON with a line end.
    #[must_use]
    pub fn to_json(&self) -> String {
        canonical::to_string(self) + "\n"
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Text of another form or spelling.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let body = text
            .strip_suffix('\n')
            .ok_or_else(|| FormatError::new(CHECKPOINT_FILE, "a line end", "none"))?;
        canonical::from_str(CHECKPOINT_FILE, body)
    }

    /// Every block that this checkpoint disposes of.
    pub fn disposed(&self) -> impl Iterator<Item = ObjectId> {
        let aside = self.aside.iter().map(|aside| aside.block);
        self.included
            .iter()
            .map(|included| included.block)
            .chain(aside)
    }
}

/// The digest of a validator set: what [`CheckpointRecord::validators`] holds.
#[must_use]
pub fn validators_digest(finality: &Finality) -> Digest {
    #[derive(Serialize)]
    struct Set<'a> {
        quorum: crate::id::Weight,
        validators: &'a [crate::policy::Validator],
    }
    let set = Set {
        quorum: finality.quorum,
        validators: &finality.validators,
    };
    Digest::of(canonical::to_string(&set).as_bytes())
}

/// The unsigned commit of a checkpoint (P-30).
#[must_use]
pub fn checkpoint_commit(
    ledger: LedgerId,
    record: &CheckpointRecord,
    tree: ObjectId,
    parents: Vec<ObjectId>,
) -> Commit {
    let who = Identity::utc("gdo", "checkpoint@gdo.invalid", record.ledger_time.0);
    let kind = match record.kind {
        CheckpointKind::Genesis => "genesis",
        CheckpointKind::Normal => "normal",
        CheckpointKind::Recovery => "recovery",
    };
    let height = record.height;
    let message = format!(
        "gdo checkpoint {height}\n\nGdo-Kind: {kind}\nGdo-Height: {height}\nGdo-Ledger: {ledger}\n"
    );
    Commit {
        tree,
        parents,
        author: who.clone(),
        committer: who,
        signature: None,
        message,
    }
}

/// The unsigned genesis commit: it cannot name its own id as the ledger's, and its founder signs it
/// (P-1).
#[must_use]
pub fn genesis_commit(record: &CheckpointRecord, tree: ObjectId, founder: &MemberName) -> Commit {
    let email = format!("{founder}@genesis.invalid");
    let who = Identity::utc(founder.as_str(), email, record.ledger_time.0);
    let message = "gdo checkpoint 0\n\nGdo-Kind: genesis\nGdo-Height: 0\n".to_owned();
    Commit {
        tree,
        parents: Vec::new(),
        author: who.clone(),
        committer: who,
        signature: None,
        message,
    }
}

/// Whether a message is that of a checkpoint, and of which height.
#[must_use]
pub fn checkpoint_height(message: &str) -> Option<Height> {
    message.starts_with("gdo checkpoint ").then_some(())?;
    let found = trailers(message)
        .into_iter()
        .find(|(key, _)| *key == "Gdo-Height");
    found.and_then(|(_, value)| value.parse().ok())
}

/// The unsigned commit of a synthetic head (section 7, step 7).
#[must_use]
pub fn head_commit(
    ledger: LedgerId,
    base: crate::block::CheckpointRef,
    set: Digest,
    time: i64,
    tree: ObjectId,
    parents: Vec<ObjectId>,
) -> Commit {
    let message = format!(
        "gdo head\n\nGdo-Version: 1\nGdo-Ledger: {ledger}\nGdo-Final: {} {}\nGdo-Set: {set}\n",
        base.height, base.id
    );
    synthetic(tree, parents, time, message)
}

/// The commit that keeps blocks reachable without applying them: an anchor (section 7, step 7).
#[must_use]
pub fn anchor_commit(empty_tree: ObjectId, parents: Vec<ObjectId>, time: i64) -> Commit {
    synthetic(empty_tree, parents, time, "gdo anchor\n".to_owned())
}

/// The commit that folds up to 64 parents into one (section 7, step 7).
#[must_use]
pub fn bundle_commit(empty_tree: ObjectId, parents: Vec<ObjectId>, time: i64) -> Commit {
    synthetic(empty_tree, parents, time, "gdo bundle\n".to_owned())
}

fn synthetic(tree: ObjectId, parents: Vec<ObjectId>, time: i64, message: String) -> Commit {
    let who = Identity::utc("gdo", "head@gdo.invalid", time);
    Commit {
        tree,
        parents,
        author: who.clone(),
        committer: who,
        signature: None,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> CheckpointRecord {
        let id: ObjectId = "ab".repeat(32).parse().expect("id");
        CheckpointRecord {
            kind: CheckpointKind::Normal,
            height: Height(1),
            prev: Some(id),
            included: vec![Included {
                block: id,
                proposal: Some(id),
            }],
            aside: vec![Aside {
                block: id,
                proposal: None,
                reason: Reason::Conflict,
            }],
            withdrawn: vec![],
            open: vec![],
            verdicts: vec![],
            approvals: vec![],
            evidence: vec![],
            certificate: None,
            validators: Digest::of(b"set"),
            ledger_time: LedgerTime(7),
            claims: BTreeMap::from([("hub".parse().expect("name"), None)]),
        }
    }

    #[test]
    fn a_record_has_one_spelling() {
        let text = record().to_json();
        assert_eq!(CheckpointRecord::parse(&text).expect("own text"), record());
        assert!(CheckpointRecord::parse(text.trim_end()).is_err());
        assert!(CheckpointRecord::parse(&text.replace("\"height\":1", "\"height\": 1")).is_err());
    }

    #[test]
    fn every_reason_round_trips() {
        for (reason, text) in REASONS {
            assert_eq!(text.parse::<Reason>().expect("known"), reason);
            assert_eq!(reason.to_string(), text);
        }
    }

    #[test]
    fn a_checkpoint_commit_tells_its_height() {
        let id: ObjectId = "ab".repeat(32).parse().expect("id");
        let commit = checkpoint_commit(LedgerId(id), &record(), id, vec![id]);
        assert_eq!(checkpoint_height(&commit.message), Some(Height(1)));
        assert_eq!(checkpoint_height("gdo head\n"), None);
    }
}
