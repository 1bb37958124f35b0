//! A validator that comes back with its log and the certificates that it kept (P-39).

use super::{
    Answer, Effect, F, Four, Instance, Message, N, Timer, View, Z, check, signatures, x, y,
};
use gdo_core::id::ObjectId;
use gdo_core::vote::{Ballot, Certificate, VoteKind};

fn resume(four: &mut Four, ballots: &[Ballot], kept: Vec<Certificate>) -> Vec<Effect> {
    let params = four.instance.params().clone();
    let (instance, effects) = Instance::resume(params, ballots, kept);
    four.instance = instance;
    effects
}

#[test]
fn logged_votes_are_signed_again_and_never_contradicted() {
    // (logged, what would contradict it, the vote that it would be)
    type Temptation = fn(&mut Four) -> Vec<Effect>;
    let rows: [((VoteKind, Option<ObjectId>), Temptation); 4] = [
        ((N, Some(x())), |four| {
            four.vote(1, N, 1, Some(y()));
            four.checked(1, y(), Answer::Valid)
        }),
        ((Z, None), |four| four.certify(N, 1, Some(x()))),
        ((F, Some(x())), |four| four.timer(1, Timer::View)),
        ((F, Some(x())), |four| four.certify(N, 1, Some(y()))),
    ];
    for ((kind, value), tempt) in rows {
        let mut four = Four::of(4);
        let logged = four.ballot(kind, 1, value);
        let effects = resume(&mut four, &[logged], vec![]);
        assert_eq!(effects.first(), Some(&Effect::Sign(logged)));
        assert_eq!(four.instance.view(), View(1));
        let signed = signatures(&tempt(&mut four));
        assert!(
            signed.iter().all(|(_, view, _)| *view != 1),
            "{logged:?} then {signed:?}"
        );
    }
}

#[test]
fn a_leader_that_comes_back_proposes_what_it_proposed() {
    let mut four = Four::of(1);
    let logged = four.ballot(N, 1, Some(x()));
    let effects = resume(&mut four, &[logged], vec![]);
    assert!(!effects.contains(&Effect::Propose { view: View(1) }));
    assert_eq!(four.ready(1, y()), []);
    let own = Effect::Broadcast(Message::Proposal(four.signed(1, N, 1, Some(x()))));
    assert_eq!(four.vote(1, N, 1, Some(x())), [own]);
}

/// The story: 1 alone saw the N certificate, signed F, and crashed. Then no Z certificate of the
/// view can be (1 will not sign Z, a liar who signed N says nothing any more), and no second N
/// certificate. Only the one that 1 kept lets the others go on.
#[test]
fn the_certificate_behind_an_f_outlives_a_crash() {
    let mut four = Four::of(4);
    four.start();
    let effects = four.certify(N, 1, Some(x()));
    let at = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
    let kept = at(|effect| matches!(effect, Effect::Keep(_)));
    assert!(kept.is_some() && kept < at(|effect| matches!(effect, Effect::Sign(_))));
    let certificate = four.certificate(N, 1, Some(x()));
    let logged = four.ballot(F, 1, Some(x()));
    let effects = resume(&mut four, &[logged], vec![certificate.clone()]);
    assert_eq!(signatures(&effects), [(F, 1, Some(x()))]);
    assert_eq!(four.instance.view(), View(2));
    let sent = Effect::Broadcast(Message::Certificate(certificate));
    assert!(four.timer(2, Timer::Resend).contains(&sent));
}

#[test]
fn a_crash_between_certificate_and_f_ends_in_f() {
    let mut four = Four::of(4);
    let certificate = four.certificate(N, 1, Some(x()));
    let effects = resume(&mut four, &[], vec![certificate]);
    assert_eq!(signatures(&effects), [(F, 1, Some(x()))]);
}

#[test]
fn a_decided_height_stays_decided() {
    let mut four = Four::of(4);
    let certificate = four.certificate(F, 1, Some(x()));
    let effects = resume(&mut four, &[], vec![certificate.clone()]);
    assert!(effects.contains(&Effect::Final {
        value: x(),
        certificate
    }));
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Keep(_))),
        "kept again"
    );
    assert_eq!(four.start(), []);
}

#[test]
fn votes_of_the_last_height_do_not_bind() {
    let mut four = Four::of(4);
    let old = Ballot {
        previous: y(),
        ..four.ballot(Z, 1, None)
    };
    assert_eq!(resume(&mut four, &[old], vec![]), []);
    assert_eq!(four.instance.view(), View(0));
    assert!(four.vote(1, N, 1, Some(x())).contains(&check(1, x())));
}

/// A key that ran elsewhere meanwhile: what it signed there binds here (P-39).
#[test]
fn an_own_vote_that_comes_from_others_binds() {
    let mut four = Four::of(4);
    four.start();
    four.vote(4, Z, 1, None);
    assert_eq!(signatures(&four.certify(N, 1, Some(x()))), []);
}
