//! Objects in and out of the repository: bounded reads, durable writes, ids.
//!
//! Reads go through gix, first in a quarantine if one is given, then in the repository; a quarantine
//! is never written. Writes make loose objects. gix does not sync them, so every object that this
//! process wrote is remembered until [`Ledger::flush`] has put it and its directory on the disk;
//! a ref transaction flushes first. What a killed process wrote, its successor syncs at its start.
//!
//! **Invariants**: no ref names an object that is not on the disk; no object larger than its cap is
//! ever decompressed; replacement refs are not followed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gdo_core::commit::{Commit, SignedText};
use gdo_core::id::ObjectId;
use gix::objs::{Exists as _, Find as _, FindHeader as _, Kind, Write as _};

use crate::error::LedgerError;
use crate::ids::{from_gix, to_gix};
use crate::repository::{Ledger, ObjectFormat};
use crate::sync;

/// The largest commit that is read: a message of 16 KiB, 66 parents, a signature and ample room.
pub const COMMIT_BYTES_MAX: u64 = 64 << 10;
/// The largest tree that is read: over 100,000 entries in one directory.
pub const TREE_BYTES_MAX: u64 = 16 << 20;

/// Reads the objects of a ledger, and those of a quarantine in front of it.
///
/// Not to be shared between threads; making one is cheap.
pub(crate) struct Objects {
    main: gix::odb::Handle,
    quarantine: Option<gix::odb::Handle>,
    format: ObjectFormat,
    rehash: bool,
}

impl Objects {
    /// A reader of `ledger`, with the object directory `quarantine` in front.
    pub(crate) fn new(ledger: &Ledger, quarantine: Option<&Path>) -> Result<Self, LedgerError> {
        let open = |dir: &Path| {
            gix::odb::at(dir, ledger.format().to_gix()).map_err(LedgerError::io("open", dir))
        };
        Ok(Self {
            main: ledger.handle(),
            quarantine: quarantine.map(open).transpose()?,
            format: ledger.format(),
            rehash: false,
        })
    }

    /// Hashes everything that is read, and refuses what does not have its id.
    pub(crate) fn rehashing(mut self) -> Self {
        self.rehash = true;
        self
    }

    /// The hash of the ledger.
    pub(crate) fn format(&self) -> ObjectFormat {
        self.format
    }

    fn stores(&self) -> impl Iterator<Item = &gix::odb::Handle> {
        self.quarantine.iter().chain([&self.main])
    }

    fn check_hash(&self, id: &ObjectId) -> Result<(), LedgerError> {
        let expected = self.format.id_bytes();
        if id.as_bytes().len() == expected {
            return Ok(());
        }
        Err(LedgerError::WrongHash {
            id: *id,
            got: id.as_bytes().len() * 2,
            expected: expected * 2,
            format: self.format.as_str(),
        })
    }

    /// The kind and size of an object, and the store that has it.
    fn header(&self, id: &ObjectId) -> Result<(Kind, u64, &gix::odb::Handle), LedgerError> {
        self.check_hash(id)?;
        for store in self.stores() {
            let found = store.try_header(&to_gix(id));
            if let Some(header) = found.map_err(|error| unreadable(id, &error))? {
                return Ok((header.kind, header.size, store));
            }
        }
        Err(LedgerError::Missing { id: *id })
    }

    /// Whether an object is there.
    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.stores().any(|store| store.exists(&to_gix(id)))
    }

    /// The size of a blob.
    pub(crate) fn blob_bytes(&self, id: &ObjectId) -> Result<u64, LedgerError> {
        let (kind, bytes, _) = self.header(id)?;
        expect_kind(id, Kind::Blob, kind)?;
        Ok(bytes)
    }

    /// Reads a blob of at most `max` bytes.
    pub(crate) fn blob(&self, id: &ObjectId, max: u64) -> Result<Vec<u8>, LedgerError> {
        self.read(id, Kind::Blob, max)
    }

    /// Reads the raw bytes of a tree.
    pub(crate) fn tree(&self, id: &ObjectId) -> Result<Vec<u8>, LedgerError> {
        self.read(id, Kind::Tree, TREE_BYTES_MAX)
    }

    /// Reads the raw bytes of a commit.
    pub(crate) fn commit(&self, id: &ObjectId) -> Result<Vec<u8>, LedgerError> {
        self.read(id, Kind::Commit, COMMIT_BYTES_MAX)
    }

    /// Reads a commit of any form: what every commit says, and the signature apart from it.
    pub(crate) fn parsed(&self, id: &ObjectId) -> Result<(SignedText, Commit), LedgerError> {
        let wrong = |source| LedgerError::Commit { id: *id, source };
        let text = SignedText::split(&self.commit(id)?).map_err(wrong)?;
        let commit = text.parse().map_err(wrong)?;
        Ok((text, commit))
    }

    fn read(&self, id: &ObjectId, expected: Kind, max: u64) -> Result<Vec<u8>, LedgerError> {
        let (kind, bytes, store) = self.header(id)?;
        expect_kind(id, expected, kind)?;
        if bytes > max {
            let id = *id;
            return Err(LedgerError::TooLarge { id, bytes, max });
        }
        let mut buffer = Vec::new();
        let found = store.try_find(&to_gix(id), &mut buffer);
        let found = found.map_err(|error| unreadable(id, &error))?;
        let data = found.ok_or(LedgerError::Missing { id: *id })?;
        if self.rehash {
            let hash = gix::objs::compute_hash(self.format.to_gix(), expected, data.data);
            if !hash.is_ok_and(|hash| from_gix(&hash) == *id) {
                return Err(unreadable(id, &"its content does not have this id"));
            }
        }
        Ok(data.data.to_vec())
    }
}

