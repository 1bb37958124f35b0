//! The directory of a sandbox: who holds it, and what each helper has outside of its own process.
//!
//! It lies where it is gone after a reboot, like the processes it speaks about. A helper's files are
//! not here: they are in a file system of its own that nobody else sees and that ends with it.
//!
//! **Invariants.** A record is on disk before what it speaks about is made, and is removed after
//! that is gone; so [`sweep`](crate::sweep) finds everything, whenever a process was killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use gdo_core::id::Digest;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::cgroup::Leaf;
use crate::error::SandboxError;

/// What one helper has outside of its process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its process, once it has one.
    pub(crate) process: Option<ProcessId>,
    /// Its control groups.
    pub(crate) leaf: Leaf,
}

/// A process that cannot be confused with a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Clock ticks after boot, from `/proc/<pid>/stat`.
    pub(crate) started: u64,
}

impl ProcessId {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<ProcessId> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in brackets and may hold anything.
        let (_, rest) = stat.rsplit_once(") ")?;
        Some(ProcessId {
            pid,
            started: rest.split(' ').nth(19)?.parse().ok()?,
        })
    }

    /// True while exactly this process exists.
    pub(crate) fn exists(self) -> bool {
        ProcessId::of(self.pid) == Some(self)
    }
}

/// Where a node that lives in `node_dir` keeps its sandbox's state.
///
/// `/run/gdo/<hash>` for root; for an ordinary user the same below `$XDG_RUNTIME_DIR`, or below
/// a directory of its own in `/tmp` where there is none.
#[must_use]
pub fn default_state_dir(node_dir: &Path) -> PathBuf {
    let node_dir = node_dir
        .canonicalize()
        .unwrap_or_else(|_| node_dir.to_path_buf());
    let name = Digest::of(node_dir.as_os_str().as_encoded_bytes()).short(12);
    let uid = geteuid();
    let home = if uid.is_root() {
        PathBuf::from("/run/gdo")
    } else {
        std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute() && dir.is_dir())
            .map_or_else(
                || PathBuf::from(format!("/tmp/gdo-{uid}")),
                |dir| dir.join("gdo"),
            )
    };
    home.join(name)
}

/// A state directory that this process alone holds.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes the directory where it is missing and takes hold of it.
    pub(crate) fn hold(path: &Path) -> Result<StateDir, SandboxError> {
        let at = |what: &str| format!("{what} {}", path.display());
        loop {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(SandboxError::io(at("make")))?;
            let held = path
                .canonicalize()
                .and_then(|path| Ok((lock(&path)?, path)));
            match held {
                Ok((Locked::Here(lock), path)) => {
                    check_owner(&path)?;
                    fs::set_permissions(&path, PermissionsExt::from_mode(0o700))
                        .map_err(SandboxError::io(at("set the mode of")))?;
                    return Ok(StateDir { path, _lock: lock });
                }
                Ok((Locked::ByOther, path)) => return Err(SandboxError::InUse { path }),
                // Whoever held it has just removed it.
                Ok((Locked::Gone, _)) => {}
                Err(problem) if problem.kind() == io::ErrorKind::NotFound => {}
                Err(problem) => return Err(SandboxError::io(at("take hold of"))(problem)),
            }
        }
    }

    /// A name for this sandbox that differs from every other's on this machine.
    pub(crate) fn name(&self) -> String {
        Digest::of(self.path.as_os_str().as_encoded_bytes()).short(12)
    }

    /// Writes down what helper number `slot` has, in place of what was said before.
    pub(crate) fn write(&self, slot: u32, record: &Record) -> Result<(), SandboxError> {
        let file = self.record(slot);
        let half = file.with_extension("half");
        let text = serde_json::to_vec(record)
            .map_err(|e| SandboxError::io("write a helper's record")(io::Error::other(e)))?;
        fs::write(&half, text)
            .and_then(|()| fs::rename(&half, &file))
            .map_err(SandboxError::io(format!("write {}", file.display())))
    }

    /// Forgets helper number `slot`.
    pub(crate) fn forget(&self, slot: u32) {
        let _ = fs::remove_file(self.record(slot));
    }

    /// Every helper that is written down.
    pub(crate) fn records(&self) -> Result<Vec<(u32, Record)>, SandboxError> {
        let at = format!("read {}", self.path.display());
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(SandboxError::io(at.as_str()))? {
            let name = entry.map_err(SandboxError::io(at.as_str()))?.file_name();
            let slot = name.to_str().and_then(|name| {
                name.strip_prefix("helper-")?
                    .strip_suffix(".json")?
                    .parse()
                    .ok()
            });
            let Some(slot) = slot else { continue };
            let text = fs::read(self.record(slot)).map_err(SandboxError::io(at.as_str()))?;
            if let Ok(record) = serde_json::from_slice(&text) {
                records.push((slot, record));
            }
        }
        Ok(records)
    }

    fn record(&self, slot: u32) -> PathBuf {
        self.path.join(format!("helper-{slot}.json"))
    }
}

impl Drop for StateDir {
    /// Leaves no directory behind, unless there is something in it that the next start must see.
    fn drop(&mut self) {
        if self.records().is_ok_and(|records| records.is_empty()) {
            let _ = fs::remove_file(self.path.join(LOCK));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Name of the file whose lock is the hold on the directory.
const LOCK: &str = "lock";

enum Locked {
    Here(Flock<File>),
    ByOther,
    Gone,
}

fn lock(directory: &Path) -> io::Result<Locked> {
    let path = directory.join(LOCK);
    let Ok(lock) = Flock::lock(File::create(&path)?, FlockArg::LockExclusiveNonblock) else {
        return Ok(Locked::ByOther);
    };
    // A lock on a file that was removed meanwhile keeps nobody out.
    let (locked, there) = (lock.metadata()?, fs::metadata(&path)?);
    let same = (locked.dev(), locked.ino()) == (there.dev(), there.ino());
    Ok(if same {
        Locked::Here(lock)
    } else {
        Locked::Gone
    })
}

/// Refuses a directory that somebody else could put another one in the place of.
fn check_owner(path: &Path) -> Result<(), SandboxError> {
    for directory in path.ancestors().take(2) {
        let at = || format!("use {}", path.display());
        let meta = directory.metadata().map_err(SandboxError::io(at()))?;
        if ![0, geteuid().as_raw()].contains(&meta.uid()) {
            let problem = format!("{} belongs to user {}", directory.display(), meta.uid());
            return Err(SandboxError::io(at())(io::Error::other(problem)));
        }
    }
    Ok(())
}
