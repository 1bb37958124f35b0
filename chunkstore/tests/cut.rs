//! The cutter: what goes in comes out, in chunks that depend on the content alone.

use std::convert::Infallible;

use gdo_chunkstore::cut::{CHUNK_BYTES_MAX, Cutter, Limits};

#[path = "cut/archive.rs"]
mod archive;
#[path = "cut/tar.rs"]
mod tar;

use archive::{Noise, archive, noise};

/// The chunks of `bytes`, handed over in pieces of `piece` bytes.
fn cut_in(limits: &Limits, bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
    cut_at(limits, bytes.chunks(piece.min(bytes.len().max(1))))
}

fn cut_at<'a>(limits: &Limits, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut cutter = Cutter::new(limits).expect("the limits of tests are good");
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    let mut keep = |chunk: &[u8]| {
        assert!(!chunk.is_empty() && chunk.len() <= limits.max as usize);
        chunks.push(chunk.to_vec());
        Ok::<(), Infallible>(())
    };
    for piece in pieces {
        let Ok(()) = cutter.push(piece, &mut keep);
    }
    let Ok(()) = cutter.finish(&mut keep);
    chunks
}

/// The chunks under the default limits.
fn cut(bytes: &[u8]) -> Vec<Vec<u8>> {
    cut_in(&Limits::default(), bytes, usize::MAX)
}

/// The default limits for what is no archive.
fn flat() -> Limits {
    Limits {
        member: 0,
        ..Limits::default()
    }
}

fn small(member: u32) -> Limits {
    Limits {
        min: 64,
        avg: 256,
        max: 1024,
        member,
    }
}

fn ends(chunks: &[Vec<u8>]) -> Vec<usize> {
    let mut end = 0;
    let add = |chunk: &Vec<u8>| {
        end += chunk.len();
        end
    };
    chunks.iter().map(add).collect()
}

fn starts_chunk(bytes: &[u8], at: usize) -> bool {
    ends(&cut(bytes)).contains(&at)
}

#[test]
fn the_chunks_are_the_input() {
    for len in [
        0, 1, 511, 512, 8191, 8192, 8193, 262_143, 262_144, 262_145, 3_000_000,
    ] {
        for bytes in [noise(1, len), vec![0; len], vec![b'x'; len]] {
            for limits in [Limits::default(), flat()] {
                assert_eq!(cut_in(&limits, &bytes, usize::MAX).concat(), bytes, "{len}");
            }
        }
    }
}

#[test]
fn the_chunks_do_not_depend_on_the_pieces() {
    let mut random = Noise(7);
    let inputs = [
        noise(1, 900_000),
        vec![0; 900_000],
        archive(&[(1, 300_000), (2, 700), (3, 2000), (4, 400_000)], 0),
    ];
    for bytes in inputs {
        let whole = cut(&bytes);
        for piece in [997, 4096, 65_536, 262_144, 327_680, 333_333] {
            assert_eq!(cut_in(&Limits::default(), &bytes, piece), whole, "{piece}");
        }
        for _ in 0..8 {
            let mut rest = &bytes[..];
            let pieces = std::iter::from_fn(|| {
                let scale = 1 << random.below(20);
                let len = random.below(scale).min(rest.len() as u64) as usize;
                let (piece, later) = rest.split_at(len);
                let ended = rest.is_empty();
                rest = later;
                (!ended).then_some(piece)
            });
            assert_eq!(cut_at(&Limits::default(), pieces), whole);
        }
        let short = &bytes[..20_000];
        let whole = cut_in(&small(300), short, usize::MAX);
        for piece in [1, 2, 3, 511, 512, 513] {
            assert_eq!(cut_in(&small(300), short, piece), whole, "{piece}");
        }
    }
}

#[test]
fn an_insertion_changes_the_chunks_around_it_alone() {
    let one = noise(5, 4_000_000);
    let other = [&one[..1_234_567], b"something new", &one[1_234_567..]].concat();
    let old = cut(&one);
    let new = cut(&other)
        .into_iter()
        .filter(|chunk| !old.contains(chunk))
        .count();
    assert!(
        old.len() > 80 && (1..=3).contains(&new),
        "{new} of {}",
        old.len()
    );
}

#[test]
fn lengths_keep_to_the_limits_and_gather_at_the_average() {
    let limits = flat();
    let mut chunks = cut_in(&limits, &noise(6, 30_000_000), usize::MAX);
    chunks.pop();
    let mean = chunks.iter().map(Vec::len).sum::<usize>() / chunks.len();
    assert!((32_000..48_000).contains(&mean), "{mean}");
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.len() >= limits.min as usize)
    );
    let longest = chunks.iter().map(Vec::len).max();
    assert!(longest < Some(CHUNK_BYTES_MAX as usize), "{longest:?}");
}

#[test]
fn the_error_of_the_receiver_comes_back() {
    let mut cutter = Cutter::new(&Limits::default()).expect("the default is good");
    let mut refuse = |_: &[u8]| Err("no room");
    assert_eq!(cutter.push(&noise(1, 10), &mut refuse), Ok(()));
    assert_eq!(cutter.push(&noise(2, 600_000), &mut refuse), Err("no room"));
    let mut cutter = Cutter::new(&Limits::default()).expect("the default is good");
    assert_eq!(cutter.push(&noise(1, 10), &mut refuse), Ok(()));
    assert_eq!(cutter.finish(&mut refuse), Err("no room"));
}

#[test]
fn limits_that_cannot_be_cut_by_are_refused() {
    let good = Limits::default();
    let bad = [
        Limits { min: 62, ..good },
        Limits { min: 8191, ..good },
        Limits {
            min: 65_536,
            ..good
        },
        Limits {
            avg: 128,
            min: 64,
            ..good
        },
        Limits {
            avg: 40_000,
            ..good
        },
        Limits {
            avg: 524_288,
            ..good
        },
        Limits {
            max: 262_146,
            ..good
        },
        Limits {
            max: 262_143,
            ..good
        },
        Limits { max: 0, ..good },
        Limits {
            member: 262_145,
            ..good
        },
    ];
    for limits in bad {
        assert!(Cutter::new(&limits).is_err(), "{limits:?}");
    }
    let message = Limits { min: 62, ..good }.check().expect_err("too small");
    assert_eq!(
        message.to_string(),
        "bad limit min of chunks: expected an even number of bytes from 64 to 32768, got '62'"
    );
}
