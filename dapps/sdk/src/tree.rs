//! One of the two input trees, as a sorted list of files that can be read.
//!
//! A candidate is hostile input. The tree is walked once, without following a symlink anywhere, and
//! only what the walk found can be read afterwards, each file up to a bound that the caller names.
//! Both trees are mounted read-only, so what the walk saw is what a read gets.
//!
//! **Invariants**: paths are relative, `/`-separated and sorted by bytes; nothing outside the root
//! is ever opened; the number of files and the depth are bounded.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{ReadError, Undecided};

/// The most files that a tree may have. A checkpoint adds at most 1024 paths a block.
pub const FILES_MAX: usize = 1_000_000;

/// The deepest directory, as for paths of the ledger (P-15).
const DEPTH_MAX: usize = 16;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File {
        /// Its size.
        bytes: u64,
        /// Whether it is mode 0755.
        executable: bool,
    },
    /// A symlink, never followed.
    Symlink,
    /// A device, socket or pipe: a ledger has none.
    Other,
}

/// A directory tree: `/gdo/base` or `/gdo/candidate`.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
    files: BTreeMap<String, Kind>,
}

impl Tree {
    /// Walks `root`. A root that does not exist is an empty tree: git has no empty directories.
    ///
    /// # Errors
    /// Undecided when the system cannot list a directory, or the tree is beyond the bounds.
    pub fn load(root: &Path) -> Result<Self, Undecided> {
        let mut tree = Self {
            root: root.to_owned(),
            files: BTreeMap::new(),
        };
        if root.exists() {
            tree.walk(root, "", 0)?;
        }
        Ok(tree)
    }

    /// All paths with their kinds, sorted.
    pub fn files(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.files.iter().map(|(path, kind)| (path.as_str(), *kind))
    }

    /// The paths that begin with `prefix`, sorted. Name a directory with its slash: `acct/txn/`.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, Kind)> + 'a {
        self.files
            .range::<str, _>((
                std::ops::Bound::Included(prefix),
                std::ops::Bound::Unbounded,
            ))
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, kind)| (path.as_str(), *kind))
    }

    /// What stands at `path`.
    #[must_use]
    pub fn kind(&self, path: &str) -> Option<Kind> {
        self.files.get(path).copied()
    }

    /// Whether something stands at `path`.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Reads a plain file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
        let bytes = match self.kind(path) {
            None => return Err(ReadError::Missing),
            Some(Kind::Symlink) => return Err(ReadError::Symlink),
            Some(Kind::Other) => return Err(ReadError::NotAFile),
            Some(Kind::File { bytes, .. }) => bytes,
        };
        if bytes > bytes_max {
            return Err(ReadError::TooLarge {
                bytes,
                max: bytes_max,
            });
        }
        let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        // One byte beyond the bound shows a file that grew behind our back.
        File::open(self.root.join(path))
            .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut content))
            .map_err(|error| ReadError::Io(error.to_string()))?;
        if content.len() as u64 > bytes_max {
            return Err(ReadError::TooLarge {
                bytes: content.len() as u64,
                max: bytes_max,
            });
        }
        Ok(content)
    }

    /// Reads a plain file of at most `bytes_max` bytes as UTF-8.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_text(&self, path: &str, bytes_max: u64) -> Result<String, ReadError> {
        String::from_utf8(self.read(path, bytes_max)?).map_err(|_| ReadError::NotText)
    }

    /// Whether `path` holds the same kind of file with the same bytes in both trees.
    ///
    /// Symlinks count as equal only to symlinks with the same target.
    ///
    /// # Errors
    /// Undecided when the system cannot read one of them.
    pub fn same(&self, other: &Self, path: &str) -> Result<bool, Undecided> {
        if self.kind(path) != other.kind(path) {
            return Ok(false);
        }
        match self.kind(path) {
            None | Some(Kind::Other) => Ok(true),
            Some(Kind::Symlink) => {
                Ok(read_link(&self.root.join(path))? == read_link(&other.root.join(path))?)
            }
            Some(Kind::File { .. }) => same_bytes(&self.root.join(path), &other.root.join(path)),
        }
    }

    fn walk(&mut self, dir: &Path, prefix: &str, depth: usize) -> Result<(), Undecided> {
        if depth > DEPTH_MAX {
            return Err(Undecided::TooDeep(dir.to_owned()));
        }
        let io = |source| Undecided::Io {
            path: dir.to_owned(),
            source,
        };
        for entry in fs::read_dir(dir).map_err(io)? {
            let entry = entry.map_err(io)?;
            // A name that is not UTF-8 cannot come from a ledger (P-15), and no rule speaks of it.
            let Ok(name) = entry.file_name().into_string() else {
                return Err(io(std::io::Error::new(
                    ErrorKind::InvalidData,
                    "a name is not UTF-8",
                )));
            };
            let path = format!("{prefix}{name}");
            let meta = fs::symlink_metadata(entry.path()).map_err(io)?;
            if meta.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"), depth + 1)?;
                continue;
            }
            let kind = if meta.is_file() {
                let executable = meta.permissions().mode() & 0o100 != 0;
                Kind::File {
                    bytes: meta.len(),
                    executable,
                }
            } else if meta.is_symlink() {
                Kind::Symlink
            } else {
                Kind::Other
            };
            if self.files.len() >= FILES_MAX {
                return Err(Undecided::TooManyFiles {
                    tree: self.root.clone(),
                    max: FILES_MAX,
                });
            }
            self.files.insert(path, kind);
        }
        Ok(())
    }
}

