//! Projections: what a validator sees of a candidate, as one tree (P-24).
//!
//! The id of that tree is half of a verdict's key, so it must be a function of what is seen and of
//! nothing else. A subtree that a glob covers whole is taken over by its id and never walked.
//!
//! **Invariants**: `.gdo/checkpoint.json` and `.gdo/evidence/` are never in it; an empty side is left
//! out; equal projections have equal ids.

use gdo_core::checkpoint::{CHECKPOINT_FILE, EVIDENCE_DIR};
use gdo_core::id::ObjectId;
use gdo_core::path::Glob;

use crate::error::LedgerError;
use crate::objects::Objects;
use crate::repository::Ledger;
use crate::tree::{Item, encode, join, read};

/// The folder of the base in an input tree, as in the container.
pub const BASE_DIR: &str = "base";
/// The folder of the candidate in an input tree, as in the container.
pub const CANDIDATE_DIR: &str = "candidate";
/// The file of the context in an input tree, as in the container.
pub const CONTEXT_FILE: &str = "context.json";

impl Ledger {
    /// Writes the input of a validator: `base/`, `candidate/` and `context.json` (P-24).
    ///
    /// # Errors
    /// A tree cannot be read or written.
    pub fn input_tree(
        &self,
        base: &ObjectId,
        candidate: &ObjectId,
        reads: &[Glob],
        context_json: &str,
    ) -> Result<ObjectId, LedgerError> {
        let mut items = Vec::with_capacity(3);
        for (name, tree) in [(BASE_DIR, base), (CANDIDATE_DIR, candidate)] {
            let side = self.project(tree, reads)?;
            items.extend(side.map(|id| Item::of_dir(name, id)));
        }
        let context = self.write_blob(context_json.as_bytes())?;
        items.push(Item {
            name: CONTEXT_FILE.to_owned(),
            mode: 0o100_644,
            id: context,
        });
        self.write_tree(&encode(&mut items))
    }

    /// Writes the part of a tree that globs match; `None` if it is empty.
    ///
    /// # Errors
    /// A tree cannot be read or written.
    pub fn project(
        &self,
        tree: &ObjectId,
        reads: &[Glob],
    ) -> Result<Option<ObjectId>, LedgerError> {
        self.filter(&self.objects(), "", tree, reads)
    }

    fn filter(
        &self,
        objects: &Objects,
        dir: &str,
        tree: &ObjectId,
        reads: &[Glob],
    ) -> Result<Option<ObjectId>, LedgerError> {
        if *tree == self.empty_tree() {
            return Ok(None);
        }
        if reads.iter().any(|glob| covers(glob, dir)) && !has_exceptions(dir) {
            return Ok(Some(*tree));
        }
        let items = read(objects, tree)?;
        let before = items.len();
        let mut kept = Vec::new();
        let mut changed = false;
        for item in items {
            let path = join(dir, &item.name);
            if path == CHECKPOINT_FILE || path == EVIDENCE_DIR {
                continue;
            }
            if !item.is_dir() {
                if reads.iter().any(|glob| glob.matches(&path)) {
                    kept.push(item);
                }
            } else if reads.iter().any(|glob| glob.may_match_below(&path)) {
                let below = self.filter(objects, &path, &item.id, reads)?;
                changed |= below.is_some_and(|id| id != item.id);
                kept.extend(below.map(|id| Item { id, ..item }));
            }
        }
        if kept.is_empty() {
            Ok(None)
        } else if kept.len() == before && !changed {
            Ok(Some(*tree))
        } else {
            self.write_tree(&encode(&mut kept)).map(Some)
        }
    }
}

/// Whether a glob matches everything below a directory: it ends in `**` and reaches down to there.
fn covers(glob: &Glob, dir: &str) -> bool {
    match glob.as_str().strip_suffix("**") {
        Some("") => true,
        Some(_) => !dir.is_empty() && glob.matches(dir),
        None => false,
    }
}

/// Whether something below a directory is never projected.
fn has_exceptions(dir: &str) -> bool {
    let below = |path: &str| {
        path.strip_prefix(dir)
            .is_some_and(|rest| dir.is_empty() || rest.starts_with('/'))
    };
    below(CHECKPOINT_FILE) || below(EVIDENCE_DIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_covers_a_directory_only_if_all_below_it_match() {
        let cases = [
            ("**", "", true),
            ("**", "a/b", true),
            ("acct/**", "acct", true),
            ("acct/**", "acct/x", true),
            ("acct/**", "", false),
            ("acct/**", "accts", false),
            ("acct/*", "acct", false),
            ("*/x/**", "a/x", true),
            ("*/x/**", "a", false),
            ("**/x/**", "a", false),
            ("**/x/**", "a/x/b", true),
        ];
        for (glob, dir, expected) in cases {
            let parsed: Glob = glob.parse().expect("a glob");
            assert_eq!(covers(&parsed, dir), expected, "{glob} over '{dir}'");
        }
    }

    #[test]
    fn only_the_way_to_kernel_files_has_exceptions() {
        for (dir, expected) in [
            ("", true),
            (".gdo", true),
            (".gdo/roster", false),
            ("a", false),
        ] {
            assert_eq!(has_exceptions(dir), expected, "'{dir}'");
        }
    }
}
