//! What comes in goes out again, once it is durable and under its own name alone.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;

use super::{assert_reindex_is_index, get, noise, put, put_at, small, text};
use crate::compress::Profile;
use crate::error::StoreError;
use crate::store::{Options, Store};

#[test]
fn objects_of_every_size_come_back_byte_for_byte_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let sizes = [0, 1, 4095, 65_536, 262_144, 262_145, 3_000_000];
    let mut taken = Vec::new();
    {
        let store = Store::open(dir.path(), &small()).expect("the store opens");
        for (seed, size) in sizes.into_iter().enumerate() {
            for bytes in [noise(seed as u64, size), text(seed as u64, size)] {
                let found = put(&store, &bytes);
                assert_eq!(found.pointer.oid, Digest::of(&bytes));
                assert_eq!(get(&store, &found.pointer.oid).expect("it is there"), bytes);
                taken.push((found.pointer, bytes));
            }
        }
    }
    assert_reindex_is_index(dir.path());
    let store = Store::open(dir.path(), &small()).expect("the store opens");
    for (pointer, bytes) in &taken {
        assert!(store.contains(pointer).expect("the index is read"));
        assert_eq!(&get(&store, &pointer.oid).expect("it is there"), bytes);
    }
    let mut names: Vec<Pointer> = taken.iter().map(|(pointer, _)| *pointer).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(store.objects().expect("the index is read"), names);
    let report = store.verify(&mut |_| {}).expect("everything is read");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.objects, names.len() as u64);
}

#[test]
fn what_is_there_already_is_not_stored_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), &small()).expect("the store opens");
    let bytes = noise(1, 2_000_000);
    let first = put(&store, &bytes);
    assert!(!first.was_known);
    assert_eq!(first.unique_bytes, 2_000_000);
    let again = put(&store, &bytes);
    assert!(again.was_known);
    assert_eq!((again.unique_bytes, again.stored_bytes), (0, 0));
    assert_eq!(again.manifest, first.manifest);
    // Twice the same within one object, and a change in the middle.
    let mut twice = bytes.clone();
    twice.extend(&bytes);
    twice[900_000] ^= 1;
    let changed = put(&store, &twice);
    assert!(changed.unique_bytes < 600_000, "{changed:?}");
    assert_eq!(
        get(&store, &changed.pointer.oid).expect("it is there"),
        twice
    );
    let totals = store.totals().expect("the index is read");
    assert_eq!((totals.objects, totals.logical_bytes), (2, 6_000_000));
    assert_eq!(totals.unique_bytes, 2_000_000 + changed.unique_bytes);
    let stat = store
        .stat(&changed.pointer.oid)
        .expect("it is read")
        .expect("it is there");
    assert_eq!(stat.unique_bytes, totals.unique_bytes);
    assert!(stat.stored_bytes <= totals.stored_bytes && stat.stored_bytes > 2_000_000);
}

#[test]
fn ranges_are_read_from_where_they_begin() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), &small()).expect("the store opens");
    let bytes = text(5, 1_500_000);
    let oid = put(&store, &bytes).pointer.oid;
    let mut reader = store.read(&oid).expect("it is there");
    for start in [0, 1, 65_535, 700_001, 1_499_999, 1_500_000, 9_000_000] {
        let mut part = Vec::new();
        reader.seek(SeekFrom::Start(start)).expect("an offset");
        reader
            .by_ref()
            .take(70_000)
            .read_to_end(&mut part)
            .expect("it is read");
        let start = bytes.len().min(start as usize);
        assert_eq!(part, &bytes[start..bytes.len().min(start + 70_000)]);
    }
    assert_eq!(
        reader.seek(SeekFrom::End(-10)).expect("an offset"),
        1_499_990
    );
    assert!(reader.seek(SeekFrom::Current(-2_000_000)).is_err());
}

#[test]
fn an_object_that_is_not_the_expected_one_gets_no_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), &small()).expect("the store opens");
    let bytes = noise(3, 100_000);
    let found = Pointer {
        oid: Digest::of(&bytes),
        size: 100_000,
    };
    let expected = Pointer { size: 7, ..found };
    let mut ingest = store.ingest(0).expect("an ingest begins");
    ingest.write_all(&bytes).expect("it is taken");
    assert_eq!(ingest.bytes(), 100_000);
    match ingest.finish_as(&expected) {
        Err(StoreError::Mismatch { found: got, .. }) => assert_eq!(got, found),
        other => panic!("expected a mismatch, got {other:?}"),
    }
    assert_eq!(store.objects().expect("the index is read"), []);
    let missing = store.read(&found.oid);
    assert!(matches!(missing, Err(StoreError::Missing { oid }) if oid == found.oid));
}

#[test]
fn every_profile_gives_the_same_object() {
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = text(9, 6_000_000);
    let mut stored = Vec::new();
    for profile in [Profile::Fast, Profile::Standard, Profile::Archive] {
        let dir = dir.path().join(format!("{profile:?}"));
        let store = Store::open(&dir, &small()).expect("the store opens");
        let mut ingest = store.ingest_with(profile, 0).expect("an ingest begins");
        ingest.write_all(&bytes).expect("it is taken");
        let taken = ingest.finish().expect("it is taken");
        assert_eq!(get(&store, &taken.pointer.oid).expect("it is there"), bytes);
        stored.push((taken.manifest, taken.stored_bytes));
    }
    assert!(
        stored.windows(2).all(|two| two[0].0 == two[1].0),
        "frames are no identity"
    );
    assert!(
        stored.windows(2).all(|two| two[0].1 > two[1].1),
        "{stored:?}"
    );
    assert!(stored[2].1 < 3_000_000);
}

#[test]
fn a_second_process_is_told_who_holds_the_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), &small()).expect("the store opens");
    let me = std::process::id().to_string();
    match Store::open(dir.path(), &small()) {
        Err(StoreError::Locked { holder, .. }) => assert_eq!(holder, me),
        other => panic!("expected a lock, got {other:?}"),
    }
    let oid = put(&store, b"abc").pointer.oid;
    drop(store);
    let options = Options {
        read_only: true,
        ..small()
    };
    let one = Store::open(dir.path(), &options).expect("a reader opens");
    let two = Store::open(dir.path(), &options).expect("readers share");
    assert_eq!(get(&one, &oid).expect("it is there"), b"abc");
    assert_eq!(get(&two, &oid).expect("it is there"), b"abc");
    let refused = two.ingest(0).map(drop);
    assert!(matches!(refused, Err(StoreError::ReadOnly { .. })));
}

#[test]
fn an_upload_of_what_is_there_makes_it_new_again() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let store = Store::open(dir.path(), &small()).expect("the store opens");
        let one = put_at(&store, b"one", 10).expect("it is taken").pointer;
        let two = put_at(&store, b"two", 20).expect("it is taken").pointer;
        assert_eq!(store.staged_since(15).expect("the index is read"), [two]);
        store.touch(&one.oid, 30).expect("it is there");
        assert_eq!(
            store
                .came_unix_seconds(&one.oid)
                .expect("the index is read"),
            Some(30)
        );
        assert_eq!(store.staged_since(25).expect("the index is read"), [one]);
        put_at(&store, b"two", 40).expect("it is taken");
        assert_eq!(store.staged_since(35).expect("the index is read"), [two]);
        let nothing = store.touch(&Digest::of(b"three"), 1);
        assert!(matches!(nothing, Err(StoreError::Missing { .. })));
    }
    assert_reindex_is_index(dir.path());
    let store = Store::open(dir.path(), &small()).expect("the store opens");
    assert_eq!(store.staged_since(30).expect("the index is read").len(), 2);
}
