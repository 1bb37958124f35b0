//! The store: one directory of packs with an index over them.
//!
//! **Invariants**: one process has a store open at a time; an object that is found was durable, with
//! everything that it is made of, before it was named; what is read was hashed and is what its name
//! says.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;

use crate::compress::{Compressors, Profile};
use crate::disk::{Disk, Files};
use crate::error::StoreError;
use crate::frame::FrameCache;
use crate::index::Index;
use crate::index::key::{Key, ObjectKey, prefix};
use crate::ingest::Ingest;
use crate::lease::Leases;
use crate::log::{Change, Log, PACK_BYTES};
use crate::read::ObjectReader;
use crate::record::{Kind, ObjectRecord};
use crate::recover;
use crate::verify::VerifyReport;

/// How many bytes of frames that were read are kept.
const FRAME_CACHE_BYTES: usize = 16 << 20;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most memory that the index takes, in MiB; less than 8 counts as 8.
    pub index_mib_max: u32,
    /// How objects are stored for which nothing else is said.
    pub profile: Profile,
    /// Whether nothing may be changed; then the store must exist.
    pub read_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            index_mib_max: 64,
            profile: Profile::default(),
            read_only: false,
        }
    }
}

/// How far a long work is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// How many bytes of this step are done.
    pub done_bytes: u64,
    /// How many bytes this step has.
    pub total_bytes: u64,
    /// What is being done.
    pub step: &'static str,
}

/// An open chunk store; clones are the same store.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) log: Log,
    pub(crate) options: Options,
    pub(crate) leases: Mutex<Leases>,
    pub(crate) frames: Mutex<FrameCache>,
    pub(crate) compressors: Compressors,
    /// Held by a garbage collection.
    pub(crate) gc: Mutex<()>,
    /// The last to go: what it guards is closed by then.
    _lock: Option<File>,
}

/// Takes a lock of the store.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds a lock of the store")
}

