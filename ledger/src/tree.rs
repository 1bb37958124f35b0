//! Trees without a work tree: read, compared, changed.
//!
//! The bytes of trees are read and written here, because what a ledger holds is narrower than what
//! git stores (P-15), and because diffs and changes must cost what changes, not what stands there.
//!
//! **Invariants**: entries are sorted as git sorts them, each name once; a tree that is not of this
//! form is refused by name; no empty tree is ever written below another one.

use gdo_core::delta::{Entry, Mode};
use gdo_core::id::ObjectId;
use gdo_core::path::RepoPath;

use crate::error::{LedgerError, TreeError};
use crate::objects::Objects;

pub mod apply;
pub mod diff;
pub mod lookup;

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nothing.
    Absent,
    /// A file.
    File(Entry),
    /// A directory.
    Directory,
}

/// The mode of a directory.
pub(crate) const DIRECTORY: u32 = 0o040_000;

/// One entry of a tree object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) mode: u32,
    pub(crate) id: ObjectId,
}

impl Item {
    pub(crate) fn is_dir(&self) -> bool {
        self.mode == DIRECTORY
    }

    /// The entry as a file that a ledger may hold; `path` is for the error.
    pub(crate) fn file(&self, path: &str) -> Result<Entry, TreeError> {
        let mode = match self.mode {
            0o100_644 => Mode::File,
            0o100_755 => Mode::Executable,
            0o120_000 => Mode::Symlink,
            other => return Err(TreeError::mode(path.to_owned(), other)),
        };
        Ok(Entry { mode, id: self.id })
    }

    /// An entry for a file.
    pub(crate) fn of_file(name: &str, entry: &Entry) -> Self {
        let mode = match entry.mode {
            Mode::File => 0o100_644,
            Mode::Executable => 0o100_755,
            Mode::Symlink => 0o120_000,
        };
        Self {
            name: name.to_owned(),
            mode,
            id: entry.id,
        }
    }

    /// An entry for a directory.
    pub(crate) fn of_dir(name: &str, id: ObjectId) -> Self {
        Self {
            name: name.to_owned(),
            mode: DIRECTORY,
            id,
        }
    }

    /// The order of entries in a tree: directories compare as if their names ended in a slash.
    pub(crate) fn order(&self) -> impl Iterator<Item = u8> + '_ {
        self.name.bytes().chain(self.is_dir().then_some(b'/'))
    }
}

/// `dir/name`, or `name` at the root.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}

/// Reads the path of an entry in the form that ledgers demand (P-15).
pub(crate) fn repo_path(path: &str) -> Result<RepoPath, TreeError> {
    path.parse().map_err(TreeError::Path)
}

/// Reads the entries of a tree.
pub(crate) fn read(objects: &Objects, id: &ObjectId) -> Result<Vec<Item>, LedgerError> {
    let raw = objects.tree(id)?;
    let wrong = |got: String| TreeError::Format { id: *id, got };
    let items = parse(&raw, objects.format().id_bytes()).map_err(wrong)?;
    Ok(items)
}

/// Takes a tree object apart.
fn parse(mut raw: &[u8], id_bytes: usize) -> Result<Vec<Item>, String> {
    let mut items: Vec<Item> = Vec::new();
    while !raw.is_empty() {
        let space = raw.iter().take(8).position(|&byte| byte == b' ');
        let space = space.ok_or("an entry without a mode")?;
        let mode = read_mode(&raw[..space])?;
        raw = &raw[space + 1..];
        let end = raw.iter().position(|&byte| byte == 0);
        let end = end.ok_or("an entry without an id")?;
        let name = std::str::from_utf8(&raw[..end]);
        let name = name.map_err(|_| {
            let shown = String::from_utf8_lossy(&raw[..end]);
            format!("a name that is not UTF-8: '{shown}'")
        })?;
        if name.is_empty() || name.contains('/') {
            return Err(format!("a name with a slash or none: '{name}'"));
        }
        let id = raw.get(end + 1..end + 1 + id_bytes);
        let id = id.ok_or_else(|| format!("'{name}' with a short id"))?;
        let item = Item {
            name: name.to_owned(),
            mode,
            id: ObjectId::from_bytes(id).expect("the hash of a ledger has 20 or 32 bytes"),
        };
        if let Some(last) = items.last()
            && !last.order().lt(item.order())
        {
            return Err(format!("'{name}' after '{}'", last.name));
        }
        raw = &raw[end + 1 + id_bytes..];
        items.push(item);
    }
    refuse_twins(&items)?;
    Ok(items)
}

