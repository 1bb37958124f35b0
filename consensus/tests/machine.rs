//! The machine with one validator, driven as a node drives it.

#![allow(
    unreachable_pub,
    reason = "the kit is shared between tests and benches"
)]

use std::collections::BTreeSet;

use gdo_consensus::machine::{Effect, Fate, Input, Machine, Millis, NextBase, Timer};
use gdo_core::checkpoint::Reason;
use gdo_core::delta::Operation;
use gdo_core::id::{Height, ObjectId};
use gdo_core::proposal::{Note, NoteVerb};
use gdo_core::verdict::Outcome;
use gdo_core::vote::{Ballot, Certificate, MemberSignature, Vote, VoteKind};

#[path = "kit/kit.rs"]
mod kit;
#[path = "kit/node.rs"]
mod node;
#[allow(dead_code, reason = "one validator needs a part of the world")]
#[path = "kit/world.rs"]
mod world;

use kit::{file, id, name, path};
use node::{Node, config, fails_on_bad, passes, undecided_on_bad};
use world::Draft;

fn put(at: &str, content: &str) -> Vec<Operation> {
    vec![Operation {
        path: path(at),
        old: None,
        new: Some(file(content)),
    }]
}

fn proposal(text: &str, operations: Vec<Operation>) -> Draft {
    Draft {
        principal: Some("p0".to_owned()),
        proposal: Some(id(text)),
        operations,
        ..Draft::default()
    }
}

fn note(person: &str, verb: NoteVerb, on: &str) -> Draft {
    Draft {
        principal: Some(person.to_owned()),
        proposal: Some(id(&format!("{person} {verb:?} {on}"))),
        notes: vec![Note {
            verb,
            proposal: id(on),
        }],
        ..Draft::default()
    }
}

fn record(seq: u64) -> Draft {
    Draft {
        operations: put(&format!("log/n0/{seq}"), "entry"),
        ..Draft::default()
    }
}

#[test]
fn a_proposal_is_final_in_one_chain_of_calls_without_a_timer() {
    let mut node = Node::new("checkpoint", passes);
    let block = node.write(proposal("a", put("acct/x", "1")));
    assert_eq!(node.finals.len(), 1);
    let record = node.record_of(1);
    assert_eq!(
        record.included.iter().map(|b| b.block).collect::<Vec<_>>(),
        [block]
    );
    assert_eq!(
        record.verdicts.len(),
        1,
        "the verdict stands in the checkpoint"
    );
    record.verdicts[0].verify_signatures().expect("signed");
    assert!(
        node.machine.plan().is_checkpoint(),
        "main is the head again"
    );
    let kinds: Vec<VoteKind> = node.ballots.iter().map(|ballot| ballot.kind).collect();
    assert_eq!(kinds, [VoteKind::Notarize, VoteKind::Finalize]);
}

#[test]
fn the_next_checkpoint_carries_the_certificate_of_the_one_before() {
    let mut node = Node::new("checkpoint", passes);
    node.write(proposal("a", put("x", "1")));
    node.write(proposal("b", put("y", "1")));
    assert_eq!(node.finals.len(), 2);
    assert_eq!(node.record_of(1).certificate, None);
    assert_eq!(
        node.record_of(2).certificate.as_ref(),
        Some(&node.finals[0].1)
    );
    let base = &node.world.checkpoints[0].base;
    let certificate = &node.finals[0].1;
    certificate
        .verify(
            base.ledger,
            base.checkpoint.id,
            &base.policy.finality,
            &base.roster,
        )
        .expect("a certificate proves itself");
}

#[test]
fn records_wait_for_their_batch_and_go_together() {
    let mut node = Node::new("checkpoint", passes);
    let first = node.write(record(0));
    node.now = 600;
    let second = node.write(record(1));
    assert_eq!(node.finals.len(), 0);
    assert_eq!(node.armed, [(Timer::Batch, 1_000)]);
    node.fire(Timer::Batch);
    assert_eq!(node.finals.len(), 1);
    let taken: BTreeSet<ObjectId> = node.record_of(1).included.iter().map(|b| b.block).collect();
    assert_eq!(taken, BTreeSet::from([first, second]));
}

