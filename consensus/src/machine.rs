//! The machine: one ledger's consensus as a pure function of what happens (P-32).
//!
//! [`Machine::step`] takes an input and gives effects, to be carried out in their order; their
//! outcomes come back as inputs. With one validator a proposal gets from its block to a final
//! checkpoint without any timer:
//!
//! | input | effects |
//! |---|---|
//! | `Block` with a proposal | `HeadChanged`, `Judge` for each dapp (none: `Build` at once) |
//! | `Judged`, the last one | `Build` |
//! | `Built` | `Sign` N |
//! | `Vote` N, the own one | `Keep`, `Sign` F |
//! | `Vote` F, the own one | `Finalize`, `HeadChanged`, and on with what is left |
//!
//! **Invariants**: a candidate does not change while it is judged; nothing is signed for a
//! checkpoint whose dapps have not passed; time enters only as the number that comes with an input.

use std::collections::BTreeMap;

use gdo_core::block::CheckpointRef;
use gdo_core::delta::Delta;
use gdo_core::id::{Height, MemberName, ObjectId, View};
use gdo_core::verdict::{Outcome, RunnerSignature, VerdictKey};
use gdo_core::vote::{Ballot, Certificate, Evidence, Vote};

use crate::cut::{Approvals, Content, Cut, Rulings};
use crate::error::EntryError;
use crate::facts::{Base, BlockFacts};
use crate::finality::{self, Instance, Message};
use crate::plan::Plan;
use crate::verdicts::{Book, JobId, Judgement, Question};
use crate::window::{Entry, Window};

mod attempt;
mod trial;
mod voting;

use attempt::{Attempt, Retry};
pub use trial::{Fate, Trial};

/// A moment of the node's monotonic clock, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Millis(pub u64);

/// Who the node is, and what it is patient with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The member that the node signs as.
    pub me: MemberName,
    /// Δ0 of finality, in milliseconds.
    pub delta0_ms: u64,
    /// How long an inconclusive block is left alone the first time, in milliseconds; doubled with
    /// every try.
    pub retry_ms: u64,
}

/// The number of an attempt at a checkpoint, unique while the machine lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttemptId(pub u64);

/// The timers of the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// Records have waited long enough for a checkpoint (`batch_ms`).
    Batch,
    /// Blocks that nobody could judge may be tried again.
    Retry,
    /// One of finality's.
    Finality {
        /// The height.
        height: Height,
        /// The view that it was armed in.
        view: View,
        /// Which one.
        kind: finality::Timer,
    },
}

/// A checkpoint as the node made or read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextBase {
    /// The checkpoint and the rules of its tree.
    pub base: Base,
    /// The changes from tree(K) to its tree, kernel-managed files included.
    pub delta: Delta,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A structurally valid block, with facts as of K.
    Block(Box<BlockFacts>),
    /// The answer to [`Effect::Judge`].
    Judged {
        /// The question.
        job: JobId,
        /// The key that the node computed.
        key: VerdictKey,
        /// What came out.
        judgement: Judgement,
    },
    /// A verified verdict of another runner.
    Verdict {
        /// What was judged.
        key: VerdictKey,
        /// Pass or fail.
        outcome: Outcome,
        /// Who says so.
        signature: RunnerSignature,
    },
    /// The answer to [`Effect::Build`]: the objects are written.
    Built {
        /// The attempt.
        attempt: AttemptId,
        /// The checkpoint.
        next: Box<NextBase>,
    },
    /// The other answer to [`Effect::Build`]: the tree breaks a guard rail (P-35).
    Unsound {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The answer to [`Effect::Check`].
    Checked {
        /// The view.
        view: View,
        /// The checkpoint.
        value: ObjectId,
        /// What the node found.
        answer: finality::Answer,
    },
    /// A verified vote, the node's own included.
    Vote(Vote),
    /// A verified certificate.
    Certificate(Certificate),
    /// A timer that [`Effect::Arm`] asked for.
    Timer(Timer),
    /// The answer to [`Effect::Load`].
    Loaded(Box<NextBase>),
}

/// What the node must do, in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The plan is another one: [`Machine::plan`].
    HeadChanged,
    /// Project the trees, look for verdicts, else run the dapp; answer with [`Input::Judged`].
    Judge {
        /// The question's number.
        job: JobId,
        /// The question.
        question: Box<Question>,
    },
    /// Write the checkpoint's objects; answer with [`Input::Built`] or [`Input::Unsound`].
    Build {
        /// The attempt.
        attempt: AttemptId,
        /// What it is made of.
        content: Box<Content>,
    },
    /// Recompute a checkpoint of another leader; answer with [`Input::Checked`].
    Check {
        /// The view.
        view: View,
        /// The checkpoint.
        value: ObjectId,
    },
    /// Log the ballot durably, sign it, send it and give it back as [`Input::Vote`].
    Sign(Ballot),
    /// Send to all validators.
    Broadcast(Message),
    /// Write the certificate to disk before the effects that follow.
    Keep(Certificate),
    /// Give [`Input::Timer`] after so many milliseconds; an earlier one of the same name lapses.
    Arm {
        /// Which one.
        timer: Timer,
        /// How long.
        after_ms: u64,
    },
    /// The checkpoint is final: move `main` to it, with its certificate. K is now this one.
    Finalize {
        /// The checkpoint.
        checkpoint: CheckpointRef,
        /// What makes it final.
        certificate: Certificate,
    },
    /// A checkpoint is final that this machine has not seen; read it, answer with [`Input::Loaded`].
    Load {
        /// The checkpoint.
        value: ObjectId,
    },
    /// The facts of these blocks are out of date: give them again as [`Input::Block`].
    Refresh(Vec<ObjectId>),
    /// These blocks are missing for others to enter.
    Missing(Vec<ObjectId>),
    /// The node gave facts that cannot be.
    Refused(EntryError),
    /// A member signed two votes that contradict each other; the next checkpoint carries it.
    Evidence(Evidence),
    /// A second checkpoint of one height has a certificate: the ledger is forked (P-36).
    Forked(Certificate),
}

