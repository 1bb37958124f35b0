//! How much is here that no proposal names, and whether more of it may come.
//!
//! Uploads need no login, so their sum is bounded. What is on its way counts from its beginning, else
//! many uploads at once would pass the bound together.
//!
//! **Invariants**: staged and reserved bytes together never pass the bound, but for objects that are
//! counted at the start; an object counts once.

use std::collections::BTreeMap;

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;

use crate::error::ObjectsError;

/// What an object counts at the least: its names and its place in the index take room, too.
const OBJECT_BYTES_MIN: u64 = 4 << 10;

/// What is staged and what is on its way.
#[derive(Debug)]
pub(super) struct Staging {
    bytes_max: u64,
    /// `None`: not counted yet.
    objects: Option<BTreeMap<Digest, u64>>,
    staged: u64,
    reserved: u64,
}

impl Staging {
    /// Nothing is counted yet.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            objects: None,
            staged: 0,
            reserved: 0,
        }
    }

    pub(super) fn is_counted(&self) -> bool {
        self.objects.is_some()
    }

    /// Takes what was counted.
    pub(super) fn count(&mut self, objects: &[Pointer]) {
        self.objects = Some(BTreeMap::new());
        self.staged = 0;
        objects.iter().for_each(|pointer| self.add(pointer));
    }

    /// Forgets what was counted; what is on its way stays.
    pub(super) fn forget(&mut self) {
        self.objects = None;
        self.staged = 0;
    }

    /// Keeps room for `bytes` more.
    ///
    /// # Errors
    /// There is none, with what to do.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<(), ObjectsError> {
        self.room().take(bytes)?;
        self.reserved += bytes;
        Ok(())
    }

    /// What room there is now.
    pub(super) fn room(&self) -> Room {
        Room {
            max: self.bytes_max,
            held: self.staged.saturating_add(self.reserved),
        }
    }

    /// Gives room back.
    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// An object is here, and nothing names it.
    pub(super) fn add(&mut self, pointer: &Pointer) {
        // What is not counted yet is found when it is.
        if let Some(objects) = &mut self.objects
            && objects.insert(pointer.oid, weight(pointer)).is_none()
        {
            self.staged = self.staged.saturating_add(weight(pointer));
        }
    }

    /// An object is named now.
    pub(super) fn remove(&mut self, oid: &Digest) {
        if let Some(objects) = &mut self.objects
            && let Some(bytes) = objects.remove(oid)
        {
            self.staged = self.staged.saturating_sub(bytes);
        }
    }
}

fn weight(pointer: &Pointer) -> u64 {
    pointer.size.max(OBJECT_BYTES_MIN)
}

/// The room for uploads at one moment: to tell beforehand what will not fit.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    max: u64,
    held: u64,
}

impl Room {
    /// Takes room for `bytes` more.
    ///
    /// # Errors
    /// There is none, with what to do.
    pub fn take(&mut self, bytes: u64) -> Result<(), ObjectsError> {
        let Self { max, held } = *self;
        if bytes > max {
            return Err(ObjectsError::TooLarge { bytes, max });
        }
        if bytes > max.saturating_sub(held) {
            return Err(ObjectsError::StagingFull { bytes, held, max });
        }
        self.held += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str, size: u64) -> Pointer {
        Pointer {
            oid: Digest::of(text.as_bytes()),
            size,
        }
    }

    const KIB: u64 = 1 << 10;

    fn counted(objects: &[Pointer]) -> Staging {
        let mut staging = Staging::new(100 * KIB);
        staging.count(objects);
        staging
    }

    #[test]
    fn what_is_staged_and_what_is_on_its_way_share_one_bound() {
        let mut staging = counted(&[pointer("a", 40 * KIB)]);
        staging.reserve(60 * KIB).expect("it just fits");
        let full = staging.reserve(1).expect_err("nothing is left");
        assert!(matches!(
            full,
            ObjectsError::StagingFull { bytes: 1, held, max } if held == max
        ));
        staging.release(60 * KIB);
        staging.reserve(60 * KIB).expect("room was given back");
    }

    #[test]
    fn an_object_that_never_fits_is_told_apart() {
        let error = counted(&[]).reserve(100 * KIB + 1).expect_err("too large");
        assert!(matches!(error, ObjectsError::TooLarge { .. }));
    }

    #[test]
    fn an_object_counts_once_and_no_more_when_it_is_named() {
        let mut staging = counted(&[pointer("a", 60 * KIB)]);
        staging.add(&pointer("a", 60 * KIB));
        staging.reserve(40 * KIB).expect("60 are staged");
        staging.remove(&Digest::of(b"a"));
        staging.remove(&Digest::of(b"a"));
        staging.reserve(60 * KIB).expect("40 are reserved");
        assert!(staging.reserve(1).is_err());
    }

    #[test]
    fn many_small_objects_fill_it_too() {
        let mut staging = counted(&[]);
        for number in 0..25 {
            staging.add(&pointer(&number.to_string(), 1));
        }
        assert!(staging.reserve(1).is_err());
    }

    #[test]
    fn what_is_on_its_way_outlives_a_new_count() {
        let mut staging = counted(&[pointer("a", 60 * KIB)]);
        staging.reserve(40 * KIB).expect("it fits");
        staging.forget();
        staging.count(&[]);
        assert!(staging.reserve(61 * KIB).is_err());
        staging.reserve(60 * KIB).expect("40 are reserved");
    }
}