#[test]
fn a_failing_block_is_found_by_halves_and_set_aside_with_its_verdict() {
    let mut node = Node::new("checkpoint", fails_on_bad);
    let blocks: Vec<ObjectId> = (0..16)
        .map(|at| node.prepare(proposal(&format!("p{at}"), put(&format!("acct/{at}"), "1"))))
        .collect();
    node.hold = Some(vec![]);
    for block in &blocks {
        node.give(block);
    }
    node.bad = BTreeSet::from([blocks[5], blocks[11]]);
    // The first block was asked about alone; the others came while it was judged.
    while let Some((job, question)) = node.hold.as_mut().and_then(Vec::pop) {
        node.answer(job, &question);
    }
    node.hold = None;
    let mut fates = vec![];
    for height in 1..node.world.checkpoints.len() {
        let record = node.record_of(height);
        fates.extend(record.aside.iter().map(|aside| (aside.block, aside.reason)));
        for aside in &record.aside {
            let fails = record.verdicts.iter().filter(|certificate| {
                certificate.statement().expect("a statement").outcome == Outcome::Fail
            });
            assert!(
                fails.count() >= 1,
                "{} is aside without a verdict",
                aside.block
            );
        }
    }
    assert_eq!(
        fates,
        [(blocks[5], Reason::Dapp), (blocks[11], Reason::Dapp)]
    );
    assert!(node.machine.window().is_empty());
    assert!(
        node.questions < 24,
        "{} questions for two bad blocks of 16",
        node.questions
    );
}

#[test]
fn a_dapp_of_scope_block_judges_each_block_on_the_ones_before() {
    let mut node = Node::new("block", fails_on_bad);
    let first = node.prepare(proposal("a", put("acct/a", "1")));
    let second = node.prepare(proposal("b", put("acct/b", "1")));
    node.bad.insert(second);
    node.hold = Some(vec![]);
    node.give(&first);
    node.give(&second);
    let (job, question) = node
        .hold
        .take()
        .and_then(|mut held| held.pop())
        .expect("asked");
    assert_eq!(
        (question.before.len(), question.blocks.clone()),
        (0, vec![first])
    );
    node.answer(job, &question);
    assert_eq!(node.finals.len(), 2);
    assert_eq!(node.record_of(2).aside[0].reason, Reason::Dapp);
}

#[test]
fn what_nobody_can_judge_is_left_out_and_tried_again_later() {
    let mut node = Node::new("checkpoint", undecided_on_bad);
    let block = node.prepare(proposal("a", put("acct/x", "1")));
    node.bad.insert(block);
    node.give(&block);
    assert_eq!(node.finals.len(), 0);
    assert_eq!(node.armed, [(Timer::Retry, 1_000)]);
    let other = node.write(proposal("b", put("acct/y", "1")));
    assert_eq!(node.finals.len(), 1, "the rest does not wait for it");
    let record = node.record_of(1);
    assert_eq!(
        record.included.iter().map(|b| b.block).collect::<Vec<_>>(),
        [other]
    );
    assert!(record.aside.is_empty(), "it is not the author's fault");
    assert_eq!(
        record
            .open
            .iter()
            .map(|open| open.block)
            .collect::<Vec<_>>(),
        [block]
    );
    node.armed.retain(|(timer, _)| *timer == Timer::Retry);
    node.fire(Timer::Retry);
    assert_eq!(node.finals.len(), 1);
    assert_eq!(
        node.armed.last(),
        Some(&(Timer::Retry, 3_000)),
        "the wait doubles"
    );
    node.bad.clear();
    node.fire(Timer::Retry);
    assert_eq!(node.finals.len(), 2, "judged at last");
    assert!(node.machine.window().is_empty());
}

#[test]
fn a_final_proposal_waits_for_its_approvals() {
    let mut node = Node::new("checkpoint", passes);
    let block = node.write(proposal("a", put("fin/x", "1")));
    assert_eq!(node.machine.fate(&block), Fate::Open);
    node.write(note("p1", NoteVerb::Approve, "a"));
    node.write(note("p0", NoteVerb::Approve, "a"));
    assert_eq!(node.finals.len(), 0, "who signed it does not count");
    node.write(note("p2", NoteVerb::Approve, "a"));
    assert_eq!(node.finals.len(), 1);
    let record = node.record_of(1);
    assert_eq!(record.included[0].block, block);
    let who: Vec<&str> = record.approvals.iter().map(|a| a.member.as_str()).collect();
    assert_eq!(who, ["p1", "p2"]);
    node.armed.retain(|(timer, _)| *timer == Timer::Batch);
    node.fire(Timer::Batch);
    assert!(
        node.machine.window().is_empty(),
        "the notes follow what they are about"
    );
}

