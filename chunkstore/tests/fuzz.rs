//! A fuzzer for what others write: archives and manifests.
//!
//! It starts from the files under `fixtures/fuzz/`, changes them in ways that such bytes go wrong, and
//! asks for what must hold of any bytes. Each run of the tests does a few thousand rounds, always the
//! same; `GDO_FUZZ_ROUNDS` and `GDO_FUZZ_SEED` ask for others. An input that fails is saved and its
//! path named: once the fault is mended the file goes to the corpus.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use gdo_chunkstore::cut::{Cutter, Limits};
use gdo_chunkstore::hash::ManifestId;
use gdo_chunkstore::manifest::{List, Manifest, Node};
use gdo_core::error::FormatError;

#[path = "cut/archive.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of the cutter, which use more of it"
)]
mod archive;

use archive::{Noise, base256, seal};

const ROUNDS: u64 = 2000;

fn number_from(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else {
        return default;
    };
    let number = text.parse();
    number.unwrap_or_else(|_| panic!("{name}: expected a number, got '{text}'"))
}

fn corpus(kind: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/fuzz")
        .join(kind);
    let mut paths: Vec<_> = fs::read_dir(&dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    paths.sort();
    assert!(!paths.is_empty(), "{}: expected a corpus", dir.display());
    let read = |path| fs::read(path).expect("files of the checkout can be read");
    paths.iter().map(read).collect()
}

/// Holds `check` against the corpus and against changed inputs of it.
fn fuzz(kind: &str, change: impl Fn(&mut Noise, &mut Vec<u8>), check: impl Fn(&[u8])) {
    let corpus = corpus(kind);
    let try_one = |input: &[u8], name: &str| {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(input))) else {
            return;
        };
        let saved = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{kind}-{name}"));
        fs::write(&saved, input).expect("the target directory can be written");
        eprintln!("the input is saved as {}", saved.display());
        std::panic::resume_unwind(panic);
    };
    for (number, input) in corpus.iter().enumerate() {
        try_one(input, &format!("corpus-{number}"));
    }
    let first = number_from("GDO_FUZZ_SEED", 1) << 32;
    for round in 0..number_from("GDO_FUZZ_ROUNDS", ROUNDS) {
        let mut random = Noise(first + round);
        let mut input = corpus[random.below(corpus.len() as u64) as usize].clone();
        for _ in 0..=random.below(4) {
            change(&mut random, &mut input);
        }
        try_one(&input, &format!("{}-{round}", first >> 32));
    }
}

/// Changes that know nothing of the format.
fn change_bytes(random: &mut Noise, input: &mut Vec<u8>) {
    let len = input.len() as u64;
    if len == 0 {
        return input.extend(random.bytes(600));
    }
    let at = random.below(len) as usize;
    match random.below(6) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize],
        2 => input.truncate(at),
        3 => {
            let len = random.below(3000) as usize;
            let new = random.bytes(len);
            input.splice(at..at, new);
        }
        4 => {
            let end = at + random.below(3000).min(len - at as u64) as usize;
            input.drain(at..end);
        }
        _ => {
            let end = at + random.below(9000).min(len - at as u64) as usize;
            input.extend_from_within(at..end);
        }
    }
}

/// Changes a header of an archive and mostly makes its checksum right again.
fn change_header(random: &mut Noise, input: &mut Vec<u8>) {
    let blocks = input.len() as u64 / 512;
    if blocks == 0 || random.below(3) == 0 {
        return change_bytes(random, input);
    }
    let at = 512 * random.below(blocks) as usize;
    let block = input[at..]
        .first_chunk_mut()
        .expect("a whole block is there");
    let sizes = [
        0,
        1,
        511,
        1023,
        1024,
        65_536,
        65_537,
        1 << 33,
        1 << 63,
        u64::MAX - 511,
        u64::MAX,
    ];
    let size = match random.below(3) {
        0 => random.below(9000),
        1 => random.next() >> random.below(64),
        _ => sizes[random.below(sizes.len() as u64) as usize],
    };
    match random.below(5) {
        0 => block[156] = b"\x000123456xXgLKSVD~"[random.below(17) as usize],
        1 => block[124..136].copy_from_slice(&base256(size)),
        2 => block[124 + random.below(12) as usize] = random.next() as u8,
        3 => block[[482, 504][random.below(2) as usize]] ^= 1,
        _ => {
            let octal = format!("{:011o}\0", size % (1 << 33));
            block[124..136].copy_from_slice(octal.as_bytes());
        }
    }
    if random.below(8) != 0 {
        seal(block);
    }
}

