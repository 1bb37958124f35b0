//! Frames: chunks that are compressed together.
//!
//! Small chunks compress badly alone, so those that come one after the other are gathered into a
//! frame and compressed as one. A frame is where chunks lie and never what they are: the same chunk
//! may lie in another frame tomorrow.
//!
//! **Invariants**: decompression writes only into a buffer of the size that the record declares and
//! the format bounds; what compression gains less than 3 % on is stored as it is.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use zstd::bulk::Decompressor;

use crate::compress::{Compressors, Profile};
use crate::cut::CHUNK_BYTES_MAX;
use crate::record::{Codec, ENTRY_BYTES, Entry, FRAME_CHUNKS_MAX, Head, Kind, Record};

/// So many frames are kept at most, since they are looked through one by one.
const FRAMES_KEPT_MAX: usize = 128;

/// Gathers chunks and makes records of them.
pub(crate) struct FrameBuilder {
    kind: Kind,
    profile: Profile,
    plain: Vec<u8>,
    entries: Vec<Entry>,
    ids: HashSet<[u8; 32]>,
}

impl FrameBuilder {
    /// A builder with nothing in it.
    pub(crate) fn new(kind: Kind, profile: Profile) -> Self {
        Self {
            kind,
            profile,
            plain: Vec::new(),
            entries: Vec::new(),
            ids: HashSet::new(),
        }
    }

    /// Whether the chunk waits in the frame already.
    pub(crate) fn contains(&self, id: &[u8; 32]) -> bool {
        self.ids.contains(id)
    }

    /// Whether the frame must be taken before a chunk of `bytes` fits.
    pub(crate) fn is_full_for(&self, bytes: usize) -> bool {
        !self.plain.is_empty()
            && (self.plain.len() + bytes > self.profile.frame_bytes()
                || self.entries.len() == FRAME_CHUNKS_MAX as usize)
    }

    /// Adds a chunk, for which there is room.
    pub(crate) fn push(&mut self, id: [u8; 32], chunk: &[u8]) {
        debug_assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES_MAX as usize);
        self.plain.extend_from_slice(chunk);
        self.entries.push(Entry {
            id,
            bytes: chunk.len() as u32,
        });
        self.ids.insert(id);
    }

    /// Takes what was gathered as a record; `None` if that is nothing.
    ///
    /// # Errors
    /// The compressor has no memory.
    pub(crate) fn take(&mut self, compressors: &Compressors) -> io::Result<Option<Record>> {
        if self.entries.is_empty() {
            return Ok(None);
        }
        self.ids.clear();
        let entries = std::mem::take(&mut self.entries);
        let plain = self.plain.len();
        let packed = compressors.compress(self.profile, &self.plain)?;
        let gains = packed.len() < plain - plain / 33;
        let (codec, body) = if gains {
            (Codec::Zstd, packed)
        } else {
            (Codec::Raw, self.plain.clone())
        };
        self.plain.clear();
        Ok(Some(Record {
            kind: self.kind,
            codec,
            entries,
            plain: plain as u32,
            body,
        }))
    }
}

/// A frame that was read: its table and its plain bytes.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) entries: Vec<Entry>,
    pub(crate) plain: Vec<u8>,
    /// How many bytes its record takes in the pack.
    pub(crate) record_bytes: u64,
}

/// A place in a frame: how many entries, and how many of its bytes, are before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FramePlace {
    entry: usize,
    at: usize,
}

impl Frame {
    /// Decompresses the body of a record.
    ///
    /// # Errors
    /// It does not decompress to the declared length.
    pub(crate) fn open(head: &Head, entries: Vec<Entry>, body: Vec<u8>) -> Result<Self, String> {
        let plain = match head.codec {
            Codec::Raw => body,
            Codec::Zstd => decompress(&body, head.plain as usize)?,
        };
        Ok(Self {
            entries,
            plain,
            record_bytes: head.record_bytes(),
        })
    }