fn read_link(path: &Path) -> Result<PathBuf, Undecided> {
    fs::read_link(path).map_err(|source| Undecided::Io {
        path: path.to_owned(),
        source,
    })
}

/// Compares two files in pieces: their size has no bound here.
fn same_bytes(a: &Path, b: &Path) -> Result<bool, Undecided> {
    let open = |path: &Path| {
        File::open(path).map_err(|source| Undecided::Io {
            path: path.to_owned(),
            source,
        })
    };
    let (mut left, mut right) = (open(a)?, open(b)?);
    let (mut left_piece, mut right_piece) = (vec![0; 16_384], vec![0; 16_384]);
    loop {
        let n = fill(&mut left, &mut left_piece, a)?;
        let m = fill(&mut right, &mut right_piece, b)?;
        if left_piece[..n] != right_piece[..m] {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the piece is full or the file ends.
fn fill(file: &mut File, piece: &mut [u8], path: &Path) -> Result<usize, Undecided> {
    let mut filled = 0;
    while filled < piece.len() {
        match file.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(Undecided::Io {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree_of(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().expect("temporary directory");
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("directory");
            fs::write(path, text).expect("file");
        }
        let tree = Tree::load(dir.path()).expect("loads");
        (dir, tree)
    }

    #[test]
    fn a_symlink_is_listed_but_never_followed() {
        let secret = tempfile::tempdir().expect("temporary directory");
        fs::write(secret.path().join("key"), "secret").expect("file");
        let dir = tempfile::tempdir().expect("temporary directory");
        symlink(secret.path().join("key"), dir.path().join("file")).expect("symlink");
        symlink(secret.path(), dir.path().join("dir")).expect("symlink");
        symlink("/nowhere", dir.path().join("dangling")).expect("symlink");
        let tree = Tree::load(dir.path()).expect("loads");
        let all: Vec<_> = tree.files().collect();
        assert_eq!(
            all,
            [
                ("dangling", Kind::Symlink),
                ("dir", Kind::Symlink),
                ("file", Kind::Symlink)
            ]
        );
        assert_eq!(tree.read("file", 100), Err(ReadError::Symlink));
        assert_eq!(tree.read("dir/key", 100), Err(ReadError::Missing));
    }

    #[test]
    fn a_file_over_the_bound_is_not_read() {
        let (_dir, tree) = tree_of(&[("a/b", "12345")]);
        assert_eq!(tree.read("a/b", 5).expect("fits"), b"12345");
        assert_eq!(
            tree.read("a/b", 4),
            Err(ReadError::TooLarge { bytes: 5, max: 4 })
        );
    }

    #[test]
    fn files_of_a_directory_are_sorted_and_end_at_its_prefix() {
        let (_dir, tree) = tree_of(&[("a/2", ""), ("a/1", ""), ("a-b", ""), ("ab/3", "")]);
        let below: Vec<&str> = tree.under("a/").map(|(path, _)| path).collect();
        assert_eq!(below, ["a/1", "a/2"]);
        assert_eq!(tree.len(), 4);
    }

    #[test]
    fn a_changed_byte_mode_or_link_target_is_a_difference() {
        let (dir_a, _) = tree_of(&[("x", "same"), ("y", "one"), ("m", "mode")]);
        let (dir_b, _) = tree_of(&[("x", "same"), ("y", "two"), ("m", "mode")]);
        fs::set_permissions(dir_b.path().join("m"), fs::Permissions::from_mode(0o755))
            .expect("mode");
        symlink("one", dir_a.path().join("l")).expect("symlink");
        symlink("two", dir_b.path().join("l")).expect("symlink");
        let a = Tree::load(dir_a.path()).expect("loads");
        let b = Tree::load(dir_b.path()).expect("loads");
        let same = |path| a.same(&b, path).expect("readable");
        assert!(same("x"));
        assert!(!same("y"));
        assert!(!same("m"));
        assert!(!same("l"));
    }

    #[test]
    fn a_tree_that_does_not_exist_is_empty() {
        assert!(
            Tree::load(Path::new("/nonexistent/gdo"))
                .expect("loads")
                .is_empty()
        );
    }
}
