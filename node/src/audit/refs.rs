//! Whether the refs say what the chain says (P-42).

use gdo_core::id::ObjectId;
use gdo_core::verdict::Statement;
use gdo_ledger::LedgerError;

use super::{VerifyError, Walk};

/// The most files of attestations of one member that are listed.
const ATTESTATIONS_MAX: usize = 10_000_000;

impl Walk<'_> {
    /// Checks the refs of blocks, proposals and attestations; the certificate has its own check.
    pub(super) fn refs(&mut self) -> Result<(), VerifyError> {
        for (name, tip) in self.list(&self.subject.refs.blocks())? {
            self.chain_tip(&name, tip)?;
        }
        for (name, tip) in self.list(&self.subject.refs.proposals())? {
            self.proposal(&name, tip)?;
        }
        let below = format!("refs/gdo/{}/att/", self.subject.refs.branch());
        for (name, tip) in self.list(&below)? {
            self.attestations(&name, tip)?;
        }
        Ok(())
    }

    fn list(&mut self, below: &str) -> Result<Vec<(String, ObjectId)>, VerifyError> {
        let found = self
            .subject
            .claims
            .list_refs(below)
            .map_err(LedgerError::from)?;
        self.counts.refs += found.len() as u64;
        Ok(found)
    }

    /// The tip of a chain is a block of the key and member that the ref names.
    fn chain_tip(&self, name: &str, tip: ObjectId) -> Result<(), VerifyError> {
        let wrong = |reason: String| VerifyError::Ref {
            name: name.to_owned(),
            reason,
        };
        let block = self
            .subject
            .ledger
            .read_block(&tip)
            .map_err(|e| wrong(e.to_string()))?;
        let expected = self.subject.refs.block(&block.author, block.key_id());
        if expected != name {
            return Err(wrong(format!("it is at a block of {expected}")));
        }
        let roster = self.previous.last().map(|main| &main.rules.roster);
        match roster.and_then(|roster| roster.owner_of(&block.key)) {
            Some((owner, _)) if *owner == block.author => Ok(()),
            _ => Err(wrong(format!("{} has no such key", block.author))),
        }
    }

    /// An open proposal is named after its tip and did not end.
    fn proposal(&self, name: &str, tip: ObjectId) -> Result<(), VerifyError> {
        let wrong = |reason: String| VerifyError::Ref {
            name: name.to_owned(),
            reason,
        };
        if self.subject.refs.proposal(tip) != name {
            return Err(wrong(format!("it is at {tip}")));
        }
        self.subject.ledger.read_commit(&tip)?;
        match self.chain.proposal_end(tip) {
            None => Ok(()),
            Some((end, height)) => Err(wrong(
                format!("it is open, but checkpoint {height} says {end:?}").to_lowercase(),
            )),
        }
    }

    /// Every attestation holds the verdict that its place names, signed by a key of its member.
    fn attestations(&mut self, name: &str, tip: ObjectId) -> Result<(), VerifyError> {
        let wrong = |reason: String| VerifyError::Ref {
            name: name.to_owned(),
            reason,
        };
        let ledger = self.subject.ledger;
        for key in ledger.attested(&tip, ATTESTATIONS_MAX)? {
            let Some(raw) = ledger.read_attestation(&tip, &key, "verdict.json")? else {
                continue;
            };
            let text = String::from_utf8(raw).map_err(|_| wrong("a verdict is no text".into()))?;
            let statement = Statement::parse(&text).map_err(|error| wrong(error.to_string()))?;
            if statement.key != key || statement.ledger != self.id {
                return Err(wrong(format!(
                    "the verdict on input {} is about another",
                    key.input
                )));
            }
            let armor = ledger
                .read_attestation(&tip, &key, "verdict.sig")?
                .unwrap_or_default();
            let armor = String::from_utf8_lossy(&armor);
            let checked = gdo_core::key::ArmoredSignature::parse(&armor).and_then(|signature| {
                signature.verify(gdo_core::key::NAMESPACE_VERDICT, text.as_bytes())
            });
            checked.map_err(|error| wrong(format!("verdict on input {}: {error}", key.input)))?;
            self.counts.verdicts += 1;
        }
        Ok(())
    }
}
