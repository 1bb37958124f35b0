//! Whatever is flipped, cut off or lost is noticed, named and healed by storing the object again.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{assert_reindex_is_index, collect, contents, get, noise, open_short, put, small, text};
use crate::error::{Damage, StoreError};
use crate::index::Index;
use crate::ingest::Ingested;
use crate::record::{HEAD_BYTES, Kind, PACK_HEADER_BYTES};
use crate::scan::{Item, Scanner};
use crate::store::{Store, index_dir, packs_dir};

fn pack_path(dir: &Path, pack: u32) -> PathBuf {
    packs_dir(dir).join(crate::disk::name_of(pack))
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("the file opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)
        .expect("the file is long enough");
    file.write_all_at(&[byte[0] ^ 0x10], offset)
        .expect("the file is written");
}

/// A store with one pack of two objects, and a byte of each class in it: what the byte belongs to,
/// and its offset.
struct Sample {
    dir: tempfile::TempDir,
    objects: Vec<(Ingested, Vec<u8>)>,
    classes: Vec<(String, u64)>,
}

fn sample() -> Sample {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open_short(dir.path(), 64 << 20).expect("the store opens");
    let objects: Vec<(Ingested, Vec<u8>)> = [noise(1, 700_000), text(2, 500_000)]
        .into_iter()
        .map(|bytes| (put(&store, &bytes), bytes))
        .collect();
    let file = store.inner.log.file(0).expect("there is a pack");
    let end = store.inner.log.packs()[&0].bytes;
    let mut classes = vec![
        ("magic of the pack".to_owned(), 3),
        ("number of the pack".to_owned(), 13),
    ];
    for item in Scanner::new(file, 0, PACK_HEADER_BYTES, end) {
        let Item::Whole(record) = item else {
            panic!("the pack is whole");
        };
        let kind = record.head.kind;
        let fields = [
            ("magic", 1),
            ("kind", 4),
            ("codec", 5),
            ("zeroes", 6),
            ("count", 8),
            ("stored bytes", 12),
            ("plain bytes", 17),
            ("body checksum", 20),
            ("pack", 24),
            ("head checksum", 29),
        ];
        for (field, at) in fields {
            classes.push((
                format!("{field} of {kind:?} at {}", record.offset),
                record.offset + at,
            ));
        }
        let table = record.offset + HEAD_BYTES as u64;
        if !record.entries.is_empty() {
            classes.push((format!("id in table of {kind:?}"), table + 7));
            classes.push((format!("length in table of {kind:?}"), table + 32));
        }
        let body = table + record.head.table_bytes() as u64;
        for at in [
            0,
            u64::from(record.head.stored) / 2,
            u64::from(record.head.stored) - 1,
        ] {
            classes.push((format!("byte {at} of the body of {kind:?}"), body + at));
        }
    }
    drop(store);
    Sample {
        dir,
        objects,
        classes,
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file is copied");
        }
    }
}

#[test]
fn a_flip_in_any_class_of_bytes_of_a_pack_is_named_and_healed() {
    let sample = sample();
    assert!(sample.classes.len() > 60, "{}", sample.classes.len());
    for (class, offset) in &sample.classes {
        let dir = tempfile::tempdir().expect("a directory");
        copy_dir(sample.dir.path(), dir.path());
        flip(&pack_path(dir.path(), 0), *offset);
        let store = open_short(dir.path(), 64 << 20).expect("the store opens");
        // Nothing that is read is wrong.
        for (taken, bytes) in &sample.objects {
            match get(&store, &taken.pointer.oid) {
                Ok(found) => assert_eq!(&found, bytes, "{class}"),
                Err(StoreError::Damaged(damage)) => {
                    assert_eq!(damage.object, Some(taken.pointer.oid), "{class}");
                    assert!(
                        damage.range.is_some() && damage.pack == Some(0),
                        "{class} {damage}"
                    );
                }
                Err(other) => panic!("{class}: expected damage, got {other}"),
            }
        }
        let report = store.verify(&mut |_| {}).expect("it is read");
        let is_named = |damage: &Damage| damage.pack == Some(0) && damage.offset <= Some(*offset);
        assert!(report.damages.iter().any(is_named), "{class}: {report:?}");
        // Healed by storing the objects again, even if the old pack goes away.
        for (taken, bytes) in &sample.objects {
            let again = put(&store, bytes);
            assert_eq!(again.pointer, taken.pointer, "{class}");
            assert_eq!(
                &get(&store, &taken.pointer.oid).expect("it is healed"),
                bytes,
                "{class}"
            );
        }
        let report = store.verify(&mut |_| {}).expect("it is read");
        let concerns_object = report.damages.iter().any(|damage| damage.object.is_some());
        assert!(!concerns_object, "{class}: {report:?}");
    }
}

