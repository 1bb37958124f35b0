//! Whether the verdicts of a checkpoint prove what it merged (P-23 to P-28).
//!
//! The inputs are projected again from the trees themselves; a verdict that is about anything else
//! does not count. What a dapp must judge follows from the rules of the checkpoint before.

use std::collections::{BTreeMap, BTreeSet};

use gdo_consensus::cut::Prefix;
use gdo_core::block::BlockInPast;
use gdo_core::checkpoint::Reason;
use gdo_core::dapp::Scope;
use gdo_core::delta::{Entry, Operation};
use gdo_core::guard;
use gdo_core::id::{DappName, ObjectId, Weight};
use gdo_core::path::RepoPath;
use gdo_core::verdict::{Outcome, VerdictCertificate, VerdictKey};
use gdo_ledger::audit::AuditedCheckpoint;
use gdo_ledger::{Dapp, Rules};

use super::{VerifyError, Walk};
use crate::context;
use crate::judge::Job;

impl Walk<'_> {
    /// Checks all verdicts of a checkpoint; gives the candidates whose fail it proves.
    pub(super) fn proof(
        &mut self,
        found: &AuditedCheckpoint,
        base: &AuditedCheckpoint,
    ) -> Result<BTreeSet<Prefix>, VerifyError> {
        let proof = Proof {
            found,
            base,
            verdicts: self.verdicts(found, base)?,
        };
        let mut included = Vec::new();
        for listed in &found.record.included {
            included.push(self.block(found, &listed.block)?.clone());
        }
        let paths = |block: &BlockInPast| -> Vec<RepoPath> {
            block
                .operations
                .iter()
                .map(|operation| operation.path.clone())
                .collect()
        };
        let touched: Vec<RepoPath> = included.iter().flat_map(&paths).collect();
        for name in base.rules.policy.dapps_for(&touched) {
            let dapp = proof.dapp(&name)?;
            match dapp.manifest.validator.scope {
                Scope::Checkpoint => {
                    let job = self.job(&proof, &name, dapp, &[], &included)?;
                    self.judged(&proof, &name, &job, Outcome::Pass)?;
                }
                Scope::Block => {
                    for (at, block) in included.iter().enumerate() {
                        if base.rules.policy.dapps_for(&paths(block)).contains(&name) {
                            let job =
                                self.job(&proof, &name, dapp, &included[..at], &included[at..=at])?;
                            self.judged(&proof, &name, &job, Outcome::Pass)?;
                        }
                    }
                }
            }
        }
        self.failed(&proof, &included)
    }

    /// Each block that is aside as `dapp` must have failed with some of the included ones before it.
    fn failed(
        &mut self,
        proof: &Proof<'_>,
        included: &[BlockInPast],
    ) -> Result<BTreeSet<Prefix>, VerifyError> {
        let mut failed = BTreeSet::new();
        for aside in proof
            .found
            .record
            .aside
            .iter()
            .filter(|aside| aside.reason == Reason::Dapp)
        {
            let block = self.block(proof.found, &aside.block)?.clone();
            let Some(before) = self.failing(proof, included, &block)? else {
                return Err(VerifyError::Cut {
                    height: proof.found.checkpoint.height,
                    reason: format!("no dapp is certified to fail block {}", aside.block),
                });
            };
            let prefix = included[..before]
                .iter()
                .fold(Prefix::empty(proof.base.checkpoint.id), |prefix, block| {
                    prefix.with(block.block.id)
                });
            failed.insert(prefix.with(aside.block));
        }
        Ok(failed)
    }

    /// The number of included blocks before `block` with which a dapp failed it.
    fn failing(
        &mut self,
        proof: &Proof<'_>,
        included: &[BlockInPast],
        block: &BlockInPast,
    ) -> Result<Option<usize>, VerifyError> {
        let names: BTreeSet<DappName> = proof
            .verdicts
            .keys()
            .filter(|(_, _, outcome)| *outcome == Outcome::Fail)
            .map(|(name, _, _)| name.clone())
            .collect();
        for name in names {
            let dapp = proof.dapp(&name)?;
            for before in (0..=included.len()).rev() {
                let mut judged = included[..before].to_vec();
                let job = match dapp.manifest.validator.scope {
                    Scope::Checkpoint => {
                        judged.push(block.clone());
                        self.job(proof, &name, dapp, &[], &judged)?
                    }
                    Scope::Block => {
                        self.job(proof, &name, dapp, &judged, std::slice::from_ref(block))?
                    }
                };
                let key = self.key(&job)?;
                if proof
                    .verdicts
                    .contains_key(&(name.clone(), key, Outcome::Fail))
                {
                    self.judged(proof, &name, &job, Outcome::Fail)?;
                    return Ok(Some(before));
                }
            }
        }
        Ok(None)
    }

    fn block(&self, found: &AuditedCheckpoint, id: &ObjectId) -> Result<&BlockInPast, VerifyError> {
        self.open.get(id).ok_or_else(|| VerifyError::Cut {
            height: found.checkpoint.height,
            reason: format!("block {id} is not known"),
        })
    }

    /// The verdicts that a record carries, each with enough weight of runners behind it.
    fn verdicts<'a>(
        &mut self,
        found: &'a AuditedCheckpoint,
        base: &AuditedCheckpoint,
    ) -> Result<Verdicts<'a>, VerifyError> {
        let mut verdicts = BTreeMap::new();
        for certificate in &found.record.verdicts {
            let wrong = |dapp: &str, reason: String| VerifyError::Verdict {
                height: found.checkpoint.height,
                dapp: dapp.to_owned(),
                reason,
            };
            let statement = certificate
                .statement()
                .map_err(|error| wrong("(unknown)", error.to_string()))?;
            let name = statement.dapp.clone();
            let wrong = |reason: String| wrong(name.as_str(), reason);
            if statement.ledger != self.id {
                return Err(wrong(format!(
                    "its verdict is of ledger {}",
                    statement.ledger
                )));
            }
            certificate
                .verify_signatures()
                .map_err(|error| wrong(error.to_string()))?;
            weigh(&base.rules, &name, certificate, statement.outcome).map_err(wrong)?;
            self.counts.verdicts += certificate.signers.len() as u64;
            verdicts.insert(
                (statement.dapp, statement.key, statement.outcome),
                certificate,
            );
        }
        Ok(verdicts)
    }

    /// What a dapp had to judge.
    fn job(
        &self,
        proof: &Proof<'_>,
        name: &DappName,
        dapp: &Dapp,
        before: &[BlockInPast],
        judged: &[BlockInPast],
    ) -> Result<Job, VerifyError> {
        let tree = proof.base.tree;
        let ledger = self.subject.ledger;
        let dapp_digest = dapp.digest().ok_or_else(|| {
            proof.wrong(
                name,
                format!("{}/index.json is missing", dapp.manifest.image_dir()),
            )
        })?;
        Ok(Job {
            manifest: dapp.manifest.clone(),
            dapp_digest,
            image_tree: tree,
            base: ledger.apply(&tree, &delta_of(before.iter()))?,
            candidate: ledger.apply(&tree, &delta_of(before.iter().chain(judged)))?,
            context: context::of(
                self.id,
                &dapp.manifest.validator,
                proof.base.record.ledger_time,
                &proof.base.rules.roster,
                judged,
            ),
        })
    }

    fn key(&self, job: &Job) -> Result<VerdictKey, VerifyError> {
        let reads = &job.manifest.validator.reads;
        let context = job.context.to_json();
        let input = self
            .subject
            .ledger
            .input_tree(&job.base, &job.candidate, reads, &context)?;
        Ok(VerdictKey {
            dapp_digest: job.dapp_digest,
            input,
        })
    }

    /// The verdict of a job must be there, and come out again if it is asked for.
    fn judged(
        &mut self,
        proof: &Proof<'_>,
        name: &DappName,
        job: &Job,
        outcome: Outcome,
    ) -> Result<(), VerifyError> {
        let key = self.key(job)?;
        if !proof.verdicts.contains_key(&(name.clone(), key, outcome)) {
            let word = if outcome == Outcome::Pass {
                "pass"
            } else {
                "fail"
            };
            return Err(proof.wrong(name, format!("no {word} verdict on input {}", key.input)));
        }
        let Some(judge) = self.subject.rerun else {
            return Ok(());
        };
        let again = judge.run(job, key).and_then(|judged| judged.result);
        self.counts.reruns += 1;
        match again {
            Ok(found) if found == outcome => Ok(()),
            Ok(found) => Err(proof.wrong(
                name,
                format!(
                    "it says {found:?} on input {}, certified is {outcome:?}",
                    key.input
                )
                .to_lowercase(),
            )),
            Err(reason) => Err(VerifyError::Stuck(format!(
                "dapp '{name}' cannot be run again: {reason}"
            ))),
        }
    }
}