/// A file and a directory of one name do not stand beside each other, but both sort in order.
fn refuse_twins(items: &[Item]) -> Result<(), String> {
    for (at, dir) in items.iter().enumerate().filter(|(_, item)| item.is_dir()) {
        // Between `x` and `x/` only names that start with `x` and a byte below the slash can sort.
        let before = items[..at].iter().rev();
        let twin = before
            .take_while(|item| item.name.starts_with(dir.name.as_str()))
            .any(|item| item.name == dir.name);
        if twin {
            return Err(format!("'{}' twice", dir.name));
        }
    }
    Ok(())
}

fn read_mode(digits: &[u8]) -> Result<u32, String> {
    let canonical = !digits.starts_with(b"0") && digits.len() >= 5;
    let text = std::str::from_utf8(digits).ok().filter(|_| canonical);
    let mode = text.and_then(|text| u32::from_str_radix(text, 8).ok());
    mode.ok_or_else(|| format!("mode '{}'", String::from_utf8_lossy(digits)))
}

/// Puts a tree object together; sorts the entries.
pub(crate) fn encode(items: &mut [Item]) -> Vec<u8> {
    items.sort_by(|a, b| a.order().cmp(b.order()));
    let mut raw = Vec::new();
    for item in items.iter() {
        raw.extend_from_slice(format!("{:o} {}\0", item.mode, item.name).as_bytes());
        raw.extend_from_slice(item.id.as_bytes());
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut raw = Vec::new();
        for (mode, name) in entries {
            raw.extend_from_slice(mode.as_bytes());
            raw.push(b' ');
            raw.extend_from_slice(name);
            raw.push(0);
            raw.extend_from_slice(&[7; 32]);
        }
        raw
    }

    #[test]
    fn a_tree_round_trips_in_the_order_of_git() {
        let bytes = raw(&[
            ("100644", b"a.b"),
            ("40000", b"a"),
            ("100755", b"a0"),
            ("120000", b"b"),
        ]);
        let mut items = parse(&bytes, 32).expect("a tree");
        assert_eq!(items.len(), 4);
        items.reverse();
        assert_eq!(encode(&mut items), bytes);
    }

    #[test]
    fn hostile_trees_are_refused_with_what_is_wrong() {
        let cases: [(Vec<u8>, &str); 11] = [
            (raw(&[("100644", b"b"), ("100644", b"a")]), "'a' after 'b'"),
            (raw(&[("100644", b"a"), ("100644", b"a")]), "'a' after 'a'"),
            (
                raw(&[("100644", b"a"), ("100644", b"a.b"), ("40000", b"a")]),
                "'a' twice",
            ),
            (raw(&[("100644", b"a/b")]), "slash"),
            (raw(&[("100644", b"")]), "slash or none"),
            (raw(&[("100644", b"\xff")]), "UTF-8"),
            (raw(&[("0100644", b"a")]), "mode '0100644'"),
            (raw(&[("10x644", b"a")]), "mode '10x644'"),
            (b"100644 a\0short".to_vec(), "short id"),
            (b"100644 a".to_vec(), "without an id"),
            (b"100644100644a".to_vec(), "without a mode"),
        ];
        for (bytes, expected) in cases {
            let error = parse(&bytes, 32).expect_err(expected);
            assert!(error.contains(expected), "{error} does not say {expected}");
        }
    }
}
