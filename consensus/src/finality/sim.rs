//! A seeded world of validators: clocks that drift, messages that are late or lost, partitions,
//! crashes at any step, liars, and keys that run twice (twins).
//!
//! Up to GST (global stabilization time) the network may do anything; after it every message
//! arrives within [`DELAY_MAX_MS`]. Signatures are not made here: instances are given verified votes,
//! and only the member's own actors make votes in its name.
//!
//! **Invariants**: one seed, one run; a crash loses all but what was logged or kept.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use gdo_core::id::{Height, LedgerId, MemberName, ObjectId, Weight};
use gdo_core::policy::Validator;
use gdo_core::vote::{Ballot, Certificate, Evidence, Vote, VoteKind};

use super::{Answer, Effect, Input, Instance, Message, Params};

mod claims;
mod liar;

/// The longest delay of a message after GST.
const DELAY_MAX_MS: u64 = 1000;
/// Δ0, shorter than the round trips it must cover, so that the views have to grow.
const DELTA0_MS: u64 = 1200;
/// How long a run goes on after GST at least, so that what was cut off meets.
const LINGER_MS: u64 = 10_000;
/// The first byte of values that honest nodes find wrong.
const BAD: u8 = 0xbb;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) weights: &'static [u64],
    pub(super) quorum: u64,
    /// The first members lie at random.
    pub(super) liars: usize,
    /// The next members run twice, one copy in each half of a network that is cut until GST.
    pub(super) twins: usize,
    /// The next members never say anything.
    pub(super) silent: usize,
    pub(super) gst_ms: u64,
    /// When a run that has not decided counts as stuck.
    pub(super) end_ms: u64,
    /// In how many of 10,000 steps before GST an honest node crashes.
    pub(super) crash: u64,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) undecided: usize,
    pub(super) values: BTreeSet<ObjectId>,
    /// Who is convicted by what the honest nodes hold.
    pub(super) guilty: BTreeSet<MemberName>,
    /// Honest members against whom there is evidence in anything that was ever signed.
    pub(super) framed: BTreeSet<MemberName>,
    pub(super) lied: BTreeSet<MemberName>,
    pub(super) crashes: usize,
    pub(super) forks_seen: usize,
    /// The highest view of a certificate.
    pub(super) views: u64,
    /// Votes N, Z and F that honest nodes signed.
    pub(super) signed: BTreeMap<VoteKind, usize>,
    /// Proposals of a value that an earlier view notarized.
    pub(super) inherited: usize,
    /// How long after GST the last one decided.
    pub(super) settled_ms: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    Restart(usize),
    Lie(usize),
    Regroup,
    /// From the network: reaches whatever life the actor is in.
    Deliver(usize, usize),
    /// From the node itself: dies with the life that asked for it.
    Local(usize, u64, usize),
}

/// One running copy of a validator.
#[derive(Debug)]
struct Actor {
    member: MemberName,
    kind: Kind,
    instance: Option<Instance>,
    life: u64,
    ballots: Vec<Ballot>,
    kept: Vec<Certificate>,
    group: usize,
    /// The clock's speed in percent.
    speed: u64,
    /// When it has something to propose.
    work_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Honest,
    Twin,
    Liar,
    Silent,
}

/// SplitMix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// Makes an id that tells its parts.
pub(super) fn value(parts: [u8; 3]) -> ObjectId {
    let mut raw = [7; 32];
    raw[..3].copy_from_slice(&parts);
    ObjectId::from_bytes(&raw).expect("32 bytes are an id")
}

pub(super) fn member(index: usize) -> MemberName {
    format!("v{index}").parse().expect("a name")
}

/// The world of one run.
pub(super) struct World {
    setup: Setup,
    random: Random,
    now_ms: u64,
    /// Events by time; those of one instant in random order.
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    inputs: Vec<Input>,
    actors: Vec<Actor>,
    signed: BTreeMap<(MemberName, Ballot), Vote>,
    evidence: Vec<Evidence>,
    previous: ObjectId,
    outcome: Outcome,
}