#[test]
fn the_chunks_beside_a_damaged_one_stay_readable() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open_short(dir.path(), 64 << 20).expect("the store opens");
    let bytes = noise(4, 3_000_000);
    let oid = put(&store, &bytes).pointer.oid;
    flip(&pack_path(dir.path(), 0), 1_500_000);
    let mut reader = store.read(&oid).expect("the manifest is whole");
    let (mut good, mut bad, mut offset) = (0, 0, 0);
    while offset < 3_000_000_u64 {
        match reader.chunk_at(offset) {
            Ok(chunk) => {
                let at = offset as usize;
                assert_eq!(chunk, &bytes[at..at + chunk.len()]);
                good += chunk.len();
                offset += chunk.len() as u64;
            }
            Err(StoreError::Damaged(damage)) => {
                let range = damage.range.expect("the range is named");
                assert_eq!(range.start, offset);
                assert!(damage.chunk.is_some() && damage.offset.is_some());
                bad += range.end - range.start;
                offset = range.end;
            }
            Err(other) => panic!("expected damage, got {other}"),
        }
    }
    assert!(
        bad > 0 && bad <= 512 << 10,
        "one frame at most is lost, not {bad}"
    );
    assert!(good > 2_400_000);
    let healed = put(&store, &bytes);
    assert!(
        (bad..=512 << 10).contains(&healed.unique_bytes),
        "the broken frame is stored again and nothing else"
    );
    assert_eq!(get(&store, &oid).expect("it is healed"), bytes);
}

#[test]
fn a_pack_that_is_cut_short_or_lost_is_named_and_healed() {
    for keep in [Some(600_000), Some(40), Some(0), None] {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes = noise(5, 1_500_000);
        let oid = {
            let store = open_short(dir.path(), 1 << 20).expect("the store opens");
            put(&store, &bytes).pointer.oid
        };
        let path = pack_path(dir.path(), 0);
        match keep {
            Some(len) => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .expect("the file opens");
                file.set_len(len).expect("the file is cut");
            }
            None => std::fs::remove_file(&path).expect("the file goes"),
        }
        let store = open_short(dir.path(), 1 << 20).expect("the store opens");
        let report = store.verify(&mut |_| {}).expect("it is read");
        assert!(report.by_pack().contains_key(&0), "{keep:?}: {report:?}");
        assert!(
            report
                .damages
                .iter()
                .any(|damage| damage.object == Some(oid)),
            "{keep:?}"
        );
        match get(&store, &oid) {
            Err(StoreError::Damaged(damage)) => assert_eq!(damage.pack, Some(0), "{keep:?}"),
            other => panic!(
                "{keep:?}: expected damage, got {:?}",
                other.map(|bytes| bytes.len())
            ),
        }
        let healed = put(&store, &bytes);
        assert_eq!(get(&store, &oid).expect("it is healed"), bytes);
        // What is left of the pack is of no use and goes.
        for _ in 0..3 {
            collect(&store, &[&healed]);
        }
        let report = store.verify(&mut |_| {}).expect("it is read");
        assert!(report.is_sound(), "{keep:?}: {report:?}");
        drop(store);
        assert_reindex_is_index(dir.path());
    }
}

#[test]
fn what_a_new_index_knows_nothing_of_is_missed_and_healed() {
    for is_reindexed in [true, false] {
        let dir = tempfile::tempdir().expect("a directory");
        let objects = [noise(5, 1_500_000), noise(6, 1_500_000)];
        let oids = {
            let store = open_short(dir.path(), 1 << 20).expect("the store opens");
            objects
                .each_ref()
                .map(|bytes| put(&store, bytes).pointer.oid)
        };
        std::fs::remove_file(pack_path(dir.path(), 0)).expect("the file goes");
        if is_reindexed {
            let report = Store::reindex(dir.path(), &small(), &mut |_| {}).expect("it is made");
            let of = |damage: &Damage| damage.object == Some(oids[0]);
            assert!(report.damages.iter().any(of), "{report:?}");
        } else {
            std::fs::remove_dir_all(index_dir(dir.path())).expect("the index goes");
        }
        for _ in 0..2 {
            let store = open_short(dir.path(), 1 << 20).expect("the store opens");
            let is_sound = oids.map(|oid| store.is_sound(&oid).expect("the index is read"));
            assert_eq!(is_sound, [false, true]);
        }
        let store = open_short(dir.path(), 1 << 20).expect("the store opens");
        put(&store, &objects[0]);
        let report = store.verify(&mut |_| {}).expect("it is read");
        assert!(report.is_sound(), "{report:?}");
        assert!(!store.inner.log.has_bad(), "nothing is missed any more");
        assert_eq!(get(&store, &oids[0]).expect("it is healed"), objects[0]);
    }
}

