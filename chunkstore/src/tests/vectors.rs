//! The published vectors of packs, records and the index.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{collect, contents, get, open_short, put_at, small};
use crate::disk::{Disk, Files, PackFile};
use crate::frame::Frame;
use crate::index::Index;
use crate::record::{Codec, PACK_HEADER_BYTES, Record, encode_pack_header};
use crate::scan::{Item, Scanner, read_pack_header};
use crate::store::{Store, packs_dir};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/vectors/pack.json")
}

fn vectors() -> Value {
    let text = std::fs::read_to_string(path()).expect("the vectors are in the checkout");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

/// The pack that is described: its records one by one, with the plain bytes of their bodies.
fn describe(disk: &Arc<dyn Disk>) -> Value {
    let file = disk.open(0).expect("there is a pack");
    read_pack_header(&*file, 0).expect("it begins as a pack");
    let len = file.len().expect("it has a length");
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, 0).expect("it can be read");
    let mut records = Vec::new();
    for item in Scanner::new(file, 0, PACK_HEADER_BYTES, len) {
        let Item::Whole(record) = item else {
            panic!("the pack is whole");
        };
        let entries: Vec<Value> = record
            .entries
            .iter()
            .map(|entry| json!({"name": hex::encode(entry.id), "bytes": entry.bytes}))
            .collect();
        let (head, offset) = (record.head, record.offset);
        let stored = hex::encode(&record.body);
        let frame = Frame::open(&head, record.entries, record.body).expect("it decompresses");
        records.push(json!({
            "offset": offset,
            "kind": head.kind as u8,
            "codec": head.codec as u8,
            "entries": entries,
            "stored": stored,
            "plain": hex::encode(frame.plain),
        }));
    }
    json!({"bytes": hex::encode(bytes), "records": records})
}

fn describe_index(index: &Index) -> Vec<String> {
    let keys = contents(index);
    keys.iter().map(|key| hex::encode(key.encode())).collect()
}

/// A store of one pack with every kind of record in it.
fn compute(dir: &Path) -> Value {
    let store = open_short(dir, 1 << 20).expect("the store opens");
    let text = b"one bottle of beer on the wall, ".repeat(40);
    let one = put_at(&store, b"abc", 1_800_000_000).expect("it is taken");
    let two = put_at(&store, &text, -1).expect("it is taken");
    collect(&store, &[&two]);
    let seal = Record::seal(store.inner.log.packs()[&0].bytes);
    store.inner.log.append(&seal).expect("it is written");
    store
        .inner
        .log
        .commit(&[], &BTreeSet::new())
        .expect("it is durable");
    drop(store);
    let files = Files::open(&packs_dir(dir), true).expect("a directory");
    let disk: Arc<dyn Disk> = Arc::new(files);
    json!({
        "objects": [
            {"oid": one.pointer.oid, "size": 3, "manifest": one.manifest.to_string(), "is_gone": true},
            {"oid": two.pointer.oid, "size": text.len(), "manifest": two.manifest.to_string(), "is_gone": false},
        ],
        "pack": describe(&disk),
    })
}

fn with_index(mut vectors: Value) -> Value {
    let (dir, store) = store_of(&vectors);
    vectors["index"] = json!(describe_index(&store.inner.log.index));
    drop((store, dir));
    vectors
}

/// A store that has the vectors' pack and nothing else.
fn store_of(vectors: &Value) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(packs_dir(dir.path())).expect("a directory");
    let bytes = vectors["pack"]["bytes"].as_str().expect("hex digits");
    let bytes = hex::decode(bytes).expect("hex digits");
    std::fs::write(packs_dir(dir.path()).join("00000000.pack"), bytes).expect("a file");
    let store = Store::open(dir.path(), &small()).expect("the store opens");
    (dir, store)
}

#[test]
fn a_published_pack_is_read_and_indexed_as_published() {
    let vectors = vectors();
    let (dir, store) = store_of(&vectors);
    assert_eq!(
        json!(describe_index(&store.inner.log.index)),
        vectors["index"]
    );
    let object = &vectors["objects"][1];
    let oid = object["oid"]
        .as_str()
        .expect("a name")
        .parse()
        .expect("a name");
    let bytes = get(&store, &oid).expect("it is there");
    assert_eq!(json!(bytes.len()), object["size"]);
    assert_eq!(store.objects().expect("the index is read").len(), 1);
    drop(store);
    let files = Files::open(&packs_dir(dir.path()), true).expect("a directory");
    let disk: Arc<dyn Disk> = Arc::new(files);
    assert_eq!(describe(&disk), vectors["pack"]);
}

#[test]
fn records_are_written_as_published() {
    let vectors = vectors();
    let pack = hex::decode(vectors["pack"]["bytes"].as_str().expect("hex")).expect("hex");
    assert_eq!(pack[..32], encode_pack_header(0));
    let dir = tempfile::tempdir().expect("a directory");
    let files = Files::open(&packs_dir(dir.path()), true).expect("a directory");
    let file: Arc<dyn PackFile> = files.create(0).expect("a pack");
    file.write_at(&pack, 0).expect("it is written");
    let (mut kinds, mut codecs) = (BTreeSet::new(), 0);
    for item in Scanner::new(file, 0, PACK_HEADER_BYTES, pack.len() as u64) {
        let Item::Whole(record) = item else {
            panic!("the pack is whole");
        };
        kinds.insert(record.head.kind);
        codecs += u32::from(record.head.codec == Codec::Zstd);
        let (start, bytes) = (record.offset as usize, record.head.record_bytes() as usize);
        let again = Record {
            kind: record.head.kind,
            codec: record.head.codec,
            entries: record.entries,
            plain: record.head.plain,
            body: record.body,
        };
        let mut written = again.encode_head(0);
        written.extend(again.body);
        assert_eq!(written, pack[start..start + bytes]);
    }
    assert_eq!(
        (kinds.len(), codecs > 0),
        (5, true),
        "every kind and both codecs"
    );
}

#[test]
#[ignore = "writes the vectors anew; only for a change of the format"]
fn write_vectors() {
    let dir = tempfile::tempdir().expect("a directory");
    let vectors = with_index(compute(dir.path()));
    let pretty = serde_json::to_string_pretty(&vectors).expect("a value is JSON");
    std::fs::write(path(), pretty + "\n").expect("the folder is writable");
}
