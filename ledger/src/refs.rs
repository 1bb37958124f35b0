//! Refs: read, listed, and changed many at once with compare-and-swap (P-42).
//!
//! gix locks every ref of a transaction before it compares, and changes none if one of them is not as
//! expected. It does not sync: here, objects and new values are synced while the locks are held,
//! before a value is renamed into place, and the names after. A crash in the middle of a commit may leave some refs
//! new and others old, each of them whole; updates come before removals.
//!
//! **Invariants**: a ref names only objects that are on the disk; a ref is never half written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gdo_core::id::ObjectId;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefLog};
use gix::refs::{FullName, Target};

use crate::error::{LedgerError, RefError};
use crate::fault;
use crate::ids::{from_gix, to_gix};
use crate::repository::Ledger;
use crate::sync;

/// What a ref must be before a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Whatever it is.
    Any,
    /// It must not exist.
    Absent,
    /// It must have this value.
    Is(ObjectId),
}

/// One change of a ref.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefEdit {
    /// The full name: `refs/…`.
    pub name: String,
    /// What it must be before.
    pub expected: Expected,
    /// What it becomes; `None` removes it.
    pub new: Option<ObjectId>,
}

impl RefEdit {
    /// Sets a ref from what `old` says: absent or a value.
    #[must_use]
    pub fn set(name: impl Into<String>, old: Option<ObjectId>, new: ObjectId) -> Self {
        Self {
            name: name.into(),
            expected: old.map_or(Expected::Absent, Expected::Is),
            new: Some(new),
        }
    }

    /// Removes a ref that has the value `old`.
    #[must_use]
    pub fn remove(name: impl Into<String>, old: ObjectId) -> Self {
        Self {
            name: name.into(),
            expected: Expected::Is(old),
            new: None,
        }
    }

    fn to_gix(&self) -> Result<gix::refs::transaction::RefEdit, RefError> {
        let name = full_name(&self.name)?;
        let target = |id: &ObjectId| Target::Object(to_gix(id));
        let change = match &self.new {
            Some(new) => Change::Update {
                log: LogChange {
                    mode: RefLog::AndReference,
                    force_create_reflog: false,
                    message: "gdo".into(),
                },
                expected: match &self.expected {
                    Expected::Any => PreviousValue::Any,
                    Expected::Absent => PreviousValue::MustNotExist,
                    Expected::Is(old) => PreviousValue::MustExistAndMatch(target(old)),
                },
                new: target(new),
            },
            None => Change::Delete {
                expected: match &self.expected {
                    Expected::Any | Expected::Absent => PreviousValue::Any,
                    Expected::Is(old) => PreviousValue::MustExistAndMatch(target(old)),
                },
                log: RefLog::AndReference,
            },
        };
        Ok(gix::refs::transaction::RefEdit {
            change,
            name,
            deref: false,
        })
    }
}

fn full_name(name: &str) -> Result<FullName, RefError> {
    let wrong = |reason: String| RefError::Name {
        name: name.to_owned(),
        reason,
    };
    if !name.starts_with("refs/") {
        return Err(wrong("expected 'refs/…'".to_owned()));
    }
    FullName::try_from(name).map_err(|error| wrong(error.to_string()))
}

impl Ledger {
    /// The value of a ref; `None` if it does not exist.
    ///
    /// # Errors
    /// A bad name, a symbolic ref, or the store fails.
    pub fn read_ref(&self, name: &str) -> Result<Option<ObjectId>, RefError> {
        let full = full_name(name)?;
        let found = self.refs().try_find(full.as_ref());
        let found = found.map_err(|error| store_error(format!("read {name}"), &error))?;
        found.map(|found| value_of(name, &found.target)).transpose()
    }

    /// The refs whose names start with `prefix` (`refs/…`), sorted by name.
    ///
    /// # Errors
    /// The store fails, or a ref is broken.
    pub fn list_refs(&self, prefix: &str) -> Result<Vec<(String, ObjectId)>, RefError> {
        let failed = |reason: &dyn std::fmt::Display| store_error(format!("list {prefix}"), reason);
        let platform = self.refs().iter().map_err(|error| failed(&error))?;
        let below = <&gix::path::RelativePath>::try_from(prefix).map_err(|error| failed(&error))?;
        let found = platform.prefixed(below).map_err(|error| failed(&error))?;
        let mut refs = Vec::new();
        for found in found {
            let found = found.map_err(|error| failed(&error))?;
            let name = found.name.as_bstr().to_string();
            let value = value_of(&name, &found.target)?;
            refs.push((name, value));
        }
        Ok(refs)
    }

