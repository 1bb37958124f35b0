//! The memory of the cutter, the hasher and the manifest's builder does not grow with the input.
//!
//! The only test of this process, so that what the system says of the process is said of it.

use std::fs;

use gdo_chunkstore::cut::{Cutter, Limits};
use gdo_chunkstore::hash::{ChunkId, ManifestId, ObjectHasher};
use gdo_chunkstore::manifest::ManifestBuilder;
use gdo_core::error::FormatError;
use gdo_core::id::Digest;

#[path = "cut/archive.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of the cutter, which use more of it"
)]
mod archive;

const PIECE: usize = 1 << 20;
/// Batches of the hasher, a buffer of the cutter, open nodes, and what the allocator keeps.
const GROWTH_KIB_MAX: u64 = 16 * 1024;

/// The most memory that this process had so far.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells of processes");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok())
        .expect("a number of KiB")
}

fn take(pieces: impl Iterator<Item = Vec<u8>>) -> u64 {
    let limits = Limits::default();
    let mut cutter = Cutter::new(&limits).expect("the default is good");
    let mut hasher = ObjectHasher::new();
    let mut builder = ManifestBuilder::new(&limits);
    let mut node = |_: ManifestId, _: &[u8]| Ok::<(), FormatError>(());
    let mut chunk = |bytes: &[u8]| builder.push(ChunkId::of(bytes), bytes.len() as u32, &mut node);
    for piece in pieces {
        hasher.update(&piece).expect("there are threads");
        cutter
            .push(&piece, &mut chunk)
            .expect("the chunks are good");
    }
    cutter.finish(&mut chunk).expect("the chunks are good");
    let bytes = builder.bytes();
    builder
        .finish(&mut node)
        .expect("the manifest is small enough");
    assert_eq!(hasher.bytes(), bytes);
    assert_ne!(hasher.finish(), Digest::of(b""));
    bytes
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let noise = archive::noise(1, PIECE);
    let small = archive::archive(&vec![(1, 100); 1000], 0);
    let endless = archive::header_with("m", b'0', &archive::base256(u64::MAX), 0);
    let pax = archive::header("p", b'x', 65_536, 0);
    let before = peak_kib();
    for count in [16, 96] {
        let bytes = take(std::iter::repeat_n(noise.clone(), count));
        assert_eq!(bytes, (count * PIECE) as u64);
        take(std::iter::repeat_n(vec![0; PIECE], count));
        take(std::iter::repeat_n(small.clone(), count));
        take(std::iter::once(endless.to_vec()).chain(std::iter::repeat_n(noise.clone(), count)));
        take(std::iter::repeat_n(pax.to_vec(), count));
    }
    let growth = peak_kib() - before;
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB for 96 MiB of input");
}
