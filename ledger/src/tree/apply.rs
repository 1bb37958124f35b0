//! Applies a delta to a tree: writes the trees that change and no other.
//!
//! Whether an operation may apply (section 6) is decided before; only the shape of the result is
//! checked here, because a tree cannot hold a file and a directory of one name.

use std::collections::BTreeMap;

use gdo_core::delta::{Entry, Operation};
use gdo_core::id::ObjectId;

use super::{Item, encode, read};
use crate::error::{LedgerError, TreeError};
use crate::objects::Objects;
use crate::repository::Ledger;

/// The changes below one directory.
#[derive(Default)]
struct Changes<'a> {
    /// What becomes of the file of this name, if it changes.
    file: Option<&'a Operation>,
    /// The changes below the directory of this name.
    below: BTreeMap<&'a str, Changes<'a>>,
}

impl Ledger {
    /// The tree that `delta` makes of `tree`: each path gets its new entry, whatever stood there.
    ///
    /// Directories that become empty vanish. Removing what is not there changes nothing.
    ///
    /// # Errors
    /// A file where a directory stands or the reverse, a tree of another form, or the disk fails.
    pub fn apply(&self, tree: &ObjectId, delta: &[Operation]) -> Result<ObjectId, LedgerError> {
        let mut root = Changes::default();
        for operation in delta {
            let mut at = &mut root;
            for segment in operation.path.segments() {
                at = at.below.entry(segment).or_default();
            }
            at.file = Some(operation);
        }
        let objects = self.objects();
        let changed = self.apply_below(&objects, Some(tree), &root)?;
        match changed {
            Some(id) => Ok(id),
            None => self.write_tree(&[]),
        }
    }

    /// Applies the changes below one directory; `None` is a directory that holds nothing.
    fn apply_below(
        &self,
        objects: &Objects,
        tree: Option<&ObjectId>,
        changes: &Changes<'_>,
    ) -> Result<Option<ObjectId>, LedgerError> {
        let items = match tree {
            Some(id) if *id != self.empty_tree() => read(objects, id)?,
            _ => Vec::new(),
        };
        let mut unchanged = Vec::with_capacity(items.len());
        let mut touched: BTreeMap<String, Item> = BTreeMap::new();
        for item in items {
            if changes.below.contains_key(item.name.as_str()) {
                touched.insert(item.name.clone(), item);
            } else {
                unchanged.push(item);
            }
        }
        for (name, change) in &changes.below {
            let old = touched.get(*name);
            unchanged.extend(self.apply_entry(objects, name, old, change)?);
        }
        if unchanged.is_empty() {
            return Ok(None);
        }
        self.write_tree(&encode(&mut unchanged)).map(Some)
    }

    /// What becomes of one name in a directory.
    fn apply_entry(
        &self,
        objects: &Objects,
        name: &str,
        old: Option<&Item>,
        change: &Changes<'_>,
    ) -> Result<Option<Item>, LedgerError> {
        let old_dir = old.filter(|item| item.is_dir());
        let old_file = old.filter(|item| !item.is_dir());
        let file: Option<Item> = match change.file {
            Some(operation) => operation
                .new
                .map(|entry: Entry| Item::of_file(name, &entry)),
            None => old_file.cloned(),
        };
        let dir = if change.below.is_empty() {
            old_dir.map(|item| item.id)
        } else {
            self.apply_below(objects, old_dir.map(|item| &item.id), change)?
        };
        match (file, dir) {
            (Some(_), Some(_)) => Err(clash(name, change).into()),
            (Some(file), None) => Ok(Some(file)),
            (None, Some(id)) => Ok(Some(Item::of_dir(name, id))),
            (None, None) => Ok(None),
        }
    }
}

/// Names a path at which a file and a directory meet.
fn clash(name: &str, change: &Changes<'_>) -> TreeError {
    let mut at = change;
    while at.file.is_none() {
        match at.below.values().next() {
            Some(next) => at = next,
            None => {
                return TreeError::Shape {
                    path: name.to_owned(),
                };
            }
        }
    }
    at.file.map_or_else(
        || TreeError::Shape {
            path: name.to_owned(),
        },
        |operation| TreeError::shape(&operation.path),
    )
}
