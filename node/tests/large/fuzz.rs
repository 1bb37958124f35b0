//! Requests that are damaged in a thousand ways, from a saved corpus of good ones.
//!
//! Each round takes a request of `corpus/`, changes some bytes of it by a generator that is the same
//! every time, and sends it. What it does is the server's matter; it must answer with a status or close,
//! and go on. A request that once broke something is added to the corpus.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use gdo_core::id::Digest;
use gdo_node::http::transfer::Patience;

use crate::server::{Server, Setting, noise};

const ROUNDS: u64 = 150;
/// Threads that send, each its own rounds.
const SENDERS: u64 = 8;
/// How long an answer is waited for: a request that lost its end gets none.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// What is put in place of bytes: what parsers trip over.
const PIECES: [&[u8]; 14] = [
    b"",
    b"\0",
    b"..",
    b"/../",
    b"%2f",
    b"%00",
    b"\r\n",
    b"\r\n\r\n",
    b"99999999999999999999",
    b"-1",
    b"{\"a\":[[[[",
    b"sha256:",
    b"\xff\xfe",
    b"bytes=0-,",
];

/// The next number of Marsaglia's xorshift64.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).expect("31 bits fit")
}

/// Changes a request in one to four places.
fn damage(request: &mut Vec<u8>, state: &mut u64) {
    for _ in 0..=next(state) % 4 {
        let at = next(state) % (request.len() + 1);
        match next(state) % 5 {
            0 if at < request.len() => request[at] ^= 1 << (next(state) % 8),
            1 => {
                let end = (at + next(state) % 40).min(request.len());
                request.drain(at..end);
            }
            2 => {
                let end = (at + next(state) % 40).min(request.len());
                let piece = request[at..end].to_vec();
                request.splice(at..at, piece);
            }
            _ => {
                let piece = PIECES[next(state) % PIECES.len()];
                let end = (at + next(state) % 8).min(request.len());
                request.splice(at..end, piece.iter().copied());
            }
        }
    }
}

/// The saved requests, by name; lines end in CR LF on the wire.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/large/corpus");
    let mut found: Vec<_> = fs::read_dir(&dir)
        .expect("it is saved beside this file")
        .map(|entry| {
            let path = entry.expect("readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path).expect("it is text");
            (name.into_owned(), text.replace('\n', "\r\n").into_bytes())
        })
        .collect();
    found.sort();
    found
}

/// Sends a request and gives the status of the answer, if one comes.
fn send(server: &Server, request: &[u8], answer_max: Duration) -> Option<u16> {
    let mut stream = server.connect();
    stream.set_read_timeout(Some(answer_max)).expect("a socket");
    // The server may close before it has read all.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let head = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
    head.strip_prefix("HTTP/1.1 ")
        .and_then(|code| code.parse().ok())
}

/// Sends damaged requests, the same for each seed.
fn send_damaged(server: &Server, corpus: &[(String, Vec<u8>)], seed: u64) {
    let mut state = 0x2026_1121_u64 + seed;
    for round in 0..ROUNDS {
        let (name, good) = &corpus[next(&mut state) % corpus.len()];
        let mut request = good.clone();
        damage(&mut request, &mut state);
        let status = send(server, &request, ANSWER_MAX);
        // 507: what was staged by other rounds has taken the room.
        let fine = status.is_none_or(|status| status < 500 || status == 501 || status == 507);
        assert!(
            fine,
            "round {round} of {seed}, {name}, gives {status:?}: {}",
            request.escape_ascii()
        );
    }
}

#[test]
fn damaged_requests_are_answered_and_the_server_goes_on() {
    let server = Server::with(Setting {
        staging_mib_max: 2,
        patience: Patience {
            idle: Duration::from_millis(300),
            bytes_per_second_min: 1 << 20,
        },
        session_idle_max: Duration::from_millis(300),
        ..Setting::default()
    });
    let corpus = corpus();
    assert!(corpus.len() >= 10, "the corpus is not there");
    for (name, request) in &corpus {
        let status = send(&server, request, Duration::from_secs(60));
        assert!(
            status.is_some_and(|status| status < 500),
            "{name}: {status:?}"
        );
    }
    thread::scope(|scope| {
        for sender in 1..=SENDERS {
            let (server, corpus) = (&server, &corpus);
            scope.spawn(move || send_damaged(server, corpus, sender));
        }
    });
    let outside = server
        .dir
        .root()
        .parent()
        .expect("it is in a temporary directory");
    let beside = fs::read_dir(outside).expect("readable").count();
    assert_eq!(
        beside, 1,
        "nothing was written outside of the node's directory"
    );
    // It still does its work when there is room again.
    server
        .objects
        .collect(i64::MAX / 2, &mut |_| {})
        .expect("collected");
    let content = noise(77, 100_000);
    let path = format!(
        "/books.git/info/lfs/objects/{}/{}",
        Digest::of(&content),
        content.len()
    );
    server.ask("PUT", &path, &[], &content).is(200);
}
