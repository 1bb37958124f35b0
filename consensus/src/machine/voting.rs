//! How the machine and the finality of its height work together (P-32).

use gdo_core::checkpoint::CheckpointKind;
use gdo_core::id::Height;

use super::{Config, Effect, Machine, Millis, Timer};
use crate::facts::Base;
use crate::finality::{self, Answer, Instance, Params};

/// What finality must know of the height after K.
pub(super) fn params(config: &Config, base: &Base) -> Params {
    let finality = &base.policy.finality;
    Params {
        ledger: base.ledger,
        height: base.checkpoint.height.next(),
        previous: base.checkpoint.id,
        validators: finality.validators.clone(),
        quorum: finality.quorum,
        me: Some(config.me.clone()),
        delta0_ms: config.delta0_ms,
    }
}

impl Machine {
    /// Gives finality an input and carries on with what it says.
    pub(super) fn vote_on(
        &mut self,
        now: Millis,
        input: finality::Input,
        effects: &mut Vec<Effect>,
    ) {
        let said = self.instance.step(input);
        self.finality_effects(now, said, effects);
    }

    pub(super) fn finality_effects(
        &mut self,
        now: Millis,
        said: Vec<finality::Effect>,
        effects: &mut Vec<Effect>,
    ) {
        let height: Height = self.instance.params().height;
        for effect in said {
            match effect {
                finality::Effect::Propose { view } => {
                    self.wanted = Some((height, view));
                    self.supply(now, effects);
                }
                finality::Effect::CheckProposal { view, value } if self.stands_behind(&value) => {
                    let answer = Answer::Valid;
                    let input = finality::Input::Checked {
                        view,
                        value,
                        answer,
                    };
                    self.vote_on(now, input, effects);
                }
                finality::Effect::CheckProposal { view, value } => {
                    effects.push(Effect::Check { view, value });
                }
                finality::Effect::Sign(ballot) => effects.push(Effect::Sign(ballot)),
                finality::Effect::Broadcast(message) => effects.push(Effect::Broadcast(message)),
                finality::Effect::Keep(certificate) => effects.push(Effect::Keep(certificate)),
                finality::Effect::ArmTimer {
                    view,
                    kind,
                    after_ms,
                } => {
                    let timer = Timer::Finality { height, view, kind };
                    effects.push(Effect::Arm { timer, after_ms });
                }
                finality::Effect::Evidence(evidence) => {
                    self.evidence.push(evidence.clone());
                    effects.push(Effect::Evidence(evidence));
                }
                finality::Effect::Final { value, certificate } => {
                    self.awaited = Some((value, certificate));
                    self.adopt(now, effects);
                }
                finality::Effect::Forked(certificate) => {
                    effects.push(Effect::Forked(certificate));
                }
            }
        }
    }

    /// Moves K to the checkpoint that became final, once the machine has it.
    pub(super) fn adopt(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let Some((value, certificate)) = self.awaited.take() else {
            return;
        };
        let Some(next) = self.built.remove(&value) else {
            self.awaited = Some((value, certificate));
            effects.push(Effect::Load { value });
            return;
        };
        let checkpoint = next.base.checkpoint;
        debug_assert_ne!(
            next.base.record.kind,
            CheckpointKind::Genesis,
            "genesis is never voted on"
        );
        let refresh = self.window.advance(next.base, &next.delta);
        self.book.advance();
        self.built.clear();
        self.attempt = None;
        self.evidence.clear();
        self.work_since = None;
        self.wanted = None;
        self.certificate = Some(certificate.clone());
        self.instance = Instance::new(params(&self.config, self.window.base()));
        effects.push(Effect::Finalize {
            checkpoint,
            certificate,
        });
        effects.push(Effect::HeadChanged);
        if !refresh.is_empty() {
            effects.push(Effect::Refresh(refresh));
        }
        self.arm_retry(now, effects);
        self.seek(now, effects);
    }
}
