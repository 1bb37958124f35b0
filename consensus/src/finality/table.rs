//! The transition table of P-32, row by row.

use gdo_core::id::{Height, LedgerId, MemberName, ObjectId, View, Weight};
use gdo_core::policy::Validator;
use gdo_core::vote::{Ballot, Certificate, MemberSignature, Vote, VoteKind};

use super::sim::{member, value};
use super::{Answer, Effect, Input, Instance, Message, Params, Timer};

use VoteKind::{Finalize as F, Notarize as N, Nullify as Z};

mod leaders;
mod restart;
mod votes;

const DELTA0_MS: u64 = 1000;

fn params(me: Option<MemberName>, validators: usize, quorum: u64) -> Params {
    let validator = |index| Validator {
        member: member(index),
        weight: Weight(1),
    };
    Params {
        ledger: LedgerId(value([0, 0, 0])),
        height: Height(5),
        previous: value([1, 0, 0]),
        validators: (0..validators).map(validator).collect(),
        quorum: Weight(quorum),
        me,
        delta0_ms: DELTA0_MS,
    }
}

fn x() -> ObjectId {
    value([10, 0, 0])
}

fn y() -> ObjectId {
    value([11, 0, 0])
}

/// Four validators, quorum 3. Each leads one of the views 1 to 4, and goes by that number here.
struct Four {
    instance: Instance,
}

impl Four {
    /// The instance of the one that leads view `me`.
    fn of(me: u64) -> Self {
        let watcher = Instance::new(params(None, 4, 3));
        let name = watcher.leader(View(me)).clone();
        Self {
            instance: Instance::new(params(Some(name), 4, 3)),
        }
    }

    fn watcher() -> Self {
        Self {
            instance: Instance::new(params(None, 4, 3)),
        }
    }

    fn name(&self, number: u64) -> MemberName {
        self.instance.leader(View(number)).clone()
    }

    fn ballot(&self, kind: VoteKind, view: u64, value: Option<ObjectId>) -> Ballot {
        let Params {
            ledger,
            height,
            previous,
            ..
        } = *self.instance.params();
        Ballot {
            ledger,
            height,
            previous,
            view: View(view),
            kind,
            value,
        }
    }

    fn signed(&self, by: u64, kind: VoteKind, view: u64, value: Option<ObjectId>) -> Vote {
        let ballot = self.ballot(kind, view, value);
        Vote {
            ballot,
            member: self.name(by),
            signature: [by as u8; 64],
        }
    }

    fn vote(&mut self, by: u64, kind: VoteKind, view: u64, value: Option<ObjectId>) -> Vec<Effect> {
        let vote = self.signed(by, kind, view, value);
        self.instance.step(Input::Vote(vote))
    }

    /// A certificate signed by 2, 3 and 4.
    fn certificate(&self, kind: VoteKind, view: u64, value: Option<ObjectId>) -> Certificate {
        let signed = (2..=4).map(|by| MemberSignature {
            member: self.name(by),
            signature: [by as u8; 64],
        });
        Certificate::new(&self.ballot(kind, view, value), signed)
    }

    fn certify(&mut self, kind: VoteKind, view: u64, value: Option<ObjectId>) -> Vec<Effect> {
        let certificate = self.certificate(kind, view, value);
        self.instance.step(Input::Certificate(certificate))
    }

    fn start(&mut self) -> Vec<Effect> {
        self.instance.step(Input::Start)
    }

    fn timer(&mut self, view: u64, kind: Timer) -> Vec<Effect> {
        self.instance.step(Input::Timer {
            view: View(view),
            kind,
        })
    }

    fn checked(&mut self, view: u64, value: ObjectId, answer: Answer) -> Vec<Effect> {
        self.instance.step(Input::Checked {
            view: View(view),
            value,
            answer,
        })
    }

    fn ready(&mut self, view: u64, value: ObjectId) -> Vec<Effect> {
        self.instance.step(Input::ValueReady {
            view: View(view),
            value,
        })
    }
}

fn signatures(effects: &[Effect]) -> Vec<(VoteKind, u64, Option<ObjectId>)> {
    let signed = effects.iter().filter_map(|effect| match effect {
        Effect::Sign(ballot) => Some((ballot.kind, ballot.view.0, ballot.value)),
        _ => None,
    });
    signed.collect()
}

fn check(view: u64, value: ObjectId) -> Effect {
    Effect::CheckProposal {
        view: View(view),
        value,
    }
}

fn timers(effects: &[Effect]) -> Vec<(u64, Timer, u64)> {
    let armed = effects.iter().filter_map(|effect| match effect {
        Effect::ArmTimer {
            view,
            kind,
            after_ms,
        } => Some((view.0, *kind, *after_ms)),
        _ => None,
    });
    armed.collect()
}

