//! Pointers to large objects: those that a proposal brings, and all that the ledger holds (P-40).
//!
//! A pointer is a file like any other to git. Who keeps the objects asks here which ones a change needs
//! and which ones may never go.
//!
//! **Invariants**: only files of at most `POINTER_BYTES_MAX` bytes are read; what is listed is what
//! refs hold, so a quarantine or a half-written proposal is in no list.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::path::Path;
use std::process::Stdio;

use gdo_core::delta::{Mode, Operation};
use gdo_core::error::FormatError;
use gdo_core::id::ObjectId;
use gdo_core::path::RepoPath;
use gdo_core::pointer::{POINTER_BYTES_MAX, Pointer};

use crate::error::LedgerError;
use crate::git;
use crate::objects::Objects;
use crate::repository::Ledger;

/// The smallest file that is a pointer: three lines with a size of one digit.
const POINTER_BYTES_MIN: u64 = 126;

/// So many ids are given to git at once.
const ARGUMENTS_MAX: usize = 1000;

/// Gives every blob that is small enough to be a pointer and that something holds.
const LIST: [&str; 6] = [
    "rev-list",
    "--objects",
    "--no-object-names",
    "--filter=object:type=blob",
    "--filter=blob:limit=1025",
    "--filter-provided-objects",
];

/// A file that claims to be a pointer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PointerFile {
    /// Where it stands.
    pub path: RepoPath,
    /// What it names, or why it names nothing.
    pub pointer: Result<Pointer, FormatError>,
}

impl Ledger {
    /// The files in `delta` that claim to be pointers, as they will be, sorted by path.
    ///
    /// `quarantine` is the object directory of a push that is not taken in yet.
    ///
    /// # Errors
    /// A file of the delta cannot be read.
    pub fn pointers_in(
        &self,
        delta: &[Operation],
        quarantine: Option<&Path>,
    ) -> Result<Vec<PointerFile>, LedgerError> {
        let objects = Objects::new(self, quarantine)?;
        let mut found = Vec::new();
        for operation in delta {
            let Some(entry) = &operation.new else {
                continue;
            };
            if entry.mode == Mode::Symlink || objects.blob_bytes(&entry.id)? > POINTER_BYTES_MAX {
                continue;
            }
            let text = objects.blob(&entry.id, POINTER_BYTES_MAX)?;
            if Pointer::is_meant(&text) {
                found.push(PointerFile {
                    path: operation.path.clone(),
                    pointer: Pointer::parse(&text),
                });
            }
        }
        Ok(found)
    }

    /// Every pointer in anything that a ref holds: in the whole history and in open proposals.
    ///
    /// # Errors
    /// Git fails, or an object that it lists cannot be read.
    pub fn pointers(&self) -> Result<BTreeSet<Pointer>, LedgerError> {
        self.pointers_held_by(&["--all".to_owned()])
    }

    /// Every pointer in a tree.
    ///
    /// # Errors
    /// As [`Ledger::pointers`].
    pub fn pointers_of(&self, tree: &ObjectId) -> Result<BTreeSet<Pointer>, LedgerError> {
        self.pointers_held_by(&[tree.to_string()])
    }

    /// Every pointer in a tree but those in the directory `dir` of its root.
    ///
    /// # Errors
    /// As [`Ledger::pointers`].
    pub fn pointers_outside(
        &self,
        tree: &ObjectId,
        dir: &str,
    ) -> Result<BTreeSet<Pointer>, LedgerError> {
        let entries = self.ids_in_root(tree)?;
        let entries = entries.into_iter().filter(|(name, _)| name != dir);
        let ids: Vec<String> = entries.map(|(_, id)| id.to_string()).collect();
        let mut found = BTreeSet::new();
        for ids in ids.chunks(ARGUMENTS_MAX) {
            found.append(&mut self.pointers_held_by(ids)?);
        }
        Ok(found)
    }

