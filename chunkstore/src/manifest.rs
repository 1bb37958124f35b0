//! Manifests: which chunks, in which order, make an object.
//!
//! A manifest is a tree of nodes. A leaf lists chunks, a branch lists nodes of the level below; most
//! manifests are one leaf. Where a node ends depends on the ids that stand in it and not on how many
//! came before, so an insertion in the middle of an object changes the nodes around it and the root,
//! and leaves the others as they are. Every node states the sums of what is below it: a reader
//! finds any offset by one path through the tree, and knows what it will need before it takes it.
//!
//! **Invariants**: no node is longer than [`NODE_BYTES_MAX`]; [`Node::decode`] takes exactly what
//! [`Node::encode`] writes and allocates no more than it was given; sums never wrap; the same chunks
//! under the same limits give the same nodes.

mod builder;
mod codec;
mod reader;

use gdo_core::error::FormatError;

use crate::cut::Limits;
use crate::hash::{ChunkId, ManifestId};

pub use builder::ManifestBuilder;
pub use reader::{Manifest, Span};

/// No node is longer.
pub const NODE_BYTES_MAX: usize = 256 * 1024;
/// How many levels of branches may stand above the leaves.
pub const LEVEL_MAX: u8 = 3;
/// No object is longer: offsets in it are numbers that files know.
pub const OBJECT_BYTES_MAX: u64 = i64::MAX as u64;

/// A chunk in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub chunk: ChunkId,
    /// How many bytes it has: 1 to `limits.max`.
    pub len: u32,
}

/// A node in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Child {
    /// Its name.
    pub node: ManifestId,
    /// How many bytes of the object are below it.
    pub bytes: u64,
    /// How many chunks are below it.
    pub chunks: u64,
}

/// One node of a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What the object was cut by.
    pub limits: Limits,
    /// How many bytes of the object are below it.
    pub bytes: u64,
    /// How many chunks are below it.
    pub chunks: u64,
    /// What it lists.
    pub list: List,
}

/// What a node lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum List {
    /// A leaf: chunks.
    Chunks(Vec<Entry>),
    /// A branch: nodes of the level below.
    Nodes {
        /// How many levels are below it, 1 to [`LEVEL_MAX`].
        level: u8,
        /// The nodes.
        children: Vec<Child>,
    },
}

impl Node {
    /// How many levels are below it: zero for a leaf.
    #[must_use]
    pub fn level(&self) -> u8 {
        match self.list {
            List::Chunks(_) => 0,
            List::Nodes { level, .. } => level,
        }
    }

    /// The bytes of the node; its name is their [`ManifestId::of`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a node.
    ///
    /// # Errors
    /// The bytes are none that [`Node::encode`] writes for limits, lengths and sums that hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        codec::decode(bytes)
    }
}
