//! What this crate refuses.

use gdo_core::id::ObjectId;
use thiserror::Error;

/// Why a block cannot enter the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryError {
    /// The facts are relative to another checkpoint: gather them again.
    #[error("block {block}: expected facts as of checkpoint {expected}, got facts as of {got}")]
    Stale {
        /// The block.
        block: ObjectId,
        /// K.
        expected: ObjectId,
        /// What the facts are relative to.
        got: ObjectId,
    },
    /// There must be one set of path facts for each operation.
    #[error("block {block}: expected facts of {expected} paths, got {got}")]
    Paths {
        /// The block.
        block: ObjectId,
        /// The operations.
        expected: usize,
        /// The facts.
        got: usize,
    },
}
