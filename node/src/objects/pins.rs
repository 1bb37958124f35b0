//! Pins: objects that stay though nothing in the ledger points to them, because the operator said so.
//!
//! Each is a small file of names, `docs/formats/staged-images.md`. The files are the truth; nothing of
//! them is kept in memory.
//!
//! **Invariants**: a pin is whole or absent; one that cannot be read stops a collection, never a pin.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gdo_core::error::FormatError;
use gdo_core::id::Digest;

use crate::dir::write_durably;
use crate::error::{NodeError, ObjectsError};

/// How the name of a pin's file ends.
const ENDING: &str = "pin";

/// The folder of the pins.
#[derive(Debug)]
pub(super) struct Pins {
    dir: PathBuf,
    /// Held by whoever changes them.
    writing: Mutex<()>,
}

impl Pins {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            writing: Mutex::new(()),
        }
    }

    /// Pins objects under a name.
    pub(super) fn set(&self, name: &str, objects: &BTreeSet<Digest>) -> Result<(), NodeError> {
        let text: String = objects.iter().map(|oid| format!("{oid}\n")).collect();
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(&self.dir)
            .map_err(|source| NodeError::io("create", &self.dir, source))?;
        write_durably(&self.file(name), text.as_bytes(), 0o644)
    }

    /// Takes a pin away; says whether there was one.
    pub(super) fn remove(&self, name: &str) -> Result<bool, NodeError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.file(name);
        match fs::remove_file(&file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(NodeError::io("remove", &file, source)),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.file(name).is_file()
    }

    /// All objects that are pinned.
    pub(super) fn objects(&self) -> Result<BTreeSet<Digest>, ObjectsError> {
        let mut pinned = BTreeSet::new();
        let listed = match fs::read_dir(&self.dir) {
            Ok(listed) => listed,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(pinned),
            Err(source) => return Err(unreadable(&self.dir, source)),
        };
        for entry in listed {
            let file = entry
                .map_err(|source| unreadable(&self.dir, source))?
                .path();
            // What a kill left half-written has another ending.
            if file.extension().is_none_or(|end| end != ENDING) {
                continue;
            }
            let text = fs::read_to_string(&file).map_err(|source| unreadable(&file, source))?;
            for line in text.lines() {
                let oid = line.parse().map_err(|error: FormatError| {
                    unreadable(
                        &file,
                        io::Error::new(ErrorKind::InvalidData, error.to_string()),
                    )
                })?;
                pinned.insert(oid);
            }
        }
        Ok(pinned)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.{ENDING}"))
    }
}

fn unreadable(file: &Path, source: io::Error) -> ObjectsError {
    ObjectsError::File {
        file: file.to_owned(),
        source,
    }
}
