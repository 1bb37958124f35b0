//! What the client of a push sees, and what the daemon is told.

use std::sync::{Arc, Mutex};
use std::thread;

use gdo_core::hook::{Reply, Request};

use crate::client::run;
use crate::daemon::Daemon;
use crate::node::Node;

#[test]
fn a_proposal_is_reported_under_its_own_reference() {
    let node = Node::new();
    let daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    let main = clone.tip("origin/main");
    let tip = clone.commit("a.txt", "a");

    let seen = clone.push(&["origin", "HEAD:refs/for/main"]);
    assert!(seen.ok, "{}", seen.text);
    seen.assert_shows(&format!("remote: gdo: proposal {}", &tip[..7]));
    seen.assert_shows(&format!(
        "* [new reference]   HEAD -> refs/gdo/main/proposals/{tip}"
    ));
    seen.assert_lacks("nonexistent");
    seen.assert_lacks("error");
    seen.assert_lacks("warning");

    assert_eq!(
        clone.tip("origin/main"),
        main,
        "the tracking reference moved"
    );
    let proposal = format!("refs/gdo/main/proposals/{tip}");
    assert_eq!(node.reference(&proposal).as_deref(), Some(&*tip));
    assert_eq!(node.reference("refs/for/main"), None);
    assert_eq!(daemon.pushes().len(), 1);
}

#[test]
fn pre_receive_shows_the_daemon_the_quarantine() {
    let node = Node::new();
    let found = Arc::new(Mutex::new(None));
    let (ledger, told) = (node.ledger(), Arc::clone(&found));
    let daemon = Daemon::start(&node.socket(), move |request, hook| {
        let Request::PreReceive(push) = request else {
            panic!("a rejected push went on: {request:?}");
        };
        let quarantine = push.quarantine.clone().expect("the push brings objects");
        let id = push.updates[0].new.to_string();
        let kind = |objects: &str| {
            crate::client::git(&ledger)
                .args(["cat-file", "-t", &id])
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", objects)
                .output()
                .expect("git must be installed")
                .stdout
        };
        let pair = (kind(""), kind(&quarantine.to_string_lossy()));
        *told.lock().expect("no handler panicked") = Some(pair);
        hook.send(&Reply::Reject {
            lines: vec!["gdo: not signed".to_owned(), "gdo: sign it".to_owned()],
        });
    });
    let clone = node.clone("alice");
    let tip = clone.commit("a.txt", "a");

    let seen = clone.push(&["origin", "HEAD:refs/for/main"]);
    assert!(!seen.ok);
    seen.assert_shows("remote: gdo: not signed\nremote: gdo: sign it");
    seen.assert_shows("(pre-receive hook declined)");
    let found = found.lock().expect("no handler panicked").take();
    assert_eq!(found, Some((Vec::new(), b"commit\n".to_vec())));
    assert_eq!(daemon.requests().len(), 1);
    let commit = node.reference(&format!("{tip}^{{commit}}"));
    assert_eq!(commit, None, "refused objects stay nowhere");
}

#[test]
fn push_options_reach_both_hooks_in_order() {
    let node = Node::new();
    let daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    clone.commit("a.txt", "a");

    let seen = clone.push(&[
        "-o",
        "topic=t1",
        "-o",
        "wait=5s",
        "origin",
        "HEAD:refs/for/main",
    ]);
    assert!(seen.ok, "{}", seen.text);
    let requests = daemon.requests();
    let [Request::PreReceive(pre), Request::ProcReceive(push)] = &requests[..] else {
        panic!("two questions in order, got {requests:?}");
    };
    assert_eq!(pre.options, ["topic=t1", "wait=5s"]);
    assert_eq!(push.options, pre.options);
    assert_eq!(push.commands, pre.updates);
    assert!(!push.atomic);
}

#[test]
fn options_behind_a_percent_sign_work_without_push_options() {
    let node = Node::new();
    let _daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    let tip = clone.commit("a.txt", "a");

    let seen = clone.push(&["origin", "HEAD:refs/for/main%dry-run,wait=5s"]);
    assert!(seen.ok, "{}", seen.text);
    seen.assert_shows("remote: gdo: dry run, nothing was kept");
    assert_eq!(
        node.reference(&format!("refs/gdo/main/proposals/{tip}")),
        None
    );

    let seen = clone.push(&["origin", "HEAD:refs/for/main%dry-rum"]);
    assert!(!seen.ok);
    seen.assert_shows("! [remote rejected] HEAD -> refs/for/main%dry-rum (bad push option");
    seen.assert_shows("got 'dry-rum'");
}

#[test]
fn a_direct_push_is_told_the_command_and_changes_nothing() {
    let node = Node::new();
    let _daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    let before = node.references();
    let main = clone.tip("origin/main");
    clone.commit("a.txt", "a");
    run(&clone.path, &["tag", "v1"]);

    let seen = clone.push(&["origin", "main"]);
    assert!(!seen.ok);
    seen.assert_shows("remote: gdo:   git push origin HEAD:refs/for/main");
    seen.assert_shows("! [remote rejected] main -> main (push proposals to refs/for/main)");
    assert_eq!(
        clone.tip("origin/main"),
        main,
        "the tracking reference moved"
    );

    let seen = clone.push(&["origin", "v1", "HEAD:refs/heads/topic"]);
    assert!(!seen.ok);
    seen.assert_shows("! [remote rejected] v1 -> v1 (a ledger takes no tags)");
    seen.assert_shows("(push proposals to refs/for/topic)");
    assert_eq!(node.references(), before);
}

