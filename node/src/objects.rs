//! The node's large objects: the chunk store of `chunks/`, opened when the first one is needed.
//!
//! Objects come before the proposal that names them, from whoever reaches the node. Until then they
//! are *staged*: bounded together ([`staging`]) and collected after a day ([`keep`]). A proposal is
//! taken only when everything that it points to is here ([`check`]). What `main` names lies beside the
//! store as plain files, too, for clones by path ([`copies`]).
//!
//! **Invariants**: nothing is opened or made before an object is read or written; what a proposal
//! names is in the store, whole, before the proposal is taken; uploads leave room on the disk for
//! what the node must write.

mod check;
mod copies;
mod keep;
mod pins;
mod staging;
mod upload;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gdo_chunkstore::{Options, Profile, Progress, ReindexReport, Store};
use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use gdo_ledger::Ledger;

use crate::clock::wall_seconds;
use crate::config::{self, Config};
use crate::dir::NodeDir;
use crate::error::ObjectsError;
use copies::Copies;
use pins::Pins;
use staging::Staging;

pub use keep::Collected;
pub use staging::Room;
pub use upload::Upload;

/// How long what no proposal names may be named, in seconds.
pub const STAGED_SECONDS_MAX: i64 = 24 * 3600;
/// An object that came within so many seconds is not noted anew when it is asked for: each note is a
/// write that is synced.
const NEW_SECONDS_MAX: i64 = 3600;
/// How long an object that no proposal names stays at most, in seconds, until a collection takes it.
pub const KEPT_SECONDS_MAX: i64 = STAGED_SECONDS_MAX + NEW_SECONDS_MAX;

/// Is told what is being done, how many bytes of it are, and how many there are.
pub type Tell<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// The large objects of a node; cheap to clone.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    options: Options,
    ledger: Arc<Ledger>,
    store: Mutex<Option<Open>>,
    staging: Mutex<Staging>,
    pins: Pins,
    copies: Copies,
}

/// The store while it is open.
struct Open {
    store: Store,
    used: Instant,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects")
            .field("dir", &self.0.dir)
            .finish_non_exhaustive()
    }
}

impl Objects {
    /// Names the store of a node; nothing is opened yet.
    #[must_use]
    pub fn new(dir: &NodeDir, config: &Config, ledger: Arc<Ledger>) -> Self {
        let options = Options {
            index_mib_max: config.chunks.index_mib_max,
            profile: match config.chunks.profile {
                config::Profile::Fast => Profile::Fast,
                config::Profile::Standard => Profile::Standard,
                config::Profile::Archive => Profile::Archive,
            },
            ..Options::default()
        };
        Self(Arc::new(Inner {
            dir: dir.chunks(),
            options,
            ledger,
            store: Mutex::new(None),
            staging: Mutex::new(Staging::new(config.staging_bytes_max)),
            pins: Pins::new(dir.pins()),
            copies: Copies::new(config.chunks.plain_bytes_max),
        }))
    }

    /// The store, made if there is none yet.
    ///
    /// # Errors
    /// It cannot be opened, or another process holds it.
    pub fn store(&self) -> Result<Store, ObjectsError> {
        let mut held = self.0.store.lock().unwrap_or_else(PoisonError::into_inner);
        let used = Instant::now();
        if let Some(open) = &mut *held {
            open.used = used;
            return Ok(open.store.clone());
        }
        let store = Store::open(&self.0.dir, &self.0.options)?;
        tracing::info!(dir = %self.0.dir.display(), "the chunk store is open");
        *held = Some(Open {
            store: store.clone(),
            used,
        });
        Ok(store)
    }

    /// Closes the store if nobody has used it for `idle`: what is not used holds no memory.
    pub fn cool(&self, idle: Duration) {
        let mut held = self.0.store.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else can come by a handle while this one is held.
        let is_idle = |open: &Open| open.used.elapsed() >= idle && !open.store.is_shared();
        if held.as_ref().is_some_and(is_idle) {
            *held = None;
            tracing::info!("the chunk store is closed until it is needed");
        }
    }

    /// The store, if this node ever had an object.
    ///
    /// # Errors
    /// As [`Objects::store`].
    pub fn existing(&self) -> Result<Option<Store>, ObjectsError> {
        if self.0.dir.is_dir() {
            self.store().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Makes the index of the store anew from its packs; no process may have it open. `None` where
    /// this node never had an object.
    ///
    /// # Errors
    /// Another process has it open, or it cannot be read or written.
    pub fn reindex(
        &self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<ReindexReport>, ObjectsError> {
        if !self.0.dir.is_dir() {
            return Ok(None);
        }
        let report = Store::reindex(&self.0.dir, &self.0.options, progress)?;
        Ok(Some(report))
    }

    /// What is known of an object, if it is here whole; nothing of it is read.
    ///
    /// # Errors
    /// The store cannot be opened or asked.
    pub fn find(&self, oid: &Digest) -> Result<Option<Pointer>, ObjectsError> {
        match self.existing()? {
            Some(store) => Ok(store.find(oid)?),
            None => Ok(None),
        }
    }

    /// As [`Objects::find`], and keeps it for another day: whoever asks is about to name it. One of which
    /// something is known to be broken counts as missing, so that it comes again.
    ///
    /// # Errors
    /// As [`Objects::find`].
    pub fn find_and_touch(&self, oid: &Digest) -> Result<Option<Pointer>, ObjectsError> {
        let Some(store) = self.existing()? else {
            return Ok(None);
        };
        if !store.is_sound(oid)? {
            return Ok(None);
        }
        let now = wall_seconds();
        if store
            .came_unix_seconds(oid)?
            .is_some_and(|came| now - came > NEW_SECONDS_MAX)
        {
            store.touch(oid, now)?;
        }
        Ok(store.find(oid)?)
    }

    /// Begins to take an object of `bytes` bytes, as far as is known, within the bound of staging.
    ///
    /// # Errors
    /// [`ObjectsError::TooLarge`] and [`ObjectsError::StagingFull`] where there is no room for it, and
    /// what fails in the store.
    pub fn upload(&self, bytes: u64) -> Result<Upload, ObjectsError> {
        Upload::begin(self, Some(bytes))
    }

    /// Begins to take an object that the operator of the node brings: staging does not bound it.
    ///
    /// # Errors
    /// The disk is full, or the store fails.
    pub fn upload_of_operator(&self) -> Result<Upload, ObjectsError> {
        Upload::begin(self, None)
    }

    /// The room for uploads at this moment.
    ///
    /// # Errors
    /// The disk is full, or what is staged cannot be counted.
    pub fn room(&self) -> Result<Room, ObjectsError> {
        upload::check_disk(self)?;
        Ok(self.staging()?.room())
    }

    /// Where the ledger of these objects is.
    fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// The directory of the store.
    fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// What is staged, counted when it is first asked for: all objects that no ref of the ledger
    /// points to and no pin names.
    fn staging(&self) -> Result<MutexGuard<'_, Staging>, ObjectsError> {
        let mut staging = self.staging_as_it_is();
        if !staging.is_counted() {
            let mut unnamed = Vec::new();
            if let Some(store) = self.existing()? {
                let kept = self.roots()?;
                unnamed = store.objects()?;
                unnamed.retain(|object| !kept.contains(&object.oid));
            }
            staging.count(&unnamed);
        }
        Ok(staging)
    }

    fn staging_as_it_is(&self) -> MutexGuard<'_, Staging> {
        let staging = &self.0.staging;
        staging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
