//! Uploads that are open: between the requests of an upload, its object waits here half-written.
//!
//! **Invariants**: at most `SESSIONS_MAX` are open; one that rests too long is forgotten, and its
//! object with it; one request at a time writes to an upload.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::images::ImageName;
use crate::objects::Upload;

/// The most uploads that are open; each holds a few MiB of memory, and one client makes six.
const SESSIONS_MAX: usize = 8;

/// The open uploads, by their ids.
#[derive(Debug)]
pub(super) struct Sessions {
    idle_max: Duration,
    open: Mutex<BTreeMap<String, Session>>,
}

#[derive(Debug)]
struct Session {
    name: ImageName,
    /// `None` while a request writes to it.
    upload: Option<Upload>,
    taken: u64,
    used: Instant,
}

/// Why there is no upload to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// There is none of this id, or not any more.
    Unknown,
    /// Another request writes to it.
    InUse,
}

impl Sessions {
    pub(super) fn new(idle_max: Duration) -> Self {
        Self {
            idle_max,
            open: Mutex::new(BTreeMap::new()),
        }
    }

    /// How long an upload may rest.
    pub(super) fn idle_max(&self) -> Duration {
        self.idle_max
    }

    /// Opens a session for an upload; gives its id, unless there are too many.
    pub(super) fn open(&self, name: ImageName, upload: Upload) -> Option<String> {
        let mut open = self.swept();
        if open.len() >= SESSIONS_MAX {
            return None;
        }
        let mut raw = [0; 16];
        if let Err(error) = getrandom::fill(&mut raw) {
            tracing::error!(%error, "the system gives no random bytes");
            return None;
        }
        let id = hex::encode(raw);
        let session = Session {
            name,
            taken: upload.taken(),
            upload: Some(upload),
            used: Instant::now(),
        };
        open.insert(id.clone(), session);
        Some(id)
    }

    /// Whether no further session can be opened.
    pub(super) fn is_full(&self) -> bool {
        self.swept().len() >= SESSIONS_MAX
    }

    /// The bytes that an upload has taken.
    pub(super) fn taken(&self, name: &ImageName, id: &str) -> Option<u64> {
        let open = self.swept();
        let session = open.get(id).filter(|session| session.name == *name)?;
        Some(session.taken)
    }

    /// Takes an upload out to write to it; [`Sessions::put_back`] or [`Sessions::close`] follows.
    pub(super) fn take_out(&self, name: &ImageName, id: &str) -> Result<Upload, Absent> {
        let mut open = self.swept();
        let session = open.get_mut(id).filter(|session| session.name == *name);
        session
            .ok_or(Absent::Unknown)?
            .upload
            .take()
            .ok_or(Absent::InUse)
    }

    /// Gives an upload back that was written to.
    pub(super) fn put_back(&self, id: &str, upload: Upload) {
        if let Some(session) = self.swept().get_mut(id) {
            session.taken = upload.taken();
            session.used = Instant::now();
            session.upload = Some(upload);
        }
    }

    /// Ends a session; whether there was one.
    pub(super) fn close(&self, name: &ImageName, id: &str) -> bool {
        let mut open = self.swept();
        let is_ours = open.get(id).is_some_and(|session| session.name == *name);
        is_ours && open.remove(id).is_some()
    }

    /// Forgets what rested for too long.
    pub(super) fn sweep(&self) {
        drop(self.swept());
    }

    /// The open uploads without those that rested for too long.
    fn swept(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let idle_max = self.idle_max;
        open.retain(|_, session| session.upload.is_none() || session.used.elapsed() < idle_max);
        open
    }
}
