//! Attestations: what a runner keeps of its verdicts, in its append-only `att` ref (P-25).
//!
//! One folder a verdict: `<dapp_digest[0..2]>/<dapp_digest>/<input>/`. The commits are unsigned: what
//! counts is signed inside.
//!
//! **Invariants**: a file that stands there is never changed; the same attestation twice is one.

use gdo_core::commit::{Commit, Identity};
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::error::FormatError;
use gdo_core::id::{LedgerId, MemberName, ObjectId};
use gdo_core::path::RepoPath;
use gdo_core::verdict::VerdictKey;

use crate::error::{LedgerError, TreeError};
use crate::repository::Ledger;
use crate::tree::Standing;

/// The largest file of an attestation that is read: a dapp's output within its limits.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// What a runner keeps of one verdict.
#[derive(Clone, Debug)]
pub struct Attestation<'a> {
    /// The ledger.
    pub ledger: LedgerId,
    /// The runner.
    pub member: MemberName,
    /// What was judged, by what.
    pub key: VerdictKey,
    /// The wall time of the commit, in seconds.
    pub time: i64,
    /// The files by name: `verdict.json`, `verdict.sig`, `run.json`, `run.sig`, `report.json`, `log`.
    pub files: &'a [(&'a str, &'a [u8])],
}

/// The folder of a verdict in the tree of an `att` ref.
#[must_use]
pub fn folder(key: &VerdictKey) -> String {
    let digest = key.dapp_digest;
    format!("{}/{digest}/{}", digest.short(2), key.input)
}

impl Ledger {
    /// Adds an attestation to those that `tip` holds, and gives the new tip; no ref is touched.
    ///
    /// # Errors
    /// A file of another content stands there, a bad file name, or the disk fails.
    pub fn write_attestation(
        &self,
        tip: Option<ObjectId>,
        attestation: &Attestation<'_>,
    ) -> Result<ObjectId, LedgerError> {
        let tree = match &tip {
            Some(tip) => self.read_commit(tip)?.tree,
            None => self.write_tree(&[])?,
        };
        let mut operations = Vec::new();
        for (name, data) in attestation.files {
            let path = path_of(&attestation.key, name)?;
            let new = Entry {
                mode: Mode::File,
                id: self.write_blob(data)?,
            };
            match self.entry(&tree, &path)? {
                Standing::Absent => operations.push(Operation {
                    path,
                    old: None,
                    new: Some(new),
                }),
                Standing::File(old) if old == new => {}
                Standing::File(_) | Standing::Directory => {
                    return Err(TreeError::Kept {
                        path: path.to_string(),
                    }
                    .into());
                }
            }
        }
        if let (Some(tip), true) = (tip, operations.is_empty()) {
            return Ok(tip);
        }
        let domain = attestation.ledger.0.short(12);
        let member = &attestation.member;
        let who = Identity::utc(
            member.as_str(),
            format!("{member}@{domain}"),
            attestation.time,
        );
        let commit = Commit {
            tree: self.apply(&tree, &operations)?,
            parents: tip.into_iter().collect(),
            author: who.clone(),
            committer: who,
            signature: None,
            message: "gdo attestation\n".to_owned(),
        };
        self.write_commit(&commit.encode())
    }

    /// Reads a file of an attestation that `tip` holds; `None` if there is none.
    ///
    /// # Errors
    /// A bad file name, or the ledger cannot be read.
    pub fn read_attestation(
        &self,
        tip: &ObjectId,
        key: &VerdictKey,
        name: &str,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let tree = self.read_commit(tip)?.tree;
        match self.entry(&tree, &path_of(key, name)?)? {
            Standing::File(entry) => self.read_blob(&entry.id, FILE_BYTES_MAX).map(Some),
            Standing::Absent | Standing::Directory => Ok(None),
        }
    }

    /// What was judged, by what, of all attestations that `tip` holds, at most `max`.
    ///
    /// # Errors
    /// A folder that is no verdict's, more than `max` files, or the ledger cannot be read.
    pub fn attested(&self, tip: &ObjectId, max: usize) -> Result<Vec<VerdictKey>, LedgerError> {
        let tree = self.read_commit(tip)?.tree;
        let mut keys = Vec::new();
        for (path, _) in self.files_below(&tree, "", max)? {
            keys.push(key_of(&path).map_err(TreeError::Path)?);
        }
        keys.dedup();
        Ok(keys)
    }
}

fn path_of(key: &VerdictKey, name: &str) -> Result<RepoPath, TreeError> {
    format!("{}/{name}", folder(key))
        .parse()
        .map_err(TreeError::Path)
}

fn key_of(path: &RepoPath) -> Result<VerdictKey, FormatError> {
    let wrong = || {
        FormatError::new(
            "attestation",
            "<digest[0..2]>/<digest>/<input>/<file>",
            path,
        )
    };
    let mut segments = path.segments().skip(1);
    let dapp_digest = segments.next().ok_or_else(wrong)?.parse()?;
    let input = segments.next().ok_or_else(wrong)?.parse()?;
    let key = VerdictKey { dapp_digest, input };
    let in_place = path
        .as_str()
        .strip_prefix(&folder(&key))
        .is_some_and(|rest| rest.len() > 1);
    if in_place { Ok(key) } else { Err(wrong()) }
}