type Verdicts<'a> = BTreeMap<(DappName, VerdictKey, Outcome), &'a VerdictCertificate>;

/// The verdicts of one checkpoint.
struct Proof<'a> {
    found: &'a AuditedCheckpoint,
    base: &'a AuditedCheckpoint,
    verdicts: Verdicts<'a>,
}

impl<'a> Proof<'a> {
    fn wrong(&self, dapp: &DappName, reason: String) -> VerifyError {
        let height = self.found.checkpoint.height;
        VerifyError::Verdict {
            height,
            dapp: dapp.to_string(),
            reason,
        }
    }

    fn dapp(&self, name: &DappName) -> Result<&'a Dapp, VerifyError> {
        let found = self.base.rules.dapps.get(name);
        found.ok_or_else(|| self.wrong(name, "it is not in the ledger".to_owned()))
    }
}

/// Whether runners of enough weight signed, each with a key in force (P-27).
fn weigh(
    rules: &Rules,
    name: &DappName,
    certificate: &VerdictCertificate,
    outcome: Outcome,
) -> Result<(), String> {
    let manifest = &rules
        .dapps
        .get(name)
        .ok_or("it is not in the ledger")?
        .manifest;
    let mut total = Weight(0);
    let mut last = None;
    for signer in &certificate.signers {
        if last
            .replace(&signer.member)
            .is_some_and(|last| *last >= signer.member)
        {
            return Err(format!("its signers are not sorted at {}", signer.member));
        }
        let weight = guard::runner_weight(manifest, &rules.policy, &signer.member);
        let weight =
            weight.ok_or_else(|| format!("{} is not one of its runners", signer.member))?;
        match rules.roster.active_owner_of(&signer.key) {
            Some((owner, _)) if *owner == signer.member => total.0 += weight.0,
            _ => {
                return Err(format!(
                    "{} is no key in force of {}",
                    signer.key.fingerprint(),
                    signer.member
                ));
            }
        }
    }
    let (_, k_pass, k_fail) = guard::thresholds(manifest, &rules.policy);
    let needed = if outcome == Outcome::Pass {
        k_pass
    } else {
        k_fail
    };
    if total >= needed {
        return Ok(());
    }
    Err(format!(
        "runners of weight {total} signed, expected {needed}"
    ))
}

/// What blocks make of a tree, one operation a path.
fn delta_of<'a>(blocks: impl Iterator<Item = &'a BlockInPast>) -> Vec<Operation> {
    let mut last: BTreeMap<&RepoPath, Option<Entry>> = BTreeMap::new();
    for block in blocks {
        last.extend(
            block
                .operations
                .iter()
                .map(|operation| (&operation.path, operation.new)),
        );
    }
    let operation = |(path, new): (&RepoPath, _)| Operation {
        path: path.clone(),
        old: None,
        new,
    };
    last.into_iter().map(operation).collect()
}
