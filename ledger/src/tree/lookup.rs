//! What stands at a path, around it, and below a directory.

use std::collections::BTreeMap;

use gdo_core::delta::Entry;
use gdo_core::id::ObjectId;
use gdo_core::path::RepoPath;

use super::{Item, Standing, join, read, repo_path};
use crate::error::{LedgerError, TreeError};
use crate::objects::Objects;
use crate::repository::Ledger;

/// What a tree holds around one path: what the lanes' rules ask of it (section 6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathFacts {
    /// What stands at the path itself.
    pub at: Standing,
    /// The number of files below the path, if a directory stands there; else 0.
    pub files_below: u64,
    /// The file that stands at a proper prefix of the path, if one does.
    pub file_above: Option<(RepoPath, Entry)>,
    /// The files whose paths differ from this one by case alone, sorted.
    pub case_siblings: Vec<(RepoPath, Entry)>,
}

/// Reads trees at most once each.
struct Reader<'a> {
    objects: &'a Objects,
    empty: ObjectId,
    trees: BTreeMap<ObjectId, Vec<Item>>,
}

impl Reader<'_> {
    fn items(&mut self, id: &ObjectId) -> Result<&[Item], LedgerError> {
        if *id == self.empty {
            return Ok(&[]);
        }
        if !self.trees.contains_key(id) {
            let items = read(self.objects, id)?;
            self.trees.insert(*id, items);
        }
        Ok(self.trees.get(id).map_or(&[], Vec::as_slice))
    }

    fn find(&mut self, tree: &ObjectId, name: &str) -> Result<Option<Item>, LedgerError> {
        let items = self.items(tree)?;
        Ok(items.iter().find(|item| item.name == name).cloned())
    }
}

impl Ledger {
    fn reader<'a>(&self, objects: &'a Objects) -> Reader<'a> {
        Reader {
            objects,
            empty: self.empty_tree(),
            trees: BTreeMap::new(),
        }
    }

    /// What stands at `path` in `tree`; below a file stands nothing.
    ///
    /// # Errors
    /// A tree is missing or of another form, or the entry has a mode that ledgers do not hold.
    pub fn entry(&self, tree: &ObjectId, path: &RepoPath) -> Result<Standing, LedgerError> {
        entry_in(&self.objects(), tree, path.as_str(), self.empty_tree())
    }

    /// What `tree` holds around each of `paths`, in their order.
    ///
    /// # Errors
    /// As [`Ledger::entry`].
    pub fn facts<'p>(
        &self,
        tree: &ObjectId,
        paths: impl IntoIterator<Item = &'p RepoPath>,
    ) -> Result<Vec<PathFacts>, LedgerError> {
        let objects = self.objects();
        let mut reader = self.reader(&objects);
        let mut facts = Vec::new();
        for path in paths {
            facts.push(facts_of(&mut reader, tree, path)?);
        }
        Ok(facts)
    }

    /// The files below the directory `dir` ("" is the root), sorted by path, at most `max`.
    ///
    /// # Errors
    /// More files than `max`, or an entry that ledgers do not hold.
    pub fn files_below(
        &self,
        tree: &ObjectId,
        dir: &str,
        max: usize,
    ) -> Result<Vec<(RepoPath, Entry)>, LedgerError> {
        files_in(&self.objects(), tree, dir, max, self.empty_tree())
    }

    /// The entries that stand directly in the directory `dir` ("" is the root), by name.
    ///
    /// # Errors
    /// An entry that ledgers do not hold.
    pub fn list(&self, tree: &ObjectId, dir: &str) -> Result<Vec<(String, Standing)>, LedgerError> {
        let objects = self.objects();
        let Some(tree) = directory(&objects, tree, dir, self.empty_tree())? else {
            return Ok(Vec::new());
        };
        let items = self.reader(&objects).items(&tree)?.to_vec();
        let standing = |item: &Item| {
            if item.is_dir() {
                Ok(Standing::Directory)
            } else {
                item.file(&join(dir, &item.name)).map(Standing::File)
            }
        };
        let listed = items
            .iter()
            .map(|item| Ok((item.name.clone(), standing(item)?)));
        listed.collect()
    }

    /// The entries of the root of `tree` by name, with their ids.
    pub(crate) fn ids_in_root(
        &self,
        tree: &ObjectId,
    ) -> Result<Vec<(String, ObjectId)>, LedgerError> {
        let objects = self.objects();
        let mut reader = self.reader(&objects);
        let items = reader.items(tree)?.iter();
        Ok(items.map(|item| (item.name.clone(), item.id)).collect())
    }

    /// The tree of the directory `dir` ("" is the root) in `tree`, if a directory stands there.
    ///
    /// # Errors
    /// A tree is missing or of another form.
    pub fn subtree(&self, tree: &ObjectId, dir: &str) -> Result<Option<ObjectId>, LedgerError> {
        directory(&self.objects(), tree, dir, self.empty_tree())
    }
}

