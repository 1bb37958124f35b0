//! Reads objects, each chunk checked against its name before a byte of it is given out.
//!
//! **Invariants**: memory is one path of the manifest and one frame beside the shared cache; a part
//! that cannot be read is named and remembered, so that the next ingest stores it anew, and does not
//! keep the rest of the object from being read.

use std::io;
use std::io::SeekFrom;
use std::ops::Range;
use std::sync::Arc;

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;

use crate::disk::PackFile;
use crate::error::{Damage, StoreError};
use crate::frame::{Frame, FramePlace};
use crate::hash::{ChunkId, ManifestId};
use crate::index::key::Location;
use crate::manifest::{Manifest, Span};
use crate::record::Kind;
use crate::scan::read_head;
use crate::store::{Inner, Store, lock};

/// An object that is open for reading.
pub struct ObjectReader {
    store: Store,
    pointer: Pointer,
    root: ManifestId,
    manifest: Manifest,
    position: u64,
    current: Option<Current>,
}

/// The chunk that was read last.
struct Current {
    range: Range<u64>,
    part: Part,
}

/// The bytes of a chunk or node, in the frame that they lie in.
pub(crate) struct Part {
    frame: Arc<Frame>,
    range: Range<usize>,
    /// The pack and the record of the frame.
    place: (u32, u32),
    /// Where in the frame the next chunk begins, if that is known.
    next: FramePlace,
}

impl Part {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.frame.plain[self.range.clone()]
    }
}

impl ObjectReader {
    pub(crate) fn open(store: &Store, oid: &Digest) -> Result<Self, StoreError> {
        // From here on garbage collection leaves the object.
        if !lock(&store.inner.leases).open(*oid) {
            return Err(StoreError::Missing { oid: *oid });
        }
        let opened = Self::open_leased(store, oid);
        if opened.is_err() {
            lock(&store.inner.leases).close(oid);
        }
        opened
    }

    fn open_leased(store: &Store, oid: &Digest) -> Result<Self, StoreError> {
        let object = store.inner.log.object(oid)?;
        let object = object.ok_or(StoreError::Missing { oid: *oid })?;
        let pointer = Pointer {
            oid: *oid,
            size: object.size,
        };
        let manifest = Manifest::open(object.manifest, &mut |id| store.inner.read_node(id));
        let manifest = manifest.map_err(|error| name_damage(error, oid, 0..object.size))?;
        if manifest.bytes() != object.size {
            let reason = format!(
                "expected a manifest of {} bytes, found one of {}",
                object.size,
                manifest.bytes()
            );
            let damage = Damage {
                reason,
                ..Damage::default()
            };
            return Err(name_damage(
                StoreError::Damaged(Box::new(damage)),
                oid,
                0..object.size,
            ));
        }
        Ok(Self {
            store: store.clone(),
            pointer,
            root: object.manifest,
            manifest,
            position: 0,
            current: None,
        })
    }

    /// The root of the object's manifest.
    #[must_use]
    pub fn manifest(&self) -> ManifestId {
        self.root
    }

    /// The object that is read.
    #[must_use]
    pub fn pointer(&self) -> Pointer {
        self.pointer
    }

    /// The bytes at `offset` up to the end of their chunk; empty at the end of the object and behind.
    ///
    /// # Errors
    /// A part of the store is damaged ([`StoreError::Damaged`]) or cannot be read.
    pub fn chunk_at(&mut self, offset: u64) -> Result<&[u8], StoreError> {
        let is_there = |current: &Current| current.range.contains(&offset);
        if !self.current.as_ref().is_some_and(is_there) {
            self.current = self.load(offset)?;
        }
        let Some(current) = &self.current else {
            return Ok(&[]);
        };
        let skipped = (offset - current.range.start) as usize;
        Ok(&current.part.bytes()[skipped..])
    }

    /// Calls `node` with each node of the manifest and `chunk` with each chunk in its place; the
    /// chunks are not read.
    ///
    /// # Errors
    /// Those of `chunk`; a part of the manifest cannot be read.
    pub(crate) fn walk(
        &mut self,
        node: &mut dyn FnMut(&ManifestId),
        chunk: &mut dyn FnMut(Span) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        node(&self.root);
        let mut offset = 0;
        while let Some(span) = self.span_at(offset, node)? {
            offset = span.start + u64::from(span.len);
            chunk(span)?;
        }
        Ok(())
    }

    /// The chunk that holds the byte at `offset`; calls `node` with each node that is loaded.
    fn span_at(
        &mut self,
        offset: u64,
        node: &mut dyn FnMut(&ManifestId),
    ) -> Result<Option<Span>, StoreError> {
        let inner = &self.store.inner;
        let found = self.manifest.find(offset, &mut |id| {
            node(id);
            inner.read_node(id)
        });
        found.map_err(|error| {
            let range = offset..self.pointer.size;
            name_damage(error, &self.pointer.oid, range)
        })
    }

