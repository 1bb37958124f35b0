//! What a leader may propose after the first view, and what the others take of it.

use super::{Answer, Effect, Four, Message, N, Timer, View, Z, check, signatures, timers, x, y};

#[test]
fn a_quorum_of_z_is_forwarded_and_lets_the_next_leader_propose() {
    let mut four = Four::of(2);
    four.start();
    let effects = four.certify(Z, 1, None);
    let sent = Effect::Broadcast(Message::Certificate(four.certificate(Z, 1, None)));
    assert!(effects.contains(&sent));
    assert!(effects.contains(&Effect::Propose { view: View(2) }));
    // With the proposal goes what justifies it.
    four.ready(2, x());
    let own = Effect::Broadcast(Message::Proposal(four.signed(2, N, 2, Some(x()))));
    assert_eq!(four.vote(2, N, 2, Some(x())), [sent, own]);
}

#[test]
fn a_leader_without_all_z_waits_for_them() {
    let mut four = Four::of(4);
    assert!(
        !four
            .certify(Z, 3, None)
            .contains(&Effect::Propose { view: View(4) })
    );
    assert_eq!(four.instance.view(), View(4));
    four.certify(Z, 1, None);
    assert!(
        four.certify(Z, 2, None)
            .contains(&Effect::Propose { view: View(4) })
    );
}

#[test]
fn a_leader_inherits_the_highest_notarized_value() {
    let mut four = Four::of(4);
    four.certify(N, 1, Some(x()));
    four.certify(Z, 1, None);
    four.certify(N, 2, Some(y()));
    // No Z of view 2 is needed, since view 2 itself was notarized.
    assert!(four.certify(Z, 3, None).contains(&check(4, y())));
    assert_eq!(
        four.certify(Z, 2, None),
        [Effect::Keep(four.certificate(Z, 2, None))]
    );
    assert_eq!(
        signatures(&four.checked(4, y(), Answer::Valid)),
        [(N, 4, Some(y()))]
    );
}

#[test]
fn an_inherited_value_is_proposed_once_it_is_checked() {
    let mut four = Four::of(3);
    four.certify(N, 1, Some(x()));
    let effects = four.certify(Z, 2, None);
    assert!(effects.contains(&check(3, x())), "{effects:?}");
    assert_eq!(four.ready(3, y()), [], "a fresh value in its place");
    assert_eq!(
        signatures(&four.checked(3, x(), Answer::Valid)),
        [(N, 3, Some(x()))]
    );
    let sent = four.vote(3, N, 3, Some(x()));
    let grounds = [
        four.certificate(N, 1, Some(x())),
        four.certificate(Z, 2, None),
    ];
    let grounds = grounds.map(|held| Effect::Broadcast(Message::Certificate(held)));
    assert_eq!(sent[..2], grounds);
}

#[test]
fn a_value_that_is_about_to_become_final_is_proposed_again_late_alone() {
    let mut four = Four::of(2);
    let effects = four.certify(N, 1, Some(x()));
    assert!(!effects.contains(&check(2, x())));
    assert!(timers(&effects).contains(&(2, Timer::Repropose, 1125)));
    assert_eq!(four.timer(2, Timer::Repropose), [check(2, x())]);
}

#[test]
fn a_follower_waits_for_the_justification() {
    let mut four = Four::of(1);
    four.certify(Z, 2, None);
    assert_eq!(four.instance.view(), View(3));
    assert_eq!(four.vote(3, N, 3, Some(x())), [], "without Z for view 1");
    let effects = four.certify(N, 1, Some(y()));
    assert!(
        !effects.contains(&check(3, x())),
        "with another value notarized: {effects:?}"
    );
    assert!(
        four.certify(Z, 1, None).contains(&check(3, x())),
        "fresh, all nullified"
    );
}
