//! Attempts at a checkpoint: when to begin one, and its proof (P-32, P-28).
//!
//! An attempt freezes which blocks it looks at, asks the dapps, and sets aside or leaves out what
//! they do not pass until the rest is proven. What comes in the meantime waits for the next one;
//! only rejections and withdrawals still count.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::id::{DappName, ObjectId};
use gdo_core::verdict::VerdictKey;

use super::{AttemptId, Effect, Machine, Millis, NextBase, Timer};
use crate::cut::{Content, Cut, Prefix, Rulings};
use crate::finality;
use crate::verdicts::{Finding, find};

/// The most times that the wait after an inconclusive try is doubled.
const DOUBLINGS_MAX: u32 = 10;

/// A block that nobody could judge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    tries: u32,
    until: Millis,
}

#[derive(Clone, Debug)]
enum Stage {
    Judging,
    /// Proven; finality may ask for the value.
    Proven(BTreeSet<(DappName, VerdictKey, bool)>),
    Building,
    Built(ObjectId),
}

/// A cut on its way to become a checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    id: AttemptId,
    cut: Cut,
    rulings: Rulings,
    /// The verdicts behind `rulings.failed`.
    fails: BTreeMap<Prefix, (DappName, VerdictKey)>,
    stage: Stage,
}

impl Machine {
    /// Looks whether new work is due: a proposal at once, records when they have waited.
    pub(super) fn on_work(&mut self, now: Millis, seeks: bool, effects: &mut Vec<Effect>) {
        if self.attempt.is_some() || !self.is_validator() {
            return;
        }
        let since = *self.work_since.get_or_insert(now);
        let batch_ms = self.window.base().policy.finality.batch_ms;
        if seeks || now.0.saturating_sub(since.0) >= batch_ms {
            self.seek(now, effects);
        } else if !self.batch_armed {
            self.arm_batch(now, since, effects);
        }
    }

    fn arm_batch(&mut self, now: Millis, since: Millis, effects: &mut Vec<Effect>) {
        let batch_ms = self.window.base().policy.finality.batch_ms;
        let after_ms = (since.0 + batch_ms).saturating_sub(now.0);
        self.batch_armed = true;
        effects.push(Effect::Arm {
            timer: Timer::Batch,
            after_ms,
        });
    }

    fn is_validator(&self) -> bool {
        self.window
            .base()
            .policy
            .finality
            .weight_of(&self.config.me)
            .is_some()
    }

    /// Begins an attempt if a cut is due.
    pub(super) fn seek(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if self.attempt.is_some() || self.awaited.is_some() || !self.is_validator() {
            return;
        }
        let rulings = Rulings {
            left_out: self.waiting_retries(now),
            horizon: Some(self.window.arrivals()),
            ..Rulings::default()
        };
        let cut = Cut::of(&mut self.window, &rulings);
        if cut.is_empty() && self.evidence.is_empty() {
            self.work_since = None;
            return;
        }
        let since = *self.work_since.get_or_insert(now);
        let batch_ms = self.window.base().policy.finality.batch_ms;
        if !cut.is_urgent && now.0.saturating_sub(since.0) < batch_ms {
            if !self.batch_armed {
                self.arm_batch(now, since, effects);
            }
            return;
        }
        self.book.forget_inconclusive();
        self.attempts += 1;
        self.attempt = Some(Attempt {
            id: AttemptId(self.attempts),
            cut,
            rulings,
            fails: BTreeMap::new(),
            stage: Stage::Judging,
        });
        self.prove(now, effects);
    }

    /// The blocks that are left alone until their time.
    fn waiting_retries(&mut self, now: Millis) -> BTreeSet<ObjectId> {
        let window = &self.window;
        self.retries.retain(|block, _| window.contains(block));
        let waiting = self.retries.iter().filter(|(_, retry)| retry.until > now);
        waiting.map(|(block, _)| *block).collect()
    }

