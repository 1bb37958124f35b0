//! Whether the files of an object store hold what was written to them.
//!
//! Git names a loose object by the hash of its content and ends packs and their indices with a hash
//! of all before it. Both are hashed again here, without taking deltas apart, which makes it several
//! times cheaper than `git fsck`: a bit that flipped anywhere in the store is found even where the
//! audit of the ledger does not look. Only then is git asked which object it was.
//!
//! **Invariants**: nothing is written; a loose object is never inflated beyond its announced size.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use gdo_core::id::ObjectId;
use gdo_ledger::{Ledger, ObjectFormat, git};
use sha2::{Digest as _, Sha256};

use super::VerifyError;

/// What was hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hashed {
    /// Files.
    pub files: u64,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// Hashes the store of `ledger` again.
///
/// # Errors
/// The first file that does not hold what it must, with the object where it can be told.
pub fn check(ledger: &Ledger) -> Result<Hashed, VerifyError> {
    if ledger.format() == ObjectFormat::Sha1 {
        git::run(ledger.dir(), &["fsck", "--full", "--no-dangling"])?;
        return Ok(Hashed::default());
    }
    let mut hashed = Hashed::default();
    for objects in stores(&ledger.dir().join("objects")) {
        check_dir(ledger, &objects, &mut hashed)?;
    }
    Ok(hashed)
}

/// An object directory and those that it borrows from.
fn stores(objects: &Path) -> Vec<PathBuf> {
    let mut found = vec![objects.to_owned()];
    let mut at = 0;
    while let Some(dir) = found.get(at).cloned() {
        let listed = fs::read_to_string(dir.join("info/alternates")).unwrap_or_default();
        for line in listed
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let other = dir.join(line);
            if !found.contains(&other) && found.len() < 16 {
                found.push(other);
            }
        }
        at += 1;
    }
    found
}

fn check_dir(ledger: &Ledger, objects: &Path, hashed: &mut Hashed) -> Result<(), VerifyError> {
    for dir in entries(objects)? {
        let name = dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name == "pack" {
            for file in entries(&dir)? {
                let kind = file
                    .extension()
                    .and_then(|kind| kind.to_str())
                    .unwrap_or_default();
                if matches!(kind, "pack" | "idx" | "rev") {
                    pack_file(ledger, &file, hashed)?;
                }
            }
        } else if name.len() == 2 && name.bytes().all(|c| c.is_ascii_hexdigit()) {
            for file in entries(&dir)? {
                loose(ledger, &name, &file, hashed)?;
            }
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    let stuck = |error: std::io::Error| VerifyError::Stuck(format!("{}: {error}", dir.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(stuck)? {
        found.push(entry.map_err(stuck)?.path());
    }
    found.sort();
    Ok(found)
}

fn damaged(file: &Path, reason: impl std::fmt::Display) -> VerifyError {
    VerifyError::Damaged {
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}

/// A pack, its index and its reverse index end in the hash of all before it.
fn pack_file(ledger: &Ledger, file: &Path, hashed: &mut Hashed) -> Result<(), VerifyError> {
    let found = hash_but_end(file).map_err(|error| damaged(file, error))?;
    hashed.files += 1;
    hashed.bytes += found.bytes;
    if found.is_whole {
        return Ok(());
    }
    // Git takes the pack apart and names the object.
    let said = match git::run(ledger.dir(), &["fsck", "--full", "--no-dangling"]) {
        Ok(_) => "its checksum does not fit".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(damaged(file, said))
}

struct Whole {
    bytes: u64,
    is_whole: bool,
}

fn hash_but_end(file: &Path) -> std::io::Result<Whole> {
    let mut open = File::open(file)?;
    let bytes = open.metadata()?.len();
    let Some(mut left) = bytes.checked_sub(32) else {
        return Ok(Whole {
            bytes,
            is_whole: false,
        });
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    while left > 0 {
        let want = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        open.read_exact(&mut buffer[..want])?;
        hash.update(&buffer[..want]);
        left -= want as u64;
    }
    let mut end = [0; 32];
    open.read_exact(&mut end)?;
    Ok(Whole {
        bytes,
        is_whole: hash.finalize().as_slice() == end,
    })
}

/// A loose object is named by the hash of its inflated bytes, header included.
fn loose(
    ledger: &Ledger,
    start: &str,
    file: &Path,
    hashed: &mut Hashed,
) -> Result<(), VerifyError> {
    let rest = file.file_name().unwrap_or_default().to_string_lossy();
    let Ok(id) = format!("{start}{rest}").parse::<ObjectId>() else {
        return Ok(()); // what git or a push left half-written
    };
    let open = File::open(file).map_err(|error| damaged(file, error))?;
    hashed.files += 1;
    hashed.bytes += open.metadata().map_or(0, |found| found.len());
    let mut hash = Sha256::new();
    let mut inflated = flate2::bufread::ZlibDecoder::new(BufReader::new(open));
    let mut buffer = vec![0; 1 << 15];
    loop {
        match inflated.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) => return Err(object(ledger, id, &error.to_string())),
        }
    }
    if hash.finalize().as_slice() == id.as_bytes() {
        return Ok(());
    }
    Err(object(ledger, id, "its content has another hash"))
}

fn object(ledger: &Ledger, id: ObjectId, reason: &str) -> VerifyError {
    VerifyError::Object {
        id,
        place: place_of(ledger, id),
        reason: reason.to_owned(),
    }
}

/// The path at which an object stands in the history, in words; what cannot be walked is passed by.
#[must_use]
pub fn place_of(ledger: &Ledger, id: ObjectId) -> String {
    let listed = git::command(ledger.dir())
        .args(["rev-list", "--objects", "--all", "--missing=allow-any"])
        .output();
    let Ok(listed) = listed else {
        return String::new();
    };
    let text = String::from_utf8_lossy(&listed.stdout);
    let start = format!("{id} ");
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix(start.as_str()));
    path.filter(|path| !path.is_empty())
        .map_or_else(String::new, |path| format!(" ({path})"))
}