#[test]
fn one_validator_decides_without_a_timer() {
    let mut instance = Instance::new(params(Some(member(0)), 1, 1));
    let mut inputs = vec![Input::Start];
    let mut decided = None;
    let mut kept_before_f = false;
    while let Some(input) = inputs.pop() {
        for effect in instance.step(input) {
            match effect {
                Effect::Propose { view } => inputs.push(Input::ValueReady { view, value: x() }),
                Effect::Sign(ballot) => {
                    let vote = Vote {
                        ballot,
                        member: member(0),
                        signature: [0; 64],
                    };
                    inputs.push(Input::Vote(vote));
                }
                Effect::Keep(certificate) => kept_before_f |= certificate.kind == N,
                Effect::Final { value, certificate } => decided = Some((value, certificate)),
                Effect::CheckProposal { .. } => panic!("its own value was asked about"),
                _ => {}
            }
        }
    }
    let (value, certificate) = decided.expect("decided");
    assert_eq!(
        (value, certificate.kind, certificate.votes.len()),
        (x(), F, 1)
    );
    assert_eq!(instance.decided(), Some(&certificate));
    assert!(kept_before_f);
}

#[test]
fn idle_until_there_is_work_or_a_message() {
    let wakes: [fn(&mut Four) -> Vec<Effect>; 3] = [
        Four::start,
        |four| four.vote(3, Z, 1, None),
        |four| four.certify(Z, 1, None),
    ];
    for (wake, view) in wakes.into_iter().zip([1, 1, 2]) {
        let mut four = Four::of(4);
        assert_eq!(four.timer(0, Timer::View), []);
        assert_eq!(four.instance.view(), View(0));
        assert!(!timers(&wake(&mut four)).is_empty());
        assert_eq!(four.instance.view(), View(view));
        assert_eq!(four.start(), [], "started twice");
    }
}

#[test]
fn a_view_arms_its_timers_by_its_pace() {
    let mut four = Four::of(4);
    let expected = [
        (1, Timer::Leader, 3000),
        (1, Timer::View, 4500),
        (1, Timer::Resend, 1500),
    ];
    assert_eq!(timers(&four.start()), expected);
    let expected = [
        (3, Timer::Leader, 6750),
        (3, Timer::View, 10_125),
        (3, Timer::Resend, 3375),
    ];
    assert_eq!(timers(&four.certify(Z, 2, None)), expected);
}

#[test]
fn the_leader_asks_for_a_fresh_value_once_and_its_vote_proposes_it() {
    let mut four = Four::of(1);
    assert!(four.start().contains(&Effect::Propose { view: View(1) }));
    assert_eq!(four.vote(2, Z, 1, None), [], "asked twice");
    assert_eq!(four.ready(2, x()), [], "a value for another view");
    assert_eq!(signatures(&four.ready(1, x())), [(N, 1, Some(x()))]);
    assert_eq!(four.ready(1, y()), [], "a second value");
    let own = four.signed(1, N, 1, Some(x()));
    let proposal = Effect::Broadcast(Message::Proposal(own));
    assert_eq!(four.vote(1, N, 1, Some(x())), [proposal]);
}

#[test]
fn a_value_that_nobody_asked_for_is_not_proposed() {
    let mut four = Four::of(2);
    four.start();
    assert_eq!(four.ready(1, x()), []);
}

#[test]
fn a_proposal_is_checked_and_then_notarized_nullified_or_left_to_the_timer() {
    let rows = [
        (Answer::Valid, vec![(N, 1, Some(x()))]),
        (Answer::Invalid, vec![(Z, 1, None)]),
        (Answer::Missing, vec![]),
    ];
    for (answer, expected) in rows {
        let mut four = Four::of(4);
        assert!(four.vote(1, N, 1, Some(x())).contains(&check(1, x())));
        assert_eq!(signatures(&four.checked(1, x(), answer)), expected);
        let later = signatures(&four.checked(1, x(), Answer::Valid));
        assert_eq!(
            later.len(),
            usize::from(answer == Answer::Missing),
            "{later:?}"
        );
    }
}

#[test]
fn only_the_leader_of_the_view_proposes() {
    let mut four = Four::of(4);
    four.start();
    assert_eq!(four.vote(2, N, 1, Some(x())), []);
    assert_eq!(
        four.vote(1, N, 2, Some(x())),
        [],
        "in a view of another leader"
    );
    assert_eq!(
        four.checked(1, x(), Answer::Valid),
        [],
        "an answer nobody asked for"
    );
    assert_eq!(four.vote(1, N, 1, Some(x())), [check(1, x())]);
}

#[test]
fn one_n_a_view_whatever_the_leader_sends() {
    let mut four = Four::of(4);
    four.vote(1, N, 1, Some(x()));
    four.checked(1, x(), Answer::Valid);
    let effects = four.vote(1, N, 1, Some(y()));
    assert!(matches!(effects[..], [Effect::Evidence(_)]), "{effects:?}");
    assert_eq!(four.checked(1, y(), Answer::Valid), []);
}

#[test]
fn no_n_after_z() {
    let mut four = Four::of(4);
    four.vote(1, N, 1, Some(x()));
    assert_eq!(signatures(&four.timer(1, Timer::Leader)), [(Z, 1, None)]);
    assert_eq!(four.checked(1, x(), Answer::Valid), []);
}

