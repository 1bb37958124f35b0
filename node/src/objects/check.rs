//! Whether everything is here that a proposal points to (P-40).
//!
//! git-lfs brings objects before it pushes. On a local path it asks nobody and copies them into
//! `ledger.git/lfs/objects/`; from there they are taken into the store, where everything else looks.
//! The files stay as the plain copies of [`copies`](super::copies), if clones want them.
//!
//! **Invariants**: a proposal passes only if each pointer that it brings parses and its object is in
//! the store with the size that the pointer says; a file of git-lfs is removed only when the store has
//! its object for good.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use gdo_chunkstore::StoreError;
use gdo_core::delta::Operation;
use gdo_core::path::RepoPath;
use gdo_core::pointer::Pointer;
use gdo_ledger::PointerFile;

use super::copies::{is_cloned, place_of_copies};
use super::{Objects, Tell};
use crate::error::ObjectsError;
use crate::push::PushRefusal;

/// The missing objects that are named; the rest is counted.
const NAMED_MAX: usize = 10;
/// What is read of a file at once.
const READ_BYTES: usize = 256 << 10;

impl Objects {
    /// Checks the pointers that a delta brings; takes in what git-lfs has put into the repository, and
    /// tells how far it is.
    ///
    /// # Errors
    /// The file whose pointer is malformed or whose object is missing, with what to do.
    pub fn check(
        &self,
        delta: &[Operation],
        quarantine: Option<&Path>,
        tell: &mut Tell<'_>,
    ) -> Result<(), PushRefusal> {
        let files = self
            .ledger()
            .pointers_in(delta, quarantine)
            .map_err(|error| unreadable(&error))?;
        let mut missing = Vec::new();
        for PointerFile { path, pointer } in files {
            let pointer = pointer.map_err(|error| malformed(&path, &error))?;
            let what = format!("taking {path}");
            let tell = &mut |done| tell(&what, done, pointer.size);
            match self.has(&pointer, tell) {
                Ok(Held::Whole) => self.remove_unwanted(&path, &pointer),
                Ok(Held::Nothing) => missing.push((path, pointer)),
                Ok(Held::Other(bytes)) => return Err(of_other_size(&path, &pointer, bytes)),
                Err(error) => return Err(unreadable(&error)),
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(not_here(&missing))
        }
    }

    /// The pointers of a delta whose proposal is being taken count as named from now on.
    ///
    /// # Errors
    /// The delta cannot be read.
    pub fn name(&self, delta: &[Operation]) -> Result<(), PushRefusal> {
        let files = self.ledger().pointers_in(delta, None);
        let files = files.map_err(|error| unreadable(&error))?;
        let mut staging = self.staging_as_it_is();
        for pointer in files.into_iter().filter_map(|file| file.pointer.ok()) {
            staging.remove(&pointer.oid);
        }
        Ok(())
    }

    /// What is here of an object, looked for in the store and where git-lfs puts it.
    fn has(&self, pointer: &Pointer, tell: &mut dyn FnMut(u64)) -> Result<Held, ObjectsError> {
        if let Some(found) = self.find_and_touch(&pointer.oid)? {
            if found.size != pointer.size {
                return Ok(Held::Other(found.size));
            }
            return Ok(Held::Whole);
        }
        let place = place_of_copies(self.ledger().dir());
        if !place.contains(pointer) {
            return Ok(Held::Nothing);
        }
        let file = place.path(&pointer.oid);
        match self.take_file(&file, pointer, tell) {
            // git-lfs looks at the size alone, and sends nothing while this lies there.
            Err(ObjectsError::Store(StoreError::Mismatch { .. })) => {
                let _ = fs::remove_file(&file);
                Ok(Held::Nothing)
            }
            taken => taken.map(|()| Held::Whole),
        }
    }

    /// Removes a file of git-lfs that no clone wants.
    fn remove_unwanted(&self, path: &RepoPath, pointer: &Pointer) {
        if !is_cloned(path) {
            // What cannot be removed goes with what nobody asked for.
            let file = place_of_copies(self.ledger().dir()).path(&pointer.oid);
            let _ = fs::remove_file(file);
        }
    }

    /// Takes a file of git-lfs into the store.
    fn take_file(
        &self,
        file: &Path,
        pointer: &Pointer,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), ObjectsError> {
        let wrong = |source| ObjectsError::File {
            file: file.to_owned(),
            source,
        };
        let mut from = File::open(file).map_err(wrong)?;
        let mut upload = self.upload(pointer.size)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match from.read(&mut buffer).map_err(wrong)? {
                0 => break,
                read => upload.write(&buffer[..read])?,
            }
            tell(upload.taken());
        }
        upload.finish_as(pointer)?;
        tracing::debug!(oid = %pointer.oid, bytes = pointer.size, "took an object of a local push");
        Ok(())
    }
}

/// What is here of an object.
enum Held {
    Whole,
    /// The object of this hash has so many bytes: the pointer is wrong.
    Other(u64),
    Nothing,
}

fn unreadable(error: &dyn std::fmt::Display) -> PushRefusal {
    tracing::error!(%error, "the large files of a proposal cannot be checked");
    PushRefusal::new(
        format!("the node cannot check the large files of the push: {error}"),
        [],
    )
}

fn malformed(path: &RepoPath, error: &dyn std::fmt::Display) -> PushRefusal {
    PushRefusal::new(
        format!("{path}: {error}"),
        [
            format!("git lfs track '{path}'"),
            format!("put the file itself at '{path}', then: git add --renormalize '{path}'"),
            "git commit --quiet --amend --no-edit -S".to_owned(),
        ],
    )
}

fn of_other_size(path: &RepoPath, pointer: &Pointer, bytes: u64) -> PushRefusal {
    let oid = pointer.oid;
    let size = pointer.size;
    PushRefusal::new(
        format!("{path}: its pointer says {size} bytes, but sha256:{oid} has {bytes}"),
        [format!(
            "put the file itself at '{path}', then: git add --renormalize '{path}'"
        )],
    )
}

fn not_here(missing: &[(RepoPath, Pointer)]) -> PushRefusal {
    let (path, pointer) = &missing[0];
    let more = match missing.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let reason = format!("{path}: its large file {pointer} is not on this node{more}");
    let mut hints: Vec<String> = missing
        .iter()
        .take(NAMED_MAX)
        .map(|(path, pointer)| {
            let oid = pointer.oid;
            format!("git lfs push --object-id origin {oid}   # {path}")
        })
        .collect();
    hints.push("or all at once: git lfs push --all origin".to_owned());
    PushRefusal::new(reason, hints)
}
