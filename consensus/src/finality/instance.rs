//! The state machine of one height: the transition table of P-32.
//!
//! **Invariants**: but for votes that were logged in another life, [`Instance::sign`] alone asks for
//! signatures, and it marks the ballot before it asks.

use std::collections::BTreeMap;

use gdo_core::id::{MemberName, ObjectId, View};
use gdo_core::vote::{Ballot, Certificate, Vote, VoteKind};

use super::own::OwnVotes;
use super::pace::{self, Rotation};
use super::tally::{Justification, Tally};
use super::{Answer, Effect, Input, Message, Params, Timer, VIEWS_AHEAD_MAX};

/// What is true of the current view alone.
#[derive(Clone, Default, Debug)]
struct Round {
    /// What the node was asked about, and said.
    checks: BTreeMap<ObjectId, Option<Answer>>,
    asked_for_value: bool,
    waits_to_repropose: bool,
    may_repropose: bool,
    extension_ms: u64,
    extended: BTreeMap<Timer, u64>,
}

/// The agreement on one height.
#[derive(Clone, Debug)]
pub struct Instance {
    params: Params,
    rotation: Rotation,
    tally: Tally,
    own: OwnVotes,
    /// 0 while idle.
    view: View,
    round: Round,
    decided: Option<Certificate>,
}

impl Instance {
    /// An instance that is idle until there is work or a message comes.
    #[must_use]
    pub fn new(mut params: Params) -> Self {
        params.me = params
            .me
            .filter(|me| params.validators.iter().any(|v| v.member == *me));
        Self {
            rotation: Rotation::new(&params.validators, params.previous),
            tally: Tally::new(&params.validators, params.quorum),
            params,
            own: OwnVotes::default(),
            view: View(0),
            round: Round::default(),
            decided: None,
        }
    }

    /// An instance that goes on after a restart, from the ballots that the node logged and the
    /// certificates that it kept (P-39). Those of other heights are passed over. The logged ballots
    /// are signed and sent again, since nobody knows whether they ever left.
    #[must_use]
    pub fn resume(
        params: Params,
        ballots: &[Ballot],
        certificates: Vec<Certificate>,
    ) -> (Self, Vec<Effect>) {
        let mut instance = Self::new(params);
        let mut effects = Vec::new();
        for ballot in ballots {
            if instance.is_mine(ballot) {
                instance.own.mark(ballot);
                effects.push(Effect::Sign(*ballot));
            }
        }
        if !effects.is_empty() {
            instance.wake(&mut effects);
        }
        for certificate in certificates {
            instance.on_certificate(certificate, &mut effects);
        }
        effects.retain(|effect| !matches!(effect, Effect::Keep(_)));
        (instance, effects)
    }

