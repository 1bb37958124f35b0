//! Takes an object: cuts it, stores the chunks that are new, and names it at the end.
//!
//! **Invariants**: a chunk is looked up before it is compressed, so that what is there already costs
//! its hashes alone; every pack that the object will rest on is leased until the object is named;
//! memory does not depend on the object's size.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use gdo_core::pointer::Pointer;

use crate::compress::Profile;
use crate::cut::{Cutter, Limits};
use crate::error::StoreError;
use crate::frame::FrameBuilder;
use crate::hash::{ChunkId, ManifestId, ObjectHasher};
use crate::log::Change;
use crate::manifest::ManifestBuilder;
use crate::near::Nearby;
use crate::record::{Kind, ObjectRecord};
use crate::store::{Store, lock};

/// An object that is being taken; what is written is its bytes.
pub struct Ingest {
    arrived_unix_seconds: i64,
    /// `None` after an error, when the object cannot be taken any more.
    parts: Option<Parts>,
    sink: Sink,
}

struct Parts {
    cutter: Cutter,
    hasher: ObjectHasher,
    manifest: ManifestBuilder,
}

/// Where chunks and nodes go.
struct Sink {
    store: Store,
    chunks: FrameBuilder,
    nodes: FrameBuilder,
    leased: BTreeSet<u32>,
    /// The packs in which the object rests on what was not durable when it was found or written.
    rest_on: BTreeSet<u32>,
    nearby: Nearby,
    unique_bytes: u64,
    stored_bytes: u64,
}

/// An object that was taken and is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ingested {
    /// Its name.
    pub pointer: Pointer,
    /// The root of its manifest.
    pub manifest: ManifestId,
    /// How many of its bytes were not in the store.
    pub unique_bytes: u64,
    /// How many bytes were added to packs for it.
    pub stored_bytes: u64,
    /// Whether the store had the object already.
    pub was_known: bool,
}

impl Ingest {
    pub(crate) fn new(
        store: &Store,
        profile: Profile,
        arrived_unix_seconds: i64,
    ) -> Result<Self, StoreError> {
        let limits = Limits::default();
        Ok(Self {
            arrived_unix_seconds,
            parts: Some(Parts {
                cutter: Cutter::new(&limits)?,
                hasher: ObjectHasher::new(),
                manifest: ManifestBuilder::new(&limits),
            }),
            sink: Sink {
                store: store.clone(),
                chunks: FrameBuilder::new(Kind::Chunks, profile),
                nodes: FrameBuilder::new(Kind::Nodes, profile),
                leased: BTreeSet::new(),
                rest_on: BTreeSet::new(),
                nearby: Nearby::default(),
                unique_bytes: 0,
                stored_bytes: 0,
            },
        })
    }

    /// How many bytes were taken so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.as_ref().map_or(0, |parts| parts.hasher.bytes())
    }

    /// Ends the object and names it; it is durable when this returns.
    ///
    /// # Errors
    /// The disk fails or is full; an earlier write failed. Nothing is named then.
    pub fn finish(self) -> Result<Ingested, StoreError> {
        self.finish_if(None)
    }

    /// [`Ingest::finish`], if the object is the expected one.
    ///
    /// # Errors
    /// It is another one ([`StoreError::Mismatch`]); those of [`Ingest::finish`].
    pub fn finish_as(self, expected: &Pointer) -> Result<Ingested, StoreError> {
        self.finish_if(Some(expected))
    }

    fn finish_if(mut self, expected: Option<&Pointer>) -> Result<Ingested, StoreError> {
        let Parts {
            cutter,
            hasher,
            mut manifest,
        } = self.parts.take().ok_or(StoreError::Abandoned)?;
        let sink = &mut self.sink;
        cutter.finish(&mut |chunk| sink.take_chunk(&mut manifest, chunk))?;
        let size = hasher.bytes();
        let oid = hasher.finish();
        let found = Pointer { oid, size };
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(StoreError::Mismatch {
                expected: *expected,
                found,
            });
        }
        let manifest = manifest.finish(&mut |id, node| sink.take_node(&id, node))?;
        sink.close_frames()?;
        let was_known = sink.store.find(&oid)?.is_some();
        let object = ObjectRecord {
            oid,
            size,
            manifest,
            came_unix_seconds: self.arrived_unix_seconds,
        };
        let log = &sink.store.inner.log;
        log.commit(&[Change::Name(object)], &sink.rest_on)?;
        Ok(Ingested {
            pointer: found,
            manifest,
            unique_bytes: sink.unique_bytes,
            stored_bytes: sink.stored_bytes,
            was_known,
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        // After an error nothing more is taken: the parts do not come back.
        let mut parts = self.parts.take().ok_or(StoreError::Abandoned)?;
        parts.hasher.update(bytes).map_err(no_memory)?;
        let (sink, manifest) = (&mut self.sink, &mut parts.manifest);
        let cutter = &mut parts.cutter;
        cutter.push(bytes, &mut |chunk| sink.take_chunk(manifest, chunk))?;
        self.parts = Some(parts);
        Ok(())
    }
}

