//! Tests that look inside of the store: at its index, its disk and its fault points.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use gdo_core::id::Digest;

use crate::disk::Files;
use crate::error::StoreError;
use crate::gc::{GcOptions, GcReport};
use crate::index::Index;
use crate::index::key::Key;
use crate::ingest::Ingested;
use crate::recover::check_format;
use crate::store::{Options, Store, index_dir, packs_dir, take_lock};

mod basics;
mod collect;
mod crash;
mod damage;
pub(crate) mod forgetful;
mod group;
mod kill;
mod model;
mod records;
mod vectors;

/// Bytes that look random and are the same for the same seed.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// Bytes that compress well, as text does.
pub(crate) fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let words = noise(seed, bytes / 3 + 1);
    let mut out = Vec::with_capacity(bytes + 8);
    for word in words {
        out.extend(format!("w{} ", word % 61).bytes());
    }
    out.truncate(bytes);
    out
}

/// A small number from a seed that moves on.
pub(crate) fn dice(state: &mut u64, sides: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % sides
}

/// Small memory, so that many stores can be open.
pub(crate) fn small() -> Options {
    Options {
        index_mib_max: 8,
        ..Options::default()
    }
}

/// A store in `dir` with short packs.
pub(crate) fn open_short(dir: &Path, pack_bytes: u64) -> Result<Store, StoreError> {
    let held = take_lock(dir, &small())?;
    check_format(dir, true)?;
    let files = Files::open(&packs_dir(dir), true).expect("a directory");
    let index = index_dir(dir);
    Store::open_on(Arc::new(files), &index, &small(), pack_bytes, Some(held))
}

/// Collects garbage and keeps nothing because of its age.
pub(crate) fn collect(store: &Store, keep: &[&Ingested]) -> GcReport {
    let roots = keep.iter().map(|taken| taken.pointer.oid).collect();
    let options = GcOptions {
        keep_since_unix_seconds: i64::MAX,
        ..GcOptions::default()
    };
    store
        .gc(&roots, &options, &mut |_| {})
        .expect("garbage is collected")
}

pub(crate) fn put_at(store: &Store, bytes: &[u8], came: i64) -> Result<Ingested, StoreError> {
    let mut ingest = store.ingest(came)?;
    ingest
        .write_all(bytes)
        .map_err(|error| StoreError::from_io(error).expect("an ingest gives the store's errors"))?;
    ingest.finish()
}

pub(crate) fn put(store: &Store, bytes: &[u8]) -> Ingested {
    put_at(store, bytes, 1000).expect("the object is taken")
}

pub(crate) fn get(store: &Store, oid: &Digest) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let read = store.read(oid)?.read_to_end(&mut bytes);
    read.map_err(|error| StoreError::from_io(error).expect("a reader gives the store's errors"))?;
    Ok(bytes)
}

/// What an index says of packs and of what they hold; not what collections noted, nor of damage.
pub(crate) fn contents(index: &Index) -> BTreeSet<Key> {
    let keys = index.keys(&[]).expect("the index can be read");
    let is_content = |key: &Key| {
        !matches!(
            key,
            Key::Bad { .. } | Key::Dead { .. } | Key::Doomed { .. } | Key::Generation(_)
        )
    };
    keys.into_iter().filter(is_content).collect()
}

/// Makes the index anew from the packs and says whether it is what it was.
pub(crate) fn assert_reindex_is_index(dir: &Path) {
    let before = {
        let index = Index::open(&index_dir(dir), 8, true).expect("the index opens");
        contents(&index)
    };
    let report = Store::reindex(dir, &small(), &mut |_| {}).expect("the index can be made anew");
    assert_eq!(report.damages, []);
    let index = Index::open(&index_dir(dir), 8, true).expect("the index opens");
    assert_eq!(
        contents(&index),
        before,
        "an index made anew from the packs is the same"
    );
}
