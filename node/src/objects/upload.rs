//! An object on its way into the store: room is kept for it, and what is left of the disk is watched.
//!
//! Room is kept for what anybody may send. What the node's operator brings needs none: it is bounded by
//! the disk alone.
//!
//! **Invariants**: an upload that is dropped gives its room back and names nothing; an upload that is
//! finished has the hash and the size that were announced.

use std::io::{self, Write as _};

use gdo_chunkstore::{Ingest, Ingested, StoreError};
use gdo_core::pointer::Pointer;

use super::Objects;
use crate::clock::wall_seconds;
use crate::error::ObjectsError;
use crate::space::free_bytes;

/// What uploads leave free: a node that cannot write stops, and objects are no reason to.
const FREE_BYTES_MIN: u64 = 12 << 20;
/// How much may come until the disk is looked at again.
const LOOK_BYTES: u64 = 1 << 20;

/// An object on its way.
pub struct Upload {
    objects: Objects,
    ingest: Option<Ingest>,
    /// The room that is kept; `None` of the operator's.
    reserved: Option<u64>,
    taken: u64,
    look_at: u64,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl Upload {
    /// Begins an upload; room is kept for `staged` bytes, if any number is given.
    pub(super) fn begin(objects: &Objects, staged: Option<u64>) -> Result<Self, ObjectsError> {
        check_disk(objects)?;
        let store = objects.store()?;
        if let Some(bytes) = staged {
            objects.staging()?.reserve(bytes)?;
        }
        let mut upload = Self {
            objects: objects.clone(),
            ingest: None,
            reserved: staged,
            taken: 0,
            look_at: LOOK_BYTES,
        };
        upload.ingest = Some(store.ingest(wall_seconds())?);
        Ok(upload)
    }

    /// The bytes that came so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes; room is kept for what was not announced.
    ///
    /// # Errors
    /// There is no room, or the store fails. The upload is of no use then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ObjectsError> {
        let after = self.taken + bytes.len() as u64;
        if let Some(reserved) = self.reserved.as_mut().filter(|bytes| **bytes < after) {
            self.objects.staging()?.reserve(after - *reserved)?;
            *reserved = after;
        }
        if after >= self.look_at {
            check_disk(&self.objects)?;
            self.look_at = after + LOOK_BYTES;
        }
        let ingest = self.ingest.as_mut().expect("it is there until the end");
        ingest.write_all(bytes).map_err(from_io)?;
        self.taken = after;
        Ok(())
    }

    /// Ends the upload; the object is durable when this returns.
    ///
    /// # Errors
    /// What came is not what was announced ([`StoreError::Mismatch`]), or the store fails.
    pub fn finish_as(mut self, expected: &Pointer) -> Result<Ingested, ObjectsError> {
        let ingest = self.ingest.take().expect("it is there until the end");
        let ingested = ingest.finish_as(expected)?;
        if !ingested.was_known && self.reserved.is_some() {
            self.objects.staging()?.add(&ingested.pointer);
        }
        Ok(ingested)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(bytes) = self.reserved {
            self.objects.staging_as_it_is().release(bytes);
        }
    }
}

/// An error of the store that came through [`io::Write`].
fn from_io(error: io::Error) -> ObjectsError {
    match error.downcast::<StoreError>() {
        Ok(error) => error.into(),
        Err(source) => ObjectsError::Write { source },
    }
}

/// Refuses where the disk is all but full and no plain copies can make room.
pub(super) fn check_disk(objects: &Objects) -> Result<(), ObjectsError> {
    check_free(objects).or_else(|error| match objects.give_up_copies() {
        true => check_free(objects),
        false => Err(error),
    })
}

fn check_free(objects: &Objects) -> Result<(), ObjectsError> {
    // Before the first object there is no store yet.
    let free = free_bytes(objects.dir()).or_else(|_| free_bytes(objects.ledger().dir()));
    match free {
        Ok(free) => {
            if free < FREE_BYTES_MIN {
                return Err(ObjectsError::DiskFull {
                    free_mib: free >> 20,
                    expected_mib: FREE_BYTES_MIN >> 20,
                });
            }
        }
        Err(error) => tracing::warn!(%error, "it cannot be told how full the disk is"),
    }
    Ok(())
}