    /// Makes all changes or none, after everything that this process wrote is on the disk.
    ///
    /// # Errors
    /// A ref is not as expected ([`RefError::Conflict`], and nothing changed), a bad name, a lock
    /// that somebody holds, or the disk fails.
    pub fn transaction(&self, edits: &[RefEdit]) -> Result<(), LedgerError> {
        if edits.is_empty() {
            return Ok(());
        }
        let prepared = edits
            .iter()
            .map(RefEdit::to_gix)
            .collect::<Result<Vec<_>, _>>()?;
        let names = self.names_of(edits);
        let wait = gix::lock::acquire::Fail::AfterDurationWithBackoff(LOCK_WAIT);
        let transaction = self.refs().transaction().prepare(prepared, wait, wait);
        let transaction = transaction.map_err(|error| self.why_not(edits, &error))?;
        fault::point("refs locked");
        // The new values wait in the lock files; they and all objects are synced before they count.
        let values = edits.iter().filter(|edit| edit.new.is_some());
        self.flush_with(
            values
                .map(|edit| lock_of(&self.ref_path(&edit.name)))
                .collect(),
        )?;
        fault::point("refs synced");
        let time = gix::date::Time::now_utc().to_string();
        let who = gix::actor::SignatureRef {
            name: "gdo".into(),
            email: "gdo@gdo.invalid".into(),
            time: &time,
        };
        let done = transaction.commit(who);
        done.map_err(|error| store_error("commit a transaction".to_owned(), &error))?;
        fault::point("refs renamed");
        sync::all(self.dir(), &names)
    }

    fn ref_path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// The directories whose names change: each ref's own, and those above it that are made for it.
    fn names_of(&self, edits: &[RefEdit]) -> Vec<PathBuf> {
        let mut dirs = BTreeSet::new();
        for edit in edits {
            let path = self.ref_path(&edit.name);
            for dir in path
                .ancestors()
                .skip(1)
                .take_while(|dir| *dir != self.dir())
            {
                dirs.insert(dir.to_path_buf());
                if dir.exists() && edit.new.is_some() {
                    break;
                }
            }
        }
        if edits.iter().any(|edit| edit.new.is_none()) {
            dirs.insert(self.dir().to_owned()); // packed-refs may be written
        }
        dirs.into_iter().collect()
    }

    /// Why a transaction could not be prepared: the first ref that is not as expected, else a lock.
    fn why_not(&self, edits: &[RefEdit], error: &dyn std::fmt::Display) -> LedgerError {
        for edit in edits {
            let got = match self.read_ref(&edit.name) {
                Ok(got) => got,
                Err(error) => return error.into(),
            };
            let expected = match edit.expected {
                Expected::Any => continue,
                Expected::Absent => None,
                Expected::Is(id) => Some(id),
            };
            if got != expected {
                let name = edit.name.clone();
                return RefError::Conflict {
                    name,
                    expected,
                    got,
                }
                .into();
            }
        }
        let locked = edits
            .iter()
            .find(|edit| lock_of(&self.ref_path(&edit.name)).exists());
        let reason = error.to_string();
        match locked {
            Some(edit) => RefError::Locked {
                name: edit.name.clone(),
                reason,
            }
            .into(),
            None => store_error("prepare a transaction".to_owned(), &reason).into(),
        }
    }
}

/// How long a transaction waits for a lock that somebody else holds.
const LOCK_WAIT: Duration = Duration::from_secs(2);

fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn store_error(action: String, reason: &dyn std::fmt::Display) -> RefError {
    let reason = reason.to_string();
    RefError::Store { action, reason }
}

fn value_of(name: &str, target: &Target) -> Result<ObjectId, RefError> {
    match target {
        Target::Object(id) => Ok(from_gix(id)),
        Target::Symbolic(other) => Err(RefError::Store {
            action: format!("read {name}"),
            reason: format!("expected an object id, got a link to {}", other.as_bstr()),
        }),
    }
}