impl World {
    pub(super) fn new(setup: Setup, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut actors = Vec::new();
        for index in 0..setup.weights.len() {
            let kind = if index < setup.liars {
                Kind::Liar
            } else if index < setup.liars + setup.twins {
                Kind::Twin
            } else if index < setup.liars + setup.twins + setup.silent {
                Kind::Silent
            } else {
                Kind::Honest
            };
            for copy in 0..if kind == Kind::Twin { 2 } else { 1 } {
                actors.push(Actor {
                    member: member(index),
                    kind,
                    instance: None,
                    life: 0,
                    ballots: Vec::new(),
                    kept: Vec::new(),
                    group: if kind == Kind::Twin { copy } else { index % 2 },
                    speed: random.between(95, 106),
                    work_ms: random.below(setup.gst_ms + 10_000),
                });
            }
        }
        // The previous checkpoint rotates the leaders.
        let previous = value([1, seed as u8, (seed >> 8) as u8]);
        let events = BinaryHeap::new();
        let outcome = Outcome::default();
        let (inputs, signed, evidence) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut world = Self {
            setup,
            random,
            now_ms: 0,
            events,
            inputs,
            actors,
            signed,
            evidence,
            previous,
            outcome,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for index in 0..self.actors.len() {
            match self.actors[index].kind {
                Kind::Honest | Kind::Twin => {
                    self.actors[index].instance = Some(Instance::new(self.params(index)));
                    self.start(index);
                }
                Kind::Liar => self.push(500, Event::Lie(index)),
                Kind::Silent => {}
            }
        }
        if self.setup.twins == 0 {
            self.push(0, Event::Regroup);
        }
    }

    /// Tells the actor of its work once it has some.
    fn start(&mut self, index: usize) {
        let after_ms = self.actors[index].work_ms.saturating_sub(self.now_ms);
        self.local(index, after_ms, Input::Start);
    }

    fn params(&self, actor: usize) -> Params {
        let validator = |(index, weight): (usize, &u64)| Validator {
            member: member(index),
            weight: Weight(*weight),
        };
        Params {
            ledger: LedgerId(value([0, 0, 0])),
            height: Height(5),
            previous: self.previous,
            validators: self
                .setup
                .weights
                .iter()
                .enumerate()
                .map(validator)
                .collect(),
            quorum: Weight(self.setup.quorum),
            me: self.actors.get(actor).map(|actor| actor.member.clone()),
            delta0_ms: DELTA0_MS,
        }
    }

    fn push(&mut self, after_ms: u64, event: Event) {
        let tie = self.random.next();
        self.events
            .push(Reverse((self.now_ms + after_ms, tie, event)));
    }

    fn is_chaos(&self) -> bool {
        self.now_ms < self.setup.gst_ms
    }

    /// Runs to the end: all honest nodes have decided and GST is over, or time is up.
    pub(super) fn run(mut self) -> Outcome {
        while let Some(Reverse((now_ms, _, event))) = self.events.pop() {
            self.now_ms = now_ms;
            let settled = self.honest().all(|actor| {
                actor
                    .instance
                    .as_ref()
                    .is_some_and(|instance| instance.decided().is_some())
            });
            let over_ms = self.setup.gst_ms + LINGER_MS;
            if now_ms > self.setup.end_ms || (settled && now_ms > over_ms) {
                break;
            }
            self.happen(event);
        }
        self.judge()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Restart(index) => {
                let actor = &self.actors[index];
                let (ballots, kept) = (actor.ballots.clone(), actor.kept.clone());
                let (instance, effects) = Instance::resume(self.params(index), &ballots, kept);
                self.actors[index].instance = Some(instance);
                self.execute(index, effects);
                self.start(index);
            }
            Event::Deliver(index, input) => self.step(index, self.inputs[input].clone()),
            Event::Local(index, life, input) => {
                if self.actors[index].life == life {
                    self.step(index, self.inputs[input].clone());
                }
            }
            Event::Regroup => {
                for actor in &mut self.actors {
                    actor.group = self.random.below(2) as usize;
                }
                if self.is_chaos() {
                    let after_ms = self.random.between(500, 8000);
                    self.push(after_ms, Event::Regroup);
                }
            }
            Event::Lie(index) => self.lie(index),
        }
    }

    fn step(&mut self, index: usize, input: Input) {
        let Some(instance) = &mut self.actors[index].instance else {
            return;
        };
        let effects = instance.step(input);
        self.execute(index, effects);
    }

    fn execute(&mut self, index: usize, effects: Vec<Effect>) {
        for effect in effects {
            let honest = self.actors[index].kind == Kind::Honest;
            if honest && self.is_chaos() && self.random.below(10_000) < self.setup.crash {
                return self.crash(index);
            }
            self.perform(index, effect);
        }
    }

    fn crash(&mut self, index: usize) {
        self.outcome.crashes += 1;
        self.actors[index].life += 1;
        self.actors[index].instance = None;
        let after_ms = self.random.between(10, 10_000);
        self.push(after_ms, Event::Restart(index));
    }

