//! Checks a projection out into a directory, the same bytes and times on every machine.
//!
//! No filter, attribute, hook or index of git takes part. Files are made new and never opened, so
//! nothing that stands in the directory is followed or overwritten.
//!
//! **Invariants**: every path is one that a ledger may hold, so nothing leaves the directory; times
//! are 0, modes 0644, 0755 and 0755 for directories; caps hold before anything is written.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use gdo_core::delta::{Entry, Mode};
use gdo_core::id::ObjectId;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::error::{LedgerError, TreeError};
use crate::objects::Objects;
use crate::repository::Ledger;
use crate::tree::{Item, join, read, repo_path};

/// What a checkout may use up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckoutCaps {
    /// The most files, links and directories together.
    pub entries_max: u64,
    /// The most bytes of all files together.
    pub bytes_max: u64,
    /// The most bytes of one file.
    pub file_bytes_max: u64,
}

impl Default for CheckoutCaps {
    fn default() -> Self {
        Self {
            entries_max: 1 << 20,
            bytes_max: 4 << 30,
            file_bytes_max: 64 << 20,
        }
    }
}

/// What a checkout wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckedOut {
    /// The files, links and directories together.
    pub entries: u64,
    /// The bytes of all files together.
    pub bytes: u64,
}

impl Ledger {
    /// Checks a tree out into `dir`, which is made if it is missing and must be empty.
    ///
    /// # Errors
    /// A cap is passed, the tree holds what a ledger does not, `dir` is not empty, or the disk fails.
    pub fn checkout_tree(
        &self,
        tree: &ObjectId,
        dir: &Path,
        caps: CheckoutCaps,
    ) -> Result<CheckedOut, LedgerError> {
        let objects = self.objects();
        let mut checkout = Checkout {
            objects: &objects,
            empty: self.empty_tree(),
            caps,
            done: CheckedOut::default(),
        };
        fs::create_dir_all(dir).map_err(LedgerError::io("make", dir))?;
        checkout.directory(tree, "", dir)?;
        finish_dir(dir)?;
        Ok(checkout.done)
    }

    /// Checks the input of a validator out: `base/` and `candidate/`, made even if they are empty,
    /// and `context.json` (P-24).
    ///
    /// # Errors
    /// As [`Ledger::checkout_tree`].
    pub fn checkout_projection(
        &self,
        input: &ObjectId,
        dir: &Path,
        caps: CheckoutCaps,
    ) -> Result<CheckedOut, LedgerError> {
        let done = self.checkout_tree(input, dir, caps)?;
        for side in [
            crate::projection::BASE_DIR,
            crate::projection::CANDIDATE_DIR,
        ] {
            let side = dir.join(side);
            if !side.exists() {
                make_dir(&side)?;
                finish_dir(&side)?;
            }
        }
        finish_dir(dir)?;
        Ok(done)
    }
}

struct Checkout<'a> {
    objects: &'a Objects,
    empty: ObjectId,
    caps: CheckoutCaps,
    done: CheckedOut,
}

impl Checkout<'_> {
    fn directory(&mut self, tree: &ObjectId, path: &str, to: &Path) -> Result<(), LedgerError> {
        if *tree == self.empty {
            return Ok(());
        }
        for item in read(self.objects, tree)? {
            let path = join(path, &item.name);
            check_path(&path)?;
            self.count(&path)?;
            let to = to.join(&item.name);
            if item.is_dir() {
                if item.id == self.empty {
                    return Err(TreeError::EmptyDirectory { path }.into());
                }
                make_dir(&to)?;
                self.directory(&item.id, &path, &to)?;
                finish_dir(&to)?;
            } else {
                self.file(&item, &path, &to)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, path: &str) -> Result<(), LedgerError> {
        self.done.entries += 1;
        if self.done.entries > self.caps.entries_max {
            return Err(LedgerError::Projection {
                path: path.to_owned(),
                reason: format!("more than {} files", self.caps.entries_max),
            });
        }
        Ok(())
    }

    fn file(&mut self, item: &Item, path: &str, to: &Path) -> Result<(), LedgerError> {
        let entry = item.file(path)?;
        let left = self.caps.bytes_max - self.done.bytes;
        let data = self
            .objects
            .blob(&entry.id, self.caps.file_bytes_max.min(left));
        let data = data.map_err(|error| match error {
            LedgerError::TooLarge { bytes, max, .. } => LedgerError::Projection {
                path: path.to_owned(),
                reason: format!("{bytes} bytes, expected at most {max}"),
            },
            other => other,
        })?;
        self.done.bytes += data.len() as u64;
        write_file(&entry, &data, to).map_err(LedgerError::io("write", to))
    }
}

/// The paths of an input are one segment deeper than those of the ledger.
fn check_path(path: &str) -> Result<(), LedgerError> {
    let inner = [
        crate::projection::BASE_DIR,
        crate::projection::CANDIDATE_DIR,
    ]
    .into_iter()
    .find_map(|side| path.strip_prefix(side)?.strip_prefix('/'));
    repo_path(inner.unwrap_or(path))?;
    Ok(())
}

fn write_file(entry: &Entry, data: &[u8], to: &Path) -> std::io::Result<()> {
    let mode = match entry.mode {
        Mode::Symlink => {
            let target = std::str::from_utf8(data)
                .map_err(|_| std::io::Error::other("the link's target is not UTF-8"))?;
            std::os::unix::fs::symlink(target, to)?;
            return set_time(to);
        }
        Mode::File => 0o644,
        Mode::Executable => 0o755,
    };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(to)?;
    file.write_all(data)?;
    // The umask of whoever started us is not part of the input.
    file.set_permissions(Permissions::from_mode(mode))?;
    set_time(to)
}

fn make_dir(dir: &Path) -> Result<(), LedgerError> {
    fs::create_dir(dir).map_err(LedgerError::io("make", dir))
}

/// Gives a directory its mode and time, after everything in it was written.
fn finish_dir(dir: &Path) -> Result<(), LedgerError> {
    let finish = || {
        File::open(dir)?.set_permissions(Permissions::from_mode(0o755))?;
        set_time(dir)
    };
    finish().map_err(LedgerError::io("finish", dir))
}

fn set_time(path: &Path) -> std::io::Result<()> {
    let zero = TimeSpec::new(0, 0);
    utimensat(
        nix::fcntl::AT_FDCWD,
        path,
        &zero,
        &zero,
        UtimensatFlags::NoFollowSymlink,
    )?;
    Ok(())
}
