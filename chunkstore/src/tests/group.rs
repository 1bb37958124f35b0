//! Threads that wait for a commit share one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use tempfile::TempDir;

use super::forgetful::Forgetful;
use super::{get, noise, put, put_at, small};
use crate::disk::{Disk, PackFile};
use crate::error::StoreError;
use crate::ingest::Ingested;
use crate::store::Store;

const THREADS: u64 = 8;

/// Where a sync waits until it is let through.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    is_shut: bool,
    /// How many syncs came to the gate.
    syncs: u32,
    /// The number of the sync that fails.
    fails_at: u32,
}

impl Gate {
    fn pass(&self) -> io::Result<()> {
        let mut state = self.state.lock().expect("no panic");
        state.syncs += 1;
        let own = state.syncs;
        while state.is_shut {
            state = self.opened.wait(state).expect("no panic");
        }
        match own == state.fails_at {
            true => Err(io::Error::from_raw_os_error(5)),
            false => Ok(()),
        }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("no panic"));
        self.opened.notify_all();
    }

    fn syncs(&self) -> u32 {
        self.state.lock().expect("no panic").syncs
    }
}

/// A disk whose syncs go through a gate.
struct Gated {
    disk: Forgetful,
    gate: Arc<Gate>,
}

struct GatedFile {
    file: Arc<dyn PackFile>,
    gate: Arc<Gate>,
}

impl Gated {
    fn guard(&self, file: Arc<dyn PackFile>) -> Arc<dyn PackFile> {
        let gate = Arc::clone(&self.gate);
        Arc::new(GatedFile { file, gate })
    }
}

impl Disk for Gated {
    fn packs(&self) -> io::Result<Vec<u32>> {
        self.disk.packs()
    }

    fn create(&self, pack: u32) -> io::Result<Arc<dyn PackFile>> {
        self.disk.create(pack).map(|file| self.guard(file))
    }

    fn open(&self, pack: u32) -> io::Result<Arc<dyn PackFile>> {
        self.disk.open(pack).map(|file| self.guard(file))
    }

    fn remove(&self, pack: u32) -> io::Result<()> {
        self.disk.remove(pack)
    }

    fn path(&self, pack: u32) -> PathBuf {
        self.disk.path(pack)
    }
}

impl PackFile for GatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass()?;
        self.file.sync()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

/// A store on a gated disk.
struct Bench {
    disk: Forgetful,
    gate: Arc<Gate>,
    index: TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let disk = Forgetful::default();
        let gate = Arc::new(Gate::default());
        let gated = Gated {
            disk: disk.clone(),
            gate: Arc::clone(&gate),
        };
        let index = tempfile::tempdir().expect("a directory");
        let store = open(gated, index.path());
        put(&store, b"the pack is begun");
        gate.set(|state| *state = State::default());
        Self {
            disk,
            gate,
            index,
            store,
        }
    }

    /// Takes an object while the gate is shut, then one a thread, and opens the gate when all of them
    /// wait; the sync of this number fails.
    fn take_together(&self, fails_at: u32) -> Vec<Result<Ingested, StoreError>> {
        self.gate.set(|state| {
            state.is_shut = true;
            state.fails_at = fails_at;
        });
        thread::scope(|scope| {
            let first = scope.spawn(|| put(&self.store, &noise(0, 1000)));
            while self.gate.syncs() == 0 {
                thread::yield_now();
            }
            let take = |seed| scope.spawn(move || put_at(&self.store, &noise(seed, 1000), 0));
            let others: Vec<_> = (1..=THREADS).map(take).collect();
            while self.store.inner.log.waiting() < others.len() {
                thread::yield_now();
            }
            self.gate.set(|state| state.is_shut = false);
            first.join().expect("it is taken");
            let joined = others.into_iter().map(thread::ScopedJoinHandle::join);
            joined.map(|result| result.expect("no panic")).collect()
        })
    }
}

fn open(disk: impl Disk + 'static, index: &Path) -> Store {
    let store = Store::open_on(Arc::new(disk), index, &small(), 1 << 20, None);
    store.expect("the store opens")
}

#[test]
fn objects_that_come_while_the_disk_is_busy_share_one_sync() {
    let bench = Bench::new();
    let results = bench.take_together(u32::MAX);
    assert_eq!(
        bench.gate.syncs(),
        2,
        "one for the first, one for all others"
    );
    // Each is durable: the machine stops, and they are there.
    let disk = bench.disk.after_stop(1);
    drop(bench.store);
    let store = open(disk, bench.index.path());
    for (seed, result) in (1..).zip(results) {
        let taken = result.expect("it is taken");
        let found = get(&store, &taken.pointer.oid).expect("it is there");
        assert_eq!(found, noise(seed, 1000));
    }
}

#[test]
fn a_failed_sync_is_told_to_all_that_rest_on_it() {
    let bench = Bench::new();
    for (seed, result) in (1..).zip(bench.take_together(2)) {
        let error = result.expect_err("its pack is not durable").to_string();
        let is_told = error.contains("os error 5") || error.contains("failed while");
        assert!(is_told, "{error}");
        let bytes = noise(seed, 1000);
        let taken = put(&bench.store, &bytes);
        let found = get(&bench.store, &taken.pointer.oid);
        assert_eq!(found.expect("it is there"), bytes);
    }
}
