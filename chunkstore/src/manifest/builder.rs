//! Makes the nodes of a manifest while its chunks come.
//!
//! Each level holds one open node. An entry whose id has zeroes in nine certain bits closes the node that
//! it stands in, once that has [`ENTRIES_MIN`] entries; so the next node begins at the same chunk
//! wherever the same chunks come again.
//!
//! **Invariant**: memory is one open node a level.

use gdo_core::error::FormatError;

use super::{Child, Entry, LEVEL_MAX, List, Node, OBJECT_BYTES_MAX};
use crate::cut::Limits;
use crate::hash::{ChunkId, ManifestId};

/// No node but the last of its level has fewer entries.
const ENTRIES_MIN: usize = 256;
/// No node has more; as a branch it has then 192 KiB.
const ENTRIES_MAX: usize = 4096;
/// The bits of an entry's id that close a node when they are zero.
const CLOSING_BITS: u16 = 0x1ff;

/// Takes chunks and gives out nodes, children before parents and the root last.
#[derive(Debug)]
pub struct ManifestBuilder {
    limits: Limits,
    bytes: u64,
    chunks: u64,
    leaf: Vec<Entry>,
    /// The open branches, by level from 1.
    branches: Vec<Vec<Child>>,
}

impl ManifestBuilder {
    /// The builder of a manifest for an object that is cut by `limits`.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            bytes: 0,
            chunks: 0,
            leaf: Vec::new(),
            branches: Vec::new(),
        }
    }

    /// How many bytes the chunks so far have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many chunks there are so far.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Takes the next chunk and calls `node` with each node that it completes.
    ///
    /// # Errors
    /// Those of `node`; a chunk that the limits do not allow; an object that is too long for a
    /// manifest.
    pub fn push<E: From<FormatError>>(
        &mut self,
        chunk: ChunkId,
        len: u32,
        node: &mut impl FnMut(ManifestId, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if len == 0 || len > self.limits.max {
            let expected = format!("1 to {} bytes", self.limits.max);
            return Err(FormatError::new("length of a chunk", expected, len).into());
        }
        let bytes = self.bytes.saturating_add(u64::from(len));
        if bytes > OBJECT_BYTES_MAX {
            let expected = format!("at most {OBJECT_BYTES_MAX} bytes");
            return Err(FormatError::new("length of an object", expected, bytes).into());
        }
        self.bytes = bytes;
        self.chunks += 1;
        self.leaf.push(Entry { chunk, len });
        if closes(chunk.as_bytes(), self.leaf.len()) {
            self.close_leaf(node)?;
        }
        Ok(())
    }

    /// Ends the manifest: calls `node` with the nodes that were open, and returns the root's name.
    ///
    /// # Errors
    /// Those of `node`; an object that is too long for a manifest.
    pub fn finish<E: From<FormatError>>(
        mut self,
        node: &mut impl FnMut(ManifestId, &[u8]) -> Result<(), E>,
    ) -> Result<ManifestId, E> {
        if !self.leaf.is_empty() || self.branches.is_empty() {
            self.close_leaf(node)?;
        }
        let mut at = 0;
        loop {
            // What a level holds alone, with nothing above it, is the root.
            let is_top = at + 1 == self.branches.len();
            match self.branches[at][..] {
                [only] if is_top => return Ok(only.node),
                [] => {}
                _ => self.close_branch(at, node)?,
            }
            at += 1;
        }
    }

    fn close_leaf<E: From<FormatError>>(
        &mut self,
        node: &mut impl FnMut(ManifestId, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let list = List::Chunks(std::mem::take(&mut self.leaf));
        self.emit(0, list, node)
    }

    fn close_branch<E: From<FormatError>>(
        &mut self,
        at: usize,
        node: &mut impl FnMut(ManifestId, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let level = at as u8 + 1;
        if level > LEVEL_MAX {
            let expected = format!("a manifest of {LEVEL_MAX} levels of branches");
            let got = format!("{} chunks", self.chunks);
            return Err(FormatError::new("number of chunks", expected, got).into());
        }
        let children = std::mem::take(&mut self.branches[at]);
        self.emit(at + 1, List::Nodes { level, children }, node)
    }

    /// Gives a node out and enters it in the branch at `at`.
    fn emit<E: From<FormatError>>(
        &mut self,
        at: usize,
        list: List,
        node: &mut impl FnMut(ManifestId, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (bytes, chunks) = match &list {
            List::Chunks(entries) => (
                entries.iter().map(|entry| u64::from(entry.len)).sum(),
                entries.len() as u64,
            ),
            List::Nodes { children, .. } => (
                children.iter().map(|child| child.bytes).sum(),
                children.iter().map(|child| child.chunks).sum(),
            ),
        };
        let made = Node {
            limits: self.limits,
            bytes,
            chunks,
            list,
        };
        let encoded = made.encode();
        let id = ManifestId::of(&encoded);
        node(id, &encoded)?;
        let child = Child {
            node: id,
            bytes,
            chunks,
        };
        self.place(at, child, node)
    }

    fn place<E: From<FormatError>>(
        &mut self,
        at: usize,
        child: Child,
        node: &mut impl FnMut(ManifestId, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if at == self.branches.len() {
            self.branches.push(Vec::new());
        }
        self.branches[at].push(child);
        if closes(child.node.as_bytes(), self.branches[at].len()) {
            self.close_branch(at, node)?;
        }
        Ok(())
    }
}

/// Whether an entry with this id closes the node that has `entries` entries with it.
fn closes(id: &[u8; 32], entries: usize) -> bool {
    let low = u16::from_le_bytes([id[0], id[1]]);
    entries == ENTRIES_MAX || (entries >= ENTRIES_MIN && low & CLOSING_BITS == 0)
}