fn unreadable(id: &ObjectId, error: &dyn std::fmt::Display) -> LedgerError {
    LedgerError::Store {
        action: format!("read object {id}"),
        reason: error.to_string(),
    }
}

fn expect_kind(id: &ObjectId, expected: Kind, got: Kind) -> Result<(), LedgerError> {
    if expected == got {
        return Ok(());
    }
    Err(LedgerError::Kind {
        id: *id,
        expected: match expected {
            Kind::Blob => "blob",
            Kind::Tree => "tree",
            Kind::Commit => "commit",
            Kind::Tag => "tag",
        },
        got: got.to_string(),
    })
}

impl Ledger {
    /// A reader of this ledger's own objects.
    pub(crate) fn objects(&self) -> Objects {
        Objects {
            main: self.handle(),
            quarantine: None,
            format: self.format(),
            rehash: false,
        }
    }

    /// Whether the repository has an object.
    #[must_use]
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.objects().contains(id)
    }

    /// Reads a blob of at most `max` bytes.
    ///
    /// # Errors
    /// It is missing, no blob, or larger.
    pub fn read_blob(&self, id: &ObjectId, max: u64) -> Result<Vec<u8>, LedgerError> {
        self.objects().blob(id, max)
    }

    /// The size of a blob in bytes, without reading it.
    ///
    /// # Errors
    /// It is missing or no blob.
    pub fn blob_bytes(&self, id: &ObjectId) -> Result<u64, LedgerError> {
        self.objects().blob_bytes(id)
    }

    /// Reads the raw bytes of a commit.
    ///
    /// # Errors
    /// It is missing, no commit, or larger than [`COMMIT_BYTES_MAX`].
    pub fn read_commit_raw(&self, id: &ObjectId) -> Result<Vec<u8>, LedgerError> {
        self.objects().commit(id)
    }

    /// Reads a commit; headers that not every commit has are passed over.
    ///
    /// # Errors
    /// As [`Ledger::read_commit_raw`], and a commit that is no text.
    pub fn read_commit(&self, id: &ObjectId) -> Result<Commit, LedgerError> {
        Ok(self.objects().parsed(id)?.1)
    }

    /// Writes a blob.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write_blob(&self, data: &[u8]) -> Result<ObjectId, LedgerError> {
        self.write(Kind::Blob, data)
    }

    /// Writes a commit from its raw bytes, signature included.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write_commit(&self, raw: &[u8]) -> Result<ObjectId, LedgerError> {
        self.write(Kind::Commit, raw)
    }

    /// The id that a commit of these raw bytes has, without writing it.
    #[must_use]
    pub fn commit_id(&self, raw: &[u8]) -> ObjectId {
        self.hash(Kind::Commit, raw)
    }

    /// The id that a blob of these bytes has, without writing it.
    #[must_use]
    pub fn blob_id(&self, data: &[u8]) -> ObjectId {
        self.hash(Kind::Blob, data)
    }

    /// Writes a tree from its raw bytes.
    pub(crate) fn write_tree(&self, raw: &[u8]) -> Result<ObjectId, LedgerError> {
        self.write(Kind::Tree, raw)
    }

    fn hash(&self, kind: Kind, data: &[u8]) -> ObjectId {
        let id = gix::objs::compute_hash(self.format().to_gix(), kind, data);
        from_gix(&id.expect("our own bytes are no SHA-1 collision attack"))
    }

    fn write(&self, kind: Kind, data: &[u8]) -> Result<ObjectId, LedgerError> {
        let id = self.hash(kind, data);
        let handle = self.handle();
        if handle.exists_without_refresh(&to_gix(&id)) {
            self.freshen(&id)?;
            return Ok(id);
        }
        handle
            .write_buf_with_known_id(kind, data, to_gix(&id))
            .map_err(|error| LedgerError::Store {
                action: format!("write object {id}"),
                reason: error.to_string(),
            })?;
        self.unsynced().insert(id);
        Ok(id)
    }

    pub(crate) fn loose_path(&self, id: &ObjectId) -> PathBuf {
        let hex = id.to_string();
        self.dir().join("objects").join(&hex[..2]).join(&hex[2..])
    }

    /// Puts everything on the disk that this process wrote, with the names of it.
    ///
    /// # Errors
    /// The disk fails; then what was not synced stays to be synced.
    pub fn flush(&self) -> Result<(), LedgerError> {
        self.flush_with(Vec::new())
    }

    /// As [`Ledger::flush`], together with other files.
    pub(crate) fn flush_with(&self, mut paths: Vec<PathBuf>) -> Result<(), LedgerError> {
        let _alone = self.flushing();
        let ids = std::mem::take(&mut *self.unsynced());
        // A repack may have moved an object into a pack, which git syncs itself.
        let files: Vec<PathBuf> = ids.iter().map(|id| self.loose_path(id)).collect();
        let dirs: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        if !dirs.is_empty() {
            paths.push(self.dir().join("objects"));
        }
        paths.extend(dirs.into_iter().map(Path::to_path_buf));
        paths.extend(files);
        let result = sync::all(self.dir(), &paths);
        if result.is_err() {
            self.unsynced().extend(ids);
        }
        result
    }
}
