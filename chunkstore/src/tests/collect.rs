//! Garbage goes, in its second collection, and nothing else does.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use super::{assert_reindex_is_index, collect, get, noise, open_short, put, put_at, text};
use crate::error::StoreError;
use crate::gc::GcOptions;

#[test]
fn what_no_root_needs_is_gone_after_two_collections() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open_short(dir.path(), 1 << 20).expect("the store opens");
    let keep_bytes = noise(1, 3_000_000);
    let keep = put(&store, &keep_bytes);
    let away = put(&store, &noise(2, 5_000_000));
    let before = store.totals().expect("the index is read");
    let first = collect(&store, &[&keep]);
    assert_eq!((first.objects_kept, first.objects_removed), (1, 1));
    assert!(
        first.packs_dead >= 4 && first.packs_deleted == 0,
        "{first:?}"
    );
    let gone = store.read(&away.pointer.oid);
    assert!(matches!(gone, Err(StoreError::Missing { .. })));
    let second = collect(&store, &[&keep]);
    assert!(second.packs_deleted >= 4, "{second:?}");
    let after = store.totals().expect("the index is read");
    assert!(
        after.stored_bytes + 4_000_000 < before.stored_bytes,
        "{before:?} {after:?}"
    );
    assert_eq!(
        get(&store, &keep.pointer.oid).expect("it is kept"),
        keep_bytes
    );
    assert!(store.verify(&mut |_| {}).expect("it is read").is_sound());
    drop(store);
    assert_reindex_is_index(dir.path());
}

#[test]
fn a_pack_of_little_use_is_given_up_and_what_is_of_use_moves() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open_short(dir.path(), 4 << 20).expect("the store opens");
    let mut kept = Vec::new();
    for seed in 0..20 {
        let bytes = text(seed, 400_000);
        let taken = put(&store, &bytes);
        put(&store, &noise(seed, 600_000));
        kept.push((taken, bytes));
    }
    let roots: Vec<_> = kept.iter().map(|(taken, _)| taken).collect();
    let first = collect(&store, &roots);
    assert!(
        first.packs_repacked >= 2 && first.moved_bytes > 4_000_000,
        "{first:?}"
    );
    let second = collect(&store, &roots);
    assert!(second.packs_deleted >= 2, "{second:?}");
    let third = collect(&store, &roots);
    assert_eq!(
        (third.packs_repacked, third.packs_deleted),
        (0, 0),
        "{third:?}"
    );
    for (taken, bytes) in &kept {
        assert_eq!(&get(&store, &taken.pointer.oid).expect("it is kept"), bytes);
    }
    assert!(store.verify(&mut |_| {}).expect("it is read").is_sound());
    drop(store);
    assert_reindex_is_index(dir.path());
}

#[test]
fn a_name_that_was_taken_away_does_not_come_back_with_a_new_index() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let store = open_short(dir.path(), 1 << 20).expect("the store opens");
        // Small beside what is kept, so that no pack is given up for it.
        let away = put(&store, &noise(1, 10_000));
        let keep = put(&store, &noise(2, 3_000_000));
        for _ in 0..3 {
            collect(&store, &[&keep]);
        }
        assert_eq!(store.objects().expect("the index is read"), [keep.pointer]);
        put(&store, &noise(1, 10_000));
        assert!(store.contains(&away.pointer).expect("the index is read"));
        for _ in 0..3 {
            collect(&store, &[&keep]);
        }
    }
    assert_reindex_is_index(dir.path());
    let store = open_short(dir.path(), 1 << 20).expect("the store opens");
    assert_eq!(store.objects().expect("the index is read").len(), 1);
}

#[test]
fn an_ingest_keeps_the_garbage_that_it_found_use_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open_short(dir.path(), 1 << 20).expect("the store opens");
    let bytes = noise(7, 4_000_000);
    put(&store, &bytes);
    let other = put(&store, &noise(8, 2_000_000));
    collect(&store, &[&other]);
    // Everything of the object is garbage that the next collection would delete.
    let mut ingest = store.ingest(1).expect("an ingest begins");
    ingest.write_all(&bytes).expect("it is taken");
    for _ in 0..3 {
        let report = collect(&store, &[&other]);
        assert!(report.packs_deleted <= 1, "{report:?}");
    }
    let taken = ingest.finish().expect("it is taken");
    assert!(taken.unique_bytes < 400_000, "{taken:?}");
    let report = collect(&store, &[&other, &taken]);
    assert_eq!(report.objects_kept, 2);
    collect(&store, &[&other, &taken]);
    assert_eq!(get(&store, &taken.pointer.oid).expect("it is there"), bytes);
    assert!(store.verify(&mut |_| {}).expect("it is read").is_sound());
}

#[test]
fn an_object_that_is_being_read_stays_to_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open_short(dir.path(), 1 << 20).expect("the store opens");
    let bytes = noise(7, 4_000_000);
    let taken = put(&store, &bytes);
    let mut reader = store.read(&taken.pointer.oid).expect("it is there");
    let mut first = vec![0; 1000];
    reader.read_exact(&mut first).expect("it is read");
    for _ in 0..3 {
        assert_eq!(collect(&store, &[]).objects_removed, 0);
    }
    reader.read_to_end(&mut first).expect("it is read");
    assert_eq!(first, bytes);
    drop(reader);
    assert_eq!(collect(&store, &[]).objects_removed, 1);
    for _ in 0..3 {
        collect(&store, &[]);
    }
    assert!(store.totals().expect("the index is read").stored_bytes < 2 << 20);
}

#[test]
fn uploads_are_kept_for_as_long_as_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open_short(dir.path(), 1 << 20).expect("the store opens");
    let old = put_at(&store, b"old", 100).expect("it is taken");
    let new = put_at(&store, b"new", 200).expect("it is taken");
    let since = |keep_since_unix_seconds| GcOptions {
        keep_since_unix_seconds,
        ..GcOptions::default()
    };
    let none = BTreeSet::new();
    let missing = BTreeSet::from([gdo_core::id::Digest::of(b"other")]);
    let report = store
        .gc(&missing, &since(100), &mut |_| {})
        .expect("it is collected");
    assert_eq!((report.objects_removed, report.missing.len()), (0, 1));
    let report = store
        .gc(&none, &since(150), &mut |_| {})
        .expect("it is collected");
    assert_eq!((report.objects_kept, report.objects_removed), (1, 1));
    assert!(!store.contains(&old.pointer).expect("the index is read"));
    store.touch(&new.pointer.oid, 300).expect("it is there");
    let report = store
        .gc(&none, &since(250), &mut |_| {})
        .expect("it is collected");
    assert_eq!(report.objects_kept, 1);
}
