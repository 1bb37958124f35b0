//! Votes with real keys.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ballot, Certificate, Evidence, MemberSignature, Offence, Vote, VoteError, VoteKind};
use crate::canonical;
use crate::id::{Height, LedgerId, MemberName, ObjectId, View, Weight};
use crate::key::NodeKey;
use crate::policy::{Finality, Validator};
use crate::roster::{Member, Roster};

fn id(byte: u8) -> ObjectId {
    ObjectId::from_bytes(&[byte; 20]).expect("20 bytes are an id")
}

fn ledger() -> LedgerId {
    LedgerId(id(1))
}

fn ballot(kind: VoteKind, value: Option<u8>) -> Ballot {
    let (ledger, previous) = (ledger(), id(2));
    Ballot {
        ledger,
        height: Height(5),
        previous,
        view: View(3),
        kind,
        value: value.map(id),
    }
}

fn name(index: u8) -> MemberName {
    format!("v{index}").parse().expect("a name")
}

fn key(index: u8, nth: u8) -> NodeKey {
    NodeKey::from_seed([index * 16 + nth; 32])
}

fn vote(ballot: Ballot, index: u8) -> Vote {
    signed_with(ballot, index, &key(index, 0))
}

fn signed_with(ballot: Ballot, index: u8, key: &NodeKey) -> Vote {
    Vote {
        ballot,
        member: name(index),
        signature: key.sign_raw(&ballot.signed_bytes()),
    }
}

/// Four members with two keys in force and one retired; the last one is suspended.
fn roster() -> Roster {
    let member = |index: u8| {
        let line = |nth| format!("\"{}\"", key(index, nth).public());
        let status = if index == 4 { "suspended" } else { "active" };
        let text = format!(
            "kind = \"node\"\nkeys = [{}, {}]\nretired = [{}]\nstatus = \"{status}\"\n",
            line(0),
            line(1),
            line(2)
        );
        (
            name(index),
            Member::parse("x", &text).expect("a roster file"),
        )
    };
    Roster::new((1..=4).map(member).collect::<BTreeMap<_, _>>()).expect("distinct keys")
}

fn finality(weights: &[(u8, u64)], quorum: u64) -> Finality {
    let validator = |(index, weight): &(u8, u64)| Validator {
        member: name(*index),
        weight: Weight(*weight),
    };
    let validators = weights.iter().map(validator).collect();
    Finality {
        quorum: Weight(quorum),
        batch_ms: 0,
        validators,
    }
}

fn certificate(ballot: &Ballot, signers: &[u8]) -> Certificate {
    let signed = signers.iter().map(|index| {
        let Vote {
            member, signature, ..
        } = vote(*ballot, *index);
        MemberSignature { member, signature }
    });
    Certificate::new(ballot, signed)
}

#[test]
fn the_signed_bytes_are_the_domain_and_canonical_json() {
    let bytes = ballot(VoteKind::Nullify, None).signed_bytes();
    let text = format!(
        "gdo/vote/1\0{{\"height\":5,\"kind\":\"Z\",\"ledger\":\"{}\",\"previous\":\"{}\",\"value\":null,\"view\":3}}",
        id(1),
        id(2)
    );
    assert_eq!(String::from_utf8(bytes).expect("text"), text);
    let vote = vote(ballot(VoteKind::Finalize, Some(9)), 1);
    let json = canonical::to_string(&vote);
    assert_eq!(
        canonical::from_str::<Vote>("vote", &json).expect("own text"),
        vote
    );
}