impl Store {
    /// Opens the store in `dir`, and makes it if it is not there. What a crash left is put in order.
    ///
    /// # Errors
    /// Another process has it open ([`StoreError::Locked`]); it is of another version; its files
    /// cannot be read or written.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, StoreError> {
        let held = take_lock(dir, options)?;
        recover::check_format(dir, !options.read_only)?;
        let packs = packs_dir(dir);
        let files = Files::open(&packs, !options.read_only);
        let files = files.map_err(|error| StoreError::io(&packs, error))?;
        Self::open_on(
            Arc::new(files),
            &index_dir(dir),
            options,
            PACK_BYTES,
            Some(held),
        )
    }

    /// Opens a store whose packs are on `disk`.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        index: &Path,
        options: &Options,
        pack_bytes: u64,
        held: Option<File>,
    ) -> Result<Self, StoreError> {
        let index = Index::open(index, options.index_mib_max, options.read_only)?;
        let start = if options.read_only {
            recover::read_start(&*disk, &index)?
        } else {
            recover::recover(&disk, &index)?
        };
        let generation = match index.keys(&[prefix::GENERATION])?.last() {
            Some(Key::Generation(number)) => *number,
            _ => 0,
        };
        let (named, is_new) = (start.named.clone(), start.is_new);
        let inner = Inner {
            log: Log::new(disk, index, pack_bytes, start),
            options: options.clone(),
            leases: Mutex::new(Leases::new(generation)),
            frames: Mutex::new(FrameCache::new(FRAME_CACHE_BYTES)),
            compressors: Compressors::new(),
            gc: Mutex::new(()),
            _lock: held,
        };
        let store = Self {
            inner: Arc::new(inner),
        };
        store.forget_parts(&named)?;
        if is_new {
            // A pack that is gone left nothing in an index that was made of the others.
            store.verify_objects(&mut VerifyReport::default(), &mut |_| {})?;
        }
        Ok(store)
    }

    /// Takes the names of objects away of which a part is gone: a name that was never acknowledged
    /// kept nothing from being collected.
    fn forget_parts(&self, named: &BTreeSet<Digest>) -> Result<(), StoreError> {
        let mut parts = Vec::new();
        for oid in named {
            if !self.has_every_part(oid)? {
                tracing::info!(%oid, "an object that was never acknowledged is not whole");
                parts.push(Change::Forget(*oid));
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        self.inner.log.commit(&parts, &BTreeSet::new())
    }

    /// Whether the index knows of every part of an object.
    fn has_every_part(&self, oid: &Digest) -> Result<bool, StoreError> {
        let mut is_whole = true;
        let walked = ObjectReader::open(self, oid).and_then(|mut reader| {
            reader.walk(&mut |_| {}, &mut |span| {
                let id = span.chunk.as_bytes();
                is_whole &= !self.inner.log.all_places(Kind::Chunks, id)?.is_empty();
                Ok(())
            })
        });
        match walked {
            Ok(()) => Ok(is_whole),
            Err(StoreError::Damaged(_) | StoreError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins to take an object that arrives at this time. What is written is cut, hashed and stored
    /// as it comes; dropping the ingest abandons it.
    ///
    /// # Errors
    /// The store is open for reading alone; the system has no memory.
    pub fn ingest(&self, arrived_unix_seconds: i64) -> Result<Ingest, StoreError> {
        self.ingest_with(self.inner.options.profile, arrived_unix_seconds)
    }

    /// [`Store::ingest`] with a profile of its own.
    ///
    /// # Errors
    /// Those of [`Store::ingest`].
    pub fn ingest_with(
        &self,
        profile: Profile,
        arrived_unix_seconds: i64,
    ) -> Result<Ingest, StoreError> {
        self.check_writable("take an object")?;
        Ingest::new(self, profile, arrived_unix_seconds)
    }

    /// The object's name and size, if the store has it; nothing of it is read.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn find(&self, oid: &Digest) -> Result<Option<Pointer>, StoreError> {
        Ok(self.inner.log.object(oid)?.map(|object| pointer(&object)))
    }

    /// Whether the store has this object.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn contains(&self, pointer: &Pointer) -> Result<bool, StoreError> {
        Ok(self.find(&pointer.oid)? == Some(*pointer))
    }

    /// Opens an object for reading.
    ///
    /// # Errors
    /// The object is not there ([`StoreError::Missing`]); its manifest cannot be read
    /// ([`StoreError::Damaged`]).
    pub fn read(&self, oid: &Digest) -> Result<ObjectReader, StoreError> {
        ObjectReader::open(self, oid)
    }

    /// All objects, by name.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn objects(&self) -> Result<Vec<Pointer>, StoreError> {
        let objects = self.object_keys()?;
        Ok(objects.iter().map(pointer).collect())
    }

    /// The objects that came at this time or later, by name.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn staged_since(&self, unix_seconds: i64) -> Result<Vec<Pointer>, StoreError> {
        let mut objects = self.object_keys()?;
        objects.retain(|object| object.came_unix_seconds >= unix_seconds);
        Ok(objects.iter().map(pointer).collect())
    }

    /// Whether this process has other handles of the store: clones, readers or objects that come.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }

    /// When an object came last, as its ingest or [`Store::touch`] said.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn came_unix_seconds(&self, oid: &Digest) -> Result<Option<i64>, StoreError> {
        let object = self.inner.log.object(oid)?;
        Ok(object.map(|object| object.came_unix_seconds))
    }

    /// Lets an object count as having come at this time, as when it is sent again.
    ///
    /// # Errors
    /// The object is not there; the disk fails or is full.
    pub fn touch(&self, oid: &Digest, unix_seconds: i64) -> Result<(), StoreError> {
        self.check_writable("touch an object")?;
        let log = &self.inner.log;
        let touched = log.commit_if(&mut || {
            let object = log.object(oid)?;
            let object = object.ok_or(StoreError::Missing { oid: *oid })?;
            if object.came_unix_seconds == unix_seconds {
                return Ok(Vec::new());
            }
            Ok(vec![Change::Name(ObjectRecord {
                oid: object.oid,
                size: object.size,
                manifest: object.manifest,
                came_unix_seconds: unix_seconds,
            })])
        });
        touched.map(drop)
    }

    /// What the index says of every object, by name; the latest of each.
    pub(crate) fn object_keys(&self) -> Result<Vec<ObjectKey>, StoreError> {
        let mut objects: Vec<ObjectKey> = Vec::new();
        self.inner.log.index.scan(&[prefix::OBJECT], &mut |key| {
            if let Key::Object(object) = key {
                match objects.last_mut() {
                    Some(last) if last.oid == object.oid => {
                        *last = std::cmp::max_by_key(*last, object, |key| key.place);
                    }
                    _ => objects.push(object),
                }
            }
            Ok(true)
        })?;
        Ok(objects)
    }

    pub(crate) fn check_writable(&self, what: &'static str) -> Result<(), StoreError> {
        if self.inner.options.read_only {
            return Err(StoreError::ReadOnly { what });
        }
        Ok(())
    }

    /// Gives leases on packs back.
    pub(crate) fn give_back(&self, packs: &BTreeSet<u32>) {
        lock(&self.inner.leases).give_back(packs);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let options = &self.inner.options;
        out.debug_struct("Store")
            .field("options", options)
            .finish_non_exhaustive()
    }
}

pub(crate) fn packs_dir(dir: &Path) -> PathBuf {
    dir.join("packs")
}

pub(crate) fn index_dir(dir: &Path) -> PathBuf {
    dir.join("index")
}

fn pointer(object: &ObjectKey) -> Pointer {
    Pointer {
        oid: object.oid,
        size: object.size,
    }
}

/// Takes the lock by which one process at a time has the store open; readers may share it.
pub(crate) fn take_lock(dir: &Path, options: &Options) -> Result<File, StoreError> {
    if !options.read_only {
        std::fs::create_dir_all(dir).map_err(|error| StoreError::io(dir, error))?;
    }
    let path = dir.join("lock");
    let failed = |error| StoreError::io(&path, error);
    let mut open = OpenOptions::new();
    let mut file = if options.read_only {
        open.read(true).open(&path)
    } else {
        open.read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
    }
    .map_err(failed)?;
    let taken = if options.read_only {
        file.try_lock_shared()
    } else {
        file.try_lock()
    };
    match taken {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(failed)?;
            return Err(StoreError::Locked {
                dir: dir.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    if !options.read_only {
        let mut write = || {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write().map_err(failed)?;
    }
    Ok(file)
}
