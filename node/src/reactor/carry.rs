//! Carrying out the machine's effects, in their order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gdo_consensus::cut::Content;
use gdo_consensus::facts::BlockFacts;
use gdo_consensus::machine::{AttemptId, Effect, Input, NextBase};
use gdo_consensus::verdicts::{JobId, Judgement, Question};
use gdo_core::block::{BlockInPast, CheckpointRef};
use gdo_core::canonical;
use gdo_core::checkpoint::{CheckpointRecord, EVIDENCE_DIR, validators_digest};
use gdo_core::delta::{Delta, Entry, Mode, Operation};
use gdo_core::id::{Digest, MemberName, ObjectId};
use gdo_core::roster::{Status, file_of};
use gdo_core::verdict::{Report, Statement, VerdictKey};
use gdo_core::vote::Certificate;
use gdo_ledger::{CheckpointPlan, LedgerError, RefEdit};

use super::load::base_of;
use super::state::{Asked, Run, State};
use crate::context;
use crate::error::NodeError;
use crate::facts;
use crate::fault;
use crate::judge::{Job, Judged};
use crate::soundness;
use crate::stage::Stage;

use super::Event;

/// How long the sandbox's helpers are kept for the next run.
const HELPERS_KEPT: Duration = Duration::from_secs(30);

