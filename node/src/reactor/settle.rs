//! Settling what a crash left: where `main` is, and what made it final.
//!
//! A checkpoint's refs move in one transaction, the certificate's first, but a crash may come between
//! two of them, and after a power loss either may be the older one. A certificate ahead of `main` is a
//! checkpoint that is final and only needs its ref; one behind it is made again from the node's logged
//! ballot, which is the same signature.
//!
//! **Invariants**: `main` never moves but to a checkpoint whose certificate verifies.

use gdo_core::canonical;
use gdo_core::id::{LedgerId, ObjectId};
use gdo_core::vote::{Certificate, MemberSignature, VoteKind};
use gdo_ledger::{Checkpoint, Ledger, LedgerError, RefEdit};

use crate::chain::Chain;
use crate::error::NodeError;
use crate::refs::Refs;
use crate::signer::Signer;

/// The largest certificate that is read.
const CERTIFICATE_BYTES_MAX: u64 = 1 << 20;

/// Where the ledger stands.
pub(super) struct Settled {
    pub(super) checkpoint: Checkpoint,
    pub(super) chain: Chain,
    /// What made the checkpoint final; genesis needs none.
    pub(super) certificate: Option<Certificate>,
}

/// Finds the newest checkpoint and its certificate, and brings their refs together.
///
/// # Errors
/// The ledger is damaged, or nothing shows that `main` is final.
pub(super) fn settle(
    ledger: &Ledger,
    refs: &Refs,
    signer: &mut Signer,
) -> Result<Settled, NodeError> {
    let main = read_ref(ledger, &refs.main())?.ok_or_else(|| {
        let dir = ledger.dir().display();
        NodeError::Refused(format!("{dir} is not a ledger: it has no {}", refs.main()))
    })?;
    let checkpoint = ledger.read_checkpoint(&main)?;
    let chain = read_chain(ledger, &checkpoint)?;
    let mut settled = Settled {
        checkpoint,
        chain,
        certificate: read_certificate(ledger, refs)?,
    };
    let value = settled.certificate.as_ref().and_then(|found| found.value);
    if value.is_some() && value != Some(main) {
        settled.follow(ledger, refs)?;
    }
    if settled.certificate.is_none() && settled.checkpoint.record.prev.is_some() {
        settled.certify(ledger, refs, signer)?;
    }
    Ok(settled)
}

impl Settled {
    fn ledger_id(&self) -> LedgerId {
        LedgerId(self.chain.genesis())
    }

    /// Moves `main` on to a checkpoint whose certificate a crash had left ahead, or drops a
    /// certificate that it had left behind.
    fn follow(&mut self, ledger: &Ledger, refs: &Refs) -> Result<(), NodeError> {
        let Some(certificate) = self.certificate.take() else {
            return Ok(());
        };
        let Some(value) = certificate.value else {
            return Ok(());
        };
        if self.chain.height_of(value).is_some() {
            return Ok(());
        }
        let (main, rules) = (self.checkpoint.id, &self.checkpoint.rules);
        let proof = certificate.verify(
            self.ledger_id(),
            main,
            &rules.policy.finality,
            &rules.roster,
        );
        let next = ledger.read_checkpoint(&value)?;
        if next.record.prev != Some(main) || proof.is_err() {
            return Err(NodeError::Refused(format!(
                "{} is at {main}, but {} is for {value}, which does not follow it; see 'gdo verify'",
                refs.main(),
                refs.certificate()
            )));
        }
        tracing::info!(height = %next.record.height, "main follows a certificate that a crash had left ahead");
        ledger.transaction(&[RefEdit::set(refs.main(), Some(main), value)])?;
        self.chain.push(value, &next.record);
        self.checkpoint = next;
        self.certificate = Some(certificate);
        Ok(())
    }

    /// Makes the certificate of `main` again from the logged ballot of the only validator.
    fn certify(
        &mut self,
        ledger: &Ledger,
        refs: &Refs,
        signer: &mut Signer,
    ) -> Result<(), NodeError> {
        let main = self.checkpoint.id;
        let missing = || {
            NodeError::Refused(format!(
                "nothing shows that {main} is final: {} is missing or old; fetch it from another copy",
                refs.certificate()
            ))
        };
        let is_ours = |ballot: &&gdo_core::vote::Ballot| {
            ballot.kind == VoteKind::Finalize && ballot.value == Some(main)
        };
        let ballot = *signer.ballots().iter().find(is_ours).ok_or_else(missing)?;
        let vote = signer.sign_vote(&ballot)?;
        let signature = MemberSignature {
            member: vote.member,
            signature: vote.signature,
        };
        let certificate = Certificate::new(&ballot, [signature]);
        let previous = ledger.read_checkpoint(&ballot.previous)?;
        let (finality, roster) = (&previous.rules.policy.finality, &previous.rules.roster);
        certificate
            .verify(self.ledger_id(), previous.id, finality, roster)
            .map_err(|_| missing())?;
        tracing::info!(height = %ballot.height, "made a certificate again that a crash had left behind");
        let proof = ledger.write_blob(canonical::to_string(&certificate).as_bytes())?;
        let old = read_ref(ledger, &refs.certificate())?;
        ledger.transaction(&[RefEdit::set(refs.certificate(), old, proof)])?;
        self.certificate = Some(certificate);
        Ok(())
    }
}

fn read_ref(ledger: &Ledger, name: &str) -> Result<Option<ObjectId>, NodeError> {
    Ok(ledger.read_ref(name).map_err(LedgerError::from)?)
}

/// The certificate of the newest checkpoint; genesis has none.
fn read_certificate(ledger: &Ledger, refs: &Refs) -> Result<Option<Certificate>, NodeError> {
    let name = refs.certificate();
    let Some(blob) = ledger.read_ref(&name).map_err(LedgerError::from)? else {
        return Ok(None);
    };
    let raw = ledger.read_blob(&blob, CERTIFICATE_BYTES_MAX)?;
    let text = String::from_utf8(raw)
        .map_err(|_| NodeError::Refused(format!("{name} holds no text; see 'gdo verify'")))?;
    Ok(Some(canonical::from_str("certificate", &text)?))
}

/// Walks the records from the newest checkpoint to genesis.
fn read_chain(ledger: &Ledger, newest: &Checkpoint) -> Result<Chain, NodeError> {
    let mut records = vec![(newest.id, newest.record.clone())];
    while let Some(prev) = records.last().and_then(|(_, record)| record.prev) {
        let tree = ledger.read_commit(&prev)?.tree;
        records.push((prev, ledger.read_record(&tree)?));
    }
    Ok(Chain::new(records.into_iter().rev()))
}
