//! The audit behind `gdo verify`: from genesis to main, everything that a ledger claims.
//!
//! The ledger crate's audit holds every checkpoint, block, signature and tree to its bytes; this
//! module joins in what a ledger's structure cannot tell: that the cut is the one that the head rule
//! makes of the blocks (writers, lanes, approvals, reasons, order), that blocks build on the heads that
//! it makes, that the verdicts prove the very
//! trees that were merged, that each checkpoint has its quorum of votes, and that the refs say what
//! the chain says. It needs no daemon and works in any clone.
//!
//! **Invariants**: nothing is believed because a file says so; the first thing that does not hold
//! ends the audit with its name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use gdo_core::block::{BlockInPast, CheckpointRef};
use gdo_core::id::{Height, LedgerId, ObjectId};
use gdo_core::policy::Finality;
use gdo_core::roster::Roster;
use gdo_core::vote::{Certificate, VoteError, VoteKind};
use gdo_ledger::audit::{Audit, AuditError, AuditedCheckpoint};
use gdo_ledger::{Ledger, LedgerError};
use serde::Serialize;

use crate::chain::Chain;
use crate::judge::Judge;
use crate::refs::Refs;

mod cut;
mod heads;
mod proof;
mod refs;
pub mod store;

/// What is audited.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The repository. What has to be computed is written into it: a scratch repository over the
    /// objects of the audited one.
    pub ledger: &'a Ledger,
    /// The repository whose refs are audited.
    pub claims: &'a Ledger,
    /// The names of its refs.
    pub refs: &'a Refs,
    /// The newest checkpoint.
    pub main: ObjectId,
    /// Runs the dapps again.
    pub rerun: Option<&'a Judge>,
}

/// What was checked, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    /// Checkpoints, genesis included.
    pub checkpoints: u64,
    /// Blocks.
    pub blocks: u64,
    /// Changes of paths.
    pub operations: u64,
    /// Signatures over verdicts.
    pub verdicts: u64,
    /// Votes for checkpoints.
    pub votes: u64,
    /// Approvals.
    pub approvals: u64,
    /// Refs.
    pub refs: u64,
    /// Validators that ran again.
    pub reruns: u64,
}

/// What does not hold.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A commit, block, signature or tree.
    #[error(transparent)]
    Structure(#[from] AuditError),
    /// A checkpoint disposes of blocks otherwise than the rules do.
    #[error("checkpoint {height}: {reason}")]
    Cut {
        /// The checkpoint.
        height: Height,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A block that builds on something else than what the head rule makes of its past.
    #[error(
        "block {}: it builds on {}, but the head rule makes {} of the blocks below it (P-20)",
        .block.short(12), .base.short(12), .expected.short(12)
    )]
    Head {
        /// The block.
        block: ObjectId,
        /// What it builds on.
        base: ObjectId,
        /// What the head rule makes.
        expected: ObjectId,
    },
    /// A verdict that is missing or does not count.
    #[error("checkpoint {height}: dapp '{dapp}': {reason}")]
    Verdict {
        /// The checkpoint.
        height: Height,
        /// The dapp.
        dapp: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A checkpoint without the votes that make it final.
    #[error("checkpoint {height}: certificate: {reason}")]
    Certificate {
        /// The checkpoint.
        height: Height,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A ref that contradicts the chain.
    #[error("{name}: {reason}")]
    Ref {
        /// The ref.
        name: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// An object that does not hold what its name says.
    #[error("object {id}{place}: {reason}")]
    Object {
        /// The object.
        id: ObjectId,
        /// Where it stands in the history, in brackets, if that can be told.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the object store that does not hold what was written.
    #[error("{file}: {reason}", file = .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The audit itself could not go on.
    #[error("the audit cannot go on: {0}")]
    Stuck(String),
}

impl From<LedgerError> for VerifyError {
    fn from(error: LedgerError) -> Self {
        Self::Structure(AuditError::Ledger(error))
    }
}

/// The finished audit.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The ledger.
    pub ledger: LedgerId,
    /// The height of main.
    pub height: Height,
    /// What was checked.
    pub counts: Counts,
}

/// Audits a ledger; `progress` is told the counts and the number of checkpoints as it goes on.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify(
    subject: Subject<'_>,
    mut progress: impl FnMut(&Counts, usize),
) -> Result<Verified, VerifyError> {
    let mut audit = Audit::new(subject.ledger, subject.refs.branch(), &subject.main)?;
    let id = audit.ledger_id();
    let total = audit.len();
    let mut walk = Walk {
        subject,
        id,
        chain: Chain::default(),
        counts: Counts::default(),
        previous: Vec::new(),
        open: BTreeMap::new(),
        recomputed: None,
    };
    while let Some(checkpoint) = audit.next_checkpoint()? {
        walk.checkpoint(checkpoint)?;
        progress(&walk.counts, total);
    }
    walk.certificate_of_main()?;
    walk.refs()?;
    Ok(Verified {
        ledger: id,
        height: walk.height(),
        counts: walk.counts,
    })
}

/// The audit as far as it has come.
struct Walk<'a> {
    subject: Subject<'a>,
    id: LedgerId,
    chain: Chain,
    counts: Counts,
    /// The last two checkpoints, the newer one last.
    previous: Vec<Rc<AuditedCheckpoint>>,
    /// The blocks that are listed and not disposed of.
    open: BTreeMap<ObjectId, BlockInPast>,
    recomputed: Option<heads::Recomputed>,
}