    fn load(&mut self, offset: u64) -> Result<Option<Current>, StoreError> {
        let Some(span) = self.span_at(offset, &mut |_| {})? else {
            return Ok(None);
        };
        let range = span.start..span.start + u64::from(span.len);
        let (inner, id) = (&self.store.inner, span.chunk.as_bytes());
        let last = self.current.as_ref().map(|current| &current.part);
        let beside = last.and_then(|last| inner.read_beside(last, id, span.len));
        let part = match beside {
            Some(part) => Ok(part),
            None => inner.read_part(Kind::Chunks, id, Some(span.len)),
        };
        let part = part.map_err(|error| name_damage(error, &self.pointer.oid, range.clone()))?;
        Ok(Some(Current { range, part }))
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        lock(&self.store.inner.leases).close(&self.pointer.oid);
    }
}

impl io::Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let position = self.position;
        let bytes = self.chunk_at(position).map_err(StoreError::into_io)?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl io::Seek for ObjectReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(by) => (self.pointer.size, by),
            SeekFrom::Current(by) => (self.position, by),
        };
        let target = base.checked_add_signed(by).ok_or_else(|| {
            let reason = "expected an offset from the object's first byte on";
            io::Error::new(io::ErrorKind::InvalidInput, reason)
        })?;
        self.position = target;
        Ok(target)
    }
}

