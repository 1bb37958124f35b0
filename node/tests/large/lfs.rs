//! The API of git-lfs: its answers, its bounds, and hostile requests.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use gdo_core::id::Digest;
use gdo_node::http::transfer::Patience;
use serde_json::{Value, json};

use crate::server::{Answer, Server, Setting, head, noise};

const API: &str = "/books.git/info/lfs";
const MIB: usize = 1 << 20;

fn oid(content: &[u8]) -> String {
    Digest::of(content).to_string()
}

fn object_path(content: &[u8]) -> String {
    format!("{API}/objects/{}/{}", oid(content), content.len())
}

fn put(server: &Server, content: &[u8]) -> Answer {
    server.ask("PUT", &object_path(content), &[], content)
}

fn batch(server: &Server, operation: &str, objects: &[(&str, usize)]) -> Answer {
    let objects = objects.iter();
    let objects: Vec<Value> = objects
        .map(|(oid, size)| json!({"oid": oid, "size": size}))
        .collect();
    let body = json!({"operation": operation, "transfers": ["basic"], "objects": objects});
    let body = body.to_string();
    server.ask(
        "POST",
        &format!("{API}/objects/batch"),
        &[],
        body.as_bytes(),
    )
}

#[test]
fn an_object_goes_in_is_verified_and_comes_out_in_whole_and_in_part() {
    let server = Server::start();
    let content = noise(1, 3 * MIB + 17);
    let name = oid(&content);
    let asked = batch(&server, "upload", &[(&name, content.len())]).is(200);
    assert_eq!(asked.header("content-type"), "application/vnd.git-lfs+json");
    let actions = &asked.json()["objects"][0]["actions"];
    let address = actions["upload"]["href"].as_str().expect("an address");
    assert_eq!(
        address,
        format!("http://127.0.0.1{}", object_path(&content))
    );
    assert!(!server.dir.chunks().exists() || server.objects.find(&Digest::of(&content)).is_ok());
    put(&server, &content).is(200);

    let verify = format!("{API}/objects/verify");
    let good = json!({"oid": name, "size": content.len()}).to_string();
    server.ask("POST", &verify, &[], good.as_bytes()).is(200);
    let bad = json!({"oid": name, "size": 7}).to_string();
    server.ask("POST", &verify, &[], bad.as_bytes()).is(422);

    let again = batch(&server, "upload", &[(&name, content.len())]).is(200);
    assert_eq!(again.json()["objects"][0]["actions"], Value::Null);
    let down = batch(&server, "download", &[(&name, content.len())]).is(200);
    let href = down.json()["objects"][0]["actions"]["download"]["href"].clone();
    let path = format!("{API}/objects/{name}");
    assert_eq!(href, format!("http://127.0.0.1{path}"));

    let whole = server.get(&path, &[]).is(200);
    assert!(whole.body == content, "it comes back byte for byte");
    let part = server.get(&path, &["Range: bytes=1000000-"]).is(206);
    assert!(part.body == content[1_000_000..], "the rest comes");
    let range = format!("bytes 1000000-{}/{}", content.len() - 1, content.len());
    assert_eq!(part.header("content-range"), range);
    let few = server.get(&path, &["Range: bytes=5-9"]).is(206);
    assert_eq!(few.body, &content[5..10]);
    server.get(&path, &["Range: bytes=99999999-"]).is(416);
    let head = server.ask("HEAD", &path, &[], b"").is(200);
    assert_eq!(head.header("content-length"), content.len().to_string());
}

#[test]
fn the_empty_object_is_an_object() {
    let server = Server::start();
    put(&server, b"").is(200);
    let path = format!("{API}/objects/{}", oid(b""));
    assert_eq!(server.get(&path, &[]).is(200).body, b"");
}

