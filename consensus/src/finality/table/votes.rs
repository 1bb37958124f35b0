//! Which votes are kept, and what they convict.

use super::{Effect, F, Four, Input, Message, N, Timer, Z, check, x, y};
use crate::finality::VIEWS_AHEAD_MAX;
use gdo_core::id::{Height, LedgerId, View};
use gdo_core::vote::{Ballot, Evidence, Vote, VoteKind};

#[test]
fn votes_of_elsewhere_or_strangers_do_not_even_wake() {
    let mut four = Four::of(4);
    let good = four.signed(1, N, 1, Some(x()));
    let bad = [
        Ballot {
            ledger: LedgerId(y()),
            ..good.ballot
        },
        Ballot {
            height: Height(6),
            ..good.ballot
        },
        Ballot {
            previous: y(),
            ..good.ballot
        },
        Ballot {
            view: View(VIEWS_AHEAD_MAX + 1),
            ..good.ballot
        },
        Ballot {
            view: View(0),
            ..good.ballot
        },
        Ballot {
            value: None,
            ..good.ballot
        },
        Ballot {
            kind: VoteKind::Recovery,
            ..good.ballot
        },
    ];
    let mut bad = bad
        .map(|ballot| Vote {
            ballot,
            ..good.clone()
        })
        .to_vec();
    bad.push(Vote {
        member: "stranger".parse().expect("a name"),
        ..good.clone()
    });
    for vote in bad {
        assert_eq!(
            four.instance.step(Input::Vote(vote.clone())),
            [],
            "{vote:?}"
        );
        assert_eq!(four.instance.view(), View(0), "woken by {vote:?}");
    }
    let far = Ballot {
        view: View(VIEWS_AHEAD_MAX),
        ..good.ballot
    };
    assert!(
        !four
            .instance
            .step(Input::Vote(Vote {
                ballot: far,
                ..good
            }))
            .is_empty()
    );
}

#[test]
fn a_vote_counts_once() {
    let mut four = Four::of(4);
    four.start();
    for _ in 0..3 {
        four.vote(1, Z, 1, None);
        four.vote(2, Z, 1, None);
    }
    assert_eq!(four.instance.view(), View(1));
    four.vote(3, Z, 1, None);
    assert_eq!(four.instance.view(), View(2));
}

#[test]
fn each_offence_is_told_once_with_both_votes() {
    let rows = [
        ((N, Some(x())), (N, Some(y())), true),
        ((Z, None), (F, Some(x())), true),
        ((F, Some(x())), (Z, None), true),
        ((F, Some(x())), (F, Some(y())), true),
        ((N, Some(x())), (F, Some(y())), false), // legal (P-33)
        ((N, Some(x())), (Z, None), false),
    ];
    for (a, b, guilty) in rows {
        let mut four = Four::of(4);
        four.vote(2, a.0, 1, a.1);
        let effects = four.vote(2, b.0, 1, b.1);
        let pair = (four.signed(2, a.0, 1, a.1), four.signed(2, b.0, 1, b.1));
        let expected = Evidence::new(pair.0, pair.1).map(Effect::Evidence);
        assert_eq!(expected.is_some(), guilty);
        assert_eq!(effects, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(four.vote(2, b.0, 1, b.1), [], "told twice");
    }
}

#[test]
fn a_third_value_of_a_liar_is_not_kept() {
    let mut four = Four::of(4);
    let third = crate::finality::sim::value([12, 0, 0]);
    four.vote(2, N, 1, Some(x()));
    four.vote(2, N, 1, Some(y()));
    four.vote(2, N, 1, Some(third));
    four.vote(3, N, 1, Some(third));
    four.vote(1, N, 1, Some(third));
    assert_eq!(four.instance.view(), View(1));
    // Both of the kept ones still count.
    four.vote(3, N, 1, Some(y()));
    four.vote(1, N, 1, Some(y()));
    assert_eq!(four.instance.view(), View(2));
}

#[test]
fn the_votes_inside_a_certificate_convict_too() {
    let mut four = Four::of(1);
    four.vote(2, F, 1, Some(x()));
    let effects = four.certify(Z, 1, None);
    let told = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Evidence(_)));
    assert_eq!(told.count(), 1, "{effects:?}");
}

#[test]
fn certificates_of_elsewhere_do_nothing() {
    let mut four = Four::of(1);
    let mut other = four.certificate(F, 1, Some(x()));
    other.height = Height(6);
    assert_eq!(four.instance.step(Input::Certificate(other)), []);
    assert_eq!(four.instance.view(), View(0));
}

#[test]
fn what_others_may_lack_is_sent_again() {
    let mut four = Four::of(1);
    four.certify(N, 1, Some(x()));
    four.vote(1, F, 1, Some(x()));
    four.certify(Z, 2, None);
    assert!(four.vote(3, N, 3, Some(x())).contains(&check(3, x())));
    four.vote(1, N, 3, Some(x()));
    let sent: Vec<_> = four.timer(3, Timer::Resend);
    let send = |message| Effect::Broadcast(message);
    let expected = [
        send(Message::Certificate(four.certificate(N, 1, Some(x())))),
        send(Message::Certificate(four.certificate(Z, 2, None))),
        send(Message::Vote(four.signed(1, F, 1, Some(x())))),
        send(Message::Vote(four.signed(1, N, 3, Some(x())))),
    ];
    assert_eq!(sent[..4], expected);
    assert!(
        matches!(
            sent[4..],
            [Effect::ArmTimer {
                kind: Timer::Resend,
                ..
            }]
        ),
        "{sent:?}"
    );
    assert_eq!(four.timer(2, Timer::Resend), [], "of a view that is over");
}

#[test]
fn once_decided_the_final_certificate_is_sent_again() {
    let mut four = Four::of(4);
    four.start();
    four.certify(F, 1, Some(x()));
    let sent = four.timer(1, Timer::Resend);
    let expected = Effect::Broadcast(Message::Certificate(four.certificate(F, 1, Some(x()))));
    assert_eq!(sent.first(), Some(&expected));
    assert!(matches!(
        sent[1..],
        [Effect::ArmTimer {
            kind: Timer::Resend,
            ..
        }]
    ));
}