fn cut(limits: &Limits, bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut cutter = Cutter::new(limits).expect("the limits of tests are good");
    let mut chunks = Vec::new();
    let mut keep = |chunk: &[u8]| {
        chunks.push(chunk.to_vec());
        Ok::<(), Infallible>(())
    };
    for piece in bytes.chunks(piece) {
        let Ok(()) = cutter.push(piece, &mut keep);
    }
    let Ok(()) = cutter.finish(&mut keep);
    chunks
}

#[test]
fn any_archive_comes_out_as_it_went_in() {
    let small = Limits {
        min: 64,
        avg: 256,
        max: 2048,
        member: 200,
    };
    fuzz("tar", change_header, |input| {
        for limits in [Limits::default(), small] {
            let chunks = cut(&limits, input, input.len().max(1));
            assert!(chunks.concat() == input, "the bytes changed");
            let fits = |chunk: &Vec<u8>| (1..=limits.max as usize).contains(&chunk.len());
            assert!(chunks.iter().all(fits), "a chunk is empty or too long");
            for piece in [509, 4096] {
                assert!(
                    cut(&limits, input, piece) == chunks,
                    "pieces of {piece} make a difference"
                );
            }
        }
    });
}

/// Changes a number of a node, and often makes its sums right again.
fn change_node(random: &mut Noise, input: &mut Vec<u8>) {
    let mut node = match Node::decode(input) {
        Ok(node) if random.below(3) != 0 => node,
        _ => return change_bytes(random, input),
    };
    let number = random.next() >> random.below(64);
    let place = random.next() as usize;
    match &mut node.list {
        List::Chunks(entries) if !entries.is_empty() => {
            let at = place % entries.len();
            match random.below(3) {
                0 => entries[at].len = number as u32,
                1 => drop(entries.drain(at..)),
                _ => entries.extend_from_within(at..),
            }
        }
        List::Chunks(_) => node.bytes = number,
        List::Nodes { level, children } => {
            let at = place % children.len();
            match random.below(5) {
                0 => children[at].bytes = number,
                1 => children[at].chunks = number,
                2 => *level = number as u8,
                3 => drop(children.drain(at..)),
                _ => children.extend_from_within(at..),
            }
        }
    }
    if random.below(4) != 0 {
        (node.bytes, node.chunks) = sums(&node.list);
    }
    *input = node.encode();
}

fn sums(list: &List) -> (u64, u64) {
    let add = |(bytes, chunks): (u64, u64), (more, count): (u64, u64)| {
        (bytes.wrapping_add(more), chunks.wrapping_add(count))
    };
    match list {
        List::Chunks(entries) => {
            let each = entries.iter().map(|entry| (u64::from(entry.len), 1));
            each.fold((0, 0), add)
        }
        List::Nodes { children, .. } => {
            let each = children.iter().map(|child| (child.bytes, child.chunks));
            each.fold((0, 0), add)
        }
    }
}

#[test]
fn any_bytes_are_a_node_or_an_error() {
    // The good nodes are there to be found, so that a changed branch still has children.
    let stored: BTreeMap<ManifestId, Vec<u8>> = corpus("manifest")
        .into_iter()
        .map(|bytes| (ManifestId::of(&bytes), bytes))
        .collect();
    fuzz("manifest", change_node, |input| {
        let Ok(node) = Node::decode(input) else {
            return;
        };
        assert!(node.encode() == input, "a node has a second spelling");
        let root = ManifestId::of(input);
        let mut load = |id: &ManifestId| {
            let found = if *id == root {
                Some(input)
            } else {
                stored.get(id).map(Vec::as_slice)
            };
            found
                .map(<[u8]>::to_vec)
                .ok_or_else(|| FormatError::new("node", "a stored one", id))
        };
        let Ok(mut manifest) = Manifest::open(root, &mut load) else {
            panic!("a node that can be read cannot be opened");
        };
        assert_eq!(
            (manifest.bytes(), manifest.chunks()),
            (node.bytes, node.chunks)
        );
        let (mut at, mut steps) = (0, 0);
        while let Ok(Some(span)) = manifest.find(at, &mut load) {
            assert!(span.start == at && span.len > 0, "a walk does not go on");
            at += u64::from(span.len);
            steps += 1;
            assert!(
                steps <= node.chunks,
                "a walk finds more chunks than there are"
            );
        }
        for offset in [
            node.bytes / 2,
            node.bytes.saturating_sub(1),
            node.bytes,
            u64::MAX,
        ] {
            // An error is fine: most children of a changed branch are not there.
            if let Ok(Some(span)) = manifest.find(offset, &mut load) {
                assert!((span.start..span.start + u64::from(span.len)).contains(&offset));
            }
        }
    });
}