#[test]
fn no_proposal_after_z() {
    let mut four = Four::of(1);
    four.start();
    assert_eq!(signatures(&four.timer(1, Timer::Leader)), [(Z, 1, None)]);
    assert_eq!(four.ready(1, x()), []);
}

#[test]
fn a_quorum_of_n_is_kept_gossiped_finalized_and_left() {
    let mut four = Four::of(4);
    four.start();
    four.vote(1, N, 1, Some(x()));
    four.vote(2, N, 1, Some(x()));
    let effects = four.vote(3, N, 1, Some(x()));
    let [
        Effect::Keep(kept),
        Effect::Broadcast(Message::Certificate(sent)),
        rest @ ..,
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(
        (kept.kind, kept.view, kept.value, kept.votes.len()),
        (N, View(1), Some(x()), 3)
    );
    assert_eq!(kept, sent);
    assert_eq!(signatures(rest), [(F, 1, Some(x()))]);
    assert_eq!(four.instance.view(), View(2));
}

#[test]
fn no_f_after_z() {
    let mut four = Four::of(4);
    four.start();
    four.timer(1, Timer::Leader);
    let effects = four.certify(N, 1, Some(x()));
    assert_eq!(signatures(&effects), []);
    assert_eq!(four.instance.view(), View(2), "entered all the same");
}

#[test]
fn no_z_after_f() {
    let mut four = Four::of(4);
    four.certify(N, 1, Some(x()));
    for timer in [Timer::Leader, Timer::View] {
        assert_eq!(signatures(&four.timer(1, timer)), []);
    }
}

#[test]
fn the_timers_nullify_what_they_wait_for() {
    // (what came before, leader timer, view timer)
    let mut silent = Four::of(4);
    silent.start();
    assert_eq!(signatures(&silent.timer(1, Timer::Leader)), [(Z, 1, None)]);
    assert_eq!(silent.timer(1, Timer::View), [], "Z twice");
    let mut notarized = Four::of(4);
    notarized.vote(1, N, 1, Some(x()));
    notarized.checked(1, x(), Answer::Valid);
    assert_eq!(notarized.timer(1, Timer::Leader), []);
    assert_eq!(signatures(&notarized.timer(1, Timer::View)), [(Z, 1, None)]);
}

#[test]
fn runs_of_validators_extend_the_timers_once() {
    let mut four = Four::of(4);
    four.start();
    let extend = |view, by_ms| Input::Extend {
        view: View(view),
        by_ms,
    };
    assert_eq!(four.instance.step(extend(2, 9000)), [], "another view");
    assert_eq!(four.instance.step(extend(1, 5000)), []);
    assert_eq!(four.instance.step(extend(1, 4000)), []);
    for kind in [Timer::Leader, Timer::View] {
        assert_eq!(timers(&four.timer(1, kind)), [(1, kind, 5000)]);
    }
    assert_eq!(signatures(&four.timer(1, Timer::Leader)), [(Z, 1, None)]);
}

#[test]
fn a_quorum_of_f_is_final_in_whatever_view() {
    for certified in [1, 7, 500] {
        let mut four = Four::of(4);
        four.start();
        let effects = four.certify(F, certified, Some(x()));
        let certificate = four.certificate(F, certified, Some(x()));
        assert!(
            effects.contains(&Effect::Final {
                value: x(),
                certificate
            }),
            "{effects:?}"
        );
        assert_eq!(four.start(), []);
        assert_eq!(signatures(&four.timer(1, Timer::View)), []);
        assert_eq!(
            signatures(&four.certify(N, 1, Some(x()))),
            [],
            "signed after the end"
        );
    }
}

#[test]
fn a_second_final_value_is_a_fork() {
    let mut four = Four::of(4);
    four.certify(F, 1, Some(x()));
    let effects = four.certify(F, 2, Some(y()));
    assert_eq!(effects, [Effect::Forked(four.certificate(F, 2, Some(y())))]);
    assert_eq!(four.certify(F, 3, Some(x())), []);
    assert_eq!(
        four.instance.decided().and_then(|held| held.value),
        Some(x())
    );
}

#[test]
fn a_watcher_sees_what_is_final_and_says_nothing() {
    let mut four = Four::watcher();
    assert_eq!(four.start(), []);
    for by in 1..=3 {
        four.vote(by, N, 1, Some(x()));
        let effects = four.vote(by, F, 1, Some(x()));
        let silent = |effect: &Effect| matches!(effect, Effect::Keep(_) | Effect::Final { .. });
        assert!(effects.iter().all(silent), "{effects:?}");
    }
    assert_eq!(
        four.instance.decided().and_then(|held| held.value),
        Some(x())
    );
    let stranger = params(Some("stranger".parse().expect("a name")), 4, 3);
    assert_eq!(Instance::new(stranger).step(Input::Start), []);
}