    fn local(&mut self, index: usize, after_ms: u64, input: Input) {
        self.inputs.push(input);
        let life = self.actors[index].life;
        self.push(after_ms, Event::Local(index, life, self.inputs.len() - 1));
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Propose { view } => {
                let wait_ms = self.actors[index].work_ms.saturating_sub(self.now_ms);
                let after_ms = wait_ms + self.random.between(10, 200);
                let value = value([10, index as u8, view.0 as u8]);
                self.local(index, after_ms, Input::ValueReady { view, value });
            }
            Effect::CheckProposal { view, value } => {
                let after_ms = self.random.between(10, 200);
                if self.is_chaos() && self.random.percent(30) {
                    let answer = Answer::Missing;
                    self.local(
                        index,
                        after_ms,
                        Input::Checked {
                            view,
                            value,
                            answer,
                        },
                    );
                }
                let bad = value.as_bytes()[0] == BAD;
                let answer = if bad { Answer::Invalid } else { Answer::Valid };
                self.local(
                    index,
                    after_ms * 2,
                    Input::Checked {
                        view,
                        value,
                        answer,
                    },
                );
            }
            Effect::Sign(ballot) => self.sign(index, ballot),
            Effect::Keep(certificate) => {
                self.outcome.views = self.outcome.views.max(certificate.view.0);
                self.actors[index].kept.push(certificate);
            }
            Effect::ArmTimer {
                view,
                kind,
                after_ms,
            } => {
                let after_ms = after_ms * self.actors[index].speed / 100;
                self.local(index, after_ms, Input::Timer { view, kind });
            }
            Effect::Broadcast(message) => self.broadcast(index, message),
            Effect::Evidence(evidence) => self.evidence.push(evidence),
            Effect::Final { value, .. } => {
                if self.actors[index].kind == Kind::Honest {
                    self.outcome.values.insert(value);
                    self.outcome.settled_ms = self.now_ms.saturating_sub(self.setup.gst_ms);
                }
            }
            Effect::Forked(_) => self.outcome.forks_seen += 1,
        }
    }

    /// What the node's signer does: log, then sign.
    fn sign(&mut self, index: usize, ballot: Ballot) {
        let actor = &mut self.actors[index];
        let honest = actor.kind == Kind::Honest;
        if !actor.ballots.contains(&ballot) {
            actor.ballots.push(ballot);
            if honest {
                *self.outcome.signed.entry(ballot.kind).or_default() += 1;
            }
        }
        let vote = self.vote(index, ballot);
        self.local(index, 0, Input::Vote(vote));
    }

    fn vote(&mut self, index: usize, ballot: Ballot) -> Vote {
        let member = self.actors[index].member.clone();
        let vote = Vote {
            ballot,
            member: member.clone(),
            signature: [index as u8; 64],
        };
        self.signed.insert((member, ballot), vote.clone());
        vote
    }

    fn broadcast(&mut self, index: usize, message: Message) {
        let input = match message {
            Message::Certificate(certificate) => Input::Certificate(certificate),
            Message::Vote(vote) => Input::Vote(vote),
            Message::Proposal(vote) => {
                let Ballot { view, value, .. } = vote.ballot;
                let fresh = value == Some(self::value([10, index as u8, view.0 as u8]));
                self.outcome.inherited += usize::from(!fresh);
                Input::Vote(vote)
            }
        };
        self.inputs.push(input);
        for to in 0..self.actors.len() {
            if to != index {
                self.send(index, to, self.inputs.len() - 1);
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, input: usize) {
        let lies = self.actors[from].kind == Kind::Liar;
        let cut = self.actors[from].group != self.actors[to].group && !lies;
        let twins = self.setup.twins > 0;
        if self.is_chaos() && (cut || (!twins && self.random.percent(30))) {
            return;
        }
        let slow = if self.is_chaos() && !twins {
            self.random.between(1, 12)
        } else {
            1
        };
        let after_ms = self.random.between(30, DELAY_MAX_MS) * slow;
        self.push(after_ms, Event::Deliver(to, input));
    }

    fn honest(&self) -> impl Iterator<Item = &Actor> {
        self.actors
            .iter()
            .filter(|actor| actor.kind == Kind::Honest)
    }

    fn judge(mut self) -> Outcome {
        let decided = |actor: &&Actor| {
            actor
                .instance
                .as_ref()
                .is_some_and(|instance| instance.decided().is_some())
        };
        self.outcome.undecided = self.honest().filter(|actor| !decided(actor)).count();
        // What anybody finds out who is shown the certificates of the honest.
        let mut auditor = Instance::new(self.params(usize::MAX));
        let shown: Vec<_> = self.honest().flat_map(|actor| actor.kept.clone()).collect();
        let found = shown
            .into_iter()
            .flat_map(|held| auditor.step(Input::Certificate(held)));
        let evidence = found.filter_map(|effect| match effect {
            Effect::Evidence(evidence) => Some(evidence),
            _ => None,
        });
        let guilty = evidence.chain(self.evidence.clone());
        self.outcome.guilty = guilty.map(|evidence| evidence.member().clone()).collect();
        let honest: BTreeSet<_> = self.honest().map(|actor| actor.member.clone()).collect();
        for ((member, ballot), _) in self.signed.iter().filter(|((m, _), _)| honest.contains(m)) {
            let of_member = self.signed.keys().filter(|(other, _)| other == member);
            if of_member
                .into_iter()
                .any(|(_, other)| other.contradicts(ballot).is_some())
            {
                self.outcome.framed.insert(member.clone());
            }
        }
        let framed = self
            .outcome
            .guilty
            .intersection(&honest)
            .cloned()
            .collect::<Vec<_>>();
        self.outcome.framed.extend(framed);
        self.outcome
    }
}
