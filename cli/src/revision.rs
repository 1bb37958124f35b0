//! Revisions as git spells them, and directories, as trees.

use gdo_core::id::ObjectId;

use crate::error::CommandError;
use crate::place::Place;
use crate::source::Source;

/// The tree of a revision: whatever git understands in this place, or the branch for main.
///
/// # Errors
/// Git knows no such revision.
pub fn tree(source: &Source, revision: &str) -> Result<ObjectId, CommandError> {
    if revision == source.branch {
        return Ok(source.tree);
    }
    let question = format!("{revision}^{{tree}}");
    let args = [
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &question,
    ];
    let answer = match &source.place {
        Place::Clone(clone) => {
            let output = clone
                .git()
                .args(args)
                .output()
                .map_err(crate::clone::no_git)?;
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Place::Node(_) => gdo_ledger::git::run(source.ledger.dir(), &args).ok(),
    };
    let found = answer.and_then(|text| text.trim().parse().ok());
    found.ok_or_else(|| {
        CommandError::usage(format!(
            "'{revision}' is neither a file nor a revision that git knows here"
        ))
    })
}
