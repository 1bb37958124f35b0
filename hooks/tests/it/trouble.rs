//! Daemons that are down, die, hang up or talk nonsense, and clients that are killed.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc;
use std::{fs, io};

use gdo_core::hook::{Reply, Request};
use gdo_hooks::socket;

use crate::client::{Seen, run};
use crate::daemon::{Daemon, take};
use crate::node::{Node, PROGRAM};

fn push(node: &Node) -> Seen {
    let clone = node.clone("alice");
    clone.commit("a.txt", "a");
    let before = node.references();
    let seen = clone.push(&["origin", "HEAD:refs/for/main"]);
    assert!(!seen.ok, "{}", seen.text);
    assert_eq!(node.references(), before);
    seen
}

/// Leaves a socket behind that nobody listens on.
///
/// A process of its own listens and ends: in this one, a program that another test is starting may
/// hold a copy of the closed socket until it runs.
fn abandon_socket(path: &Path) {
    let output = Command::new(PROGRAM)
        .arg("listen-and-exit")
        .arg(path)
        .output()
        .expect("the program of the tests is built");
    assert!(output.status.success(), "{output:?}");
    assert!(path.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    for directory in ["run".to_owned(), "d".repeat(200)] {
        let directory = temp.path().join(directory);
        fs::create_dir(&directory).expect("a new directory");
        let path = directory.join("hook.sock");
        abandon_socket(&path);
        let error = socket::connect(&path).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);

        let listener = socket::listen(&path).expect("a stale socket is replaced");
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = socket::listen(&path).expect_err("somebody listens");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        socket::connect(&path).expect("the first one still listens");
        drop(listener);
    }
}

#[test]
fn a_push_without_a_daemon_is_told_the_command_that_starts_it() {
    let node = Node::new();
    let seen = push(&node);
    seen.assert_shows("remote: gdo: the node of this ledger is not running");
    let command = format!("remote: gdo:   gdo node run {}\n", node.dir.display());
    seen.assert_shows(&command);

    // The same with a socket that a killed daemon left behind.
    abandon_socket(&node.socket());
    let clone = node.clone("bob");
    clone.commit("b.txt", "b");
    clone
        .push(&["origin", "HEAD:refs/for/main"])
        .assert_shows(&command);
}

#[test]
fn a_moved_node_directory_is_named_where_it_is_now() {
    let mut node = Node::new();
    let moved = node.temp().join("moved here");
    fs::rename(&node.dir, &moved).expect("the directory is ours");
    node.dir = moved;
    let seen = push(&node);
    let dir = fs::canonicalize(&node.dir).expect("it is there");
    seen.assert_shows(&format!(
        "remote: gdo:   gdo node run '{}'\n",
        dir.display()
    ));
}

#[test]
fn a_node_directory_may_lie_deeper_than_a_socket_address_is_long() {
    let node = Node::under(&"deep/".repeat(30));
    assert!(node.socket().as_os_str().len() > 150);
    let daemon = Daemon::node(&node.socket(), node.ledger());
    let clone = node.clone("alice");
    clone.commit("a.txt", "a");
    let seen = clone.push(&["origin", "HEAD:refs/for/main"]);
    assert!(seen.ok, "{}", seen.text);
    assert_eq!(daemon.pushes().len(), 1);
}

#[test]
fn a_daemon_that_dies_during_the_checks_refuses_the_push() {
    let node = Node::new();
    let _daemon = Daemon::start(&node.socket(), |_, hook| {
        hook.send(&Reply::line("gdo: looking"));
    });
    let seen = push(&node);
    seen.assert_shows("remote: gdo: looking");
    seen.assert_shows("remote: gdo: the node stopped in the middle of this push");
    seen.assert_shows("push again");
    seen.assert_shows("(pre-receive hook declined)");
}

