//! A node without git: it drives the machine as a daemon does, on the maps of the kit.

use std::collections::BTreeSet;
use std::sync::Arc;

use gdo_consensus::cut::Content;
use gdo_consensus::machine::{Config, Effect, Input, Machine, Millis, NextBase, Timer};
use gdo_consensus::verdicts::{JobId, Judgement, Question};
use gdo_core::id::ObjectId;
use gdo_core::verdict::{Outcome, RunnerSignature, Statement, VerdictKey};
use gdo_core::vote::{Ballot, Certificate, Vote};

use super::kit::{self, Rules, id, name};
use super::world::{Draft, World};

/// What the dapps of a test say of a candidate; `None` decides nothing.
pub type Opinion = fn(&Node, &Question) -> Option<Outcome>;

/// A node without git: it carries out effects on the maps of the kit.
pub struct Node {
    pub machine: Machine,
    pub world: World,
    pub now: u64,
    pub opinion: Opinion,
    /// Blocks that the dapps of the test do not like.
    pub bad: BTreeSet<ObjectId>,
    /// When set, questions are kept here instead of being answered.
    pub hold: Option<Vec<(JobId, Question)>>,
    pub questions: usize,
    pub ballots: Vec<Ballot>,
    pub kept: Vec<Certificate>,
    pub finals: Vec<(ObjectId, Certificate)>,
    pub armed: Vec<(Timer, u64)>,
    pub refreshed: Vec<ObjectId>,
    /// Blocks whose tree breaks a guard rail.
    pub breaks_rules: BTreeSet<ObjectId>,
}

pub fn passes(_: &Node, _: &Question) -> Option<Outcome> {
    Some(Outcome::Pass)
}

pub fn fails_on_bad(node: &Node, question: &Question) -> Option<Outcome> {
    let bad = question.blocks.iter().any(|block| node.bad.contains(block));
    Some(if bad { Outcome::Fail } else { Outcome::Pass })
}

pub fn undecided_on_bad(node: &Node, question: &Question) -> Option<Outcome> {
    fails_on_bad(node, question).filter(|outcome| *outcome == Outcome::Pass)
}

pub fn config() -> Config {
    Config {
        me: name("n0"),
        delta0_ms: 100,
        retry_ms: 1_000,
    }
}

impl Node {
    pub fn new(scope: &str, opinion: Opinion) -> Self {
        let rules = Arc::new(Rules::new(&["n0"], "pending_heights = 1000"));
        let mut world = World::new(1, rules);
        world.checkpoints[0].base.dapps = kit::dapps(scope);
        let base = world.checkpoints[0].base.clone();
        let (machine, effects) = Machine::new(config(), base, None, &[], vec![]);
        assert_eq!(effects, []);
        Self {
            machine,
            world,
            now: 0,
            opinion,
            bad: BTreeSet::new(),
            hold: None,
            questions: 0,
            ballots: vec![],
            kept: vec![],
            finals: vec![],
            armed: vec![],
            refreshed: vec![],
            breaks_rules: BTreeSet::new(),
        }
    }

    pub fn step(&mut self, input: Input) {
        let effects = self.machine.step(Millis(self.now), input);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    pub fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Judge { job, question } => {
                self.questions += 1;
                match &mut self.hold {
                    Some(held) => held.push((job, *question)),
                    None => self.answer(job, &question),
                }
            }
            Effect::Build { attempt, content } => {
                let blocks = content
                    .record
                    .included
                    .iter()
                    .map(|included| included.block);
                let unsound = blocks
                    .into_iter()
                    .any(|block| self.breaks_rules.contains(&block));
                if unsound {
                    return self.step(Input::Unsound { attempt });
                }
                let next = Box::new(self.build(*content));
                self.step(Input::Built { attempt, next });
            }
            Effect::Sign(ballot) => {
                self.ballots.push(ballot);
                let signature = kit::key("n0").sign_raw(&ballot.signed_bytes());
                self.step(Input::Vote(Vote {
                    ballot,
                    member: name("n0"),
                    signature,
                }));
            }
            Effect::Keep(certificate) => self.kept.push(certificate),
            Effect::Finalize {
                checkpoint,
                certificate,
            } => {
                self.finals.push((checkpoint.id, certificate));
                self.world.authors[0].on = self.world.checkpoints.len() - 1;
            }
            Effect::Arm { timer, after_ms } => self.armed.push((timer, self.now + after_ms)),
            Effect::Refresh(blocks) => self.refreshed.extend(blocks),
            Effect::HeadChanged | Effect::Broadcast(_) => {}
            other => panic!("unexpected effect {other:?}"),
        }
    }

    pub fn build(&mut self, content: Content) -> NextBase {
        let at = self.world.add_content(content);
        let made = &self.world.checkpoints[at];
        NextBase {
            base: made.base.clone(),
            delta: made.delta.clone(),
        }
    }

    pub fn key_of(question: &Question) -> VerdictKey {
        let text = format!("{:?}{:?}", question.base_delta, question.delta);
        VerdictKey {
            dapp_digest: question.digest,
            input: id(&text),
        }
    }

    pub fn answer(&mut self, job: JobId, question: &Question) {
        let key = Self::key_of(question);
        let judgement = match (self.opinion)(self, question) {
            None => Judgement::Inconclusive,
            Some(outcome) => {
                let statement = Statement {
                    ledger: kit::ledger(),
                    dapp: question.dapp.clone(),
                    key,
                    outcome,
                };
                let own = kit::key("n0");
                let signature = RunnerSignature {
                    member: name("n0"),
                    key: own.public(),
                    signature: statement.sign(&own),
                };
                Judgement::Verdict {
                    outcome,
                    signatures: vec![signature],
                }
            }
        };
        self.step(Input::Judged {
            job,
            key,
            judgement,
        });
    }

    /// Writes a block of n0 and gives it to the machine.
    pub fn write(&mut self, draft: Draft) -> ObjectId {
        let block = self.prepare(draft);
        self.give(&block);
        block
    }

    pub fn prepare(&mut self, draft: Draft) -> ObjectId {
        let at = self.world.write(draft, false);
        self.world.blocks[at].block.block.id
    }

    pub fn give(&mut self, block: &ObjectId) {
        let at = self.world.by_id[block];
        let on = self.world.authors[0].on;
        let facts = self.world.facts(at, on);
        self.step(Input::Block(Box::new(facts)));
    }

    pub fn fire(&mut self, wanted: Timer) {
        let found = self.armed.iter().rposition(|(timer, _)| *timer == wanted);
        let (timer, at) = self.armed.remove(found.expect("the timer was asked for"));
        self.now = self.now.max(at);
        self.step(Input::Timer(timer));
    }

    pub fn record_of(&self, height: usize) -> &gdo_core::checkpoint::CheckpointRecord {
        &self.world.checkpoints[height].base.record
    }
}
