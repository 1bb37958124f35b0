//! Files that are written once: the law under records (shape R) and log segments (shape W).
//!
//! What stood in the base must stand in the candidate, byte for byte. Because every file is judged by
//! itself, sets of such files unite in any order to the same tree.

use crate::error::Undecided;
use crate::report::Report;
use crate::tree::Tree;

/// Rule id: a file that must stay is gone.
pub const DELETED: &str = "deleted";
/// Rule id: a file that must stay as it is has other bytes or another mode.
pub const CHANGED: &str = "changed";

/// Reports every file of `base` that `select` names and that `candidate` lacks or holds differently.
///
/// # Errors
/// Undecided when a file cannot be compared.
pub fn check(
    base: &Tree,
    candidate: &Tree,
    mut select: impl FnMut(&str) -> bool,
    report: &mut Report,
) -> Result<(), Undecided> {
    for (path, _) in base.files() {
        if !select(path) {
            continue;
        }
        if !candidate.contains(path) {
            report.file(
                path,
                DELETED,
                "deleted: records stay for ever, correct with a new one",
            );
        } else if !base.same(candidate, path)? {
            report.file(
                path,
                CHANGED,
                "changed: records stay as they are, correct with a new one",
            );
        }
    }
    Ok(())
}
