//! Connections that want nothing, or more than there is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use gdo_node::http::serve::Bounds;

use crate::server::{Server, Setting, head};

fn bounded(connections_max: usize, head_max: Duration) -> Server {
    Server::with(Setting {
        bounds: Bounds {
            connections_max,
            head_max,
        },
        ..Setting::default()
    })
}

/// What the server says until it closes the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut said = String::new();
    // It may reset a connection whose bytes it never read.
    let _ = stream.read_to_string(&mut said);
    said
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let server = bounded(8, Duration::from_millis(200));
    let silent = server.connect();
    let mut slow = server.connect();
    slow.write_all(b"GET /v2/ HTTP/1.1\r\nHost: loc")
        .expect("it reads");
    for stream in [silent, slow] {
        let said = rest(stream);
        assert!(!said.contains("200 OK"), "{said}");
    }
    // After an answer the next head has as long again.
    let mut kept = server.connect();
    kept.write_all(b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .expect("it reads");
    assert!(rest(kept).contains("200 OK"));
}

#[test]
fn a_head_that_is_too_long_is_refused_before_it_ends() {
    let server = Server::start();
    let mut stream = server.connect();
    let line = format!("X: {}\r\n", "x".repeat(1 << 10));
    let mut sent = stream.write_all(b"GET /v2/ HTTP/1.1\r\n");
    for _ in 0..1 << 10 {
        sent = sent.and_then(|()| stream.write_all(line.as_bytes()));
    }
    let said = rest(stream);
    assert!(sent.is_err() || said.contains("431"), "{said}");
    server.get("/v2/", &[]).is(200);
}

#[test]
fn more_connections_than_there_may_be_wait_for_their_turn() {
    let server = bounded(2, Duration::from_secs(60));
    let held = [server.connect(), server.connect()];
    let mut third = server.connect();
    third
        .write_all(&head("GET", "/v2/", &[]))
        .expect("the kernel takes it");
    third
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    let mut byte = [0];
    assert!(third.read(&mut byte).is_err(), "nobody has time for it");
    drop(held);
    third
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    assert!(rest(third).contains("200 OK"));
}