#[test]
fn a_rejection_cancels_an_approval_in_any_order() {
    for order in [
        [NoteVerb::Approve, NoteVerb::Reject],
        [NoteVerb::Reject, NoteVerb::Approve],
    ] {
        let mut node = Node::new("checkpoint", passes);
        node.write(proposal("a", put("fin/x", "1")));
        for verb in order {
            node.write(note("p1", verb, "a"));
        }
        node.write(note("p2", NoteVerb::Approve, "a"));
        assert_eq!(node.finals.len(), 0);
        node.write(note("p3", NoteVerb::Approve, "a"));
        assert_eq!(node.finals.len(), 1);
    }
}

#[test]
fn a_proposal_that_is_withdrawn_while_it_is_judged_has_no_effect() {
    let mut node = Node::new("checkpoint", passes);
    node.hold = Some(vec![]);
    let block = node.write(proposal("a", put("acct/x", "1")));
    node.write(note("p0", NoteVerb::Withdraw, "a"));
    for (job, question) in node.hold.take().expect("held") {
        node.answer(job, &question);
    }
    assert_eq!(node.finals.len(), 1);
    let record = node.record_of(1);
    assert_eq!(
        (record.aside[0].block, record.aside[0].reason),
        (block, Reason::Withdrawn)
    );
    assert_eq!(record.withdrawn, [id("a")]);
    assert_eq!(node.world.checkpoints[1].tree.get(&path("acct/x")), None);
}

#[test]
fn a_change_of_the_rules_that_breaks_a_guard_rail_goes_aside_alone() {
    let mut node = Node::new("checkpoint", passes);
    let block = node.prepare(proposal("a", put(".gdo/dapps/x", "1")));
    node.breaks_rules.insert(block);
    node.give(&block);
    node.write(note("p1", NoteVerb::Approve, "a"));
    node.write(note("p2", NoteVerb::Approve, "a"));
    assert_eq!(node.finals.len(), 1);
    let record = node.record_of(1);
    assert_eq!(
        (record.aside[0].block, record.aside[0].reason),
        (block, Reason::Policy)
    );
    assert!(record.included.is_empty());
}

#[test]
fn one_checkpoint_changes_the_rules_once() {
    let mut node = Node::new("checkpoint", passes);
    node.hold = Some(vec![]);
    // Something slow is being judged, so that both changes are ready for the next cut.
    node.write(proposal("slow", put("acct/x", "1")));
    for change in ["a", "b"] {
        node.write(proposal(change, put(&format!(".gdo/dapps/{change}"), "1")));
        node.write(note("p1", NoteVerb::Approve, change));
        node.write(note("p2", NoteVerb::Approve, change));
    }
    let (job, question) = node
        .hold
        .take()
        .and_then(|mut held| held.pop())
        .expect("asked");
    node.answer(job, &question);
    assert_eq!(node.finals.len(), 3);
    for height in [2, 3] {
        let changes = node.record_of(height).included.iter().filter(|included| {
            let proposal = included.proposal;
            proposal == Some(id("a")) || proposal == Some(id("b"))
        });
        assert_eq!(changes.count(), 1, "height {height}");
    }
}

#[test]
fn facts_of_another_checkpoint_are_asked_for_again() {
    let mut node = Node::new("checkpoint", passes);
    let late = node.prepare(proposal("a", put("x", "1")));
    let at = node.world.by_id[&late];
    let stale = node.world.facts(at, 0);
    node.write(Draft {
        author: 1,
        ..proposal("b", put("y", "1"))
    });
    assert_eq!(node.finals.len(), 1);
    node.step(Input::Block(Box::new(stale)));
    assert_eq!(node.refreshed, [late]);
    node.give(&late);
    assert_eq!(node.finals.len(), 2);
}

