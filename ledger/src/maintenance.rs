//! What a ledger's repository needs from time to time: locks of the dead removed, objects packed,
//! what nothing holds pruned.
//!
//! Automatic gc is off, because git's has no idea of what the daemon is about to name. What is written
//! but not yet named by a ref is safe by its age, and whatever is written once more is made young.
//!
//! **Invariants**: what a ref or a young reflog holds is never removed, nor anything younger than the
//! grace.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::LedgerError;
use crate::git;
use crate::repository::Ledger;
use crate::sync;

/// When to pack and what to prune.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaintenanceInput {
    /// How long what no ref holds is kept.
    pub grace: Duration,
    /// The loose objects from which on they are packed.
    pub loose_max: usize,
    /// The packs from which on they become one.
    pub packs_max: usize,
}

impl Default for MaintenanceInput {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(14 * 24 * 3600),
            loose_max: 5000,
            packs_max: 30,
        }
    }
}

/// What a maintenance did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Maintained {
    /// The half-written files that were removed.
    pub removed: usize,
    /// Whether loose objects were packed.
    pub packed: bool,
    /// Whether all packs became one.
    pub joined: bool,
}

impl Ledger {
    /// Clears up after a process that was killed: removes its locks, and puts on the disk what it
    /// wrote and did not sync. Gives the files removed.
    ///
    /// For a process that owns the repository alone, before it does anything: a lock that somebody
    /// holds looks the same, and an object that is there is not written and synced again.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove_stale_locks(&self) -> Result<Vec<PathBuf>, LedgerError> {
        let mut locks: Vec<PathBuf> =
            ["HEAD.lock", "packed-refs.lock", "config.lock", "config.new"]
                .iter()
                .map(|name| self.dir().join(name))
                .filter(|lock| lock.exists())
                .collect();
        let mut open = vec![self.dir().join("refs")];
        while let Some(dir) = open.pop() {
            for path in entries(&dir)? {
                if path.is_dir() {
                    open.push(path);
                } else if path
                    .extension()
                    .is_some_and(|extension| extension == "lock")
                {
                    locks.push(path);
                }
            }
        }
        for lock in &locks {
            match fs::remove_file(lock) {
                // A git that the dead process had started may still be about to end.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(LedgerError::io("remove", lock))?,
            }
        }
        sync::whole(self.dir())?;
        Ok(locks)
    }

    /// Packs loose objects where there are many, joins packs where there are many, and prunes what
    /// nothing holds and is older than the grace.
    ///
    /// # Errors
    /// Git or the disk fails; then the repository is whole, but not smaller.
    pub fn maintain(&self, input: &MaintenanceInput) -> Result<Maintained, LedgerError> {
        self.flush()?;
        let expire = format!("{}.seconds.ago", input.grace.as_secs());
        let mut done = Maintained {
            removed: self.remove_half_written(input.grace)?,
            ..Maintained::default()
        };
        let reflogs = [
            format!("--expire={expire}"),
            format!("--expire-unreachable={expire}"),
        ];
        git::run(
            self.dir(),
            &["reflog", "expire", &reflogs[0], &reflogs[1], "--all"],
        )?;
        if self.packs()? >= input.packs_max {
            let unpack = format!("--unpack-unreachable={expire}");
            git::run(self.dir(), &["repack", "-q", "-A", "-d", "-l", &unpack])?;
            (done.packed, done.joined) = (true, true);
        } else if self.loose_objects(input.loose_max)? >= input.loose_max {
            git::run(self.dir(), &["repack", "-q", "-d", "-l"])?;
            done.packed = true;
        }
        git::run(self.dir(), &["prune", &format!("--expire={expire}")])?;
        Ok(done)
    }

    /// Removes what our own writes left half done; what git leaves, `git prune` knows.
    fn remove_half_written(&self, grace: Duration) -> Result<usize, LedgerError> {
        let mut removed = 0;
        for path in entries(&self.dir().join("objects"))? {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let old = fs::metadata(&path).and_then(|found| found.modified());
            let old = old.is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= grace));
            if name.starts_with(b".tmp") && path.is_file() && old {
                fs::remove_file(&path).map_err(LedgerError::io("remove", &path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn packs(&self) -> Result<usize, LedgerError> {
        let packs = entries(&self.dir().join("objects/pack"))?;
        let is_pack = |path: &&PathBuf| path.extension().is_some_and(|found| found == "pack");
        Ok(packs.iter().filter(is_pack).count())
    }

    /// The loose objects, counted up to `max`.
    fn loose_objects(&self, max: usize) -> Result<usize, LedgerError> {
        let mut count = 0;
        for dir in entries(&self.dir().join("objects"))? {
            let fans_out = dir.file_name().is_some_and(|name| name.len() == 2) && dir.is_dir();
            if fans_out {
                count += entries(&dir)?.len();
            }
            if count >= max {
                break;
            }
        }
        Ok(count)
    }
}

/// The paths in a directory; of one that is not there, none.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, LedgerError> {
    let read = match fs::read_dir(dir) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LedgerError::io("read", dir)(error)),
    };
    let paths = read.map(|entry| entry.map(|entry| entry.path()));
    paths
        .collect::<Result<_, _>>()
        .map_err(LedgerError::io("read", dir))
}
