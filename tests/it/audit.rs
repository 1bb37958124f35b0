//! What `gdo verify` finds that a node would have to believe.

use gdo_core::block::{CheckpointRef, Clock, Trailers};
use gdo_core::checkpoint::head_commit;
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::id::{Digest, Height, LedgerId, ObjectId, Seq};
use gdo_core::key::{NAMESPACE_GIT, NodeKey};
use gdo_core::policy::Lane;
use gdo_ledger::{BlockInput, Ledger, LedgerCommit};
use gdo_tests::{Org, dapp};

#[test]
fn heads_below_blocks_that_came_while_others_were_judged_are_recomputed() {
    let org = Org::new("blank");
    let alice = org.clone("alice");
    let slow = "if [ -e notes/0.md ]; then sleep 1; fi";
    dapp::write_shell_dapp(&alice, "slow", slow);
    alice.commit_all("Add a slow dapp");
    alice.propose(&[]).accepted().shows("main is now ");
    for number in 0..4 {
        let clone = org.clone(&format!("clone-{number}"));
        clone.commit(&[(&format!("notes/{number}.md"), &format!("{number}\n"))]);
        let _ = clone.propose(&["wait=none"]).accepted();
    }
    alice.pull();
    alice.commit(&[("plan.md", "1\n")]);
    alice.propose(&[]).accepted().shows("main is now ");
    let bases = org.git(&[
        "log",
        "--format=%s %P",
        "--grep=^Gdo-Seq:",
        "refs/gdo/main/head",
    ]);
    let main = org.main();
    let on_others = bases.lines().filter(|line| !line.contains(&main));
    assert!(on_others.count() > 1, "blocks build on blocks: {bases}");
    let _ = org.gdo(&["verify"]).accepted();
    org.check();
}

#[test]
fn a_block_on_a_head_that_the_rule_does_not_make_is_found() {
    let mut org = Org::new("blank");
    let alice = org.clone("alice");
    let tip = alice.commit(&[("notes/one.md", "1\n")]);
    let path = alice.path().display().to_string();
    let _ = org.git(&["fetch", "-q", &path, "HEAD"]);
    org.stop();
    forge(&org, tip.parse().expect("an id"));

    // Of its own chain the node believes that it computed the heads; only the audit can tell.
    org.start();
    org.wait_for_log("final height=1");
    assert_eq!(org.file("notes/one.md").as_deref(), Some("1"));
    let seen = org.gdo(&["verify"]).refused();
    seen.shows("the head rule makes").shows("P-20");
}

/// Writes the block of a proposal, with the node's own key, on a head that holds nothing at all but
/// has a head's form.
fn forge(org: &Org, tip: ObjectId) {
    let ledger = Ledger::open(&org.ledger()).expect("a ledger");
    let genesis: ObjectId = org.main().parse().expect("an id");
    let over = CheckpointRef {
        height: Height(0),
        id: genesis,
    };
    let tree = ledger.read_commit(&genesis).expect("genesis").tree;
    let head = head_commit(
        LedgerId(genesis),
        over,
        Digest::of(b"a set that is not there"),
        1_790_000_000,
        tree,
        vec![genesis],
    );
    let head = ledger.write_commit(&head.encode()).expect("it is written");
    let blob = org.git(&["rev-parse", &format!("{tip}:notes/one.md")]);
    let operations = [Operation {
        path: "notes/one.md".parse().expect("a path"),
        old: None,
        new: Some(Entry {
            mode: Mode::File,
            id: blob.trim().parse().expect("an id"),
        }),
    }];
    let author = "hub".parse().expect("a name");
    let input = BlockInput {
        author,
        claimed_time: 1_790_000_001,
        base: head,
        subject: org
            .git(&["log", "-1", "--format=%s", &tip.to_string()])
            .trim()
            .to_owned(),
        operations: &operations,
        trailers: Trailers {
            ledger: LedgerId(genesis),
            seq: Seq(0),
            prev: None,
            final_checkpoint: over,
            lane: Lane::Cas,
            proposal: Some(tip),
            depends: Vec::new(),
            clock: Clock {
                boot: "5c8f9b0e-6f5e-4c39-9d59-0c3a4f0e8a11".to_owned(),
                mono_ms: 1,
                uncertainty_ms: None,
            },
        },
    };
    let view = |id: &ObjectId| match *id {
        id if id == genesis => Some(LedgerCommit::Checkpoint(Height(0))),
        id if id == head => Some(LedgerCommit::Head(Height(0))),
        _ => None,
    };
    let draft = ledger.draft_block(input, &view).expect("a draft");
    let key = std::fs::read_to_string(org.dir().join("key")).expect("the node has a key");
    let key = NodeKey::from_openssh(&key).expect("a key");
    let mut commit = draft.commit();
    commit.signature = Some(key.sign(NAMESPACE_GIT, &commit.payload()));
    let block = ledger
        .write_commit(&commit.encode())
        .expect("it is written");
    let refs = gdo_node::refs::Refs::new("main");
    let chain = refs.block(&draft.author, key.public().id());
    let _ = org.git(&["update-ref", &chain, &block.to_string()]);
    let _ = org.git(&["update-ref", &refs.proposal(tip), &tip.to_string()]);
}