impl State {
    /// Carries effects out, and what follows from them.
    pub(super) fn carry(&mut self, effects: Vec<Effect>) -> Result<(), NodeError> {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            if let Some(input) = self.carry_one(effect)? {
                queue.extend(self.machine.step(self.now(), input));
            }
        }
        Ok(())
    }

    /// Carries one effect out; gives the input that answers it at once.
    fn carry_one(&mut self, effect: Effect) -> Result<Option<Input>, NodeError> {
        match effect {
            Effect::HeadChanged => self.head_is_stale = true,
            Effect::Judge { job, question } => self.judge(job, &question)?,
            Effect::Build { attempt, content } => return self.build(attempt, &content).map(Some),
            Effect::Sign(ballot) => {
                let _stage = Stage::begin("log and sign a vote");
                return Ok(Some(Input::Vote(self.signer.sign_vote(&ballot)?)));
            }
            Effect::Arm { timer, after_ms } => {
                self.timers
                    .insert(timer, Instant::now() + Duration::from_millis(after_ms));
            }
            Effect::Finalize {
                checkpoint,
                certificate,
            } => self.finalize(checkpoint, &certificate)?,
            Effect::Refresh(blocks) => {
                for id in blocks {
                    if let Some(block) = self.blocks.get(&id).cloned() {
                        let facts = self.facts_of(block)?;
                        self.step(Input::Block(Box::new(facts)))?;
                    }
                }
            }
            Effect::Load { value } => {
                let next = self.next_base(value, Delta::new())?;
                return Ok(Some(Input::Loaded(Box::new(next))));
            }
            // One validator has nobody to send to; its logged ballots are the certificate.
            Effect::Broadcast(_) | Effect::Keep(_) => {}
            Effect::Check { .. } | Effect::Missing(_) | Effect::Evidence(_) => {
                tracing::warn!(?effect, "an effect that needs other nodes");
            }
            Effect::Refused(error) => {
                return Err(NodeError::Refused(format!(
                    "the node gave wrong facts: {error}"
                )));
            }
            Effect::Forked(certificate) => {
                tracing::error!(height = %certificate.height, "the ledger is forked: main stays where it is");
                self.warnings
                    .push(format!("forked at height {}", certificate.height));
            }
        }
        Ok(None)
    }

    /// What the ledger says of a block as of K.
    pub(super) fn facts_of(&self, block: BlockInPast) -> Result<BlockFacts, NodeError> {
        let in_window = |id: &ObjectId| self.blocks.contains_key(id);
        let known = Arc::clone(&self.known);
        let (base, tree) = (self.base(), self.checkpoint.tree);
        let facts = known.read(|commits| {
            facts::gather(&self.ledger, &commits.chain, base, tree, &in_window, block)
        });
        Ok(facts?)
    }

    /// Counts a block to the window.
    pub(super) fn remember(&mut self, block: BlockInPast) {
        let id = block.block.id;
        let height = block.block.trailers.final_checkpoint.height;
        self.known
            .write(|commits| commits.window.insert(id, height));
        self.blocks.insert(id, block);
    }

    /// Turns a question into a job for the judges.
    pub(super) fn job(
        &self,
        question: &Question,
        extra: Option<&BlockInPast>,
    ) -> Result<Job, NodeError> {
        let dapp = self
            .checkpoint
            .rules
            .dapps
            .get(&question.dapp)
            .ok_or_else(|| {
                NodeError::Refused(format!("dapp '{}' is not in the ledger", question.dapp))
            })?;
        let tree = self.checkpoint.tree;
        let block = |id: &ObjectId| {
            let imagined = extra.filter(|block| block.block.id == *id);
            imagined.or_else(|| self.blocks.get(id))
        };
        let context = context::of(
            self.ledger_id,
            &dapp.manifest.validator,
            question.time,
            &self.checkpoint.rules.roster,
            question.blocks.iter().filter_map(block),
        );
        Ok(Job {
            manifest: dapp.manifest.clone(),
            dapp_digest: question.digest,
            image_tree: tree,
            base: self.ledger.apply(&tree, &question.base_delta)?,
            candidate: self.ledger.apply(&tree, &question.delta)?,
            context,
        })
    }

    fn judge(&mut self, id: JobId, question: &Question) -> Result<(), NodeError> {
        let job = self.job(question, None)?;
        for block in &question.blocks {
            if let Some(proposal) = self.proposal_of(block) {
                self.watchers
                    .transient(proposal, &format!("gdo:   {} is judging", question.dapp));
            }
        }
        let asked = Asked {
            dapp: question.dapp.clone(),
            digest: question.digest,
            blocks: question.blocks.clone(),
            judged: None,
        };
        self.asked.insert(id, asked);
        let events = self.events.clone();
        self.judges.judge(job, move |judged| {
            // A reactor that is gone needs no answer.
            let _ = events.send(Event::Judged(id, Box::new(judged)));
        });
        Ok(())
    }

    /// Takes a judge's answer: signs it and gives it to the machine.
    pub(crate) fn judged(&mut self, job: JobId, mut judged: Judged) -> Result<(), NodeError> {
        let Some(asked) = self.asked.get(&job) else {
            return Ok(());
        };
        fault::point("judged");
        self.cool_at = Some(Instant::now() + HELPERS_KEPT);
        let (dapp, blocks) = (asked.dapp.clone(), asked.blocks.clone());
        let dapp_digest = asked.digest;
        let mut judgement = Judgement::Inconclusive;
        let mut signed = None;
        if let (Some(key), Ok(outcome)) = (judged.key, &judged.result) {
            let statement = Statement {
                ledger: self.ledger_id,
                dapp: dapp.clone(),
                key,
                outcome: *outcome,
            };
            match self.signer.sign_verdict(&statement) {
                Ok(signature) => {
                    signed = Some((statement, signature.clone()));
                    judgement = Judgement::Verdict {
                        outcome: *outcome,
                        signatures: vec![signature],
                    };
                }
                Err(NodeError::Refused(reason)) => judged.result = Err(reason),
                Err(error) => return Err(error),
            }
        }
        if judgement == Judgement::Inconclusive {
            self.tell_inconclusive(&dapp, &blocks, &judged);
        }
        let key = judged.key;
        if let Some(record) = judged.run.clone() {
            let problems = judged.problems.clone();
            let log = judged.output.clone();
            self.unattested.push(Run {
                record,
                verdict: signed,
                report: Report { problems },
                log,
            });
        }
        if let Some(asked) = self.asked.get_mut(&job) {
            asked.judged = Some(judged);
        }
        // Of what could not even be projected there is no key, and an inconclusive answer needs none.
        let input = self.checkpoint.tree;
        let key = key.unwrap_or(VerdictKey { dapp_digest, input });
        self.step(Input::Judged {
            job,
            key,
            judgement,
        })
    }

    pub(super) fn proposal_of(&self, block: &ObjectId) -> Option<ObjectId> {
        self.blocks.get(block)?.block.trailers.proposal
    }

    /// Writes a checkpoint's objects, unless its tree would lock the ledger (P-35).
    fn build(&mut self, attempt: AttemptId, content: &Content) -> Result<Input, NodeError> {
        let _stage = Stage::begin("build the checkpoint");
        let mut delta = content.delta.clone();
        for suspension in &content.suspend {
            self.suspend(&mut delta, &suspension.member)?;
        }
        let mut record = content.record.clone();
        for evidence in &record.evidence {
            let text = canonical::to_string(evidence) + "\n";
            let id = self.ledger.write_blob(text.as_bytes())?;
            let path = format!("{EVIDENCE_DIR}/{id}.json").parse()?;
            delta.push(Operation {
                path,
                old: None,
                new: Some(Entry {
                    mode: Mode::File,
                    id,
                }),
            });
        }
        delta.sort();
        if delta
            .iter()
            .any(|operation| operation.path.is_within(".gdo"))
        {
            let tree = self.ledger.apply(&self.checkpoint.tree, &delta)?;
            match self.rules_after(&tree) {
                Ok(Some(policy_digest)) => record.validators = policy_digest,
                Ok(None) => {}
                Err(reason) => {
                    tracing::warn!(%reason, "a change of the rules would lock the ledger");
                    self.warnings.push(reason);
                    return Ok(Input::Unsound { attempt });
                }
            }
        }
        let id = self.ledger.write_checkpoint(&CheckpointPlan {
            ledger: self.ledger_id,
            previous: self.checkpoint.id,
            delta: &delta,
            record: &record,
            tips: &content.tips,
            anchored: &content.anchored,
        })?;
        fault::point("checkpoint written");
        let next = self.next_base_with(id, delta, &record)?;
        Ok(Input::Built {
            attempt,
            next: Box::new(next),
        })
    }

    /// Suspends a member in its roster file.
    fn suspend(&self, delta: &mut Delta, member: &MemberName) -> Result<(), NodeError> {
        let Some(found) = self.checkpoint.rules.roster.get(member) else {
            return Ok(());
        };
        let mut suspended = found.clone();
        suspended.status = Status::Suspended;
        let id = self.ledger.write_blob(suspended.to_toml().as_bytes())?;
        let path: gdo_core::path::RepoPath = file_of(member).parse()?;
        delta.retain(|operation| operation.path != path);
        delta.push(Operation {
            path,
            old: None,
            new: Some(Entry {
                mode: Mode::File,
                id,
            }),
        });
        Ok(())
    }

    /// Checks the rules of a tree; gives the digest of its validator set if the policy changed.
    fn rules_after(&self, tree: &ObjectId) -> Result<Option<Digest>, String> {
        let rules = self
            .ledger
            .read_rules(tree)
            .map_err(|error| error.to_string())?;
        soundness::check_rules(&self.checkpoint.rules, &rules).map_err(|refusal| refusal.reason)?;
        if let Some(dapp) = rules.dapps.values().find(|dapp| dapp.image.is_none()) {
            return Err(format!(
                "{}/index.json is missing",
                dapp.manifest.image_dir()
            ));
        }
        let changed = rules.policy != self.checkpoint.rules.policy;
        Ok(changed.then(|| validators_digest(&rules.policy.finality)))
    }

    fn next_base(&self, id: ObjectId, delta: Delta) -> Result<NextBase, NodeError> {
        let checkpoint = self.ledger.read_checkpoint(&id)?;
        Ok(NextBase {
            base: base_of(self.ledger_id, &checkpoint)?,
            delta,
        })
    }

    fn next_base_with(
        &self,
        id: ObjectId,
        mut delta: Delta,
        record: &CheckpointRecord,
    ) -> Result<NextBase, NodeError> {
        delta.push(self.ledger.record_operation(record)?);
        delta.sort();
        self.next_base(id, delta)
    }

    /// Moves `main` to a checkpoint that is final, and tells those who wait for it.
    fn finalize(
        &mut self,
        checkpoint: CheckpointRef,
        certificate: &Certificate,
    ) -> Result<(), NodeError> {
        fault::point("decided");
        let refs = self.known.refs().clone();
        let next = self.ledger.read_checkpoint(&checkpoint.id)?;
        let proof = self
            .ledger
            .write_blob(canonical::to_string(certificate).as_bytes())?;
        let read = |name: &str| self.ledger.read_ref(name).map_err(LedgerError::from);
        let (proven, head) = (read(&refs.certificate())?, read(&refs.head())?);
        // The certificate first: one that is ahead of main is carried on from at the next start. The
        // head of what is left over the checkpoint is computed when it is asked for; until then it is
        // the checkpoint, and never something older than main.
        let mut edits = vec![
            RefEdit::set(refs.certificate(), proven, proof),
            RefEdit::set(refs.main(), Some(self.checkpoint.id), next.id),
            RefEdit::set(refs.head(), head, next.id),
        ];
        let disposed: Vec<ObjectId> = next.record.disposed().collect();
        let ended = disposed.iter().filter_map(|block| self.proposal_of(block));
        edits.extend(ended.map(|id| RefEdit::remove(refs.proposal(id), id)));
        let stage = Stage::begin("move the refs");
        self.ledger.transaction(&edits)?;
        drop(stage);
        fault::point("main moved");
        tracing::info!(height = %checkpoint.height, id = %checkpoint.id, included = next.record.included.len(),
            aside = next.record.aside.len(), "final");
        self.known.write(|commits| {
            commits.chain.push(next.id, &next.record);
            commits.heads.clear();
            for block in &disposed {
                commits.window.remove(block);
            }
        });
        let roster_changed = next.rules.roster != self.checkpoint.rules.roster;
        self.known.set_rules(next.rules.clone());
        self.head = next.id;
        self.checkpoint = next;
        if roster_changed {
            self.export_signers()?;
            fault::point("signers exported");
        }
        self.tell_disposed(&disposed);
        for block in disposed {
            self.blocks.remove(&block);
        }
        let blocks = &self.blocks;
        self.asked
            .retain(|_, asked| asked.blocks.iter().any(|block| blocks.contains_key(block)));
        self.head_is_stale = true;
        self.tell_waiting();
        Ok(())
    }
}
