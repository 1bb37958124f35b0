//! The verdict book: what dapps must judge before a cut may become a checkpoint (P-23 to P-28).
//!
//! A verdict is keyed by content, which only the node can compute: it projects the trees that a
//! question is about. So the book asks questions by the name of a candidate, and counts verdicts
//! by the key that the node finds. Different candidates often have one key: then one verdict
//! answers several questions, and no container runs twice.
//!
//! **Invariants**: a question is asked once per K and retry; a result needs the weight of P-27;
//! pass and fail of one key cannot both be certified without double-signers.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::dapp::Scope;
use gdo_core::delta::Delta;
use gdo_core::guard;
use gdo_core::id::{DappName, Digest, LedgerTime, MemberName, ObjectId, Weight};
use gdo_core::verdict::{Outcome, RunnerSignature, Statement, VerdictCertificate, VerdictKey};

use crate::cut::{Cut, Prefix};
use crate::facts::Base;
use crate::window::Window;

mod search;

pub use search::Finding;
pub(crate) use search::find;

/// The number of a question, unique while the machine lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId(pub u64);

/// A question to a dapp: what the node projects and runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The dapp.
    pub dapp: DappName,
    /// The digest of its validator.
    pub digest: Digest,
    /// Whether a whole candidate or its last block is judged.
    pub scope: Scope,
    /// Blocks that `base/` holds already, in order: empty with scope `checkpoint`.
    pub before: Vec<ObjectId>,
    /// The blocks that are judged, in order.
    pub blocks: Vec<ObjectId>,
    /// The tree at `base/` as changes of tree(K).
    pub base_delta: Delta,
    /// The tree at `candidate/` as changes of tree(K).
    pub delta: Delta,
    /// The ledger's time at K, for dapps that use it.
    pub time: LedgerTime,
}

/// What a run of a dapp came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// Signed verdicts on the key, the own one or cached ones among them.
    Verdict {
        /// Pass or fail.
        outcome: Outcome,
        /// Verified signatures of runners.
        signatures: Vec<RunnerSignature>,
    },
    /// Nothing was decided (P-26); never the author's fault.
    Inconclusive,
}

/// What is known about a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// Not asked yet.
    No,
    /// Asked; too little weight has answered.
    Asked,
    /// Enough runners pass it.
    Passed(VerdictKey),
    /// Enough runners fail it.
    Failed(VerdictKey),
    /// The own run decided nothing.
    Inconclusive,
}

/// The name of a question.
type Asked = (DappName, Scope2, Prefix);

/// [`Scope`] with an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Scope2 {
    Checkpoint,
    Block,
}

impl From<Scope> for Scope2 {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Checkpoint => Self::Checkpoint,
            Scope::Block => Self::Block,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Waiting,
    Key(VerdictKey),
    Inconclusive,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    pass: BTreeMap<MemberName, RunnerSignature>,
    fail: BTreeMap<MemberName, RunnerSignature>,
}

/// What was asked and answered.
#[derive(Clone, Debug, Default)]
pub struct Book {
    next_job: u64,
    jobs: BTreeMap<JobId, Asked>,
    answers: BTreeMap<Asked, Answer>,
    tallies: BTreeMap<VerdictKey, Tally>,
}

impl Book {
    /// Forgets what was about candidates over the last K. The node keeps verdicts by their keys: what
    /// is asked again, it answers from there.
    pub(crate) fn advance(&mut self) {
        self.jobs.clear();
        self.answers.clear();
        self.tallies.clear();
    }

    /// Takes the node's answer; gives whether the question is still of interest.
    pub(crate) fn answer(&mut self, job: JobId, key: VerdictKey, judgement: Judgement) -> bool {
        let Some(asked) = self.jobs.remove(&job) else {
            return false;
        };
        let answer = match judgement {
            Judgement::Verdict {
                outcome,
                signatures,
            } => {
                for signature in signatures {
                    self.count(key, outcome, signature);
                }
                Answer::Key(key)
            }
            Judgement::Inconclusive => Answer::Inconclusive,
        };
        self.answers.insert(asked, answer);
        true
    }