#[test]
fn an_index_made_anew_finds_what_lies_behind_a_broken_record() {
    let sample = sample();
    let kinds = [
        "magic of Chunks",
        "count of Chunks",
        "byte 0 of the body of Chunks",
    ];
    for kind in kinds {
        let dir = tempfile::tempdir().expect("a directory");
        copy_dir(sample.dir.path(), dir.path());
        let (_, offset) = sample
            .classes
            .iter()
            .find(|(class, _)| class.starts_with(kind))
            .expect(kind);
        flip(&pack_path(dir.path(), 0), *offset);
        let report = Store::reindex(dir.path(), &small(), &mut |_| {}).expect("it is made");
        let in_packs = report
            .damages
            .iter()
            .filter(|damage| damage.object.is_none());
        assert_eq!(in_packs.count(), 1, "{report:?}");
        let store = Store::open(dir.path(), &small()).expect("the store opens");
        assert_eq!(store.objects().expect("the index is read").len(), 2);
        assert!(!store.verify(&mut |_| {}).expect("it is read").is_sound());
        for (_, bytes) in &sample.objects {
            let taken = put(&store, bytes);
            assert_eq!(
                &get(&store, &taken.pointer.oid).expect("it is healed"),
                bytes
            );
        }
    }
}

#[test]
fn an_index_that_is_lost_is_made_anew_when_the_store_opens() {
    let sample = sample();
    let index = index_dir(sample.dir.path());
    let before = contents(&Index::open(&index, 8, true).expect("the index opens"));
    std::fs::remove_dir_all(&index).expect("the index goes");
    drop(Store::open(sample.dir.path(), &small()).expect("the store opens"));
    let after = contents(&Index::open(&index, 8, true).expect("the index opens"));
    assert_eq!(before, after);
}

#[test]
fn a_flip_anywhere_in_the_index_is_never_read_as_another_object() {
    let dir = tempfile::tempdir().expect("a directory");
    let objects: Vec<(Ingested, Vec<u8>)> = {
        let store = open_short(dir.path(), 1 << 20).expect("the store opens");
        let put = |seed| {
            let bytes = noise(seed, 400_000);
            (put(&store, &bytes), bytes)
        };
        let objects = (0..4).map(put).collect();
        store
            .inner
            .log
            .index
            .settle()
            .expect("the index is written out");
        objects
    };
    let files: Vec<PathBuf> = std::fs::read_dir(index_dir(dir.path()))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.metadata().expect("a file").len() > 0)
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name != "LOCK" && name != "LOG")
        })
        .collect();
    assert!(
        files
            .iter()
            .any(|path| path.extension().is_some_and(|name| name == "sst"))
    );
    let mut noticed = 0;
    for path in &files {
        let len = path.metadata().expect("a file").len();
        for step in 0..12 {
            let copy = tempfile::tempdir().expect("a directory");
            copy_dir(dir.path(), copy.path());
            let name = path.file_name().expect("a name");
            flip(&index_dir(copy.path()).join(name), len * step / 12);
            noticed += u32::from(check_flipped_index(copy.path(), &objects));
        }
    }
    assert!(noticed > 20, "{noticed}");
}

/// Whether the flip was noticed; whatever it did, a new index brings everything back.
fn check_flipped_index(dir: &Path, objects: &[(Ingested, Vec<u8>)]) -> bool {
    let read = |store: &Store, (taken, bytes): &(Ingested, Vec<u8>)| match get(
        store,
        &taken.pointer.oid,
    ) {
        Ok(found) => {
            assert_eq!(&found, bytes);
            true
        }
        Err(_) => false,
    };
    let is_whole = match open_short(dir, 1 << 20) {
        Ok(store) => objects.iter().all(|object| read(&store, object)),
        Err(StoreError::Index(_)) => false,
        Err(other) => panic!("expected an error of the index, got {other}"),
    };
    Store::reindex(dir, &small(), &mut |_| {}).expect("the index is made anew");
    let store = open_short(dir, 1 << 20).expect("the store opens");
    assert!(objects.iter().all(|object| read(&store, object)));
    assert!(store.verify(&mut |_| {}).expect("it is read").is_sound());
    !is_whole
}

#[test]
fn a_bomb_is_refused_and_takes_no_memory() {
    use crate::frame::Frame;
    use crate::record::{Codec, Entry, Record};
    // A frame of zstd that becomes 64 MiB, in a record that says 1000 bytes.
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).expect("it compresses");
    let entries = vec![Entry {
        id: [1; 32],
        bytes: 200_000,
    }];
    let record = Record {
        kind: Kind::Chunks,
        codec: Codec::Zstd,
        entries,
        plain: 200_000,
        body: bomb,
    };
    let raw = record.encode_head(3);
    let read = |offset: u64, bytes: u64| Ok(raw[offset as usize..][..bytes as usize].to_vec());
    let (head, entries) = crate::scan::read_head(3, 0, &read).expect("the head keeps its bounds");
    let error = Frame::open(&head, entries, record.body).expect_err("it is too long");
    assert!(error.contains("200000"), "{error}");
}