impl Walk<'_> {
    fn checkpoint(&mut self, found: &AuditedCheckpoint) -> Result<(), VerifyError> {
        self.counts.checkpoints += 1;
        self.counts.blocks += found.blocks.len() as u64;
        self.counts.operations += found
            .blocks
            .iter()
            .map(|block| block.operations.len() as u64)
            .sum::<u64>();
        self.counts.approvals += found.record.approvals.len() as u64;
        for block in &found.blocks {
            self.open.insert(block.block.id, block.clone());
        }
        for block in &found.blocks {
            self.head_below(block)?;
        }
        if let Some(base) = self.previous.last().cloned() {
            let before = self.previous.iter().rev().nth(1);
            self.counts.votes += certificate(self.id, found, &base, before.map(Rc::as_ref))?;
            self.evidence(found, &base)?;
            let failed = self.proof(found, &base)?;
            self.cut(found, &base, &failed)?;
        }
        for block in found.record.disposed() {
            self.open.remove(&block);
        }
        self.chain.push(found.checkpoint.id, &found.record);
        self.previous.push(Rc::new(found.clone()));
        if self.previous.len() > 2 {
            self.previous.remove(0);
        }
        Ok(())
    }

    fn evidence(
        &self,
        found: &AuditedCheckpoint,
        base: &AuditedCheckpoint,
    ) -> Result<(), VerifyError> {
        for evidence in &found.record.evidence {
            evidence
                .verify(self.id, &base.rules.roster)
                .map_err(|error| VerifyError::Cut {
                    height: found.checkpoint.height,
                    reason: format!("evidence against {}: {error}", evidence.member()),
                })?;
        }
        Ok(())
    }

    fn height(&self) -> Height {
        self.previous
            .last()
            .map_or(Height(0), |last| last.checkpoint.height)
    }

    /// The newest certificate lies in a ref: no later checkpoint carries it yet.
    fn certificate_of_main(&mut self) -> Result<(), VerifyError> {
        let [base, main] = self.previous.as_slice() else {
            return Ok(());
        };
        let at = main.checkpoint;
        let wrong = |reason: String| VerifyError::Certificate {
            height: at.height,
            reason,
        };
        let name = self.subject.refs.certificate();
        let blob = self
            .subject
            .claims
            .read_ref(&name)
            .map_err(LedgerError::from)?;
        let blob = blob.ok_or_else(|| {
            wrong(format!(
                "{name} is missing, expected the votes for main; fetch refs/gdo/* too"
            ))
        })?;
        let raw = self
            .subject
            .ledger
            .read_blob(&blob, CERTIFICATE_BYTES_MAX)?;
        let text = String::from_utf8(raw).map_err(|_| wrong(format!("{name} is no text")))?;
        let found: Certificate = gdo_core::canonical::from_str("certificate", &text)
            .map_err(|error| wrong(format!("{name}: {error}")))?;
        let votes = check_certificate(
            self.id,
            &found,
            at,
            base.checkpoint.id,
            &base.rules.policy.finality,
            &base.rules.roster,
        )?;
        self.counts.votes += votes;
        Ok(())
    }
}

/// The largest certificate that is read.
const CERTIFICATE_BYTES_MAX: u64 = 1 << 20;

/// The certificate of `base` that `found` carries; gives the number of votes.
fn certificate(
    ledger: LedgerId,
    found: &AuditedCheckpoint,
    base: &AuditedCheckpoint,
    before: Option<&AuditedCheckpoint>,
) -> Result<u64, VerifyError> {
    let height = base.checkpoint.height;
    let wrong = |reason: &str| VerifyError::Certificate {
        height,
        reason: reason.to_owned(),
    };
    match (&found.record.certificate, before) {
        (None, None) => Ok(0),
        (Some(_), None) => Err(wrong("genesis has one, expected none")),
        (None, Some(_)) => Err(wrong("the checkpoint after it carries none")),
        (Some(certificate), Some(before)) => check_certificate(
            ledger,
            certificate,
            base.checkpoint,
            before.checkpoint.id,
            &before.rules.policy.finality,
            &before.rules.roster,
        ),
    }
}

/// Checks that a certificate makes `of` final, by the rules of the checkpoint before it (P-31).
fn check_certificate(
    ledger: LedgerId,
    certificate: &Certificate,
    of: CheckpointRef,
    previous: ObjectId,
    finality: &Finality,
    roster: &Roster,
) -> Result<u64, VerifyError> {
    let wrong = |reason: String| VerifyError::Certificate {
        height: of.height,
        reason,
    };
    if certificate.kind != VoteKind::Finalize
        || certificate.height != of.height
        || certificate.value != Some(of.id)
    {
        return Err(wrong(format!(
            "it is of kind {} for height {}, expected F for {}",
            certificate.kind, certificate.height, of.id
        )));
    }
    let checked: Result<(), VoteError> = certificate.verify(ledger, previous, finality, roster);
    checked.map_err(|error| wrong(error.to_string()))?;
    Ok(certificate.votes.len() as u64)
}