impl io::Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map_err(StoreError::into_io)?;
        Ok(bytes.len())
    }

    /// Does nothing: an object is durable when it is finished, and not in parts.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ingest")
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Sink {
    fn take_chunk(
        &mut self,
        manifest: &mut ManifestBuilder,
        chunk: &[u8],
    ) -> Result<(), StoreError> {
        let id = ChunkId::of(chunk);
        if self.store_part(Kind::Chunks, id.as_bytes(), chunk)? {
            self.unique_bytes += chunk.len() as u64;
        }
        manifest.push(id, chunk.len() as u32, &mut |id, node| {
            self.take_node(&id, node)
        })
    }

    fn take_node(&mut self, id: &ManifestId, node: &[u8]) -> Result<(), StoreError> {
        self.store_part(Kind::Nodes, id.as_bytes(), node).map(drop)
    }

    /// Stores a chunk or node, unless it is there; says whether it was new.
    fn store_part(&mut self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<bool, StoreError> {
        if self.frame(kind).contains(id) || self.lease_place(kind, id)? {
            return Ok(false);
        }
        if self.frame(kind).is_full_for(bytes.len()) {
            self.close_frame(kind)?;
        }
        self.frame(kind).push(*id, bytes);
        Ok(true)
    }

    fn frame(&mut self, kind: Kind) -> &mut FrameBuilder {
        match kind {
            Kind::Nodes => &mut self.nodes,
            _ => &mut self.chunks,
        }
    }

    /// Whether the store has it in a pack that stays; the pack is leased then.
    fn lease_place(&mut self, kind: Kind, id: &[u8; 32]) -> Result<bool, StoreError> {
        let store = self.store.clone();
        let log = &store.inner.log;
        if kind == Kind::Chunks
            && let Some(pack) = self.nearby.find(log, id)
        {
            return Ok(self.lease(pack));
        }
        if let Some(place) = log.waiting_place(kind, id) {
            self.rest_on.insert(place.pack);
            return Ok(self.lease(place.pack));
        }
        let places = log.places(kind, id)?;
        let Some(place) = places.iter().find(|place| self.lease(place.pack)) else {
            return Ok(false);
        };
        if kind == Kind::Chunks {
            self.nearby.begin_at(log, place);
        }
        Ok(true)
    }

    /// Leases a pack; `false` if it is being deleted.
    fn lease(&mut self, pack: u32) -> bool {
        if self.leased.contains(&pack) {
            return true;
        }
        let is_leased = lock(&self.store.inner.leases).take(pack);
        if is_leased {
            self.leased.insert(pack);
        }
        is_leased
    }

    fn close_frames(&mut self) -> Result<(), StoreError> {
        self.close_frame(Kind::Chunks)?;
        self.close_frame(Kind::Nodes)
    }

    fn close_frame(&mut self, kind: Kind) -> Result<(), StoreError> {
        let store = self.store.clone();
        let record = self.frame(kind).take(&store.inner.compressors);
        let Some(record) = record.map_err(no_memory)? else {
            return Ok(());
        };
        self.stored_bytes += record.bytes();
        let (pack, _) = store.inner.log.append(&record)?;
        self.rest_on.insert(pack);
        let is_leased = self.lease(pack);
        debug_assert!(is_leased, "a pack that was just written to is not deleted");
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.store.give_back(&self.leased);
    }
}

fn no_memory(error: io::Error) -> StoreError {
    StoreError::io(Path::new("memory or threads for an ingest"), error)
}