#[test]
fn what_is_not_what_its_url_says_is_refused_and_leaves_nothing() {
    let server = Server::start();
    let (content, other) = (noise(1, MIB), noise(2, MIB));
    let wrong = server
        .ask("PUT", &object_path(&content), &[], &other)
        .is(422);
    assert_eq!(wrong.header("content-type"), "application/vnd.git-lfs+json");
    let words = wrong.json()["message"].to_string();
    assert!(
        words.contains(&oid(&content)) && words.contains(&oid(&other)),
        "{words}"
    );
    let short = server.ask("PUT", &object_path(&content), &[], &content[1..]);
    assert_eq!(short.status, 422);

    // Without a length the body itself has to show it.
    let chunked = |body: &[u8]| {
        let mut stream = server.connect();
        let headers = ["Transfer-Encoding: chunked"];
        let path = object_path(&content);
        stream
            .write_all(&head("PUT", &path, &headers))
            .expect("it reads");
        let size = format!("{:x}\r\n", body.len());
        let parts = [size.as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
        let _ = stream.write_all(&parts);
        Answer::read(stream)
    };
    chunked(&content[1..]).is(422);
    chunked(&[&content[..], b"more"].concat()).is(413);
    for bytes in [&content, &other] {
        assert_eq!(
            server.objects.find(&Digest::of(bytes)).expect("asked"),
            None
        );
    }
    // None of it counts: everything that is allowed still fits.
    put(&server, &noise(3, 63 * MIB)).is(200);
    assert_eq!(chunked(&content).status, 200);
}

#[test]
fn names_that_are_no_objects_are_refused() {
    let server = Server::start();
    for (method, path, status) in [
        ("PUT", format!("{API}/objects/../7"), 422),
        ("PUT", format!("{API}/objects/{}/7", "A".repeat(64)), 422),
        ("PUT", format!("{API}/objects/{}/-7", oid(b"x")), 400),
        (
            "PUT",
            format!("{API}/objects/{}/99999999999999999999999", oid(b"x")),
            400,
        ),
        ("GET", format!("{API}/objects/..%2f..%2fnode.toml"), 404),
        ("GET", format!("{API}/objects/{}", oid(b"x")), 404),
        ("GET", format!("{API}/objects/"), 404),
        ("GET", "/other.git/info/lfs/locks".to_owned(), 404),
        ("GET", format!("{API}/locks"), 501),
        ("POST", format!("{API}/locks/verify"), 501),
    ] {
        let answer = server.ask(method, &path, &[], b"");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    assert!(
        !server.dir.chunks().exists(),
        "nothing was opened for any of them"
    );
}

#[test]
fn requests_of_other_forms_get_words() {
    let server = Server::start();
    let path = format!("{API}/objects/batch");
    let many: Vec<Value> = (0..1001)
        .map(|n| json!({"oid": oid(&[]), "size": n}))
        .collect();
    for (body, status) in [
        (String::new(), 422),
        ("{}".to_owned(), 422),
        ("[".repeat(10_000), 422),
        (
            json!({"operation": "delete", "objects": []}).to_string(),
            422,
        ),
        (
            json!({"operation": "upload", "objects": many}).to_string(),
            413,
        ),
        (
            json!({"operation": "upload", "objects": [], "transfers": ["tus"]}).to_string(),
            422,
        ),
        (
            json!({"operation": "upload", "objects": [], "hash_algo": "sha512"}).to_string(),
            409,
        ),
        (
            format!(
                "{{\"operation\":\"upload\",\"x\":\"{}\"}}",
                "y".repeat(2 * MIB)
            ),
            413,
        ),
    ] {
        let answer = server.ask("POST", &path, &[], body.as_bytes());
        assert_eq!(answer.status, status, "{body:.60}");
        assert!(
            answer.json()["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("gdo: "))
        );
    }
    let answer = batch(&server, "upload", &[("../../etc/passwd", 5)]).is(200);
    assert_eq!(answer.json()["objects"][0]["error"]["code"], 422);
    let body = json!({"operation": "upload", "objects": [{"oid": oid(b"x"), "size": -1}]});
    let answer = server
        .ask("POST", &path, &[], body.to_string().as_bytes())
        .is(200);
    assert_eq!(answer.json()["objects"][0]["error"]["code"], 422);
}

#[test]
fn addresses_are_told_as_the_client_knows_the_node() {
    let server = Server::start();
    let path = format!("{API}/objects/batch");
    let content = noise(1, 10);
    let body = json!({"operation": "upload", "objects": [{"oid": oid(&content), "size": 10}]});
    let body = body.to_string();
    for (headers, status, expected) in [
        (
            &["Host: localhost:1234"][..],
            200,
            "http://localhost:1234/books.git/",
        ),
        (&["Host: [::1]:1"], 200, "http://[::1]:1/books.git/"),
        (
            &["Host: 127.0.0.1", "X-Forwarded-Proto: https"],
            200,
            "https://127.0.0.1/books.git/",
        ),
        (&["Host: 127.0.0.1:@evil.example"], 400, ""),
        (&["Host: 127.0.0.1:80/x"], 400, ""),
    ] {
        let answer = server
            .ask("POST", &path, headers, body.as_bytes())
            .is(status);
        if status == 200 {
            let answer = answer.json();
            let href = answer["objects"][0]["actions"]["upload"]["href"].as_str();
            assert!(
                href.is_some_and(|href| href.starts_with(expected)),
                "{href:?}"
            );
        }
    }
}

#[test]
fn names_that_are_not_the_nodes_are_turned_away() {
    let server = Server::start();
    let foreign = ["Host: evil.example"];
    for path in [format!("{API}/objects/{}", oid(b"x")), "/v2/".to_owned()] {
        server.get(&path, &foreign).is(421);
    }
}

#[test]
fn readers_are_refused_where_nobody_may_read() {
    let setting = Setting {
        anonymous_read: false,
        ..Setting::default()
    };
    let server = Server::with(setting);
    let content = noise(1, 1000);
    put(&server, &content).is(200);
    server
        .get(&format!("{API}/objects/{}", oid(&content)), &[])
        .is(403);
    batch(&server, "download", &[(&oid(&content), 1000)]).is(403);
    server.get("/v2/tools/tags/list", &[]).is(403);
}

#[test]
fn what_no_proposal_names_is_bounded() {
    let server = Server::with(Setting {
        staging_mib_max: 2,
        ..Setting::default()
    });
    let (first, second) = (noise(1, 3 * MIB / 2), noise(2, MIB));
    put(&server, &first).is(200);
    let full = put(&server, &second).is(507);
    let words = full.json()["message"].to_string();
    assert!(
        words.contains("http.staging_mib_max") && words.contains("propose"),
        "{words}"
    );
    let asked = batch(&server, "upload", &[(&oid(&second), second.len())]).is(200);
    assert_eq!(asked.json()["objects"][0]["error"]["code"], 507);
    let large = noise(3, 3 * MIB);
    put(&server, &large).is(413);
    let asked = batch(&server, "upload", &[(&oid(&large), large.len())]).is(200);
    assert_eq!(asked.json()["objects"][0]["error"]["code"], 413);
    // A batch is told beforehand what of it will not fit.
    let small = [(oid(b"a"), 300 << 10), (oid(b"b"), 300 << 10)];
    let small: Vec<(&str, usize)> = small
        .iter()
        .map(|(oid, size)| (oid.as_str(), *size))
        .collect();
    let asked = batch(&server, "upload", &small).is(200).json();
    assert_eq!(asked["objects"][0]["error"], Value::Null);
    assert_eq!(asked["objects"][1]["error"]["code"], 507);

    // What the ledger names does not count.
    let pointer = gdo_core::pointer::Pointer {
        oid: Digest::of(&first),
        size: first.len() as u64,
    };
    server.commit(&[("first.img", pointer.to_text().into_bytes())]);
    server.objects.collect(0, &mut |_| {}).expect("collected");
    put(&server, &second).is(200);
}

#[test]
fn one_object_that_comes_many_times_at_once_is_one_object() {
    let server = Server::start();
    let content = noise(1, 4 * MIB);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| put(&server, &content).is(200));
        }
    });
    let path = format!("{API}/objects/{}", oid(&content));
    assert_eq!(server.hash(&path), Digest::of(&content), "it is whole");
    // It counts once: 60 of 64 MiB are left.
    put(&server, &noise(2, 59 * MIB)).is(200);
}

