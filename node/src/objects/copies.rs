//! Plain copies of large files, for clones by path.
//!
//! git-lfs of a clone by path asks nobody: it reads the plain files of `ledger.git/lfs/objects/`. So the
//! large files that `main` names lie there too, beside the store, as far as `chunks.plain_mib_max` and
//! the disk allow; older ones stay while there is room. The node counts on none of them, and git-lfs
//! hashes what it takes.
//!
//! **Invariants**: a copy is whole and durable before it has its name; one that goes is in the store, and
//! sound there as far as is known; copies are the first to go when the disk is short, and no push fails
//! for the want of one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use gdo_chunkstore::Progress;
use gdo_core::delta::Operation;
use gdo_core::id::Digest;
use gdo_core::path::RepoPath;
use gdo_core::pointer::Pointer;
use gdo_runtime::error::ImageError;
use gdo_runtime::image::ObjectDir;

use super::{Objects, Tell};
use crate::error::ObjectsError;
use crate::space::free_bytes;

/// What `.lfsconfig` keeps out of clones: the images of dapps and others.
const LEFT_OUT: &str = ".gdo";
/// What copies leave free on the disk.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// What is read of a file at once.
const READ_BYTES: usize = 256 << 10;

/// The copies of a node.
#[derive(Debug)]
pub(super) struct Copies {
    bytes_max: u64,
    /// Held by whoever changes them, which may take long.
    changing: Mutex<()>,
    /// What is needed and has no copy, as was found last.
    left_out: Mutex<BTreeMap<Digest, u64>>,
}

/// A plain file under the name of an object.
#[derive(Clone, Copy, Debug)]
struct Present {
    size: u64,
    modified: SystemTime,
}

