//! Keeps what is written once more from being pruned as old.
//!
//! An object that is there already is not written again, but it may be one that no ref holds, about
//! to be pruned for its age. So it is made young, as git does: the loose file, or the packs, since
//! what a pack holds is as old as the pack. Once an hour is enough for a grace of days.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use gdo_core::id::ObjectId;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use crate::error::LedgerError;
use crate::repository::Ledger;

/// The age from which on something is made young.
const OLD: Duration = Duration::from_secs(3600);

impl Ledger {
    /// Makes an object young that is in the repository already.
    pub(crate) fn freshen(&self, id: &ObjectId) -> Result<(), LedgerError> {
        let path = self.loose_path(id);
        if path.exists() {
            return freshen_file(&path);
        }
        let mut last = self.packs_freshened();
        if last.is_some_and(|at| at.elapsed() < OLD) {
            return Ok(());
        }
        for pack in crate::maintenance::entries(&self.dir().join("objects/pack"))? {
            if pack
                .extension()
                .is_some_and(|extension| extension == "pack")
            {
                freshen_file(&pack)?;
            }
        }
        *last = Some(Instant::now());
        Ok(())
    }
}

fn freshen_file(path: &Path) -> Result<(), LedgerError> {
    let modified = fs::metadata(path).and_then(|found| found.modified());
    if !modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD)) {
        return Ok(()); // young, or moved into a pack this very moment
    }
    let touch = || {
        let now = TimeSpec::UTIME_NOW;
        futimens(&File::open(path)?, &now, &now).map_err(std::io::Error::from)
    };
    touch().map_err(LedgerError::io("touch", path))
}
