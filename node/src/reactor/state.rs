//! What the node holds: the machine, the checkpoint in force, the window, the key.
//!
//! **Invariants**: `checkpoint` is the machine's K; `blocks` are the blocks of the machine's window.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use gdo_consensus::machine::{Effect, Input, Machine, Millis, Timer};
use gdo_consensus::verdicts::JobId;
use gdo_core::block::{BlockInPast, CheckpointRef};
use gdo_core::canonical;
use gdo_core::id::{DappName, Digest, LedgerId, ObjectId};
use gdo_core::key::{NAMESPACE_VERDICT, armor};
use gdo_core::verdict::{Report, RunRecord, RunnerSignature, Statement, VerdictKey};
use gdo_ledger::{Attestation, Checkpoint, Ledger, RefEdit};

use super::Event;
use super::news::Watchers;
use crate::clock::{Clocks, wall_seconds};
use crate::dir::NodeDir;
use crate::error::NodeError;
use crate::facts;
use crate::fault;
use crate::judge::{Judged, Judges};
use crate::known::Known;
use crate::signer::Signer;

/// A question that a judge works on, or has answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) dapp: DappName,
    pub(super) digest: Digest,
    pub(super) blocks: Vec<ObjectId>,
    pub(super) judged: Option<Judged>,
}

/// A run of a validator, to be kept in the node's `att` ref (P-25).
#[derive(Debug)]
pub(super) struct Run {
    pub(super) record: RunRecord,
    pub(super) verdict: Option<(Statement, RunnerSignature)>,
    pub(super) report: Report,
    pub(super) log: String,
}

/// The state of a node.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) dir: NodeDir,
    pub(super) ledger: Arc<Ledger>,
    pub(super) ledger_id: LedgerId,
    pub(super) known: Arc<Known>,
    pub(super) machine: Machine,
    pub(super) signer: Signer,
    pub(super) judges: Judges,
    pub(super) clocks: Clocks,
    pub(super) events: SyncSender<Event>,
    /// K.
    pub(super) checkpoint: Checkpoint,
    /// The blocks of the window.
    pub(super) blocks: BTreeMap<ObjectId, BlockInPast>,
    /// The newest block of this node's key.
    pub(super) own_tip: Option<ObjectId>,
    /// What the head ref says, and whether the plan has changed since.
    pub(super) head: ObjectId,
    pub(super) head_is_stale: bool,
    pub(super) watchers: Watchers,
    pub(super) asked: BTreeMap<JobId, Asked>,
    /// Runs whose records are not in the `att` ref yet.
    pub(super) unattested: Vec<Run>,
    pub(super) timers: BTreeMap<Timer, Instant>,
    /// When the sandbox's helpers have been idle for long enough.
    pub(super) cool_at: Option<Instant>,
    /// Effects that the machine gave at the start.
    pub(super) first: Vec<Effect>,
    pub(super) urls: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl State {
    /// What every thread may know.
    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Remembers where git is served.
    pub(crate) fn set_urls(&mut self, urls: Vec<String>) {
        self.urls = urls;
    }

    /// K by height and id.
    pub(super) fn base(&self) -> CheckpointRef {
        CheckpointRef {
            height: self.checkpoint.record.height,
            id: self.checkpoint.id,
        }
    }

    pub(super) fn now(&self) -> Millis {
        self.clocks.now()
    }

    /// Carries the machine's first effects out, now that the window is loaded.
    pub(crate) fn begin(&mut self) -> Result<(), NodeError> {
        let first = std::mem::take(&mut self.first);
        self.carry(first)
    }

    /// Gives the machine an input and carries out what follows from it.
    pub(super) fn step(&mut self, input: Input) -> Result<(), NodeError> {
        let effects = self.machine.step(self.now(), input);
        self.carry(effects)
    }

    /// How long the next event may be waited for.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let next = self.timers.values().chain(&self.cool_at).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Gives the machine the timers that are due.
    pub(crate) fn fire_timers(&mut self) -> Result<(), NodeError> {
        let now = Instant::now();
        if self.cool_at.is_some_and(|due| due <= now) {
            self.cool_at = None;
            self.judges.cool();
        }
        while let Some((&timer, _)) = self.timers.iter().find(|(_, due)| **due <= now) {
            self.timers.remove(&timer);
            self.step(Input::Timer(timer))?;
        }
        Ok(())
    }

    /// Does what nobody waits for: brings the head's ref up to date and keeps the records of runs.
    pub(crate) fn idle(&mut self) -> Result<(), NodeError> {
        self.head()?;
        self.attest()
    }

    /// Adds the runs since the last time to the node's `att` ref.
    fn attest(&mut self) -> Result<(), NodeError> {
        if self.unattested.is_empty() {
            return Ok(());
        }
        let name = self.known.refs().attestations(self.signer.member());
        let old = self
            .ledger
            .read_ref(&name)
            .map_err(gdo_ledger::LedgerError::from)?;
        let mut tip = old;
        for run in std::mem::take(&mut self.unattested) {
            let record = canonical::to_string(&run.record);
            let record_signature = self.signer.sign_run(&record);
            let report = canonical::to_string(&run.report);
            let verdict = run.verdict.map(|(statement, signature)| {
                let armor = armor(&signature.key, NAMESPACE_VERDICT, &signature.signature);
                (statement.to_json(), armor)
            });
            let mut files: Vec<(&str, &[u8])> = vec![
                ("run.json", record.as_bytes()),
                ("run.sig", record_signature.as_bytes()),
                ("report.json", report.as_bytes()),
                ("log", run.log.as_bytes()),
            ];
            if let Some((statement, armor)) = &verdict {
                files.push(("verdict.json", statement.as_bytes()));
                files.push(("verdict.sig", armor.as_bytes()));
            }
            let key = run.record.key;
            if tip.is_some_and(|tip| self.is_attested(&tip, &key)) {
                continue; // the first run of a key is the one that is kept
            }
            tip = Some(self.ledger.write_attestation(
                tip,
                &Attestation {
                    ledger: self.ledger_id,
                    member: self.signer.member().clone(),
                    key,
                    time: wall_seconds(),
                    files: &files,
                },
            )?);
        }
        match tip {
            Some(tip) if Some(tip) != old => {
                Ok(self.ledger.transaction(&[RefEdit::set(name, old, tip)])?)
            }
            _ => Ok(()),
        }
    }

    fn is_attested(&self, tip: &ObjectId, key: &VerdictKey) -> bool {
        matches!(
            self.ledger.read_attestation(tip, key, "run.json"),
            Ok(Some(_))
        )
    }

    /// The candidate head F(S), written and named by its ref.
    pub(super) fn head(&mut self) -> Result<ObjectId, NodeError> {
        if !self.head_is_stale {
            return Ok(self.head);
        }
        let plan = self.machine.plan();
        let head = facts::write_head(&self.ledger, self.ledger_id, &plan)?;
        if head != self.head {
            fault::point("head written");
            let name = self.known.refs().head();
            let old = self
                .ledger
                .read_ref(&name)
                .map_err(gdo_ledger::LedgerError::from)?;
            self.ledger.transaction(&[RefEdit::set(name, old, head)])?;
            fault::point("head named");
            let height = plan.base.height;
            self.known
                .write(|commits| commits.heads.insert(head, height));
            self.head = head;
        }
        self.head_is_stale = false;
        Ok(head)
    }
}