impl Copies {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            changing: Mutex::new(()),
            left_out: Mutex::default(),
        }
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left_out(&self) -> MutexGuard<'_, BTreeMap<Digest, u64>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects {
    /// Lays out what a proposal brings that is being taken, beside what the ref `main` names. What
    /// cannot be laid out is in the log and in the node's warnings.
    pub fn lay_out(&self, main: &str, delta: &[Operation], tell: &mut Tell<'_>) {
        let coming = self.ledger().pointers_in(delta, None);
        let laid_out = coming.map_err(ObjectsError::from).and_then(|files| {
            let cloned = files.into_iter().filter(|file| is_cloned(&file.path));
            let coming: Vec<_> = cloned.filter_map(|file| file.pointer.ok()).collect();
            if coming.is_empty() {
                return Ok(());
            }
            self.arrange(main, &coming, tell)
        });
        warn_of(laid_out);
    }

    /// Lays out what the ref `main` names, and takes away what there is no room for.
    pub fn lay_out_main(&self, main: &str) {
        warn_of(self.arrange(main, &[], &mut |_, _, _| {}));
    }

    /// The bytes of all copies.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        bytes_of(&scan(self.ledger().dir()))
    }

    /// What the operator should know of the copies.
    #[must_use]
    pub fn copies_warning(&self) -> Option<String> {
        let copies = &self.0.copies;
        let left_out = copies.left_out();
        if copies.bytes_max == 0 || left_out.is_empty() {
            return None;
        }
        let bytes: u64 = left_out.values().sum();
        Some(format!(
            "large files of main without a plain copy: {} of {} MiB (chunks.plain_mib_max = {}, or the disk is short); clones by path need '-c lfs.url=URL/info/lfs'",
            left_out.len(),
            bytes.div_ceil(1 << 20),
            copies.bytes_max >> 20,
        ))
    }

    /// Takes all copies away that are in the store, to make room; says whether any was there.
    pub fn give_up_copies(&self) -> bool {
        let changing = self.0.copies.change();
        let removed = scan(self.ledger().dir())
            .iter()
            .filter(|(oid, _)| self.remove_copy(oid).unwrap_or(false))
            .count();
        drop(changing);
        if removed > 0 {
            tracing::warn!(
                removed,
                "the disk is short: plain copies of large files went"
            );
        }
        removed > 0
    }

    /// Reads every copy that is in the store, too, and lays those out anew that are not what their
    /// names say; gives how many.
    ///
    /// # Errors
    /// The store fails.
    pub fn mend_copies(&self, progress: &mut dyn FnMut(Progress)) -> Result<u64, ObjectsError> {
        let _changing = self.0.copies.change();
        let place = place_of_copies(self.ledger().dir());
        let all = scan(self.ledger().dir());
        let total_bytes = bytes_of(&all);
        let (mut mended, mut done_bytes) = (0, 0);
        for (oid, present) in all {
            progress(Progress {
                done_bytes,
                total_bytes,
                step: "reading plain copies",
            });
            done_bytes += present.size;
            let Some(pointer) = self.find(&oid)? else {
                continue;
            };
            // What cannot be read is as good as broken.
            if place.held(&oid).ok().flatten() != Some(pointer) {
                tracing::warn!(%oid, "a plain copy was not what its name says");
                // git-lfs would take nothing else while it lies there.
                let _ = fs::remove_file(place.path(&oid));
                warn_of(self.write_copy(&pointer, &mut |_| {}));
                mended += 1;
            }
        }
        Ok(mended)
    }

    /// Has the copies that are needed, and as many of the others as the bound allows.
    fn arrange(
        &self,
        main: &str,
        coming: &[Pointer],
        tell: &mut Tell<'_>,
    ) -> Result<(), ObjectsError> {
        let copies = &self.0.copies;
        let _changing = copies.change();
        let present = scan(self.ledger().dir());
        let mut needed = match copies.bytes_max {
            0 => BTreeMap::new(),
            _ => self.named_by(main)?,
        };
        needed.extend(coming.iter().map(|pointer| (pointer.oid, pointer.size)));
        let kept = choose(&needed, &present, copies.bytes_max);
        for oid in present.keys().filter(|oid| !kept.contains(oid)) {
            self.remove_copy(oid)?;
        }
        let is_there = |oid: &Digest, size: u64| present.get(oid).is_some_and(|p| p.size == size);
        let missing: Vec<Pointer> = needed
            .iter()
            .filter(|(oid, size)| kept.contains(oid) && !is_there(oid, **size))
            .map(|(&oid, &size)| Pointer { oid, size })
            .collect();
        needed.retain(|oid, _| !kept.contains(oid));
        *copies.left_out() = needed;
        let total: u64 = missing.iter().map(|pointer| pointer.size).sum();
        let mut done = 0;
        for pointer in missing {
            let written = self.write_copy(&pointer, &mut |bytes| {
                done += bytes;
                tell("plain copies for clones by path", done, total);
            });
            if !matches!(written, Ok(true)) {
                copies.left_out().insert(pointer.oid, pointer.size);
            }
            warn_of(written);
        }
        if done > 0 {
            tracing::info!(bytes = done, "laid out plain copies of large files");
        }
        Ok(())
    }

    /// The large files that a checkout of `main` brings.
    fn named_by(&self, main: &str) -> Result<BTreeMap<Digest, u64>, ObjectsError> {
        let ledger = self.ledger();
        let Some(tip) = ledger
            .read_ref(main)
            .map_err(gdo_ledger::LedgerError::from)?
        else {
            return Ok(BTreeMap::new());
        };
        let tree = ledger.read_commit(&tip)?.tree;
        let pointers = ledger.pointers_outside(&tree, LEFT_OUT)?;
        Ok(pointers.iter().map(|of| (of.oid, of.size)).collect())
    }

    /// Writes a copy; `false` where it would take the last of the disk.
    fn write_copy(
        &self,
        pointer: &Pointer,
        wrote: &mut dyn FnMut(u64),
    ) -> Result<bool, ObjectsError> {
        let repository = self.ledger().dir();
        // Where the system does not tell, it is tried.
        let free = free_bytes(repository).unwrap_or(u64::MAX);
        if free < pointer.size.saturating_add(FREE_BYTES_MIN) {
            return Ok(false);
        }
        let mut reader = self.store()?.read(&pointer.oid)?;
        let failed = |error: ImageError| ObjectsError::Write {
            source: io::Error::other(error),
        };
        let mut copy = place_of_copies(repository).create().map_err(failed)?;
        let mut piece = vec![0; READ_BYTES];
        loop {
            let read = reader
                .read(&mut piece)
                .map_err(|source| ObjectsError::Read { source })?;
            if read == 0 {
                break;
            }
            copy.write_all(&piece[..read])
                .map_err(|source| ObjectsError::Write { source })?;
            wrote(read as u64);
        }
        copy.finish().map_err(failed)?;
        Ok(true)
    }

    /// Removes a copy, unless it is all there is: one that git-lfs has just brought is not in the
    /// store yet, and what the store has may be broken.
    fn remove_copy(&self, oid: &Digest) -> Result<bool, ObjectsError> {
        let is_stored = match self.existing()? {
            Some(store) => store.is_sound(oid)?,
            None => false,
        };
        // It may belong to another user, or be gone.
        let file = place_of_copies(self.ledger().dir()).path(oid);
        Ok(is_stored && fs::remove_file(file).is_ok())
    }
}

/// Whether a clone with git-lfs wants the large file at a path.
pub(super) fn is_cloned(path: &RepoPath) -> bool {
    !path.is_within(LEFT_OUT)
}

/// Where git-lfs puts and seeks objects when the remote is a directory.
pub(super) fn place_of_copies(repository: &Path) -> ObjectDir {
    ObjectDir::new(&repository.join("lfs").join("objects"))
}