    fn pointers_held_by(&self, what: &[String]) -> Result<BTreeSet<Pointer>, LedgerError> {
        let command = || format!("git {} {}", LIST.join(" "), what.join(" "));
        let mut child = git::command(self.dir())
            .args(LIST)
            .args(what)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| LedgerError::GitMissing {
                command: command(),
                source,
            })?;
        let stdout = child.stdout.take().expect("it was made a pipe");
        let found = self.pointers_among(BufReader::new(stdout));
        let status = child.wait().map_err(LedgerError::io("list", self.dir()))?;
        if !status.success() {
            return Err(LedgerError::Git {
                command: command(),
                status: status.to_string(),
                stderr: "its complaint is in the node's log".to_owned(),
            });
        }
        found
    }

    /// The pointers among the blobs whose ids are listed, a line each.
    fn pointers_among(
        &self,
        list: impl std::io::BufRead,
    ) -> Result<BTreeSet<Pointer>, LedgerError> {
        let objects = self.objects();
        let mut found = BTreeSet::new();
        for line in list.lines() {
            let line = line.map_err(LedgerError::io("list", self.dir()))?;
            let id: ObjectId = line.parse().map_err(|_| LedgerError::Store {
                action: "list the pointers".to_owned(),
                reason: format!("git lists '{line}', expected an object id"),
            })?;
            if objects.blob_bytes(&id)? < POINTER_BYTES_MIN {
                continue;
            }
            found.extend(Pointer::parse(&objects.blob(&id, POINTER_BYTES_MAX)?));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use gdo_core::delta::Entry;
    use gdo_core::id::Digest;

    use super::*;
    use crate::repository::ObjectFormat;

    fn pointer(text: &[u8]) -> Pointer {
        Pointer {
            oid: Digest::of(text),
            size: text.len() as u64,
        }
    }

    fn adding(ledger: &Ledger, path: &str, mode: Mode, content: &[u8]) -> Operation {
        Operation {
            path: path.parse().expect("a path"),
            old: None,
            new: Some(Entry {
                mode,
                id: ledger.write_blob(content).expect("written"),
            }),
        }
    }

    #[test]
    fn files_that_begin_like_a_pointer_are_found_and_others_are_not() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let ledger = Ledger::create(&temp.path().join("l.git"), ObjectFormat::Sha256).expect("new");
        let good = pointer(b"large").to_text();
        let bad = good.replace("size", "length");
        let long = format!("{good}{}", "x".repeat(2000));
        let delta = [
            adding(&ledger, "a.img", Mode::File, good.as_bytes()),
            adding(&ledger, "b.img", Mode::Executable, bad.as_bytes()),
            adding(&ledger, "c.txt", Mode::File, b"a plain file"),
            adding(&ledger, "d.txt", Mode::File, long.as_bytes()),
            adding(&ledger, "e", Mode::Symlink, good.as_bytes()),
            Operation {
                path: "gone".parse().expect("a path"),
                old: None,
                new: None,
            },
        ];
        let found = ledger.pointers_in(&delta, None).expect("readable");
        let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a.img", "b.img"]);
        assert_eq!(found[0].pointer, Ok(pointer(b"large")));
        assert!(found[1].pointer.is_err());
    }

    #[test]
    fn no_pointer_is_smaller_than_what_is_looked_at() {
        let smallest = pointer(b"").to_text();
        assert_eq!(smallest.len() as u64, POINTER_BYTES_MIN);
    }

    #[test]
    fn pointers_of_the_whole_history_are_listed_and_those_of_no_ref_are_not() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = temp.path().join("l.git");
        let ledger = Ledger::create(&dir, ObjectFormat::Sha256).expect("new");
        let commit = |content: &[u8], parent: Option<&str>| {
            let blob = ledger.write_blob(content).expect("written");
            let entry = temp.path().join("entry");
            std::fs::write(&entry, format!("100644 blob {blob}\ta.img\n")).expect("ours");
            let mut mktree = git::command(&dir);
            mktree.arg("mktree");
            let input = std::fs::File::open(&entry).expect("just written");
            let output = mktree.stdin(input).output().expect("git is installed");
            let tree = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let who = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"];
            let mut words = [&who[..], &["commit-tree", "-m", "x", &tree]].concat();
            words.extend(parent.iter().flat_map(|id| ["-p", id]));
            git::run(&dir, &words).expect("committed").trim().to_owned()
        };
        let first = commit(pointer(b"one").to_text().as_bytes(), None);
        let second = commit(pointer(b"two").to_text().as_bytes(), Some(&first));
        let third = commit(b"plain", Some(&second));
        let _unnamed = commit(pointer(b"three").to_text().as_bytes(), None);
        assert_eq!(ledger.pointers().expect("empty"), BTreeSet::new());
        git::run(&dir, &["update-ref", "refs/heads/main", &third]).expect("named");
        let expected = BTreeSet::from([pointer(b"one"), pointer(b"two")]);
        assert_eq!(ledger.pointers().expect("listed"), expected);
        let second = second.parse().expect("git printed an id");
        let tree = ledger.read_commit(&second).expect("written").tree;
        let expected = BTreeSet::from([pointer(b"two")]);
        assert_eq!(ledger.pointers_of(&tree).expect("listed"), expected);
    }

    #[test]
    fn pointers_outside_of_a_folder_are_those_of_all_others() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let ledger = Ledger::create(&temp.path().join("l.git"), ObjectFormat::Sha256).expect("new");
        let file = |path: &str, content: &[u8]| {
            adding(
                &ledger,
                path,
                Mode::File,
                pointer(content).to_text().as_bytes(),
            )
        };
        let delta = [
            file(".gdo/images/a/layer", b"image"),
            file(".gdo/images/a/shared", b"shared"),
            file("a.img", b"root"),
            file("deep/down/b.img", b"deep"),
            file("deep/shared.img", b"shared"),
        ];
        let tree = ledger.apply(&ledger.empty_tree(), &delta).expect("applied");
        let expected = [&b"root"[..], b"deep", b"shared"].map(pointer);
        let found = ledger.pointers_outside(&tree, ".gdo").expect("listed");
        assert_eq!(found, BTreeSet::from(expected));
    }
}