    /// Where the chunk of this name is, looked for from a place on to the end and then from the
    /// beginning; and the place behind it.
    pub(crate) fn find(
        &self,
        id: &[u8; 32],
        from: FramePlace,
    ) -> Option<(Range<usize>, FramePlace)> {
        let look = |from: FramePlace| {
            let mut at = from.at;
            for (number, entry) in self.entries.iter().enumerate().skip(from.entry) {
                let start = at;
                at += entry.bytes as usize;
                if entry.id == *id {
                    let entry = number + 1;
                    return Some((start..at, FramePlace { entry, at }));
                }
            }
            None
        };
        look(from).or_else(|| look(FramePlace::default()))
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.plain.len() + self.entries.len() * ENTRY_BYTES
    }
}

fn decompress(body: &[u8], plain: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(plain);
    let failed = |error: io::Error| format!("expected a zstd frame of {plain} bytes: {error}");
    Decompressor::new()
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(body, &mut out))
        .map_err(failed)?;
    if out.len() == plain {
        return Ok(out);
    }
    Err(format!(
        "expected a zstd frame of {plain} bytes, found {}",
        out.len()
    ))
}

/// The frames that were read last, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct FrameCache {
    bytes_max: usize,
    bytes: usize,
    /// The latest at the end.
    frames: Vec<((u32, u32), Arc<Frame>)>,
}

impl FrameCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            frames: Vec::new(),
        }
    }

    /// The frame of (pack, offset), which counts as used now.
    pub(crate) fn get(&mut self, at: (u32, u32)) -> Option<Arc<Frame>> {
        let place = self.frames.iter().rposition(|(key, _)| *key == at)?;
        let found = self.frames.remove(place);
        let frame = Arc::clone(&found.1);
        self.frames.push(found);
        Some(frame)
    }

    /// Keeps a frame and lets the ones go that were not used for longest.
    pub(crate) fn put(&mut self, at: (u32, u32), frame: &Arc<Frame>) {
        self.forget(|key| key == at);
        self.bytes += frame.bytes();
        self.frames.push((at, Arc::clone(frame)));
        let mut over = 0;
        let count_over = self.frames.len().saturating_sub(FRAMES_KEPT_MAX);
        while over < count_over || (self.bytes > self.bytes_max && over + 1 < self.frames.len()) {
            self.bytes -= self.frames[over].1.bytes();
            over += 1;
        }
        self.frames.drain(..over);
    }

    /// Lets the frames go that `which` picks.
    pub(crate) fn forget(&mut self, which: impl Fn((u32, u32)) -> bool) {
        self.frames.retain(|(key, _)| !which(*key));
        self.bytes = self.frames.iter().map(|(_, frame)| frame.bytes()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Arc<Frame> {
        Arc::new(Frame {
            entries: Vec::new(),
            plain: vec![0; bytes],
            record_bytes: 0,
        })
    }

    #[test]
    fn frames_that_were_not_used_for_longest_go_first() {
        let mut cache = FrameCache::new(100);
        for pack in 0..3 {
            cache.put((pack, 0), &frame(40));
            assert!(cache.get((0, 0)).is_some(), "it is used all the time");
        }
        assert!(cache.get((1, 0)).is_none() && cache.get((2, 0)).is_some());
        cache.put((9, 0), &frame(1000));
        assert_eq!(cache.frames.len(), 1, "one that is too large is kept alone");
        for record in 0..1000 {
            cache.put((10, record), &frame(0));
        }
        assert_eq!(cache.frames.len(), FRAMES_KEPT_MAX);
        cache.forget(|(pack, _)| pack == 10);
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn what_does_not_compress_is_stored_as_it_is() {
        let mut builder = FrameBuilder::new(Kind::Chunks, Profile::Standard);
        let compressors = Compressors::new();
        assert!(builder.take(&compressors).expect("nothing to do").is_none());
        let noise = crate::tests::noise(1, 50_000);
        builder.push([1; 32], &noise);
        assert!(builder.contains(&[1; 32]) && builder.is_full_for(256 << 10));
        let record = builder
            .take(&compressors)
            .expect("memory")
            .expect("a chunk waits");
        assert_eq!((record.codec, record.body), (Codec::Raw, noise));
        assert!(!builder.contains(&[1; 32]));
        builder.push([2; 32], &[7; 50_000]);
        let record = builder
            .take(&compressors)
            .expect("memory")
            .expect("a chunk waits");
        assert_eq!(record.codec, Codec::Zstd);
        assert!(record.body.len() < 100);
    }
}