/// The consensus of one ledger.
#[derive(Clone, Debug)]
pub struct Machine {
    config: Config,
    window: Window,
    book: Book,
    instance: Instance,
    /// What made K final.
    certificate: Option<Certificate>,
    evidence: Vec<Evidence>,
    attempts: u64,
    attempt: Option<Attempt>,
    /// Checkpoints of the height in work that this node built or read.
    built: BTreeMap<ObjectId, NextBase>,
    /// What is final but not read yet.
    awaited: Option<(ObjectId, Certificate)>,
    /// The height and view for which finality asked for a fresh value.
    wanted: Option<(Height, View)>,
    retries: BTreeMap<ObjectId, Retry>,
    /// When records that wait for a checkpoint were first seen.
    work_since: Option<Millis>,
    batch_armed: bool,
}

impl Machine {
    /// A machine over K, `certificate` being what made K final. `ballots` are those that the node
    /// logged and `certificates` those that it kept (P-39): of another height they are passed over.
    /// Carry the effects out after the unfinished blocks were given as inputs.
    #[must_use]
    pub fn new(
        config: Config,
        base: Base,
        certificate: Option<Certificate>,
        ballots: &[Ballot],
        certificates: Vec<Certificate>,
    ) -> (Self, Vec<Effect>) {
        let params = voting::params(&config, &base);
        let (instance, resumed) = Instance::resume(params, ballots, certificates);
        let mut machine = Self {
            config,
            window: Window::new(base),
            book: Book::default(),
            instance,
            certificate,
            evidence: Vec::new(),
            attempts: 0,
            attempt: None,
            built: BTreeMap::new(),
            awaited: None,
            wanted: None,
            retries: BTreeMap::new(),
            work_since: None,
            batch_armed: false,
        };
        let mut effects = Vec::new();
        machine.finality_effects(Millis(0), resumed, &mut effects);
        (machine, effects)
    }

    /// Takes what happened at a moment of the local clock, and gives what to do.
    #[must_use]
    pub fn step(&mut self, now: Millis, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Block(facts) => self.on_block(now, *facts, &mut effects),
            Input::Judged {
                job,
                key,
                judgement,
            } => {
                if self.book.answer(job, key, judgement) {
                    self.prove(now, &mut effects);
                }
            }
            Input::Verdict {
                key,
                outcome,
                signature,
            } => {
                self.book.count(key, outcome, signature);
                self.prove(now, &mut effects);
            }
            Input::Built { attempt, next } => self.on_built(now, attempt, *next, &mut effects),
            Input::Unsound { attempt } => self.on_unsound(now, attempt, &mut effects),
            Input::Checked {
                view,
                value,
                answer,
            } => {
                let input = finality::Input::Checked {
                    view,
                    value,
                    answer,
                };
                self.vote_on(now, input, &mut effects);
            }
            Input::Vote(vote) => self.vote_on(now, finality::Input::Vote(vote), &mut effects),
            Input::Certificate(certificate) => {
                self.vote_on(now, finality::Input::Certificate(certificate), &mut effects);
            }
            Input::Timer(timer) => self.on_timer(now, timer, &mut effects),
            Input::Loaded(next) => {
                self.built.insert(next.base.checkpoint.id, *next);
                self.adopt(now, &mut effects);
            }
        }
        effects
    }

    /// The window and K.
    #[must_use]
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// What made K final; none for genesis.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The head as it is now.
    #[must_use]
    pub fn plan(&mut self) -> Plan {
        self.window.plan()
    }

    /// What the next checkpoint would dispose of, were it made now and were everything passed.
    #[must_use]
    pub fn cut(&mut self) -> Cut {
        Cut::of(&mut self.window, &Rulings::default())
    }

    /// What the notes in the window say of a proposal.
    #[must_use]
    pub fn approvals(&self, proposal: &ObjectId) -> Approvals {
        Approvals::on(&self.window, proposal, u64::MAX)
    }

    fn on_block(&mut self, now: Millis, facts: BlockFacts, effects: &mut Vec<Effect>) {
        let seeks = facts.block.block.trailers.proposal.is_some();
        let id = facts.id();
        match self.window.insert(facts) {
            Ok(Entry::Added(_)) => {
                effects.push(Effect::HeadChanged);
                self.on_work(now, seeks, effects);
            }
            Ok(Entry::Known) => {}
            Ok(Entry::Waiting(missing)) => effects.push(Effect::Missing(missing)),
            Err(EntryError::Stale { .. }) => effects.push(Effect::Refresh(vec![id])),
            Err(error) => effects.push(Effect::Refused(error)),
        }
    }

    fn on_timer(&mut self, now: Millis, timer: Timer, effects: &mut Vec<Effect>) {
        match timer {
            Timer::Batch => {
                self.batch_armed = false;
                self.seek(now, effects);
            }
            Timer::Retry => {
                self.arm_retry(now, effects);
                self.seek(now, effects);
            }
            Timer::Finality { height, view, kind } if height == self.instance.params().height => {
                self.vote_on(now, finality::Input::Timer { view, kind }, effects);
            }
            Timer::Finality { .. } => {}
        }
    }
}
