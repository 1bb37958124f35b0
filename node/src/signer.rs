//! The signer: the only holder of the node's key.
//!
//! It writes down what it is about to sign before it signs (P-32, P-39), and refuses whatever would
//! contradict what it signed before: a second block of one sequence number, pass and fail for one
//! verdict key, two values in one view.
//!
//! **Invariants**: the log holds every signature that left this process; it comes first.

use std::collections::BTreeMap;

use gdo_core::block::Draft;
use gdo_core::commit::Commit;
use gdo_core::id::{MemberName, Seq};
use gdo_core::key::{NAMESPACE_GIT, NAMESPACE_RUN, NodeKey, PublicKey};
use gdo_core::verdict::{Outcome, RunnerSignature, Statement, VerdictKey};
use gdo_core::vote::{Ballot, Vote};
use serde::{Deserialize, Serialize};

use crate::dir::NodeDir;
use crate::error::NodeError;
use crate::fault;
use crate::wal::Wal;

/// What the log says of one signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Record {
    /// A block of this sequence number; the commit's text without the signature, so that a crash
    /// between log and ledger leaves no gap in the chain: the same block is made again.
    Block { seq: Seq, payload: String },
    /// A verdict.
    Verdict { key: VerdictKey, outcome: Outcome },
    /// A vote.
    Vote { ballot: Ballot },
}

/// The node's key with its memory.
#[derive(Debug)]
pub struct Signer {
    key: Key,
    member: MemberName,
    wal: Wal,
    last_block: Option<(Seq, String)>,
    verdicts: BTreeMap<VerdictKey, Outcome>,
    /// The ballots of the newest height that was voted on.
    ballots: Vec<Ballot>,
}

/// A key that does not print itself.
struct Key(NodeKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {}", self.0.public().fingerprint())
    }
}

impl Signer {
    /// Opens the key and the log of a node.
    ///
    /// # Errors
    /// Either is missing or damaged.
    pub fn open(dir: &NodeDir, member: MemberName) -> Result<Self, NodeError> {
        let key = Key(dir.read_key()?);
        let (wal, records) = Wal::open(&dir.wal().join("signer.log"))?;
        let mut signer = Self {
            key,
            member,
            wal,
            last_block: None,
            verdicts: BTreeMap::new(),
            ballots: Vec::new(),
        };
        records
            .into_iter()
            .for_each(|record| signer.remember(record));
        Ok(signer)
    }

    /// The public half of the key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.0.public()
    }

    /// The member that signs.
    #[must_use]
    pub fn member(&self) -> &MemberName {
        &self.member
    }

    /// The newest block that was signed, or was about to be, signed (again).
    ///
    /// # Errors
    /// The log holds a text that is no commit.
    pub fn last_block(&self) -> Result<Option<(Seq, Commit)>, NodeError> {
        let Some((seq, payload)) = &self.last_block else {
            return Ok(None);
        };
        let mut commit = Commit::parse_exact(payload.as_bytes())?;
        commit.signature = Some(self.key.0.sign(NAMESPACE_GIT, payload.as_bytes()));
        Ok(Some((*seq, commit)))
    }

    /// The sequence number of the next block.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.last_block
            .as_ref()
            .map_or(Seq(0), |(seq, _)| seq.next())
    }

    /// The ballots of the newest height that was voted on, for a validator that restarts.
    #[must_use]
    pub fn ballots(&self) -> &[Ballot] {
        &self.ballots
    }

    /// Signs the next block of the key's chain.
    ///
    /// # Errors
    /// The number is not the next one, or the log cannot be written.
    pub fn sign_block(&mut self, draft: &Draft) -> Result<Commit, NodeError> {
        let mut commit = draft.commit();
        let raw = commit.payload();
        let seq = draft.trailers.seq;
        if seq != self.next_seq() {
            return Err(NodeError::Refused(format!(
                "expected a block of number {}, got {seq}",
                self.next_seq()
            )));
        }
        let payload = String::from_utf8(raw.clone()).expect("a commit of this form is text");
        self.record(Record::Block { seq, payload })?;
        commit.signature = Some(self.key.0.sign(NAMESPACE_GIT, &raw));
        Ok(commit)
    }

    /// Signs a verdict. A verdict that contradicts an earlier one of its key is refused (P-27): the
    /// run that gave it is inconclusive.
    ///
    /// # Errors
    /// The other result was signed before, or the log cannot be written.
    pub fn sign_verdict(&mut self, statement: &Statement) -> Result<RunnerSignature, NodeError> {
        match self.verdicts.get(&statement.key) {
            Some(outcome) if *outcome == statement.outcome => {}
            Some(_) => {
                return Err(NodeError::Refused(format!(
                    "dapp {} gave two different results for one input",
                    statement.dapp
                )));
            }
            None => {
                self.record(Record::Verdict {
                    key: statement.key,
                    outcome: statement.outcome,
                })?;
            }
        }
        Ok(RunnerSignature {
            member: self.member.clone(),
            key: self.public(),
            signature: statement.sign(&self.key.0),
        })
    }

    /// Signs the record of a run, which binds nobody: it is not logged.
    #[must_use]
    pub fn sign_run(&self, record: &str) -> String {
        self.key.0.sign(NAMESPACE_RUN, record.as_bytes())
    }

    /// Signs a vote. A ballot that would be evidence beside an earlier one is refused (P-33).
    ///
    /// # Errors
    /// An earlier ballot contradicts it, or the log cannot be written.
    pub fn sign_vote(&mut self, ballot: &Ballot) -> Result<Vote, NodeError> {
        if self
            .ballots
            .iter()
            .any(|earlier| earlier.contradicts(ballot).is_some())
        {
            return Err(NodeError::Refused(format!(
                "a vote at height {} would contradict an earlier one",
                ballot.height
            )));
        }
        if !self.ballots.contains(ballot) {
            self.record(Record::Vote { ballot: *ballot })?;
        }
        let signature = self.key.0.sign_raw(&ballot.signed_bytes());
        Ok(Vote {
            ballot: *ballot,
            member: self.member.clone(),
            signature,
        })
    }

    fn record(&mut self, record: Record) -> Result<(), NodeError> {
        self.wal.append(std::slice::from_ref(&record))?;
        fault::point(match record {
            Record::Block { .. } => "block logged",
            Record::Verdict { .. } => "verdict logged",
            Record::Vote { .. } => "vote logged",
        });
        self.remember(record);
        Ok(())
    }

    fn remember(&mut self, record: Record) {
        match record {
            Record::Block { seq, payload } => self.last_block = Some((seq, payload)),
            Record::Verdict { key, outcome } => {
                self.verdicts.insert(key, outcome);
            }
            Record::Vote { ballot } => {
                self.ballots.retain(|kept| kept.height >= ballot.height);
                self.ballots.push(ballot);
            }
        }
    }
}
