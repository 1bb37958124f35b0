//! The machine stops at every step, and the disk keeps any part of what was not synced: the store
//! opens, has everything that was acknowledged, and its index is what the packs say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use gdo_core::id::Digest;

use super::forgetful::{Failure, Forgetful, Machine, leave_machine};
use super::{contents, get, noise, put_at, small, text};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::gc::GcOptions;
use crate::index::Index;
use crate::recover::index_packs;
use crate::store::Store;

const PACK_BYTES: u64 = 200 << 10;

/// Where a change of what is known is noted as it happens: `kept` or `given-up` and the name.
type Tell = Box<dyn FnMut(&str)>;

/// What was told to the one who works with the store.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) tell: Option<Tell>,
    /// Objects that were acknowledged and that no collection may have removed.
    pub(crate) kept: BTreeMap<Digest, Vec<u8>>,
    /// Objects that may be there, or not.
    pub(crate) others: BTreeMap<Digest, Vec<u8>>,
}

impl Told {
    fn put(&mut self, store: &Store, bytes: &[u8], came: i64) -> Result<(), StoreError> {
        let oid = Digest::of(bytes);
        self.others.insert(oid, bytes.to_vec());
        put_at(store, bytes, came)?;
        self.others.remove(&oid);
        self.kept.insert(oid, bytes.to_vec());
        self.note("kept", &oid);
        Ok(())
    }

    /// Collects garbage; what came before this time has no root.
    fn collect(&mut self, store: &Store, since: i64, roots: &[&[u8]]) -> Result<(), StoreError> {
        let roots: BTreeSet<Digest> = roots.iter().map(|bytes| Digest::of(bytes)).collect();
        let staged = store.staged_since(since)?;
        let is_staged = |oid: &Digest| staged.iter().any(|pointer| pointer.oid == *oid);
        let is_kept = |oid: &&Digest| roots.contains(oid) || is_staged(oid);
        let away: Vec<Digest> = self
            .kept
            .keys()
            .filter(|oid| !is_kept(oid))
            .copied()
            .collect();
        for oid in away {
            let bytes = self.kept.remove(&oid).expect("it was there");
            self.others.insert(oid, bytes);
            self.note("given-up", &oid);
        }
        let options = GcOptions {
            keep_since_unix_seconds: since,
            ..GcOptions::default()
        };
        store.gc(&roots, &options, &mut |_| {}).map(drop)
    }

    fn note(&mut self, word: &str, oid: &Digest) {
        if let Some(tell) = &mut self.tell {
            tell(&format!("{word} {oid}"));
        }
    }

    pub(crate) fn check(&self, store: &Store, at: &str) {
        for (oid, bytes) in &self.kept {
            let found = get(store, oid);
            let found = found.unwrap_or_else(|error| panic!("{at}: acknowledged, and now {error}"));
            assert_eq!(&found, bytes, "{at}");
        }
        for pointer in store.objects().expect("the index is read") {
            let bytes = self
                .kept
                .get(&pointer.oid)
                .or_else(|| self.others.get(&pointer.oid));
            let bytes = bytes.unwrap_or_else(|| panic!("{at}: an object that nobody stored"));
            let found = get(store, &pointer.oid);
            let found = found.unwrap_or_else(|error| panic!("{at}: named, and {error}"));
            assert_eq!(&found, bytes, "{at}");
        }
        let report = store.verify(&mut |_| {}).expect("everything is read");
        assert!(report.is_sound(), "{at}: {report:?}");
    }
}