#[test]
fn a_dry_run_tells_the_fate_and_changes_nothing() {
    let mut node = Node::new("checkpoint", passes);
    let block = node.prepare(proposal("a", put("acct/x", "1")));
    let at = node.world.by_id[&block];
    let facts = node.world.facts(at, 0);
    let trial = node.machine.try_block(facts).expect("fresh facts");
    assert_eq!(trial.fate, Fate::Included);
    let dapps: Vec<&str> = trial.questions.iter().map(|q| q.dapp.as_str()).collect();
    assert_eq!(dapps, ["books"]);
    assert_eq!(trial.delta, put("acct/x", "1"));
    let conflicting = node.prepare(proposal(
        "b",
        vec![Operation {
            path: path("y"),
            old: Some(file("?")),
            new: Some(file("1")),
        }],
    ));
    let at = node.world.by_id[&conflicting];
    node.world.blocks[at].past = 0;
    let facts = node.world.facts(at, 0);
    let trial = node.machine.try_block(facts).expect("fresh facts");
    assert_eq!(trial.fate, Fate::Aside(Reason::Conflict));
    assert!(node.machine.window().is_empty());
    assert_eq!(node.machine.fate(&block), Fate::Unknown);
}

#[test]
fn after_a_restart_the_same_value_becomes_final() {
    let mut node = Node::new("checkpoint", passes);
    let block = node.write(proposal("a", put("x", "1")));
    let value = node.finals[0].0;
    // The node died after it had logged its N vote: main had not moved.
    let ballots: Vec<Ballot> = node
        .ballots
        .iter()
        .filter(|b| b.kind == VoteKind::Notarize)
        .copied()
        .collect();
    let base = node.world.checkpoints[0].base.clone();
    let (machine, effects) = Machine::new(config(), base, None, &ballots, vec![]);
    node.machine = machine;
    node.world.authors[0].on = 0;
    let made = &node.world.checkpoints[1];
    let next = Box::new(NextBase {
        base: made.base.clone(),
        delta: made.delta.clone(),
    });
    node.finals.clear();
    node.give(&block);
    let mut queue = effects;
    while !queue.is_empty() {
        let effect = queue.remove(0);
        let input = match effect {
            Effect::Sign(ballot) => {
                assert_eq!(ballot.value, Some(value), "no other value is signed");
                let signature = kit::key("n0").sign_raw(&ballot.signed_bytes());
                Input::Vote(Vote {
                    ballot,
                    member: name("n0"),
                    signature,
                })
            }
            Effect::Load { value: wanted } => {
                assert_eq!(wanted, value);
                Input::Loaded(next.clone())
            }
            Effect::Finalize {
                checkpoint,
                certificate,
            } => {
                node.finals.push((checkpoint.id, certificate));
                continue;
            }
            _ => continue,
        };
        queue.extend(node.machine.step(Millis(0), input));
    }
    assert_eq!(
        node.finals.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [value]
    );
    assert_eq!(node.machine.window().base().checkpoint.height, Height(1));
    assert!(node.machine.window().is_empty());
}

#[test]
fn votes_that_contradict_each_other_stand_in_the_next_checkpoint() {
    let mut node = Node::new("checkpoint", passes);
    let base = &node.world.checkpoints[0].base;
    let ballot = |value: &str| Ballot {
        ledger: base.ledger,
        height: Height(1),
        previous: base.checkpoint.id,
        view: gdo_core::id::View(9),
        kind: VoteKind::Notarize,
        value: Some(id(value)),
    };
    // Another life of this key signed twice; n0 is the only validator, so it accuses itself.
    let certificates: Vec<Certificate> = ["x", "y"]
        .into_iter()
        .map(|value| {
            let signature = kit::key("n0").sign_raw(&ballot(value).signed_bytes());
            Certificate::new(
                &ballot(value),
                [MemberSignature {
                    member: name("n0"),
                    signature,
                }],
            )
        })
        .collect();
    let mut accused = false;
    for certificate in certificates {
        let effects = node
            .machine
            .step(Millis(0), Input::Certificate(certificate));
        accused |= effects
            .iter()
            .any(|effect| matches!(effect, Effect::Evidence(_)));
    }
    assert!(accused);
}
