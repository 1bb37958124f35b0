//! What is kept: by the ledger for good, without it for a day.

use std::io::Read as _;
use std::time::Duration;

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use gdo_node::clock::wall_seconds;
use gdo_node::objects::KEPT_SECONDS_MAX;

use crate::server::{Server, Setting, noise};

fn take(server: &Server, content: &[u8]) -> Pointer {
    let pointer = Pointer {
        oid: Digest::of(content),
        size: content.len() as u64,
    };
    let mut upload = server.objects.upload(pointer.size).expect("room");
    upload.write(content).expect("written");
    upload.finish_as(&pointer).expect("it is what it is");
    pointer
}

#[test]
fn what_no_ref_points_to_is_collected_after_a_day() {
    let server = Server::start();
    assert_eq!(
        server
            .objects
            .collect(0, &mut |_| {})
            .expect("nothing to do"),
        None,
        "a node without objects has no store"
    );
    let named = take(&server, &noise(1, 300_000));
    let staged = take(&server, &noise(2, 300_000));
    server.commit(&[("named.img", named.to_text().into_bytes())]);
    // It is in the history alone then.
    server.commit(&[("named.img", b"gone\n".to_vec())]);
    let now = wall_seconds();
    server.objects.collect(now, &mut |_| {}).expect("collected");
    let find = |pointer: &Pointer| server.objects.find(&pointer.oid).expect("asked");
    assert_eq!(find(&staged), Some(staged), "the day is not over");
    server
        .objects
        .collect(now + KEPT_SECONDS_MAX + 60, &mut |_| {})
        .expect("collected");
    assert_eq!(find(&named), None, "no ref holds the first commit");
    assert_eq!(find(&staged), None);
}

#[test]
fn what_the_operator_brings_is_not_bounded_by_staging() {
    let server = Server::with(Setting {
        staging_mib_max: 1,
        ..Setting::default()
    });
    let content = noise(1, 3 << 20);
    assert!(server.objects.upload(content.len() as u64).is_err());
    let pointer = Pointer {
        oid: Digest::of(&content),
        size: content.len() as u64,
    };
    let mut upload = server
        .objects
        .upload_of_operator()
        .expect("the disk has room");
    upload.write(&content).expect("written");
    upload.finish_as(&pointer).expect("it is what it is");
    take(&server, &noise(2, 1 << 20));
}

#[test]
fn what_a_ref_points_to_stays() {
    let server = Server::start();
    let named = take(&server, &noise(1, 300_000));
    server.commit(&[("deep/named.img", named.to_text().into_bytes())]);
    let later = wall_seconds() + 100 * KEPT_SECONDS_MAX;
    server
        .objects
        .collect(later, &mut |_| {})
        .expect("collected");
    assert_eq!(server.objects.find(&named.oid).expect("asked"), Some(named));
}

#[test]
fn an_upload_of_what_is_here_makes_it_new() {
    let server = Server::start();
    let staged = take(&server, &noise(1, 300_000));
    let store = server.objects.store().expect("open");
    store.touch(&staged.oid, 1).expect("made old");
    let found = server.objects.find_and_touch(&staged.oid).expect("asked");
    assert_eq!(found, Some(staged));
    server
        .objects
        .collect(wall_seconds(), &mut |_| {})
        .expect("collected");
    assert_eq!(
        server.objects.find(&staged.oid).expect("asked"),
        Some(staged)
    );
}

#[test]
fn asking_for_an_object_is_noted_once_in_a_while() {
    let server = Server::start();
    let staged = take(&server, &noise(1, 300_000));
    let store = server.objects.store().expect("open");
    let ask = || {
        let found = server.objects.find_and_touch(&staged.oid).expect("asked");
        assert_eq!(found, Some(staged));
        store.totals().expect("counted").stored_bytes
    };
    let before = store.totals().expect("counted").stored_bytes;
    assert_eq!(ask(), before, "it has just come");
    let two_hours_ago = wall_seconds() - 7200;
    store.touch(&staged.oid, two_hours_ago).expect("made old");
    let noted = ask();
    assert!(noted > before);
    assert_eq!(ask(), noted);
}

#[test]
fn an_upload_that_is_dropped_names_nothing_and_gives_its_room_back() {
    let server = Server::start();
    let content = noise(1, 1 << 20);
    for _ in 0..100 {
        let mut upload = server.objects.upload(60 << 20).expect("room");
        upload.write(&content).expect("written");
    }
    let found = server.objects.find(&Digest::of(&content));
    assert_eq!(found.expect("asked"), None);
}

#[test]
fn what_git_lfs_left_for_a_push_that_never_came_is_removed_after_a_day() {
    let server = Server::start();
    let dir = server.dir.ledger().join("lfs/objects/aa/bb");
    std::fs::create_dir_all(&dir).expect("the directory is ours");
    let file = dir.join("left");
    std::fs::write(&file, "x").expect("the directory is ours");
    let now = wall_seconds();
    let nothing = server.objects.collect(now, &mut |_| {});
    assert_eq!(nothing.expect("collected"), None);
    assert!(file.exists(), "the day is not over");
    let later = now + KEPT_SECONDS_MAX + 60;
    server
        .objects
        .collect(later, &mut |_| {})
        .expect("collected");
    assert!(!file.exists());
}

#[test]
fn a_store_that_another_process_has_open_is_told() {
    let server = Server::start();
    std::fs::create_dir_all(server.dir.chunks()).expect("the directory is ours");
    let other =
        gdo_chunkstore::Store::open(&server.dir.chunks(), &gdo_chunkstore::Options::default());
    let other = other.expect("nobody else has it yet");
    let content = noise(1, 1000);
    let oid = Digest::of(&content);
    let path = format!("/books.git/info/lfs/objects/{oid}/1000");
    let refused = server.ask("PUT", &path, &[], &content).is(503);
    assert!(
        refused.text().contains("in use by another process"),
        "{}",
        refused.text()
    );
    drop(other);
    server.ask("PUT", &path, &[], &content).is(200);
}

#[test]
fn the_store_is_closed_when_nobody_uses_it_and_opened_again() {
    let server = Server::start();
    let content = noise(1, 300_000);
    let pointer = take(&server, &content);
    let another_can_open = || {
        let options = gdo_chunkstore::Options::default();
        gdo_chunkstore::Store::open(&server.dir.chunks(), &options).is_ok()
    };
    server.objects.cool(Duration::from_secs(3600));
    assert!(!another_can_open(), "it was just used");
    let store = server.objects.store().expect("open");
    let mut reader = store.read(&pointer.oid).expect("it is there");
    drop(store);
    server.objects.cool(Duration::ZERO);
    assert!(!another_can_open(), "somebody reads");
    let mut read = Vec::new();
    reader.read_to_end(&mut read).expect("it goes on");
    assert!(read == content, "it is whole");
    drop(reader);
    server.objects.cool(Duration::ZERO);
    assert!(another_can_open());
    assert_eq!(
        server.objects.find(&pointer.oid).expect("asked"),
        Some(pointer)
    );
}
