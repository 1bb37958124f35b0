//! The memory of a store does not grow with what goes through it.
//!
//! The only test of this process, so that what the system says of the process is said of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write as _};

use gdo_chunkstore::{GcOptions, Options, Profile, Store};

const INDEX_MIB: u32 = 16;
/// What a store may take above its index.
const ABOVE_INDEX_KIB_MAX: u64 = 64 * 1024;

/// The most memory that this process had so far.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells of processes");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok())
        .expect("a number of KiB")
}

/// Bytes without end, some of which compress and some not.
struct Stream(u64);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for eight in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let mask = if self.0 % 4096 < 2048 {
                u64::MAX
            } else {
                0x0f0f_0000_0f0f_0000
            };
            let bytes = (self.0 & mask).to_le_bytes();
            eight.copy_from_slice(&bytes[..eight.len()]);
        }
        Ok(buffer.len())
    }
}

#[test]
fn memory_stays_bounded_however_much_is_stored_read_checked_and_collected() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options {
        index_mib_max: INDEX_MIB,
        ..Options::default()
    };
    let before = peak_kib();
    let store = Store::open(dir.path(), &options).expect("the store opens");
    let mut taken = Vec::new();
    for (seed, profile) in [
        (1, Profile::Standard),
        (2, Profile::Archive),
        (3, Profile::Fast),
    ] {
        let mut ingest = store.ingest_with(profile, 0).expect("an ingest begins");
        io::copy(&mut Stream(seed).take(64 << 20), &mut ingest).expect("it is taken");
        taken.push(ingest.finish().expect("it is taken").pointer);
    }
    // Many small ones as well.
    for seed in 10..300 {
        let mut ingest = store.ingest(0).expect("an ingest begins");
        let mut bytes = Vec::new();
        Stream(seed)
            .take(2000)
            .read_to_end(&mut bytes)
            .expect("it is read");
        ingest.write_all(&bytes).expect("it is taken");
        ingest.finish().expect("it is taken");
    }
    for pointer in &taken {
        let mut reader = store.read(&pointer.oid).expect("it is there");
        let copied = io::copy(&mut reader, &mut io::sink()).expect("it is read");
        assert_eq!(copied, pointer.size);
    }
    assert!(store.verify(&mut |_| {}).expect("it is read").is_sound());
    let options = GcOptions {
        keep_since_unix_seconds: 1,
        ..GcOptions::default()
    };
    for _ in 0..2 {
        let roots = BTreeSet::from([taken[1].oid]);
        store
            .gc(&roots, &options, &mut |_| {})
            .expect("garbage is collected");
    }
    let grown = peak_kib() - before;
    let max = ABOVE_INDEX_KIB_MAX + u64::from(INDEX_MIB) * 1024;
    assert!(grown <= max, "{grown} KiB are more than {max}");
    assert!(grown > 1024, "nothing was measured");
}
