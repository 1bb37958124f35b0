//! Ingests, readers, collections and verifications run together; a model knows what must be readable.
//!
//! Each writer owns some names. It stores an object and, from when that is acknowledged until it gives
//! the name up, every reader must get the bytes. Roots for a collection are taken under the lock of
//! the model, so that what was acknowledged before is among them; what is acknowledged while it runs
//! is kept by its time, as an upload is.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use gdo_core::id::Digest;

use super::{assert_reindex_is_index, dice, get, noise, open_short, put_at, text};
use crate::error::StoreError;
use crate::gc::GcOptions;
use crate::store::Store;

#[derive(Default)]
struct Model {
    /// What must be readable.
    kept: Mutex<BTreeMap<Digest, Vec<u8>>>,
    /// The time, which moves on with every object.
    now: AtomicI64,
    is_over: AtomicBool,
    counts: [AtomicU64; 4],
}

const INGESTS: usize = 0;
const READS: usize = 1;
const COLLECTIONS: usize = 2;
const DELETED: usize = 3;

impl Model {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<Digest, Vec<u8>>> {
        self.kept
            .lock()
            .expect("no thread of the test panics while it holds the model")
    }

    fn count(&self, what: usize, by: u64) {
        self.counts[what].fetch_add(by, Ordering::Relaxed);
    }

    fn counted(&self, what: usize) -> u64 {
        self.counts[what].load(Ordering::Relaxed)
    }
}

/// Objects that share much with each other and with what is garbage by now.
fn object(dice_state: &mut u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=dice(dice_state, 4) {
        let seed = dice(dice_state, 12);
        let size = 30_000 + 20_000 * dice(dice_state, 6) as usize;
        bytes.extend(if seed.is_multiple_of(2) {
            noise(seed, size)
        } else {
            text(seed, size)
        });
    }
    bytes
}

fn write(store: &Store, model: &Model, seed: u64, rounds: u64) {
    let mut state = seed;
    let mut mine: Vec<Digest> = Vec::new();
    for _ in 0..rounds {
        let bytes = object(&mut state);
        let now = model.now.fetch_add(1, Ordering::SeqCst);
        if dice(&mut state, 8) == 0 {
            // Some are abandoned half way.
            let mut ingest = store.ingest(now).expect("an ingest begins");
            std::io::Write::write_all(&mut ingest, &bytes[..bytes.len() / 2]).expect("it is taken");
            continue;
        }
        let taken = put_at(store, &bytes, now).expect("it is taken");
        model.kept().insert(taken.pointer.oid, bytes);
        mine.push(taken.pointer.oid);
        model.count(INGESTS, 1);
        if mine.len() > 5 {
            let oid = mine.swap_remove(dice(&mut state, 6) as usize);
            model.kept().remove(&oid);
        }
    }
}

fn read(store: &Store, model: &Model, seed: u64) {
    let mut state = seed;
    while !model.is_over.load(Ordering::SeqCst) {
        let picked = {
            let kept = model.kept();
            let at = dice(&mut state, kept.len().max(1) as u64) as usize;
            kept.iter()
                .nth(at)
                .map(|(oid, bytes)| (*oid, bytes.clone()))
        };
        let Some((oid, bytes)) = picked else {
            std::thread::yield_now();
            continue;
        };
        let start = dice(&mut state, bytes.len() as u64);
        let mut found = Vec::new();
        let read = store.read(&oid).map(|mut reader| {
            reader.seek(SeekFrom::Start(start)).expect("an offset");
            reader.read_to_end(&mut found)
        });
        let is_kept = model.kept().contains_key(&oid);
        match read {
            Ok(Ok(_)) => assert_eq!(found, bytes[start as usize..]),
            // It was given up before it was opened.
            Err(StoreError::Missing { .. }) => assert!(!is_kept, "{oid} is kept and missing"),
            other => panic!("{oid}: {other:?}"),
        }
        model.count(READS, 1);
    }
}

fn collect(store: &Store, model: &Model) {
    while !model.is_over.load(Ordering::SeqCst) {
        let (roots, since) = {
            let kept = model.kept();
            // What is being stored now counts as an upload of the last minutes.
            let since = model.now.load(Ordering::SeqCst) - 40;
            (kept.keys().copied().collect(), since)
        };
        let options = GcOptions {
            keep_since_unix_seconds: since,
            ..GcOptions::default()
        };
        let report = store
            .gc(&roots, &options, &mut |_| {})
            .expect("garbage is collected");
        model.count(COLLECTIONS, 1);
        model.count(DELETED, report.packs_deleted);
    }
}

fn verify(store: &Store, model: &Model) {
    while !model.is_over.load(Ordering::SeqCst) {
        let report = store.verify(&mut |_| {}).expect("everything is read");
        assert!(report.is_sound(), "{report:?}");
    }
}

fn run(rounds: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open_short(dir.path(), 400 << 10).expect("the store opens");
    let model = Model::default();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=3)
            .map(|seed| {
                let (store, model) = (&store, &model);
                scope.spawn(move || write(store, model, seed, rounds))
            })
            .collect();
        scope.spawn(|| read(&store, &model, 11));
        scope.spawn(|| read(&store, &model, 12));
        scope.spawn(|| collect(&store, &model));
        scope.spawn(|| verify(&store, &model));
        let ends: Vec<_> = writers
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        model.is_over.store(true, Ordering::SeqCst);
        ends.into_iter()
            .for_each(|end| end.expect("a writer ends well"));
    });
    for (oid, bytes) in model.kept().iter() {
        assert_eq!(&get(&store, oid).expect("it is kept"), bytes);
    }
    assert!(store.verify(&mut |_| {}).expect("it is read").is_sound());
    assert!(model.counted(READS) > 10 && model.counted(COLLECTIONS) > 2);
    assert!(model.counted(INGESTS) > rounds && model.counted(DELETED) > 0);
    drop(store);
    assert_reindex_is_index(dir.path());
}

#[test]
fn what_must_be_readable_is_while_others_write_collect_and_verify() {
    run(60);
}

#[test]
#[ignore = "soak: some minutes of everything at once"]
fn what_must_be_readable_is_for_minutes_while_others_write_collect_and_verify() {
    run(6000);
}