    /// Counts a verified verdict; the first word of a member on a key stays (P-27).
    pub(crate) fn count(&mut self, key: VerdictKey, outcome: Outcome, signed: RunnerSignature) {
        let tally = self.tallies.entry(key).or_default();
        let side = match outcome {
            Outcome::Pass => &mut tally.pass,
            Outcome::Fail => &mut tally.fail,
        };
        side.entry(signed.member.clone()).or_insert(signed);
    }

    /// What is known about a candidate.
    pub(crate) fn known(&self, base: &Base, dapp: &DappName, scope: Scope, of: Prefix) -> Known {
        match self.answers.get(&(dapp.clone(), scope.into(), of)) {
            None => Known::No,
            Some(Answer::Waiting) => Known::Asked,
            Some(Answer::Inconclusive) => Known::Inconclusive,
            Some(Answer::Key(key)) => self.certified(base, dapp, *key),
        }
    }

    fn certified(&self, base: &Base, dapp: &DappName, key: VerdictKey) -> Known {
        let Some(in_force) = base.dapps.get(dapp) else {
            return Known::Inconclusive;
        };
        let (_, k_pass, k_fail) = guard::thresholds(&in_force.manifest, &base.policy);
        let weigh = |signers: &BTreeMap<MemberName, RunnerSignature>| {
            let weight = |name| guard::runner_weight(&in_force.manifest, &base.policy, name);
            Weight(
                signers
                    .keys()
                    .filter_map(weight)
                    .map(|weight| weight.0)
                    .sum(),
            )
        };
        match self.tallies.get(&key) {
            Some(tally) if weigh(&tally.pass) >= k_pass => Known::Passed(key),
            Some(tally) if weigh(&tally.fail) >= k_fail => Known::Failed(key),
            _ => Known::Asked,
        }
    }

    /// Asks about the candidate of the first `blocks` blocks of `cut`.
    pub(crate) fn ask(
        &mut self,
        window: &Window,
        cut: &Cut,
        dapp: &DappName,
        scope: Scope,
        blocks: usize,
    ) -> Option<(JobId, Question)> {
        let asked = (dapp.clone(), scope.into(), cut.prefix(blocks));
        let question = question(window, cut, dapp, scope, blocks)?;
        self.next_job += 1;
        let job = JobId(self.next_job);
        self.jobs.insert(job, asked.clone());
        self.answers.insert(asked, Answer::Waiting);
        Some((job, question))
    }

    /// Forgets an inconclusive answer, so that the question is asked again.
    pub(crate) fn forget_inconclusive(&mut self) {
        self.answers
            .retain(|_, answer| !matches!(answer, Answer::Inconclusive));
    }

    /// The certificates that prove what a checkpoint uses.
    pub(crate) fn certificates(
        &self,
        base: &Base,
        used: &BTreeSet<(DappName, VerdictKey, bool)>,
    ) -> Vec<VerdictCertificate> {
        let certificate = |(dapp, key, passed): &(DappName, VerdictKey, bool)| {
            let tally = self.tallies.get(key)?;
            let (outcome, signers) = if *passed {
                (Outcome::Pass, &tally.pass)
            } else {
                (Outcome::Fail, &tally.fail)
            };
            let statement = Statement {
                ledger: base.ledger,
                dapp: dapp.clone(),
                key: *key,
                outcome,
            };
            Some(VerdictCertificate::new(
                &statement,
                signers.values().cloned().collect(),
            ))
        };
        used.iter().filter_map(certificate).collect()
    }
}

/// The question about the candidate of the first `blocks` blocks of `cut`; none without the dapp.
pub(crate) fn question(
    window: &Window,
    cut: &Cut,
    dapp: &DappName,
    scope: Scope,
    blocks: usize,
) -> Option<Question> {
    let in_force = window.base().dapps.get(dapp)?;
    let ids: Vec<ObjectId> = cut.included[..blocks]
        .iter()
        .map(|block| block.block)
        .collect();
    let split = match scope {
        Scope::Checkpoint => 0,
        Scope::Block => blocks.saturating_sub(1),
    };
    Some(Question {
        dapp: dapp.clone(),
        digest: in_force.digest,
        scope,
        base_delta: window.delta_of(&ids[..split]),
        delta: window.delta_of(&ids),
        before: ids[..split].to_vec(),
        blocks: ids[split..].to_vec(),
        time: window.base().record.ledger_time,
    })
}
