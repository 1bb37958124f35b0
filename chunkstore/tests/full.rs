//! A real disk that is full: what comes is refused, what is there stays, and with space it goes on.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use gdo_chunkstore::{Options, Store, StoreError};
use gdo_core::id::Digest;

/// A small file system; unmounted when it is dropped.
struct SmallDisk(PathBuf);

fn as_root(program: &str) -> Command {
    let is_root = nix::unistd::geteuid().is_root();
    let mut command = Command::new(if is_root { program } else { "sudo" });
    if !is_root {
        command.args(["-n", program]);
    }
    command
}

impl SmallDisk {
    fn mount(at: &Path, mib: u32) -> Self {
        fs::create_dir(at).expect("a new directory");
        let options = format!("size={mib}m,mode=0777");
        let mut command = as_root("mount");
        command.args(["-t", "tmpfs", "-o", &options, "gdo-test"]);
        let output = command.arg(at).output().expect("mount can be run");
        assert!(
            output.status.success(),
            "mounting needs root, or sudo without a password: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(at.to_owned())
    }

    /// Fills it but for so many bytes.
    fn fill(&self, left: u64) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).expect("a file");
        let block = vec![1; 64 << 10];
        let mut bytes = 0;
        while let Ok(()) = file.write_all(&block) {
            bytes += block.len() as u64;
        }
        bytes = file.metadata().expect("it is there").len().max(bytes);
        file.set_len(bytes.saturating_sub(left)).expect("it is cut");
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = as_root("umount").arg("-l").arg(&self.0).status();
    }
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..bytes).map(|_| (next() >> 24) as u8).collect()
}

fn put(store: &Store, bytes: &[u8]) -> Result<Digest, StoreError> {
    let mut ingest = store.ingest(0)?;
    ingest
        .write_all(bytes)
        .map_err(|error| StoreError::from_io(error).expect("an error of the store"))?;
    Ok(ingest.finish()?.pointer.oid)
}

fn get(store: &Store, oid: &Digest) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = store.read(oid).expect("it is there");
    reader.read_to_end(&mut bytes).expect("it is read");
    bytes
}

#[test]
fn a_full_disk_refuses_what_comes_and_keeps_what_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = SmallDisk::mount(&dir.path().join("small"), 64);
    let chunks = disk.0.join("chunks");
    let options = Options {
        index_mib_max: 8,
        ..Options::default()
    };
    let mut store = Store::open(&chunks, &options).expect("the store opens");
    let mut kept = Vec::new();
    for (round, left) in [0, 4 << 10, 100 << 10, 1 << 20, 3 << 20]
        .into_iter()
        .enumerate()
    {
        let round = round as u64;
        let bytes = noise(100 + 4 * round, 300_000);
        kept.push((put(&store, &bytes).expect("there is space"), bytes));
        let filler = disk.fill(left);
        let large = noise(200 + 4 * round, 4 << 20);
        match put(&store, &large) {
            Err(StoreError::Full { .. }) => {}
            other => panic!("{left} bytes left: expected a full disk, got {other:?}"),
        }
        for (oid, bytes) in &kept {
            assert_eq!(&get(&store, oid), bytes, "{left} bytes left");
        }
        if round.is_multiple_of(2) {
            // The disk is still full when the store is opened again, which may fail or not.
            drop(store);
            drop(Store::open(&chunks, &options));
            fs::remove_file(filler).expect("there is space again");
            store = Store::open(&chunks, &options).expect("the store opens");
        } else {
            fs::remove_file(filler).expect("there is space again");
        }
        let oid = put(&store, &large).unwrap_or_else(|error| panic!("{left}: goes on: {error}"));
        assert_eq!(get(&store, &oid), large);
        assert!(store.verify(&mut |_| {}).expect("it is read").is_sound());
    }
}