/// The tree of a directory, if a directory stands there.
pub(crate) fn directory(
    objects: &Objects,
    tree: &ObjectId,
    dir: &str,
    empty: ObjectId,
) -> Result<Option<ObjectId>, LedgerError> {
    let mut at = *tree;
    for segment in dir.split('/').filter(|segment| !segment.is_empty()) {
        let items = if at == empty {
            Vec::new()
        } else {
            read(objects, &at)?
        };
        match items.into_iter().find(|item| item.name == segment) {
            Some(item) if item.is_dir() => at = item.id,
            _ => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// What stands at a path.
pub(crate) fn entry_in(
    objects: &Objects,
    tree: &ObjectId,
    path: &str,
    empty: ObjectId,
) -> Result<Standing, LedgerError> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Some(dir) = directory(objects, tree, dir, empty)? else {
        return Ok(Standing::Absent);
    };
    let items = if dir == empty {
        Vec::new()
    } else {
        read(objects, &dir)?
    };
    match items.into_iter().find(|item| item.name == name) {
        None => Ok(Standing::Absent),
        Some(item) if item.is_dir() => Ok(Standing::Directory),
        Some(item) => Ok(Standing::File(item.file(path)?)),
    }
}

/// The files below a directory, sorted by path.
pub(crate) fn files_in(
    objects: &Objects,
    tree: &ObjectId,
    dir: &str,
    max: usize,
    empty: ObjectId,
) -> Result<Vec<(RepoPath, Entry)>, LedgerError> {
    let mut files = Vec::new();
    let Some(root) = directory(objects, tree, dir, empty)? else {
        return Ok(files);
    };
    let mut open = vec![(dir.trim_end_matches('/').to_owned(), root)];
    while let Some((dir, tree)) = open.pop() {
        let items = if tree == empty {
            Vec::new()
        } else {
            read(objects, &tree)?
        };
        if items.is_empty() && !dir.is_empty() {
            return Err(TreeError::EmptyDirectory { path: dir }.into());
        }
        for item in items {
            let path = join(&dir, &item.name);
            if item.is_dir() {
                repo_path(&path)?;
                open.push((path, item.id));
            } else {
                if files.len() == max {
                    return Err(TreeError::TooManyPaths { max }.into());
                }
                files.push((repo_path(&path)?, item.file(&path)?));
            }
            if open.len() > max.saturating_add(1) {
                return Err(TreeError::TooManyPaths { max }.into());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn facts_of(
    reader: &mut Reader<'_>,
    tree: &ObjectId,
    path: &RepoPath,
) -> Result<PathFacts, LedgerError> {
    let mut facts = PathFacts {
        at: Standing::Absent,
        files_below: 0,
        file_above: None,
        case_siblings: case_siblings(reader, tree, path)?,
    };
    let mut at = *tree;
    let mut walked = String::new();
    let mut segments = path.segments().peekable();
    while let Some(segment) = segments.next() {
        walked = join(&walked, segment);
        let Some(item) = reader.find(&at, segment)? else {
            return Ok(facts);
        };
        match (segments.peek().is_some(), item.is_dir()) {
            (true, true) => at = item.id,
            (true, false) => {
                facts.file_above = Some((repo_path(&walked)?, item.file(&walked)?));
                return Ok(facts);
            }
            (false, true) => {
                facts.at = Standing::Directory;
                facts.files_below = count_files(reader, &item.id)?;
            }
            (false, false) => facts.at = Standing::File(item.file(&walked)?),
        }
    }
    Ok(facts)
}

/// The files whose paths are `path` but for case: every directory that folds alike is entered.
fn case_siblings(
    reader: &mut Reader<'_>,
    tree: &ObjectId,
    path: &RepoPath,
) -> Result<Vec<(RepoPath, Entry)>, LedgerError> {
    let mut found = Vec::new();
    let mut dirs = vec![(String::new(), *tree)];
    let mut segments = path.segments().peekable();
    while let Some(segment) = segments.next() {
        let folded = segment.to_lowercase();
        let last = segments.peek().is_none();
        let mut next = Vec::new();
        for (dir, tree) in dirs {
            let items = reader.items(&tree)?;
            for item in items
                .iter()
                .filter(|item| item.name.to_lowercase() == folded)
            {
                let here = join(&dir, &item.name);
                if !last && item.is_dir() {
                    next.push((here, item.id));
                } else if last && !item.is_dir() && here != path.as_str() {
                    found.push((repo_path(&here)?, item.file(&here)?));
                }
            }
        }
        dirs = next;
    }
    found.sort();
    Ok(found)
}

/// Counts the files below a tree; equal subtrees are counted once and multiplied by reuse.
fn count_files(reader: &mut Reader<'_>, tree: &ObjectId) -> Result<u64, LedgerError> {
    let items = reader.items(tree)?.to_vec();
    let mut files = 0u64;
    for item in items {
        let below = if item.is_dir() {
            count_files(reader, &item.id)?
        } else {
            1
        };
        files = files.saturating_add(below);
    }
    Ok(files)
}
