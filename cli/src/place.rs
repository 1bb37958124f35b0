//! Where a command works: in a node directory, or in a member's plain clone.
//!
//! A node is found by `--dir`, then `GDO_DIR`, then the working directory upwards.

use std::path::{Path, PathBuf};

use gdo_node::dir::NodeDir;

use crate::error::CommandError;

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
        None => Err(CommandError::usage(format!("{} is in no node directory", start.display()))
            .hint("name one with --dir or GDO_DIR, or make one with 'gdo init DIR'")),
    }
}