#[test]
fn a_daemon_that_dies_over_a_proposal_leaves_the_rest_unanswered() {
    let node = Node::new();
    let _daemon = Daemon::start(&node.socket(), |request, hook| match request {
        Request::PreReceive(_) => {
            hook.send(&Reply::Accept {});
        }
        Request::ProcReceive(_) => {
            hook.send(&Reply::refused("refs/for/main", "answered in time"));
            hook.send_raw(br#"{"kind":"don"#);
        }
    });
    let clone = node.clone("alice");
    clone.commit("a.txt", "a");
    let seen = clone.push(&["origin", "HEAD:refs/for/main", "HEAD:refs/for/other"]);
    assert!(!seen.ok);
    seen.assert_shows("HEAD -> refs/for/main (answered in time)");
    seen.assert_shows("HEAD -> refs/for/other (the node stopped in the middle of this push)");
    seen.assert_shows("remote: gdo: push again");
}

#[test]
fn nonsense_and_answers_to_other_questions_are_refused() {
    let cases: [(&[u8], &str); 5] = [
        (b"HTTP/1.1 400 Bad Request\n", "does not know"),
        (b"{\"kind\":\"accept\",\"new\":1}\n", "does not know"),
        (b"{\"kind\":\"done\"}\n", "another question"),
        (b"\xff\n", "the connection to the node failed"),
        (b"", "the node stopped"),
    ];
    for (answer, message) in cases {
        let node = Node::new();
        let _daemon = Daemon::start(&node.socket(), move |_, hook| hook.send_raw(answer));
        push(&node).assert_shows(message);
    }
    let node = Node::new();
    let _daemon = Daemon::start(&node.socket(), |request, hook| {
        match request {
            Request::PreReceive(_) => hook.send(&Reply::Accept {}),
            Request::ProcReceive(_) => hook.send(&Reply::refused("refs/for/else", "no")),
        };
    });
    push(&node).assert_shows("(the node gave an answer to another question");
}

#[test]
fn a_daemon_that_is_too_busy_is_heard() {
    let busy = || Reply::Reject {
        lines: vec![
            "gdo: the node is busy".to_owned(),
            "gdo: push again".to_owned(),
        ],
    };
    let node = Node::new();
    let _daemon = Daemon::start(&node.socket(), move |request, hook| {
        match request {
            Request::PreReceive(_) => hook.send(&Reply::Accept {}),
            Request::ProcReceive(_) => hook.send(&busy()),
        };
    });
    let seen = push(&node);
    seen.assert_shows("remote: gdo: the node is busy\nremote: gdo: push again");
    seen.assert_shows("HEAD -> refs/for/main (the node is busy)");
}

#[test]
fn a_killed_client_loses_the_audience_and_not_the_work() {
    let node = Node::new();
    let ledger = node.ledger();
    let (at_work, working) = mpsc::channel();
    let (killed, client_is_gone) = mpsc::channel::<()>();
    let (finished, work_is_done) = mpsc::channel();
    let client_is_gone = Mutex::new(Some(client_is_gone));
    let _daemon = Daemon::start(&node.socket(), move |request, hook| match request {
        Request::PreReceive(_) => {
            hook.send(&Reply::Accept {});
        }
        Request::ProcReceive(push) => {
            let first = client_is_gone.lock().expect("no handler panicked").take();
            let Some(client_is_gone) = first else {
                return take(push, &ledger, hook);
            };
            at_work.send(()).expect("the test waits");
            client_is_gone.recv().expect("the test kills the client");
            let id = push.commands[0].new.to_string();
            run(
                &ledger,
                &["update-ref", &format!("refs/gdo/main/proposals/{id}"), &id],
            );
            // The hook may vanish at any of these, and must not stay for longer.
            for number in 0..100 {
                hook.send(&Reply::line(format!("gdo: step {number}")));
            }
            hook.send(&Reply::accepted(&push.commands[0].reference, None));
            hook.send(&Reply::Done {});
            hook.wait_until_gone();
            finished.send(()).expect("the test waits");
        }
    });
    let clone = node.clone("alice");
    let tip = clone.commit("a.txt", "a");
    let mut client = clone
        .push_command(&["origin", "HEAD:refs/for/main"])
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("git must be installed");
    working.recv().expect("the daemon got the push");
    client.kill().expect("the client waits for the daemon");
    client.wait().expect("it was started here");
    drop(client);
    killed.send(()).expect("the daemon waits");
    work_is_done.recv().expect("the hook went away");

    let proposal = format!("refs/gdo/main/proposals/{tip}");
    assert_eq!(node.reference(&proposal), Some(tip));

    // The same push again finds the same proposal.
    let seen = clone.push(&["origin", "HEAD:refs/for/main"]);
    assert!(seen.ok, "{}", seen.text);
    seen.assert_shows(&proposal);
}