#[test]
fn a_vote_counts_for_its_ballot_and_a_key_in_force_alone() {
    let good = ballot(VoteKind::Notarize, Some(9));
    let roster = roster();
    for nth in [0, 1] {
        assert_eq!(signed_with(good, 1, &key(1, nth)).verify(&roster), Ok(()));
    }
    let wrong = Err(VoteError::Signature(name(1)));
    assert_eq!(
        signed_with(good, 1, &key(1, 2)).verify(&roster),
        wrong,
        "a retired key counted"
    );
    assert_eq!(
        signed_with(good, 1, &key(2, 0)).verify(&roster),
        wrong,
        "another's key counted"
    );
    for other in [
        Ballot {
            ledger: LedgerId(id(7)),
            ..good
        },
        Ballot {
            height: Height(6),
            ..good
        },
        Ballot {
            previous: id(7),
            ..good
        },
        Ballot {
            view: View(4),
            ..good
        },
        Ballot {
            kind: VoteKind::Finalize,
            ..good
        },
        Ballot {
            value: Some(id(8)),
            ..good
        },
    ] {
        let moved = Vote {
            ballot: other,
            ..vote(good, 1)
        };
        assert_eq!(moved.verify(&roster), wrong, "replayed as {other:?}");
    }
    assert_eq!(
        vote(good, 4).verify(&roster),
        Err(VoteError::Member(name(4)))
    );
    assert_eq!(
        vote(good, 5).verify(&roster),
        Err(VoteError::Member(name(5)))
    );
}

#[test]
fn ballots_that_nobody_can_sign_are_refused_and_not_a_panic() {
    let good = vote(ballot(VoteKind::Notarize, Some(9)), 1);
    for bad in [
        Ballot {
            view: View(0),
            ..good.ballot
        },
        Ballot {
            view: View(u64::MAX),
            ..good.ballot
        },
        Ballot {
            height: Height(1 << 53),
            ..good.ballot
        },
        Ballot {
            value: None,
            ..good.ballot
        },
        Ballot {
            kind: VoteKind::Nullify,
            ..good.ballot
        },
    ] {
        let vote = Vote {
            ballot: bad,
            ..good.clone()
        };
        let refused = vote.verify(&roster());
        let as_expected = matches!(
            refused,
            Err(VoteError::Range { .. } | VoteError::Value { .. })
        );
        assert!(as_expected, "{bad:?}: {refused:?}");
    }
}

#[test]
fn a_certificate_needs_the_weight_of_the_quorum() {
    let ballot = ballot(VoteKind::Finalize, Some(9));
    let finality = finality(&[(1, 3), (2, 2), (3, 2)], 5);
    let verify =
        |certificate: &Certificate| certificate.verify(ledger(), id(2), &finality, &roster());
    assert_eq!(verify(&certificate(&ballot, &[1, 2])), Ok(()));
    assert_eq!(verify(&certificate(&ballot, &[3, 1, 2])), Ok(()));
    let few = VoteError::Quorum {
        quorum: Weight(5),
        got: Weight(4),
    };
    assert_eq!(verify(&certificate(&ballot, &[2, 3])), Err(few));
    let whole = certificate(&ballot, &[1, 2]);
    let json = canonical::to_string(&whole);
    assert_eq!(
        canonical::from_str::<Certificate>("x", &json).expect("own text"),
        whole
    );
    assert!(
        whole
            .verify(LedgerId(id(7)), id(2), &finality, &roster())
            .is_err()
    );
    assert!(whole.verify(ledger(), id(7), &finality, &roster()).is_err());
}

#[test]
fn nobody_counts_twice_and_strangers_spoil_a_certificate() {
    let ballot = ballot(VoteKind::Finalize, Some(9));
    let finality = finality(&[(1, 1), (2, 1), (3, 1), (4, 1)], 3);
    let verify =
        |certificate: &Certificate| certificate.verify(ledger(), id(2), &finality, &roster());
    let mut twice = certificate(&ballot, &[1, 2]);
    // The second key of one member adds nothing either.
    let again = signed_with(ballot, 2, &key(2, 1));
    twice.votes.push(MemberSignature {
        member: name(2),
        signature: again.signature,
    });
    assert_eq!(verify(&twice), Err(VoteError::Order(name(2))));
    let mut unsorted = certificate(&ballot, &[1, 2, 3]);
    unsorted.votes.reverse();
    assert_eq!(verify(&unsorted), Err(VoteError::Order(name(2))));
    assert_eq!(
        verify(&certificate(&ballot, &[1, 2, 4])),
        Err(VoteError::Member(name(4)))
    );
    assert_eq!(
        verify(&certificate(&ballot, &[1, 2, 3, 5])),
        Err(VoteError::Member(name(5)))
    );
    let mut forged = certificate(&ballot, &[1, 2, 3]);
    forged.votes[2].signature[0] ^= 1;
    assert_eq!(verify(&forged), Err(VoteError::Signature(name(3))));
}

