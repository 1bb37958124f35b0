//! The path-level difference of two trees: no rename detection, no merge heuristics (P-9).
//!
//! Subtrees with equal ids are not entered, so the cost follows the change. What comes out is bounded:
//! a tree bomb ends the walk at the cap, because a tree without files in it is refused.

use std::collections::BTreeMap;

use gdo_core::delta::{Delta, Entry, Operation};
use gdo_core::id::ObjectId;
use gdo_core::path::RepoPath;

use super::lookup::entry_in;
use super::{Item, Standing, join, read, repo_path};
use crate::error::{LedgerError, TreeError};
use crate::objects::Objects;
use crate::repository::Ledger;

/// One walk over two trees.
struct Walk<'a> {
    objects: &'a Objects,
    empty: ObjectId,
    max: usize,
    delta: Delta,
}

impl Ledger {
    /// The operations that make `new` of `old`, sorted by path, at most `max` of them.
    ///
    /// # Errors
    /// More than `max` paths change, or one that changes is of a form or mode that ledgers do not
    /// hold (P-15): the error names it.
    pub fn diff(&self, old: &ObjectId, new: &ObjectId, max: usize) -> Result<Delta, LedgerError> {
        between(&self.objects(), old, new, max, self.empty_tree())
    }
}

/// As [`Ledger::diff`], over the objects of a quarantine too.
pub(crate) fn between(
    objects: &Objects,
    old: &ObjectId,
    new: &ObjectId,
    max: usize,
    empty: ObjectId,
) -> Result<Delta, LedgerError> {
    let mut walk = Walk {
        objects,
        empty,
        max,
        delta: Vec::new(),
    };
    let old = walk.items(Some(old))?;
    let new = walk.items(Some(new))?;
    walk.directory("", old, new)?;
    walk.delta.sort_by(|a, b| a.path.cmp(&b.path));
    join_halves(&mut walk.delta);
    Ok(walk.delta)
}

impl Walk<'_> {
    fn items(&self, id: Option<&ObjectId>) -> Result<Vec<Item>, LedgerError> {
        match id {
            Some(id) if *id != self.empty => read(self.objects, id),
            _ => Ok(Vec::new()),
        }
    }

    /// Compares two directories: both are sorted, so one pass finds what differs.
    fn directory(&mut self, dir: &str, old: Vec<Item>, new: Vec<Item>) -> Result<(), LedgerError> {
        let mut old = old.into_iter().peekable();
        let mut new = new.into_iter().peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.order().cmp(b.order()),
            };
            let before = order.is_le().then(|| old.next()).flatten();
            let after = order.is_ge().then(|| new.next()).flatten();
            self.name(dir, before, after)?;
        }
    }

    /// Compares what stands at one name; both are files or both are directories, if both are there.
    fn name(&mut self, dir: &str, old: Option<Item>, new: Option<Item>) -> Result<(), LedgerError> {
        let same = |a: &Item, b: &Item| a.id == b.id && a.mode == b.mode;
        if let (Some(a), Some(b)) = (&old, &new)
            && same(a, b)
        {
            return Ok(());
        }
        let Some(any) = new.as_ref().or(old.as_ref()) else {
            return Ok(());
        };
        let path = join(dir, &any.name);
        if !any.is_dir() {
            let file = |item: Option<Item>| item.map(|item| item.file(&path)).transpose();
            let (old, new) = (file(old)?, file(new)?);
            if self.delta.len() == self.max {
                return Err(TreeError::TooManyPaths { max: self.max }.into());
            }
            let path = repo_path(&path)?;
            self.delta.push(Operation { path, old, new });
            return Ok(());
        }
        // The depth is bounded by the path, which must be one that a file below could have.
        repo_path(&path)?;
        let below = |item: &Option<Item>| self.items(item.as_ref().map(|item| &item.id));
        let (before, after) = (below(&old)?, below(&new)?);
        if new.is_some() && after.is_empty() {
            return Err(TreeError::EmptyDirectory { path }.into());
        }
        self.directory(&path, before, after)
    }
}

/// The first path at which `new` is not `old` with `expected` put on it; paths that `ignored` names
/// may change as they like.
pub(crate) fn mismatch(
    objects: &Objects,
    old: &ObjectId,
    new: &ObjectId,
    expected: &BTreeMap<&RepoPath, Option<Entry>>,
    ignored: &dyn Fn(&RepoPath) -> bool,
    empty: ObjectId,
) -> Result<Option<RepoPath>, LedgerError> {
    let found = between(objects, old, new, expected.len() + IGNORED_MAX, empty)?;
    let mut left = expected.clone();
    for operation in found {
        if !ignored(&operation.path) && left.remove(&operation.path) != Some(operation.new) {
            return Ok(Some(operation.path));
        }
    }
    // What did not change must have stood there before.
    for (path, wanted) in left {
        let stands = entry_in(objects, old, path.as_str(), empty)?;
        let same = match (stands, wanted) {
            (Standing::File(entry), Some(wanted)) => entry == wanted,
            (Standing::Absent, None) => true,
            _ => false,
        };
        if !same {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

/// How many ignored paths may change at once.
const IGNORED_MAX: usize = 1024;

/// A symlink or file never sorts apart from its own name, but a delta has one operation a path.
fn join_halves(delta: &mut Delta) {
    delta.dedup_by(|later, earlier| {
        if later.path != earlier.path {
            return false;
        }
        earlier.old = earlier.old.or(later.old);
        earlier.new = earlier.new.or(later.new);
        true
    });
}
