//! Where a command works: in a node directory, or in a member's plain clone.
//!
//! A node is found by `--dir`, then `GDO_DIR`, then the working directory upwards; where there is
//! none, the git repository that holds the directory is taken as a clone.

use std::path::{Path, PathBuf};

use gdo_node::dir::NodeDir;

use crate::clone::GitClone;
use crate::error::CommandError;

/// Where a command works.
#[derive(Debug)]
pub enum Place {
    /// In a node directory.
    Node(NodeDir),
    /// In somebody's clone of a ledger.
    Clone(GitClone),
}

/// The directory that the user named, or the working one.
///
/// # Errors
/// The working directory cannot be told.
pub fn start(dir: Option<&Path>) -> Result<PathBuf, CommandError> {
    if let Some(dir) = dir {
        return Ok(dir.to_owned());
    }
    match std::env::var_os("GDO_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => std::env::current_dir().map_err(CommandError::from),
    }
}

/// The node directory to work on.
///
/// # Errors
/// There is none, or it was written by a newer version.
pub fn node(dir: Option<&Path>) -> Result<NodeDir, CommandError> {
    let start = start(dir)?;
    match NodeDir::find(&start) {
        Some(found) => Ok(NodeDir::open(found.root())?),
        None => Err(
            CommandError::usage(format!("{} is in no node directory", start.display()))
                .hint("name one with --dir or GDO_DIR, or make one with 'gdo init DIR'"),
        ),
    }
}

/// The node directory or clone to work on.
///
/// # Errors
/// There is neither, or the node directory was written by a newer version.
pub fn find(dir: Option<&Path>) -> Result<Place, CommandError> {
    let start = start(dir)?;
    if !start.is_dir() {
        return Err(CommandError::usage(format!(
            "{} is no directory",
            start.display()
        )));
    }
    if let Some(found) = NodeDir::find(&start) {
        return Ok(Place::Node(NodeDir::open(found.root())?));
    }
    match GitClone::find(&start)? {
        Some(clone) => Ok(Place::Clone(clone)),
        None => {
            let message = format!(
                "{} is in no node directory and in no git clone",
                start.display()
            );
            Err(CommandError::usage(message)
                .hint("name one with --dir or GDO_DIR, or clone a ledger with git"))
        }
    }
}