#[test]
fn a_client_that_waits_for_the_word_sends_nothing_that_is_refused() {
    let server = Server::with(Setting {
        staging_mib_max: 1,
        ..Setting::default()
    });
    let content = noise(1, 2 * MIB);
    let expects = |content: &[u8]| {
        let mut stream = server.connect();
        let length = format!("Content-Length: {}", content.len());
        let headers = ["Expect: 100-continue", &length];
        let path = object_path(content);
        stream
            .write_all(&head("PUT", &path, &headers))
            .expect("it reads");
        stream
    };
    let refused = Answer::read(expects(&content)).is(413);
    assert!(
        !refused.was_continued,
        "it was told to send what is refused"
    );
    let mut stream = expects(&content[..1000]);
    stream.write_all(&content[..1000]).expect("it was told to");
    assert!(Answer::read(stream).is(200).was_continued);
}

#[test]
fn a_client_that_stands_still_or_leaves_costs_nothing_but_its_turn() {
    let server = Server::with(Setting {
        patience: Patience {
            idle: Duration::from_millis(200),
            bytes_per_second_min: 1 << 30,
        },
        ..Setting::default()
    });
    let content = noise(1, 40 * MIB);
    let length = format!("Content-Length: {}", content.len());
    let begin = || {
        let mut stream = server.connect();
        let path = object_path(&content);
        stream
            .write_all(&head("PUT", &path, &[&length]))
            .expect("it reads");
        stream.write_all(&content[..MIB]).expect("it reads");
        stream
    };
    let slow = Answer::read(begin()).is(408);
    assert!(slow.text().contains("too slowly"), "{}", slow.text());
    for _ in 0..20 {
        drop(begin());
    }
    // The room that they had kept is free again.
    let other = noise(2, 1000);
    put(&server, &other).is(200);
    let mut kept = 40 * MIB;
    while kept > 0 {
        let asked = batch(&server, "upload", &[(&oid(b"probe"), 63 * MIB)]).is(200);
        if asked.json()["objects"][0]["error"] == Value::Null {
            kept = 0;
        } else {
            thread::yield_now();
        }
    }
    assert_eq!(
        server.objects.find(&Digest::of(&content)).expect("asked"),
        None
    );
}
