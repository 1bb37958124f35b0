//! The distribution API: uploads in parts, manifests, and hostile requests.

use std::io::Write as _;
use std::time::Duration;

use gdo_core::id::Digest;
use gdo_node::clock::wall_seconds;
use gdo_node::objects::KEPT_SECONDS_MAX;
use serde_json::{Value, json};

use crate::server::{Answer, Server, Setting, digest, head, noise};

const OCI: &str = "Content-Type: application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "Content-Type: application/vnd.oci.image.index.v1+json";
const MIB: usize = 1 << 20;

/// The code of a refusal.
fn code(answer: &Answer) -> String {
    answer.json()["errors"][0]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Pushes a blob in one request.
fn push_blob(server: &Server, name: &str, content: &[u8]) -> Answer {
    let path = format!("/v2/{name}/blobs/uploads/?digest={}", digest(content));
    server.ask("POST", &path, &[], content)
}

/// Begins an upload; gives its path.
fn begin(server: &Server, name: &str) -> String {
    let path = format!("/v2/{name}/blobs/uploads/");
    let begun = server.ask("POST", &path, &[], b"").is(202);
    assert_eq!(begun.header("range"), "0-0");
    begun.header("location").to_owned()
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

/// A manifest of a config and a layer.
fn manifest(config: &[u8], layer: &[u8]) -> Vec<u8> {
    let config = descriptor("application/vnd.oci.image.config.v1+json", config);
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar", layer);
    json!({"schemaVersion": 2, "config": config, "layers": [layer]})
        .to_string()
        .into_bytes()
}

/// Pushes an image; gives its manifest.
fn push_image(server: &Server, name: &str, tag: &str, seed: u64) -> Vec<u8> {
    let (config, layer) = (
        format!("{{\"seed\":{seed}}}").into_bytes(),
        noise(seed, 1000),
    );
    push_blob(server, name, &config).is(201);
    push_blob(server, name, &layer).is(201);
    let text = manifest(&config, &layer);
    let path = format!("/v2/{name}/manifests/{tag}");
    let pushed = server.ask("PUT", &path, &[OCI], &text).is(201);
    assert_eq!(pushed.header("docker-content-digest"), digest(&text));
    text
}

#[test]
fn the_version_is_told_on_every_answer() {
    let server = Server::start();
    for (path, status) in [("/v2/", 200), ("/v2", 200), ("/v2/x/tags/list", 404)] {
        let answer = server.get(path, &[]).is(status);
        assert_eq!(
            answer.header("docker-distribution-api-version"),
            "registry/2.0"
        );
    }
}

#[test]
fn a_blob_comes_in_parts_and_goes_on_where_it_was_cut() {
    let server = Server::start();
    let content = noise(1, 3 * MIB);
    let upload = begin(&server, "tools");
    let part = |from: usize, end: usize| {
        let range = format!("Content-Range: {from}-{}", end - 1);
        server.ask("PATCH", &upload, &[&range], &content[from..end])
    };
    let first = part(0, MIB).is(202);
    assert_eq!(first.header("range"), format!("0-{}", MIB - 1));
    // A gap, an overlap and a part of another spelling are told where to go on.
    for (from, end) in [(2 * MIB, 3 * MIB), (MIB - 1, 2 * MIB), (0, MIB)] {
        let refused = part(from, end).is(416);
        assert_eq!(refused.header("range"), format!("0-{}", MIB - 1));
    }
    let odd = ["Content-Range: bytes=x"];
    server.ask("PATCH", &upload, &odd, b"abc").is(416);

    // A request that is cut off keeps what came of it.
    let mut stream = server.connect();
    let length = format!("Content-Length: {}", 2 * MIB);
    stream
        .write_all(&head("PATCH", &upload, &[&length]))
        .expect("it reads");
    stream.write_all(&content[MIB..2 * MIB]).expect("it reads");
    stream.shutdown(std::net::Shutdown::Both).expect("a socket");
    drop(stream);
    let taken = loop {
        let status = server.get(&upload, &[]).is(204);
        let range = status.header("range").to_owned();
        let last = range
            .strip_prefix("0-")
            .and_then(|last| last.parse::<usize>().ok());
        let taken = last.expect("a range") + 1;
        // It is in use until the server has seen the end of the connection.
        let probe = server.ask("PATCH", &upload, &[], b"");
        if probe.status == 202 && taken > MIB {
            break taken;
        }
        assert!([202, 409].contains(&probe.status), "{}", probe.text());
    };
    assert!(taken <= 2 * MIB, "{taken}");
    part(taken, content.len()).is(202);
    let end = format!("{upload}?digest={}", digest(&content));
    let done = server.ask("PUT", &end, &[], b"").is(201);
    assert_eq!(done.header("docker-content-digest"), digest(&content));

    let path = done.header("location").to_owned();
    assert!(
        server.get(&path, &[]).is(200).body == content,
        "it comes back byte for byte"
    );
    let rest = server.get(&path, &["Range: bytes=1000-"]).is(206);
    assert!(rest.body == content[1000..], "in part, too");
    let looked = server.ask("HEAD", &path, &[], b"").is(200);
    assert_eq!(looked.header("content-length"), content.len().to_string());
    server.get(&upload, &[]).is(404);
}

#[test]
fn the_last_request_may_bring_the_last_part() {
    let server = Server::start();
    let content = noise(1, MIB);
    let upload = begin(&server, "tools");
    server.ask("PATCH", &upload, &[], &content[..1000]).is(202);
    let end = format!("{upload}?digest={}", digest(&content));
    server.ask("PUT", &end, &[], &content[1000..]).is(201);
}

#[test]
fn a_blob_that_is_not_its_digest_is_refused_and_leaves_nothing() {
    let server = Server::start();
    let (content, other) = (noise(1, MIB), noise(2, MIB));
    let upload = begin(&server, "tools");
    server.ask("PATCH", &upload, &[], &content).is(202);
    let end = format!("{upload}?digest={}", digest(&other));
    let refused = server.ask("PUT", &end, &[], b"").is(400);
    assert_eq!(code(&refused), "DIGEST_INVALID");
    let path = format!("/v2/tools/blobs/uploads/?digest={}", digest(&other));
    assert_eq!(
        code(&server.ask("POST", &path, &[], &content).is(400)),
        "DIGEST_INVALID"
    );
    for bytes in [&content, &other] {
        let path = format!("/v2/tools/blobs/{}", digest(bytes));
        assert_eq!(code(&server.get(&path, &[]).is(404)), "BLOB_UNKNOWN");
    }
    let upload = begin(&server, "tools");
    for query in [
        "",
        "?digest=",
        "?digest=sha512:00",
        "?digest=sha256:..",
        "?x",
    ] {
        let refused = server
            .ask("PUT", &format!("{upload}{query}"), &[], b"")
            .is(400);
        assert_eq!(code(&refused), "DIGEST_INVALID", "{query}");
    }
}

#[test]
fn uploads_can_be_cancelled_and_belong_to_their_name() {
    let server = Server::start();
    let upload = begin(&server, "tools");
    let elsewhere = upload.replace("/tools/", "/other/");
    server.ask("PATCH", &elsewhere, &[], b"x").is(404);
    server.ask("DELETE", &elsewhere, &[], b"").is(404);
    server.ask("DELETE", &upload, &[], b"").is(204);
    let gone = server.ask("PATCH", &upload, &[], b"x").is(404);
    assert_eq!(code(&gone), "BLOB_UPLOAD_UNKNOWN");
    server
        .ask("PATCH", "/v2/tools/blobs/uploads/..", &[], b"x")
        .is(404);
}

#[test]
fn open_uploads_are_bounded_and_forgotten_when_they_rest() {
    let server = Server::with(Setting {
        session_idle_max: Duration::from_millis(300),
        ..Setting::default()
    });
    let path = "/v2/tools/blobs/uploads/";
    let mut open = 0;
    loop {
        let answer = server.ask("POST", path, &[], b"");
        if answer.status == 429 {
            break;
        }
        assert_eq!(answer.status, 202, "{}", answer.text());
        open += 1;
        assert!(open < 100, "nothing bounds the open uploads");
    }
    // They go by themselves, with the room that they kept.
    while server.ask("POST", path, &[], b"").status == 429 {
        std::thread::yield_now();
    }
}

#[test]
fn a_mount_is_answered_by_what_is_here() {
    let server = Server::start();
    let content = noise(1, 1000);
    let path = format!(
        "/v2/other/blobs/uploads/?mount={}&from=tools",
        digest(&content)
    );
    server.ask("POST", &path, &[], b"").is(202);
    push_blob(&server, "tools", &content).is(201);
    let mounted = server.ask("POST", &path, &[], b"").is(201);
    assert_eq!(mounted.header("docker-content-digest"), digest(&content));
}

#[test]
fn a_manifest_is_staged_when_all_that_it_names_is_here() {
    let server = Server::start();
    let (config, layer) = (b"{}".to_vec(), noise(1, 1000));
    let text = manifest(&config, &layer);
    let path = "/v2/tools/manifests/v1";
    push_blob(&server, "tools", &config).is(201);
    let refused = server.ask("PUT", path, &[OCI], &text).is(400);
    assert_eq!(code(&refused), "MANIFEST_BLOB_UNKNOWN");
    assert!(
        refused.text().contains(&digest(&layer)),
        "{}",
        refused.text()
    );
    push_blob(&server, "tools", &layer).is(201);
    server.ask("PUT", path, &[OCI], &text).is(201);

    let by_digest = format!("/v2/tools/manifests/{}", digest(&text));
    for path in [path, &by_digest] {
        let got = server.get(path, &[]).is(200);
        assert_eq!(got.body, text);
        assert_eq!(
            got.header("content-type"),
            OCI.split(": ").nth(1).unwrap_or_default()
        );
        assert_eq!(got.header("docker-content-digest"), digest(&text));
        let looked = server.ask("HEAD", path, &[], b"").is(200);
        assert_eq!(looked.header("content-length"), text.len().to_string());
    }
    let index = json!({"schemaVersion": 2, "manifests": [
        descriptor("application/vnd.oci.image.manifest.v1+json", &text)]});
    let index = index.to_string().into_bytes();
    server
        .ask("PUT", "/v2/tools/manifests/all", &[INDEX], &index)
        .is(201);
    let shown = server.images.show(
        &"tools".parse().expect("a name"),
        gdo_core::id::Digest::of(&index),
    );
    let shown = shown.expect("readable").expect("it is staged");
    assert_eq!(
        shown.blobs.len(),
        3,
        "the index's manifest, and what that needs"
    );
}

#[test]
fn manifests_of_other_forms_are_refused() {
    let server = Server::start();
    let text = push_image(&server, "tools", "v1", 1);
    let path = "/v2/tools/manifests/v2";
    let put = |path: &str, headers: &[&str], body: &[u8]| server.ask("PUT", path, headers, body);
    for (headers, body) in [
        (&["Content-Type: application/json"][..], &text[..]),
        (&[], &text),
        (&[OCI], b"{"),
        (&[OCI], b""),
        (&[INDEX], &text),
    ] {
        let refused = put(path, headers, body).is(400);
        assert_eq!(code(&refused), "MANIFEST_INVALID", "{headers:?}");
    }
    let elsewhere = format!("/v2/tools/manifests/{}", digest(b"x"));
    assert_eq!(
        code(&put(&elsewhere, &[OCI], &text).is(400)),
        "DIGEST_INVALID"
    );
    put(path, &[OCI], &vec![b' '; 5 * MIB]).is(413);
    let wrong = String::from_utf8_lossy(&text).replace("\"size\":1000", "\"size\":1001");
    let refused = put(path, &[OCI], wrong.as_bytes()).is(400);
    assert!(refused.text().contains("1001"), "{}", refused.text());
    assert_eq!(code(&server.get(path, &[]).is(404)), "MANIFEST_UNKNOWN");
    server
        .ask("DELETE", "/v2/tools/manifests/v1", &[], b"")
        .is(405);
    put("/v2/dapps/policy/manifests/v1", &[OCI], &text).is(403);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let server = Server::start();
    for path in [
        "/v2/../manifests/v1",
        "/v2/..%2f..%2fx/manifests/v1",
        "/v2/a/../../b/manifests/v1",
        "/v2/tools/manifests/..%2f..%2fnode.toml",
        "/v2/tools/blobs/..%2f..%2fnode.toml",
        "/v2/A/manifests/v1",
        "/v2/library/debian/manifests/v1",
    ] {
        for method in ["GET", "PUT"] {
            server.ask(method, path, &[OCI], b"{}").is(400);
        }
    }
    assert!(!server.dir.staged_images().exists());
    assert!(
        !server.dir.chunks().exists(),
        "nothing was opened for any of them"
    );
}

#[test]
fn what_is_staged_is_bounded_and_goes_after_a_day() {
    let server = Server::with(Setting {
        staging_mib_max: 1,
        ..Setting::default()
    });
    let text = push_image(&server, "tools", "v1", 1);
    push_blob(&server, "tools", &noise(9, 2 * MIB)).is(413);
    push_blob(&server, "tools", &noise(8, MIB)).is(507);
    let upload = begin(&server, "tools");
    let long = server.ask("PATCH", &upload, &[], &noise(7, 2 * MIB));
    assert!([413, 507].contains(&long.status), "{}", long.text());
    server.get(&upload, &[]).is(404);

    let later = wall_seconds() + KEPT_SECONDS_MAX + 60;
    assert_eq!(server.images.expire(later).expect("removed"), 1);
    server
        .objects
        .collect(later, &mut |_| {})
        .expect("collected");
    server.get("/v2/tools/manifests/v1", &[]).is(404);
    server
        .get(&format!("/v2/tools/blobs/{}", digest(&text)), &[])
        .is(404);
}

#[test]
fn a_pinned_image_stays_until_it_is_unpinned() {
    let server = Server::with(Setting {
        staging_mib_max: 1,
        ..Setting::default()
    });
    let text = push_image(&server, "tools", "v1.x", 1);
    push_image(&server, "tools", "v2", 2);
    let name = "tools".parse().expect("a name");
    let pinned = Digest::of(&text);
    server.images.pin(&name, pinned).expect("it is staged");
    let listed = server.images.list().expect("listed");
    let ends: Vec<_> = listed
        .iter()
        .map(|image| (&image.tags[0][..], image.expires_at.is_none()))
        .collect();
    assert!(
        ends.contains(&("v1.x", true)) && ends.contains(&("v2", false)),
        "{ends:?}"
    );
    // What is pinned takes no room from what is staged.
    push_blob(&server, "tools", &noise(9, 900 << 10)).is(201);

    let later = wall_seconds() + KEPT_SECONDS_MAX + 60;
    let pass = || {
        server.images.expire(later).expect("removed");
        let collected = server.objects.collect(later, &mut |_| {});
        collected.expect("collected");
    };
    pass();
    server.get("/v2/tools/manifests/v1.x", &[]).is(200);
    server.get("/v2/tools/manifests/v2", &[]).is(404);
    for blob in server
        .images
        .show(&name, pinned)
        .expect("read")
        .expect("there")
        .blobs
    {
        let path = format!("/v2/tools/blobs/{}", blob.digest);
        server.get(&path, &[]).is(200);
    }
    server.images.unpin(&name, pinned).expect("it is pinned");
    let error = server
        .images
        .unpin(&name, pinned)
        .expect_err("it is not pinned any more");
    assert!(error.to_string().contains("is not pinned"), "{error}");
    pass();
    server.get("/v2/tools/manifests/v1.x", &[]).is(404);
    assert!(server.objects.find(&pinned).expect("asked").is_none());
    let error = server.images.pin(&name, pinned).expect_err("it is gone");
    assert!(error.to_string().contains("is not staged here"), "{error}");
}

#[test]
fn a_pin_that_cannot_be_read_stops_the_collection_and_not_the_pin() {
    let server = Server::start();
    let text = push_image(&server, "tools", "v1", 1);
    let name = "tools".parse().expect("a name");
    server
        .images
        .pin(&name, Digest::of(&text))
        .expect("it is staged");
    let folder = server.dir.pins();
    let pin = std::fs::read_dir(&folder)
        .expect("pins")
        .next()
        .expect("one")
        .expect("an entry");
    let whole = std::fs::read(pin.path()).expect("readable");
    std::fs::write(folder.join("half.tmp"), "x").expect("ours");
    std::fs::write(pin.path(), &whole[1..]).expect("ours");
    let later = wall_seconds() + KEPT_SECONDS_MAX + 60;
    let error = server
        .objects
        .collect(later, &mut |_| {})
        .expect_err("what is pinned is unknown");
    assert!(error.to_string().contains(".pin"), "{error}");
    std::fs::write(pin.path(), &whole).expect("ours");
    server
        .objects
        .collect(later, &mut |_| {})
        .expect("collected");
    server.get("/v2/tools/manifests/v1", &[]).is(200);
}

#[test]
fn images_of_the_ledger_are_read_with_their_tags_and_win() {
    let server = Server::start();
    let (config, layer) = (b"{\"a\":1}".to_vec(), noise(5, 5000));
    let (one, two) = (manifest(&config, &layer), manifest(&config, &config));
    let mut tagged = descriptor("application/vnd.oci.image.manifest.v1+json", &one);
    tagged["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let plain = descriptor("application/vnd.oci.image.manifest.v1+json", &two);
    let index = json!({"schemaVersion": 2, "manifests": [tagged, plain]});
    let index = index.to_string().into_bytes();
    let pointer = gdo_core::pointer::Pointer {
        oid: gdo_core::id::Digest::of(&layer),
        size: layer.len() as u64,
    };
    push_blob(&server, "tools", &layer).is(201);
    let blob = |content: &[u8]| {
        let hex = digest(content).replace("sha256:", "");
        format!(".gdo/images/tools/blobs/sha256/{hex}")
    };
    server.commit(&[
        (".gdo/images/tools/index.json", index.clone()),
        (".gdo/images/tools/oci-layout", b"{}".to_vec()),
        (&blob(&one), one.clone()),
        (&blob(&two), two.clone()),
        (&blob(&config), config.clone()),
        (&blob(&layer), pointer.to_text().into_bytes()),
        (
            ".gdo/dapps/policy/image/index.json",
            b"{\"manifests\":[]}".to_vec(),
        ),
        (".gdo/images/Bad/index.json", index.clone()),
    ]);
    let catalog = server.get("/v2/_catalog", &[]).is(200).json();
    assert_eq!(catalog, json!({"repositories": ["dapps/policy", "tools"]}));
    let tags = server.get("/v2/tools/tags/list", &[]).is(200).json();
    assert_eq!(tags, json!({"name": "tools", "tags": ["latest", "v1"]}));
    let by_index = digest(&index);
    for (reference, expected) in [("v1", &one), ("latest", &two), (by_index.as_str(), &index)] {
        let path = format!("/v2/tools/manifests/{reference}");
        assert_eq!(
            &server.get(&path, &[]).is(200).body,
            expected,
            "{reference}"
        );
    }
    for content in [&config, &layer] {
        let path = format!("/v2/tools/blobs/{}", digest(content));
        assert!(
            server.get(&path, &[]).is(200).body == *content,
            "it comes whole"
        );
        let part = server.get(&path, &["Range: bytes=2-4"]).is(206);
        assert_eq!(part.body, &content[2..5]);
    }
    // A push under the same tag stays behind the ledger's.
    let pushed = push_image(&server, "tools", "v1", 6);
    assert_eq!(server.get("/v2/tools/manifests/v1", &[]).is(200).body, one);
    let path = format!("/v2/tools/manifests/{}", digest(&pushed));
    assert_eq!(server.get(&path, &[]).is(200).body, pushed);
}