/// Removes what git-lfs has put into a repository before `oldest` if `is_left` says that nobody asked
/// for it; gives how many files.
pub(super) fn remove_left_files(
    repository: &Path,
    oldest: SystemTime,
    is_left: &dyn Fn(&Digest) -> bool,
) -> usize {
    let mut removed = 0;
    each_file(&repository.join("lfs"), &mut |path, about| {
        let is_old = about.modified().is_ok_and(|time| time < oldest);
        let oid = oid_of(repository, path);
        // What cannot be removed is tried again later.
        if is_old && oid.is_none_or(|oid| is_left(&oid)) && fs::remove_file(path).is_ok() {
            removed += 1;
        }
    });
    removed
}

/// The copies that there are; what cannot be read counts as absent.
fn scan(repository: &Path) -> BTreeMap<Digest, Present> {
    let mut present = BTreeMap::new();
    each_file(&repository.join("lfs/objects"), &mut |path, about| {
        if let Some(oid) = oid_of(repository, path) {
            let size = about.len();
            let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            present.insert(oid, Present { size, modified });
        }
    });
    present
}

fn bytes_of(copies: &BTreeMap<Digest, Present>) -> u64 {
    copies.values().map(|copy| copy.size).sum()
}

/// The object under whose name a file stands.
fn oid_of(repository: &Path, path: &Path) -> Option<Digest> {
    let oid = path.file_name()?.to_str()?.parse().ok()?;
    (place_of_copies(repository).path(&oid) == path).then_some(oid)
}

fn each_file(dir: &Path, found: &mut dyn FnMut(&Path, &fs::Metadata)) {
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => open.push(entry.path()),
                Ok(about) => found(&entry.path(), &about),
                Err(_) => {}
            }
        }
    }
}

/// Which copies there are to be: of those that are needed as many as fit, then the youngest others.
fn choose(
    needed: &BTreeMap<Digest, u64>,
    present: &BTreeMap<Digest, Present>,
    bytes_max: u64,
) -> BTreeSet<Digest> {
    let mut left = bytes_max;
    let mut needed: Vec<_> = needed.iter().map(|(oid, size)| (*size, *oid)).collect();
    needed.sort_unstable();
    let mut others: Vec<_> = present
        .iter()
        .map(|(oid, of)| (of.modified, of.size, *oid))
        .collect();
    others.sort_unstable_by(|a, b| b.cmp(a));
    let others = others.into_iter().map(|(_, size, oid)| (size, oid));
    let mut kept = BTreeSet::new();
    for (size, oid) in needed.into_iter().chain(others) {
        if size <= left && kept.insert(oid) {
            left -= size;
        }
    }
    kept
}

fn warn_of<T>(done: Result<T, ObjectsError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "plain copies of large files could not be laid out; it is tried again");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn named(sizes: &[(&str, u64)]) -> BTreeMap<Digest, u64> {
        let named = sizes.iter();
        named
            .map(|(name, size)| (Digest::of(name.as_bytes()), *size))
            .collect()
    }

    /// Files of these sizes, each younger than the one before.
    fn lying(sizes: &[(&str, u64)]) -> BTreeMap<Digest, Present> {
        let files = sizes.iter().zip(1..).map(|((name, size), second)| {
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            let size = *size;
            (Digest::of(name.as_bytes()), Present { size, modified })
        });
        files.collect()
    }

    fn names(names: &[&str]) -> BTreeSet<Digest> {
        names
            .iter()
            .map(|name| Digest::of(name.as_bytes()))
            .collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_then_the_youngest() {
        let needed = named(&[("new", 40), ("main", 20)]);
        let present = lying(&[
            ("old", 10),
            ("main", 20),
            ("older version", 30),
            ("last", 10),
        ]);
        let all = names(&["new", "main", "old", "older version", "last"]);
        assert_eq!(choose(&needed, &present, 110), all);
        let kept = choose(&needed, &present, 100);
        assert_eq!(kept, names(&["new", "main", "older version", "last"]));
        assert_eq!(choose(&needed, &present, 69), names(&["new", "main"]));
    }

    #[test]
    fn of_what_is_needed_as_many_files_are_kept_as_fit() {
        let needed = named(&[("large", 90), ("small", 10), ("middle", 30)]);
        assert_eq!(
            choose(&needed, &lying(&[]), 99),
            names(&["small", "middle"])
        );
        assert!(choose(&needed, &lying(&[("large", 90)]), 0).is_empty());
    }

    #[test]
    fn only_files_in_their_own_place_are_copies() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let oid = Digest::of(b"large");
        let write = |path: &Path| {
            fs::create_dir_all(path.parent().expect("it has one")).expect("ours");
            fs::write(path, "x").expect("ours");
        };
        write(&place_of_copies(temp.path()).path(&oid));
        write(
            &temp
                .path()
                .join("lfs/objects")
                .join(Digest::of(b"elsewhere").to_string()),
        );
        write(&temp.path().join("lfs/objects/ab/cd/abcd"));
        let found = scan(temp.path());
        assert_eq!(
            found.keys().copied().collect::<BTreeSet<_>>(),
            names(&["large"])
        );
    }
}