#[test]
fn deletions_are_refused() {
    let node = Node::new();
    let _daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    let before = node.references();
    let seen = clone.push(&["origin", ":refs/heads/main"]);
    assert!(!seen.ok);
    seen.assert_shows("! [remote rejected] main (nothing is deleted in a ledger)");
    seen.assert_shows("remote: gdo: refs/heads/main stays");
    assert_eq!(node.references(), before);
    assert_eq!(clone.tip("origin/main"), clone.tip("main"));
}

#[test]
fn references_that_git_would_write_by_itself_never_pass() {
    let node = Node::new();
    let daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    clone.commit("a.txt", "a");
    let before = node.references();
    for reference in [
        "refs/notes/commits",
        "refs/remotes/origin/main",
        "refs/forX",
        "refs/x",
    ] {
        let seen = clone.push(&["origin", &format!("HEAD:{reference}"), "HEAD:refs/for/main"]);
        assert!(!seen.ok, "{}", seen.text);
        seen.assert_shows(&format!("remote: gdo: {reference} cannot be pushed to"));
        seen.assert_shows("remote: gdo:   git push origin HEAD:refs/for/main");
    }
    assert_eq!(node.references(), before);
    assert!(daemon.requests().is_empty());
}

#[test]
fn references_of_one_push_have_each_their_own_answer() {
    let node = Node::new();
    let daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    let tip = clone.commit("a.txt", "a");
    let refs = ["origin", "HEAD:refs/for/main", "HEAD:refs/heads/main"];

    let seen = clone.push(&refs);
    assert!(!seen.ok);
    seen.assert_shows(&format!("HEAD -> refs/gdo/main/proposals/{tip}"));
    seen.assert_shows("! [remote rejected] HEAD -> main (push proposals to refs/for/main)");
    assert_eq!(daemon.pushes().len(), 1, "one question for the whole push");
    assert_eq!(daemon.pushes()[0].commands.len(), 2);
}

#[test]
fn an_atomic_push_is_announced_and_takes_nothing_if_one_is_refused() {
    let node = Node::new();
    let daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    clone.commit("a.txt", "a");
    let before = node.references();

    let seen = clone.push(&[
        "--atomic",
        "origin",
        "HEAD:refs/for/main",
        "HEAD:refs/heads/main",
    ]);
    assert!(!seen.ok);
    assert!(daemon.pushes()[0].atomic);
    seen.assert_shows("(another reference of this atomic push was refused)");
    seen.assert_lacks("[new reference]");
    assert_eq!(node.references(), before);

    let seen = clone.push(&["--atomic", "origin", "HEAD:refs/for/main"]);
    assert!(seen.ok, "{}", seen.text);
}

#[test]
fn sixteen_pushes_at_once_are_all_answered() {
    let node = Node::new();
    let daemon = Daemon::node(&node.socket(), node.ledger());
    let clones: Vec<_> = (0..16)
        .map(|number| {
            let clone = node.clone(&format!("member-{number}"));
            let tip = clone.commit(&format!("{number}.txt"), "x");
            (clone, tip)
        })
        .collect();
    thread::scope(|scope| {
        for (clone, tip) in &clones {
            scope.spawn(move || {
                let seen = clone.push(&["origin", "HEAD:refs/for/main"]);
                assert!(seen.ok, "{}", seen.text);
                seen.assert_shows(&format!("HEAD -> refs/gdo/main/proposals/{tip}"));
            });
        }
    });
    assert_eq!(daemon.pushes().len(), 16);
    for (_, tip) in &clones {
        let proposal = format!("refs/gdo/main/proposals/{tip}");
        assert_eq!(node.reference(&proposal).as_ref(), Some(tip));
    }
}

#[test]
fn text_of_the_daemon_cannot_command_the_terminal() {
    let node = Node::new();
    let _daemon = Daemon::start(&node.socket(), |request, hook| {
        hook.send(&Reply::line(
            "evil \x1b]0;title\x07 \u{9b}2J text\nsecond line",
        ));
        match request {
            Request::PreReceive(_) => hook.send(&Reply::Accept {}),
            Request::ProcReceive(push) => {
                let reason = "bad\x1b[2J\nreason\0";
                hook.send(&Reply::refused(&push.commands[0].reference, reason));
                hook.send(&Reply::Done {})
            }
        };
    });
    let clone = node.clone("alice");
    clone.commit("a.txt", "a");
    let seen = clone.push(&["origin", "HEAD:refs/for/main"]);
    assert!(!seen.ok);
    seen.assert_shows("remote: evil ?]0;title? ?2J text\nremote: second line");
    seen.assert_shows("(bad?[2J?reason?)");
}

#[test]
fn hidden_references_and_oversized_packs_never_reach_the_daemon() {
    let node = Node::new();
    let daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    clone.commit("a.txt", "a");
    let seen = clone.push(&["origin", "HEAD:refs/gdo/main/head"]);
    assert!(!seen.ok);
    seen.assert_shows("hidden ref");
    assert_eq!(node.reference("refs/gdo/main/head"), None);

    // Text that does not compress below the limit of 1 MiB.
    let mut state = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'!' + (state >> 58) as u8)
    })
    .take(2 << 20)
    .collect();
    clone.commit("big.txt", &noise);
    let before = node.references();
    let seen = clone.push(&["origin", "HEAD:refs/for/main"]);
    assert!(!seen.ok);
    seen.assert_shows("pack exceeds maximum allowed size");
    assert_eq!(node.references(), before);
    assert!(daemon.pushes().is_empty(), "{:?}", daemon.pushes());
}
