//! What bytes are called: chunks and manifests by BLAKE3, whole objects by SHA-256.
//!
//! Inside the store BLAKE3 is used, because it is several times as fast; outside an object is known
//! by the SHA-256 that git-lfs and OCI give it. The two kinds of BLAKE3 name are keyed apart, so that
//! no chunk of a hostile object can be read as a manifest. SHA-256 is the slowest step of taking an
//! object that is known already, so it runs beside the others on a thread of its own.
//!
//! **Invariants**: a [`ChunkId`] never equals a [`ManifestId`] of the same bytes; an [`ObjectHasher`]
//! holds a bounded number of bounded batches, however fast it is fed.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use gdo_core::id::Digest;
use sha2::Digest as _;

/// The key under which chunks are hashed.
const CHUNK_KEY: &[u8; 32] = b"gdo chunk store: chunk v1\0\0\0\0\0\0\0";
/// The key under which the nodes of manifests are hashed.
const MANIFEST_KEY: &[u8; 32] = b"gdo chunk store: manifest v1\0\0\0\0";

/// How many bytes go to the thread that computes SHA-256 at once.
const BATCH_BYTES: usize = 256 << 10;
/// How many batches may wait for it; with the one being filled and the one being hashed this is
/// all the memory that an [`ObjectHasher`] takes.
const BATCHES_WAITING: usize = 2;

/// The name of a chunk: the keyed BLAKE3 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId([u8; 32]);

/// The name of a manifest, or of one node of it: the keyed BLAKE3 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestId([u8; 32]);

impl ChunkId {
    /// Hashes the bytes of a chunk.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::keyed_hash(CHUNK_KEY, bytes).as_bytes())
    }

    /// Takes the 32 bytes of an id that was read from somewhere.
    #[must_use]
    pub fn from_bytes(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ManifestId {
    /// Hashes the bytes of a manifest's node.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::keyed_hash(MANIFEST_KEY, bytes).as_bytes())
    }

    /// Takes the 32 bytes of an id that was read from somewhere.
    #[must_use]
    pub fn from_bytes(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for ManifestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for ManifestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

fn write_hex(raw: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    raw.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Computes the SHA-256 of a whole object while other work goes on.
///
/// What fits in one batch is hashed where it is; only longer objects start a thread.
#[derive(Debug, Default)]
pub struct ObjectHasher {
    batch: Vec<u8>,
    bytes: u64,
    thread: Option<HasherThread>,
}

#[derive(Debug)]
struct HasherThread {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<Digest>,
}

impl ObjectHasher {
    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes it has taken.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes; waits when the thread is behind.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn update(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.batch.len() == BATCH_BYTES {
                self.send()?;
            }
            let taken = bytes.len().min(BATCH_BYTES - self.batch.len());
            self.batch.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// The digest of everything that was taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        let Some(thread) = self.thread else {
            return Digest::of(&self.batch);
        };
        let HasherThread {
            full,
            empty: _,
            handle,
        } = thread;
        full.send(self.batch)
            .expect("the thread takes batches until its channel is closed");
        drop(full);
        handle
            .join()
            .expect("the thread does nothing but hash and has nothing to panic about")
    }

    /// Hands the full batch over and takes an empty one.
    fn send(&mut self) -> io::Result<()> {
        let thread = match &self.thread {
            Some(thread) => thread,
            None => self.thread.insert(HasherThread::start()?),
        };
        let next = thread.empty.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, next);
        thread
            .full
            .send(batch)
            .expect("the thread takes batches until its channel is closed");
        Ok(())
    }
}

impl HasherThread {
    fn start() -> io::Result<Self> {
        let (full, batches) = sync_channel::<Vec<u8>>(BATCHES_WAITING);
        // One slot more than there are batches, so that giving one back never waits.
        let (give_back, empty) = sync_channel(BATCHES_WAITING + 2);
        let handle = std::thread::Builder::new()
            .name("gdo-sha256".into())
            .spawn(move || {
                let mut sha256 = sha2::Sha256::new();
                for mut batch in batches {
                    sha256.update(&batch);
                    batch.clear();
                    // The other side may be gone: then nobody needs the memory again.
                    let _ = give_back.try_send(batch);
                }
                Digest::from_bytes(sha256.finalize().into())
            })?;
        Ok(Self {
            full,
            empty,
            handle,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_manifests_of_the_same_bytes_have_different_names() {
        assert_ne!(
            ChunkId::of(b"abc").as_bytes(),
            ManifestId::of(b"abc").as_bytes()
        );
        assert_ne!(
            ChunkId::of(b"abc").as_bytes(),
            blake3::hash(b"abc").as_bytes()
        );
    }

    #[test]
    fn the_digest_is_the_same_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..5 * BATCH_BYTES + 77)
            .map(|i| ((i * i) >> 7) as u8)
            .collect();
        for part in [
            1 << 10,
            BATCH_BYTES - 1,
            BATCH_BYTES,
            BATCH_BYTES + 1,
            bytes.len(),
        ] {
            for len in [0, 1, BATCH_BYTES, BATCH_BYTES + 1, bytes.len()] {
                let mut hasher = ObjectHasher::new();
                for piece in bytes[..len].chunks(part) {
                    hasher.update(piece).expect("there are threads");
                }
                assert_eq!(hasher.bytes(), len as u64);
                assert_eq!(hasher.finish(), Digest::of(&bytes[..len]), "{part} {len}");
            }
        }
    }

    #[test]
    fn a_hasher_may_be_dropped_half_way() {
        let mut hasher = ObjectHasher::new();
        hasher
            .update(&vec![7; 4 * BATCH_BYTES])
            .expect("there are threads");
        drop(hasher);
    }
}