    /// Takes the proof of the attempt as far as the answers go.
    pub(super) fn prove(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        loop {
            let Some(attempt) = &mut self.attempt else {
                return;
            };
            if !matches!(attempt.stage, Stage::Judging) {
                return;
            }
            attempt.cut = Cut::of(&mut self.window, &attempt.rulings);
            if attempt.cut.is_empty() && self.evidence.is_empty() {
                // Nothing can be disposed of now, unless by what came in the meantime.
                let is_newer = attempt.rulings.horizon < Some(self.window.arrivals());
                self.attempt = None;
                self.work_since = None;
                if is_newer {
                    self.seek(now, effects);
                }
                return;
            }
            match find(&self.book, &self.window, &attempt.cut) {
                Finding::Wait => return,
                Finding::Ask(asks) => {
                    for (dapp, scope, blocks) in asks {
                        let asked = self
                            .book
                            .ask(&self.window, &attempt.cut, &dapp, scope, blocks);
                        effects.extend(asked.map(|(job, question)| Effect::Judge {
                            job,
                            question: Box::new(question),
                        }));
                    }
                    return;
                }
                Finding::Fails {
                    dapp,
                    candidate,
                    key,
                    ..
                } => {
                    attempt.rulings.failed.insert(candidate);
                    attempt.fails.insert(candidate, (dapp, key));
                }
                Finding::Inconclusive { block, .. } => {
                    attempt.rulings.left_out.insert(block);
                    self.leave_alone(now, block, effects);
                }
                Finding::Proven(used) => {
                    attempt.stage = Stage::Proven(used);
                    self.vote_on(now, finality::Input::Start, effects);
                    return self.supply(now, effects);
                }
            }
        }
    }

    fn leave_alone(&mut self, now: Millis, block: ObjectId, effects: &mut Vec<Effect>) {
        let retry = self.retries.entry(block).or_insert(Retry {
            tries: 0,
            until: now,
        });
        let wait_ms = self.config.retry_ms << retry.tries.min(DOUBLINGS_MAX);
        retry.tries += 1;
        retry.until = Millis(now.0 + wait_ms);
        self.arm_retry(now, effects);
    }

    /// Asks to be woken when the first of the blocks that nobody could judge may be tried again.
    pub(super) fn arm_retry(&self, now: Millis, effects: &mut Vec<Effect>) {
        let waiting = self.retries.values().filter(|retry| retry.until > now);
        if let Some(until) = waiting.map(|retry| retry.until).min() {
            let after_ms = until.0 - now.0;
            effects.push(Effect::Arm {
                timer: Timer::Retry,
                after_ms,
            });
        }
    }

    /// Gives finality the fresh value that it asked for, or has it built.
    pub(super) fn supply(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let view = self.instance.view();
        if self.wanted != Some((self.instance.params().height, view)) {
            return;
        }
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        match &attempt.stage {
            Stage::Judging | Stage::Building => {}
            Stage::Built(value) => {
                let value = *value;
                self.vote_on(now, finality::Input::ValueReady { view, value }, effects);
            }
            Stage::Proven(used) => {
                let mut used = used.clone();
                let failed = attempt
                    .cut
                    .failed
                    .iter()
                    .filter_map(|name| attempt.fails.get(name));
                used.extend(failed.map(|(dapp, key)| (dapp.clone(), *key, false)));
                let content = Content::new(
                    &self.window,
                    &attempt.cut,
                    self.book.certificates(self.window.base(), &used),
                    self.evidence.clone(),
                    self.certificate.clone(),
                );
                attempt.stage = Stage::Building;
                effects.push(Effect::Build {
                    attempt: attempt.id,
                    content: Box::new(content),
                });
            }
        }
    }

    pub(super) fn on_built(
        &mut self,
        now: Millis,
        id: AttemptId,
        next: NextBase,
        effects: &mut Vec<Effect>,
    ) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.id == id) else {
            return;
        };
        let cut = Cut::of(&mut self.window, &attempt.rulings);
        if cut != attempt.cut {
            // A rejection or a withdrawal has come in between.
            attempt.stage = Stage::Judging;
            return self.prove(now, effects);
        }
        let value = next.base.checkpoint.id;
        attempt.stage = Stage::Built(value);
        self.built.insert(value, next);
        self.supply(now, effects);
    }

    /// The tree of the attempt would break the ledger: its change of the rules goes aside.
    pub(super) fn on_unsound(&mut self, now: Millis, id: AttemptId, effects: &mut Vec<Effect>) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.id == id) else {
            return;
        };
        let changes_rules = |block: &ObjectId| {
            let at = self.window.slot_of(block);
            at.is_some_and(|at| self.window.touches_rules(self.window.slot(at)))
        };
        let blocks = attempt.cut.included.iter().map(|included| included.block);
        attempt.rulings.unsound.extend(blocks.filter(changes_rules));
        attempt.stage = Stage::Judging;
        self.prove(now, effects);
    }

    /// Whether the machine stands behind a checkpoint that it built itself.
    pub(super) fn stands_behind(&self, value: &ObjectId) -> bool {
        let built = self.attempt.as_ref().map(|attempt| &attempt.stage);
        matches!(built, Some(Stage::Built(own)) if own == value)
    }
}