/// A day of a store: objects come, share bytes, come again and go; garbage is collected, packs are
/// moved and deleted.
pub(crate) fn work(store: &Store, told: &mut Told) -> Result<(), StoreError> {
    let one = noise(1, 150_000);
    let mut two = one[..100_000].to_vec();
    two.extend(text(2, 120_000));
    let three = noise(3, 90_000);
    let large = text(4, 300_000);
    told.put(store, &one, 10)?;
    told.put(store, &two, 20)?;
    told.collect(store, 15, &[])?;
    told.put(store, &three, 30)?;
    store.touch(&Digest::of(&two), 25)?;
    told.put(store, &large, 40)?;
    // Most of the first packs is of no use now: what is left of it moves.
    told.collect(store, 35, &[&two])?;
    told.collect(store, 35, &[&two])?;
    told.put(store, &one, 50)?;
    told.collect(store, 50, &[])?;
    told.put(store, &three, 60)?;
    told.collect(store, 50, &[])?;
    told.collect(store, 50, &[])
}

fn fast_dir() -> tempfile::TempDir {
    // Only what RocksDB writes is there; the packs are in memory.
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() {
        shm.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::tempdir_in(dir).expect("a directory")
}

fn open(disk: &Forgetful, index: &Path) -> Result<Store, StoreError> {
    Store::open_on(Arc::new(disk.clone()), index, &small(), PACK_BYTES, None)
}

/// Asserts that an index made from the packs alone is the one that is there.
fn assert_packs_say_the_index(disk: &Forgetful, store: &Store, at: &str) {
    let dir = fast_dir();
    let anew = Index::open(dir.path(), 8, false).expect("an index opens");
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let packs = disk.packs().expect("the packs are listed");
    let found = index_packs(&disk, &anew, &packs, &mut |_, _| {}).expect("the packs are read");
    assert_eq!(found.broken, [], "{at}");
    let (is, should_be) = (contents(&store.inner.log.index), contents(&anew));
    let extra: Vec<_> = is.difference(&should_be).collect();
    let lacking: Vec<_> = should_be.difference(&is).collect();
    assert!(
        extra.is_empty() && lacking.is_empty(),
        "{at}: beside the packs {extra:?}, not {lacking:?}"
    );
}

/// Works until the machine stops at `step`; the disk then keeps what `seed` says.
fn stop_at(step: u64, seed: u64) -> Option<(Forgetful, tempfile::TempDir, Told)> {
    let dir = fast_dir();
    let disk = Forgetful::default();
    let machine = Machine::new(step, Failure::Stop);
    let mut told = Told::default();
    let worked = open(&disk, dir.path()).and_then(|store| work(&store, &mut told));
    leave_machine();
    assert_eq!(
        worked.is_err(),
        machine.has_failed(),
        "step {step}: {worked:?}"
    );
    machine
        .has_failed()
        .then(|| (disk.after_stop(seed), dir, told))
}

fn crash_at_every(step_by: usize, seeds: u64) -> u64 {
    let mut points = 0;
    for step in (1..).step_by(step_by) {
        for seed in 0..seeds {
            let Some((mut disk, dir, told)) = stop_at(step, seed + 1000 * step) else {
                return points;
            };
            // Half of the time it stops again while it recovers.
            if seed % 2 == 1 {
                Machine::new(1 + step % 9, Failure::Stop);
                drop(open(&disk, dir.path()));
                leave_machine();
                disk = disk.after_stop(seed + 77 * step);
                points += 1;
            }
            let at = format!("step {step}, seed {seed}");
            let store = open(&disk, dir.path()).unwrap_or_else(|error| panic!("{at}: {error}"));
            told.check(&store, &at);
            assert_packs_say_the_index(&disk, &store, &at);
            let mut told = told;
            work(&store, &mut told).unwrap_or_else(|error| panic!("{at}: {error}"));
            told.check(&store, &at);
            points += 1;
        }
    }
    points
}

#[test]
fn a_machine_that_stops_at_any_step_loses_nothing_that_was_acknowledged() {
    let points = crash_at_every(7, 2);
    assert!(points >= 40, "only {points} points");
}

#[test]
#[ignore = "soak: stops the machine at every step, some minutes"]
fn a_machine_that_stops_at_every_step_loses_nothing_that_was_acknowledged() {
    let points = crash_at_every(1, 16);
    assert!(points >= 2000, "only {points} points");
}

/// Whatever fails once, or a full disk, leaves a store that goes on when there is space again.
fn fail_at_every(failure: Failure, step_by: usize) -> u64 {
    let mut points = 0;
    for step in (1..).step_by(step_by) {
        let dir = fast_dir();
        let disk = Forgetful::default();
        let machine = Machine::new(step, failure);
        let mut told = Told::default();
        let at = format!("{failure:?} at {step}");
        let store = match open(&disk, dir.path()) {
            Ok(store) => {
                let worked = work(&store, &mut told);
                leave_machine();
                if let Err(error) = &worked {
                    let is_full = matches!(error, StoreError::Full { .. });
                    assert_eq!(is_full, failure != Failure::Error, "{at}: {error}");
                }
                store
            }
            Err(error) => {
                leave_machine();
                assert!(machine.has_failed(), "{at}: {error}");
                open(&disk, dir.path()).expect("the store opens")
            }
        };
        if !machine.has_failed() {
            return points;
        }
        // The same process goes on, and after it another one.
        told.check(&store, &at);
        let mut told = told;
        let put = told.put(&store, b"something else", 1000);
        put.unwrap_or_else(|error| panic!("{at}: goes on: {error}"));
        told.check(&store, &at);
        work(&store, &mut told).unwrap_or_else(|error| panic!("{at}: goes on: {error}"));
        told.check(&store, &at);
        drop(store);
        let store = open(&disk, dir.path()).unwrap_or_else(|error| panic!("{at}: {error}"));
        told.check(&store, &at);
        assert_packs_say_the_index(&disk, &store, &at);
        points += 1;
    }
    points
}

#[test]
fn a_disk_that_is_full_at_any_point_is_told_and_harms_nothing() {
    let points = fail_at_every(Failure::Full, 11) + fail_at_every(Failure::FullOnce, 11);
    assert!(points >= 20, "only {points} points");
}

#[test]
fn an_error_of_the_disk_at_any_point_harms_nothing_that_was_acknowledged() {
    let points = fail_at_every(Failure::Error, 11);
    assert!(points >= 10, "only {points} points");
}

#[test]
fn what_the_disk_cannot_read_is_named_stored_again_and_good_again_when_it_can() {
    let dir = fast_dir();
    let disk = Forgetful::default();
    let store = Store::open_on(Arc::new(disk.clone()), dir.path(), &small(), 64 << 20, None);
    let store = store.expect("the store opens");
    let bytes = noise(9, 2_000_000);
    let oid = put_at(&store, &bytes, 1).expect("it is taken").pointer.oid;
    disk.fail_reads(0, 1_000_000..1_000_512);
    match get(&store, &oid) {
        Err(StoreError::Damaged(damage)) => {
            assert!(damage.reason.contains("cannot be read"), "{damage}");
            assert!(damage.range.is_some() && damage.chunk.is_some(), "{damage}");
            assert_eq!(damage.pack, Some(0));
        }
        other => panic!("expected damage, got {:?}", other.map(|bytes| bytes.len())),
    }
    assert!(
        !store
            .verify(&mut |_| {})
            .expect("the rest is read")
            .is_sound()
    );
    let again = put_at(&store, &bytes, 2).expect("it is taken");
    assert!(again.unique_bytes <= 512 << 10, "{again:?}");
    assert_eq!(get(&store, &oid).expect("it is healed"), bytes);
    disk.fail_reads(0, 0..0);
    assert!(store.inner.log.has_bad());
    assert!(
        store
            .verify(&mut |_| {})
            .expect("everything is read")
            .is_sound()
    );
    assert!(
        !store.inner.log.has_bad(),
        "what reads well counts as good again"
    );
}

#[test]
#[ignore = "soak: a failure at every step, some minutes"]
fn a_failure_at_every_step_harms_nothing_that_was_acknowledged() {
    let failures = [Failure::Full, Failure::FullOnce, Failure::Error];
    let points: u64 = failures
        .map(|failure| fail_at_every(failure, 1))
        .iter()
        .sum();
    assert!(points >= 300, "only {points} points");
}