impl std::fmt::Debug for ObjectReader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ObjectReader")
            .field("pointer", &self.pointer)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Reads a node of a manifest.
    pub(crate) fn read_node(&self, id: &ManifestId) -> Result<Vec<u8>, StoreError> {
        let part = self.read_part(Kind::Nodes, id.as_bytes(), None)?;
        Ok(part.bytes().to_vec())
    }

    /// Reads a chunk or node from the first of its places where it is what its name says.
    ///
    /// # Errors
    /// There is no such place; the damage names the last that was tried.
    pub(crate) fn read_part(
        &self,
        kind: Kind,
        id: &[u8; 32],
        bytes: Option<u32>,
    ) -> Result<Part, StoreError> {
        let mut damage = Damage {
            reason: "it is in no pack that can be read".to_owned(),
            ..Damage::default()
        };
        // A collection may delete a pack between the look into the index and the look into the pack;
        // what was of use in it has moved before that.
        for _ in 0..3 {
            let places = self.places_to_read(kind, id)?;
            let mut was_moved = false;
            for place in places {
                match self.read_place(kind, id, bytes, &place) {
                    Ok(part) => return Ok(part),
                    Err(ReadFault::Moved) => {
                        was_moved = true;
                        damage.pack = Some(place.pack);
                        damage.reason = "its pack is not there".to_owned();
                    }
                    Err(ReadFault::Broken(reason)) => {
                        self.log
                            .mark_bad(place.pack, place.record..place.record + 1)?;
                        damage.pack = Some(place.pack);
                        damage.offset = Some(u64::from(place.record));
                        damage.reason = reason;
                    }
                }
            }
            if !was_moved {
                break;
            }
        }
        if damage.pack.is_none() {
            self.log.mark_lost()?;
        }
        damage.chunk = (kind == Kind::Chunks).then_some(ChunkId::from_bytes(*id));
        if kind == Kind::Nodes {
            damage.reason = format!(
                "manifest {}: {}",
                ManifestId::from_bytes(*id),
                damage.reason
            );
        }
        Err(StoreError::Damaged(Box::new(damage)))
    }

    /// Where a chunk or node lies; last the records that are marked as broken, of which a part may
    /// yet be good.
    fn places_to_read(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<Location>, StoreError> {
        let mut places = self.log.places(kind, id)?;
        if places.is_empty() || self.log.has_bad() {
            let rest = self.log.all_places(kind, id)?;
            let rest = rest.into_iter().filter(|place| !places.contains(place));
            let rest: Vec<Location> = rest.collect();
            places.extend(rest);
        }
        Ok(places)
    }

    /// Looks for a chunk behind the one that was read last: in its frame and in the next. Saves a look
    /// into the index where an object is read in the order in which it was stored.
    fn read_beside(&self, last: &Part, id: &[u8; 32], bytes: u32) -> Option<Part> {
        let is_it = |frame: &Frame, range: &Range<usize>| {
            range.len() == bytes as usize
                && ChunkId::of(&frame.plain[range.clone()]).as_bytes() == id
        };
        let (pack, record) = last.place;
        let (frame, place) = match last.frame.find(id, last.next) {
            Some(_) => (Arc::clone(&last.frame), last.place),
            None => {
                let next = u64::from(record) + last.frame.record_bytes;
                if next >= self.log.pack(pack)?.bytes {
                    return None;
                }
                let place = Location {
                    pack,
                    record: next as u32,
                    at: 0,
                    bytes,
                };
                if !self.holds(&place, id) {
                    return None;
                }
                let frame = self.read_frame(Kind::Chunks, &place).ok()?;
                (frame, (pack, place.record))
            }
        };
        let from = if place == last.place {
            last.next
        } else {
            FramePlace::default()
        };
        let (range, next) = frame.find(id, from)?;
        is_it(&frame, &range).then_some(Part {
            frame,
            range,
            place,
            next,
        })
    }

    /// Whether the table of a record says that a chunk is in it.
    fn holds(&self, place: &Location, id: &[u8; 32]) -> bool {
        if let Some(frame) = lock(&self.frames).get((place.pack, place.record)) {
            return frame.entries.iter().any(|entry| entry.id == *id);
        }
        let Ok(file) = self.log.file(place.pack) else {
            return false;
        };
        let head = read_head(place.pack, u64::from(place.record), &read_from(&*file));
        head.is_ok_and(|(head, entries)| {
            head.kind == Kind::Chunks && entries.iter().any(|entry| entry.id == *id)
        })
    }

    fn read_place(
        &self,
        kind: Kind,
        id: &[u8; 32],
        bytes: Option<u32>,
        place: &Location,
    ) -> Result<Part, ReadFault> {
        let frame = self.read_frame(kind, place)?;
        let range = place.at as usize..place.at as usize + place.bytes as usize;
        let found = frame.plain.get(range.clone());
        let is_it = |found: &[u8]| match kind {
            Kind::Nodes => ManifestId::of(found).as_bytes() == id,
            _ => ChunkId::of(found).as_bytes() == id,
        };
        if !found.is_some_and(is_it) {
            return Err(ReadFault::Broken("its bytes have another hash".to_owned()));
        }
        if let Some(bytes) = bytes.filter(|bytes| *bytes != place.bytes) {
            let found = place.bytes;
            let reason = format!("the manifest says {bytes} bytes, the chunk has {found}");
            return Err(ReadFault::Broken(reason));
        }
        Ok(Part {
            frame,
            range,
            place: (place.pack, place.record),
            next: FramePlace::default(),
        })
    }

    fn read_frame(&self, kind: Kind, place: &Location) -> Result<Arc<Frame>, ReadFault> {
        let at = (place.pack, place.record);
        if let Some(frame) = lock(&self.frames).get(at) {
            return Ok(frame);
        }
        let file = self
            .log
            .file(place.pack)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => ReadFault::Moved,
                _ => ReadFault::Broken(format!("cannot be opened: {error}")),
            })?;
        let read = read_from(&*file);
        let offset = u64::from(place.record);
        let open = || {
            let (head, entries) = read_head(place.pack, offset, &read)?;
            if head.kind != kind {
                return Err(format!(
                    "expected a record of {kind:?}, found {:?}",
                    head.kind
                ));
            }
            let stored = u64::from(head.stored);
            let body = read(offset + head.record_bytes() - stored, stored)?;
            Frame::open(&head, entries, body)
        };
        let frame = Arc::new(open().map_err(ReadFault::Broken)?);
        lock(&self.frames).put(at, &frame);
        Ok(frame)
    }
}

/// Reads so many bytes at an offset of a pack.
pub(crate) fn read_from(file: &dyn PackFile) -> impl Fn(u64, u64) -> Result<Vec<u8>, String> {
    move |offset, bytes| {
        let mut buffer = vec![0; bytes as usize];
        let read = file.read_at(&mut buffer, offset);
        read.map_err(|error| format!("cannot be read: {error}"))?;
        Ok(buffer)
    }
}

/// Why a place could not be read.
enum ReadFault {
    /// The pack is not there any more.
    Moved,
    /// It holds something else.
    Broken(String),
}

/// Says which object and which of its bytes a damage concerns.
fn name_damage(error: StoreError, oid: &Digest, range: Range<u64>) -> StoreError {
    let mut damage = match error {
        StoreError::Damaged(damage) => *damage,
        // Nodes have the names that they should have, and yet are none that make a manifest.
        StoreError::Invalid(reason) => Damage {
            reason: reason.to_string(),
            ..Damage::default()
        },
        other => return other,
    };
    damage.object = Some(*oid);
    damage.range = Some(range);
    StoreError::Damaged(Box::new(damage))
}