#[test]
fn a_recovery_needs_two_thirds_of_the_innocent() {
    let ballot = ballot(VoteKind::Recovery, Some(9));
    let finality = finality(&[(1, 1), (2, 1), (3, 1), (4, 1)], 3);
    let verify = |signers: &[u8], guilty: &[u8]| {
        let guilty: BTreeSet<_> = guilty.iter().map(|index| name(*index)).collect();
        certificate(&ballot, signers).verify_recovery(
            ledger(),
            id(2),
            &finality,
            &roster(),
            &guilty,
        )
    };
    assert_eq!(verify(&[1, 2], &[3, 4]), Ok(()));
    assert!(matches!(
        verify(&[1], &[3, 4]),
        Err(VoteError::Quorum { .. })
    ));
    assert_eq!(verify(&[1, 2, 3], &[3, 4]), Err(VoteError::Member(name(3))));
    let ordinary = certificate(&ballot, &[1, 2, 3]);
    let refused = ordinary.verify(ledger(), id(2), &finality, &roster());
    assert_eq!(refused, Err(VoteError::Recovery));
}

#[test]
fn each_offence_is_proved_by_two_votes_and_nothing_else() {
    let at = ballot;
    let (n, z, f) = (VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize);
    let table = [
        ((n, Some(8)), (n, Some(9)), Some(Offence::TwoNotarize)),
        ((z, None), (f, Some(9)), Some(Offence::NullifyAndFinalize)),
        ((f, Some(8)), (f, Some(9)), Some(Offence::TwoFinalize)),
        ((n, Some(8)), (f, Some(9)), None), // legal (P-33)
        ((n, Some(9)), (z, None), None),
        ((n, Some(9)), (n, Some(9)), None),
        ((z, None), (z, None), None),
    ];
    for (a, b, offence) in table {
        let (a, b) = (vote(at(a.0, a.1), 1), vote(at(b.0, b.1), 1));
        for (a, b) in [(&a, &b), (&b, &a)] {
            let evidence = Evidence::new(a.clone(), b.clone());
            let found = evidence.map(|evidence| evidence.verify(ledger(), &roster()));
            assert_eq!(found, offence.map(Ok), "{a:?} {b:?}");
        }
    }
}

#[test]
fn nobody_is_framed() {
    let at = ballot;
    let x = at(VoteKind::Notarize, Some(8));
    let y = at(VoteKind::Notarize, Some(9));
    assert_eq!(Evidence::new(vote(x, 1), vote(y, 2)), None, "two members");
    for elsewhere in [
        Ballot {
            ledger: LedgerId(id(7)),
            ..y
        },
        Ballot {
            height: Height(6),
            ..y
        },
        Ballot {
            previous: id(7),
            ..y
        },
        Ballot { view: View(4), ..y },
    ] {
        assert_eq!(
            Evidence::new(vote(x, 1), vote(elsewhere, 1)),
            None,
            "{elsewhere:?}"
        );
    }
    let forged = Vote {
        ballot: y,
        ..vote(x, 1)
    };
    let evidence = Evidence::new(vote(x, 1), forged).expect("contradicts on its face");
    let refused = evidence.verify(ledger(), &roster());
    assert_eq!(refused, Err(VoteError::Signature(name(1))));
    let real = Evidence::new(vote(x, 1), vote(y, 1)).expect("contradicts");
    assert!(
        real.verify(LedgerId(id(7)), &roster()).is_err(),
        "of another ledger"
    );
    let json = canonical::to_string(&real);
    let swapped = format!(
        "{{\"first\":{},\"second\":{}}}",
        canonical::to_string(real.votes()[1]),
        canonical::to_string(real.votes()[0])
    );
    assert_ne!(json, swapped);
    let swapped: Evidence = canonical::from_str("evidence", &swapped).expect("well formed");
    assert!(
        swapped.verify(ledger(), &roster()).is_err(),
        "a second spelling"
    );
}
