//! Puts files and names on the disk, many at once.
//!
//! One fsync costs a commit of the file system's journal; fsyncs that wait together share one, so a
//! batch is synced from several threads. Beyond some size one `syncfs` is cheaper, though it also
//! waits for whatever else is dirty on that file system.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::LedgerError;

/// The most threads that wait for the disk at once.
const THREADS_MAX: usize = 16;
/// The paths from which on the whole file system is synced instead.
const WHOLE_FROM: usize = 64;

/// Puts the contents of files and the names in directories on the disk; `root` is a directory on the
/// same file system. What is not there any more needs no sync.
pub(crate) fn all(root: &Path, paths: &[PathBuf]) -> Result<(), LedgerError> {
    if paths.len() >= WHOLE_FROM {
        return whole(root);
    }
    if let [path] = paths {
        return one(path);
    }
    let share = paths.len().div_ceil(THREADS_MAX).max(1);
    std::thread::scope(|scope| {
        let sync = |part: &[PathBuf]| part.iter().try_for_each(|path| one(path));
        let threads: Vec<_> = paths
            .chunks(share)
            .map(|part| scope.spawn(move || sync(part)))
            .collect();
        let joined = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Puts one file or directory on the disk.
pub(crate) fn one(path: &Path) -> Result<(), LedgerError> {
    match File::open(path) {
        Ok(open) => open.sync_all().map_err(LedgerError::io("sync", path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LedgerError::io("open", path)(error)),
    }
}

/// Puts everything on the disk that is on the file system of `root`.
pub(crate) fn whole(root: &Path) -> Result<(), LedgerError> {
    let open = File::open(root).map_err(LedgerError::io("open", root))?;
    nix::unistd::syncfs(&open).map_err(|error| LedgerError::io("sync", root)(error.into()))
}
