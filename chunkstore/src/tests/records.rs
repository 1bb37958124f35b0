//! A pack of any bytes is walked through to its end, and nothing in it passes for a record that was
//! never written.

use std::sync::Arc;

use super::{dice, noise, open_short, put, text};
use crate::disk::{Disk, Files, PackFile};
use crate::record::{HEAD_BYTES, Head, PACK_HEADER_BYTES};
use crate::scan::{Item, Scanner};

/// Where each whole record begins, with its body; asserts that the walk covers everything once.
fn walk(file: Arc<dyn PackFile>, end: u64) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    let mut at = PACK_HEADER_BYTES;
    for item in Scanner::new(file, 0, PACK_HEADER_BYTES, end) {
        match item {
            Item::Whole(record) => {
                assert_eq!(record.offset, at);
                at += record.head.record_bytes();
                records.push((record.offset, record.body));
            }
            Item::Broken(broken) => {
                assert!(broken.offset == at && broken.end > at, "it goes on");
                at = broken.end;
            }
        }
    }
    assert_eq!(at, end.max(PACK_HEADER_BYTES));
    records
}

#[test]
fn a_pack_with_any_change_is_walked_to_its_end_and_gives_only_what_was_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open_short(dir.path(), 64 << 20).expect("the store opens");
    for seed in 0..6 {
        put(&store, &noise(seed, 3000));
        put(&store, &text(seed, 3000));
    }
    let file = store.inner.log.file(0).expect("there is a pack");
    let end = file.len().expect("it has a length");
    let mut bytes = vec![0; end as usize];
    file.read_at(&mut bytes, 0).expect("it is read");
    let written = walk(file, end);
    assert_eq!(
        written.len(),
        36,
        "chunks, nodes and names of twelve objects"
    );
    let copies = tempfile::tempdir().expect("a directory");
    let files = Files::open(copies.path(), true).expect("a directory");
    let copy = files.create(0).expect("a pack");
    let mut state = 5;
    for round in 0..1500 {
        let mut changed = bytes.clone();
        for _ in 0..=dice(&mut state, 6) {
            let at = dice(&mut state, changed.len() as u64) as usize;
            let count = (dice(&mut state, 40) as usize).min(changed.len() - at);
            match dice(&mut state, 4) {
                0 => changed[at] ^= 1 << dice(&mut state, 8),
                1 => changed[at..at + count].fill(0),
                2 => drop(changed.drain(at..at + count)),
                _ => {
                    let from = dice(&mut state, (bytes.len() - count) as u64) as usize;
                    changed[at..at + count].copy_from_slice(&bytes[from..from + count]);
                }
            }
        }
        copy.set_len(0).expect("it is cut");
        copy.write_at(&changed, 0).expect("it is written");
        for (offset, body) in walk(Arc::clone(&copy), changed.len() as u64) {
            let is_known = written.iter().any(|(_, known)| *known == body);
            assert!(
                is_known,
                "round {round}: a record at {offset} that was never written"
            );
        }
    }
}

#[test]
fn no_head_of_any_bytes_says_more_than_the_format_allows() {
    let mut state = 9;
    for round in 0..20_000 {
        let mut raw: [u8; HEAD_BYTES] = noise(round, HEAD_BYTES)[..].try_into().expect("32 bytes");
        raw[..8].copy_from_slice(b"gdoR\x01\x01\0\0");
        raw[4] = 1 + dice(&mut state, 5) as u8;
        raw[5] = dice(&mut state, 2) as u8;
        // Small numbers pass more often.
        for word in [8, 12, 16] {
            let zeroes = dice(&mut state, 4) as usize;
            raw[word + zeroes..word + 4].fill(0);
        }
        raw[24..28].fill(0);
        if let Ok(head) = Head::parse(&raw, 0) {
            assert!(head.record_bytes() < 9 << 20 && head.plain <= 8 << 20);
            assert!(head.stored <= head.plain);
        }
    }
}