    /// Takes what happened and returns what to do.
    #[must_use]
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Start => self.wake(&mut effects),
            Input::ValueReady { view, value } => self.on_value(view, value, &mut effects),
            Input::Checked {
                view,
                value,
                answer,
            } => {
                self.on_checked(view, value, answer, &mut effects);
            }
            Input::Vote(vote) => self.on_vote(vote, &mut effects),
            Input::Certificate(certificate) => self.on_certificate(certificate, &mut effects),
            Input::Timer { view, kind } => self.on_timer(view, kind, &mut effects),
            Input::Extend { view, by_ms } => {
                if view == self.view {
                    self.round.extension_ms = self.round.extension_ms.max(by_ms);
                }
            }
        }
        effects
    }

    /// The current view; 0 while idle.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// What the instance is about.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Who leads a view.
    #[must_use]
    pub fn leader(&self, view: View) -> &MemberName {
        self.rotation.leader(view)
    }

    /// What made the height final, once it is.
    #[must_use]
    pub fn decided(&self) -> Option<&Certificate> {
        self.decided.as_ref()
    }

    /// Every certificate that is known, by view and kind.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.tally.certificates()
    }

    fn delta_ms(&self) -> u64 {
        pace::delta_ms(self.params.delta0_ms, self.view)
    }

    fn is_voter(&self) -> bool {
        self.params.me.is_some() && self.decided.is_none()
    }

    fn leads(&self, view: View) -> bool {
        self.params.me.as_ref() == Some(self.leader(view))
    }

    /// Whether a ballot belongs to this instance.
    fn is_mine(&self, ballot: &Ballot) -> bool {
        let at = (ballot.ledger, ballot.height, ballot.previous);
        at == (self.params.ledger, self.params.height, self.params.previous)
            && ballot.kind != VoteKind::Recovery
            && ballot.check().is_ok()
    }

    fn wake(&mut self, effects: &mut Vec<Effect>) {
        if self.view.0 == 0 && self.decided.is_none() {
            self.enter(View(1), effects);
        }
    }

    fn enter(&mut self, view: View, effects: &mut Vec<Effect>) {
        self.view = view;
        self.round = Round::default();
        if !self.is_voter() {
            return;
        }
        let delta_ms = self.delta_ms();
        for (kind, times) in [(Timer::Leader, 2), (Timer::View, 3), (Timer::Resend, 1)] {
            effects.push(Effect::ArmTimer {
                view,
                kind,
                after_ms: delta_ms.saturating_mul(times),
            });
        }
        self.act(effects);
    }

    /// Does what the current view allows by now: propose or notarize.
    fn act(&mut self, effects: &mut Vec<Effect>) {
        if !self.may_notarize() {
            return;
        }
        if self.leads(self.view) {
            return self.lead(effects);
        }
        let leader = self.leader(self.view).clone();
        for value in self.tally.notarized_by(self.view, &leader) {
            if self.tally.justification(self.view, Some(value)).is_some() {
                self.judge(value, effects);
            }
        }
    }

    fn may_notarize(&self) -> bool {
        self.view.0 > 0 && self.is_voter() && self.own.allows(self.view, VoteKind::Notarize)
    }

    fn lead(&mut self, effects: &mut Vec<Effect>) {
        let view = self.view;
        match self.tally.justification(view, None) {
            Some(Justification::Fresh) if !self.round.asked_for_value => {
                self.round.asked_for_value = true;
                effects.push(Effect::Propose { view });
            }
            None | Some(Justification::Fresh) => {}
            Some(Justification::Inherited { from, value }) => {
                // The value most likely becomes final by the F votes that are on their way.
                let is_awaited = from.0 + 1 == view.0 && self.own.finalized(from) == Some(value);
                if !is_awaited || self.round.may_repropose {
                    self.judge(value, effects);
                } else if !self.round.waits_to_repropose {
                    self.round.waits_to_repropose = true;
                    let after_ms = self.delta_ms() / 2;
                    effects.push(Effect::ArmTimer {
                        view,
                        kind: Timer::Repropose,
                        after_ms,
                    });
                }
            }
        }
    }

    /// Votes on a justified value of the current view, or has it checked first.
    fn judge(&mut self, value: ObjectId, effects: &mut Vec<Effect>) {
        if !self.may_notarize() {
            return;
        }
        let view = self.view;
        match self.round.checks.get(&value) {
            None => {
                self.round.checks.insert(value, None);
                effects.push(Effect::CheckProposal { view, value });
            }
            Some(Some(Answer::Valid)) => self.sign(view, VoteKind::Notarize, Some(value), effects),
            Some(Some(Answer::Invalid)) => self.sign(view, VoteKind::Nullify, None, effects),
            Some(Some(Answer::Missing) | None) => {}
        }
    }

    fn on_value(&mut self, view: View, value: ObjectId, effects: &mut Vec<Effect>) {
        if view == self.view && self.round.asked_for_value && self.is_voter() {
            self.sign(view, VoteKind::Notarize, Some(value), effects);
        }
    }

    fn on_checked(
        &mut self,
        view: View,
        value: ObjectId,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        if view == self.view && self.round.checks.contains_key(&value) {
            self.round.checks.insert(value, Some(answer));
            self.act(effects);
        }
    }

    fn on_vote(&mut self, vote: Vote, effects: &mut Vec<Effect>) {
        let ballot = vote.ballot;
        if !self.is_mine(&ballot) || ballot.view.0 > self.view.0 + VIEWS_AHEAD_MAX {
            return;
        }
        let mine = self.params.me.as_ref() == Some(&vote.member);
        let added = self.tally.add(vote.clone());
        effects.extend(added.evidence.into_iter().map(Effect::Evidence));
        if !added.is_new {
            return;
        }
        if mine {
            // Also one that came from elsewhere: another life of this key signed it (P-39).
            self.own.mark(&ballot);
            if self.decided.is_none() {
                self.send_own(vote, effects);
            }
        }
        self.wake(effects);
        if let Some(certificate) = added.certificate {
            self.on_new_certificate(certificate, effects);
        } else if ballot.view == self.view && ballot.kind == VoteKind::Notarize {
            self.act(effects);
        }
    }

    fn on_certificate(&mut self, certificate: Certificate, effects: &mut Vec<Effect>) {
        let ballot = certificate.ballot(self.params.ledger, self.params.previous);
        if !self.is_mine(&ballot) {
            return;
        }
        let is_new = self.tally.hold(certificate.clone());
        let votes: Vec<Vote> = certificate
            .votes(self.params.ledger, self.params.previous)
            .collect();
        for vote in votes {
            if self.params.me.as_ref() == Some(&vote.member) {
                self.own.mark(&vote.ballot);
            }
            let added = self.tally.add(vote);
            effects.extend(added.evidence.into_iter().map(Effect::Evidence));
        }
        if is_new {
            self.wake(effects);
            self.on_new_certificate(certificate, effects);
        }
    }

    /// The rows `on q N`, `on q Z` and `on q F` of P-32.
    fn on_new_certificate(&mut self, certificate: Certificate, effects: &mut Vec<Effect>) {
        let view = certificate.view;
        if let Some(decided) = &self.decided {
            let conflicts =
                certificate.kind == VoteKind::Finalize && certificate.value != decided.value;
            if conflicts {
                effects.push(Effect::Forked(certificate));
            }
            return;
        }
        effects.push(Effect::Keep(certificate.clone()));
        let enters = view >= self.view;
        if self.params.me.is_some() && (enters || certificate.kind == VoteKind::Finalize) {
            effects.push(Effect::Broadcast(Message::Certificate(certificate.clone())));
        }
        match (certificate.kind, certificate.value) {
            (VoteKind::Finalize, Some(value)) => return self.decide(value, certificate, effects),
            (VoteKind::Notarize, value) => self.sign(view, VoteKind::Finalize, value, effects),
            _ => {}
        }
        if enters {
            self.enter(View(view.0 + 1), effects);
        } else {
            self.act(effects);
        }
    }

    fn decide(&mut self, value: ObjectId, certificate: Certificate, effects: &mut Vec<Effect>) {
        self.decided = Some(certificate.clone());
        effects.push(Effect::Final { value, certificate });
        if self.params.me.is_some() {
            // Those that missed it learn it as long as the instance is kept.
            self.arm_resend(effects);
        }
    }

    fn on_timer(&mut self, view: View, kind: Timer, effects: &mut Vec<Effect>) {
        if view != self.view || view.0 == 0 || self.params.me.is_none() {
            return;
        }
        if kind == Timer::Resend {
            self.resend(effects);
            return self.arm_resend(effects);
        }
        if self.decided.is_some() {
            return;
        }
        if kind == Timer::Repropose {
            self.round.may_repropose = true;
            return self.act(effects);
        }
        let used_ms = self
            .round
            .extended
            .insert(kind, self.round.extension_ms)
            .unwrap_or(0);
        let more_ms = self.round.extension_ms - used_ms;
        if more_ms > 0 {
            effects.push(Effect::ArmTimer {
                view,
                kind,
                after_ms: more_ms,
            });
        } else if kind == Timer::View || !self.own.has_notarized(view) {
            self.sign(view, VoteKind::Nullify, None, effects);
        }
    }

    fn arm_resend(&self, effects: &mut Vec<Effect>) {
        let view = self.view;
        let after_ms = self.delta_ms();
        effects.push(Effect::ArmTimer {
            view,
            kind: Timer::Resend,
            after_ms,
        });
    }

    /// Sends what others may lack: the certificates that let them enter and vote, and all own votes,
    /// since the others may have lost theirs in a crash.
    fn resend(&self, effects: &mut Vec<Effect>) {
        if let Some(certificate) = &self.decided {
            effects.push(Effect::Broadcast(Message::Certificate(certificate.clone())));
            return;
        }
        self.send_grounds(self.view, effects);
        let Some(me) = &self.params.me else { return };
        for vote in self.tally.votes_of(me) {
            effects.push(Effect::Broadcast(self.message(vote.clone())));
        }
    }

    fn send_own(&self, vote: Vote, effects: &mut Vec<Effect>) {
        let message = self.message(vote);
        if let Message::Proposal(vote) = &message {
            self.send_grounds(vote.ballot.view, effects);
        }
        effects.push(Effect::Broadcast(message));
    }

    fn message(&self, vote: Vote) -> Message {
        let Ballot { view, kind, .. } = vote.ballot;
        if kind == VoteKind::Notarize && *self.leader(view) == vote.member {
            Message::Proposal(vote)
        } else {
            Message::Vote(vote)
        }
    }

    /// Sends the certificates that justify a proposal in `view`, as far as they are here.
    fn send_grounds(&self, view: View, effects: &mut Vec<Effect>) {
        let grounds = self.tally.grounds(view).into_iter().cloned();
        effects.extend(grounds.map(Message::Certificate).map(Effect::Broadcast));
    }

    /// Asks for a signature, unless it would contradict what was signed (P-33) or say it again.
    fn sign(
        &mut self,
        view: View,
        kind: VoteKind,
        value: Option<ObjectId>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.is_voter() || !self.own.allows(view, kind) {
            return;
        }
        let Params {
            ledger,
            height,
            previous,
            ..
        } = self.params;
        let ballot = Ballot {
            ledger,
            height,
            previous,
            view,
            kind,
            value,
        };
        self.own.mark(&ballot);
        effects.push(Effect::Sign(ballot));
    }
}
