//! Finds chunks in a manifest, loading the nodes that it needs.
//!
//! **Invariants**: memory is one path of nodes; a node counts only if it has the name, the level, the
//! limits and the sums that its parent gives it, so a walk visits each chunk once and ends.

use gdo_core::error::FormatError;

use super::{Child, List, Node};
use crate::cut::Limits;
use crate::hash::{ChunkId, ManifestId};

/// A chunk and where it stands in its object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Its name.
    pub chunk: ChunkId,
    /// The offset of its first byte.
    pub start: u64,
    /// How many bytes it has.
    pub len: u32,
}

/// A manifest that is being read; `load` of its calls fetches the bytes of a node by name.
#[derive(Debug)]
pub struct Manifest {
    /// From the root down to the leaf that was looked at last.
    path: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    node: Node,
    /// The offset in the object of the node's first byte.
    start: u64,
    /// For each entry the offset of its end, counted from `start`.
    ends: Vec<u64>,
}

impl Manifest {
    /// Loads the root.
    ///
    /// # Errors
    /// Those of `load`; bytes that are no node of this name.
    pub fn open<E: From<FormatError>>(
        root: ManifestId,
        load: &mut impl FnMut(&ManifestId) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let node = load_node(&root, load)?;
        Ok(Self {
            path: vec![Step::new(node, 0)],
        })
    }

    /// How many bytes the object has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.root().bytes
    }

    /// How many chunks the object has.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.root().chunks
    }

    /// What the object was cut by.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.root().limits
    }

    /// The chunk that holds the byte at `offset`; `None` at the end of the object and behind it.
    ///
    /// # Errors
    /// Those of `load`; a node that is not what its parent says.
    pub fn find<E: From<FormatError>>(
        &mut self,
        offset: u64,
        load: &mut impl FnMut(&ManifestId) -> Result<Vec<u8>, E>,
    ) -> Result<Option<Span>, E> {
        if offset >= self.bytes() {
            return Ok(None);
        }
        while !self.deepest().holds(offset) {
            self.path.pop();
        }
        loop {
            let step = self.deepest();
            let at = step.entry(offset);
            match &step.node.list {
                List::Chunks(entries) => {
                    let entry = entries[at];
                    return Ok(Some(Span {
                        chunk: entry.chunk,
                        start: step.start + step.ends[at] - u64::from(entry.len),
                        len: entry.len,
                    }));
                }
                List::Nodes { children, .. } => {
                    let child = children[at];
                    let start = step.start + step.ends[at] - child.bytes;
                    let node = load_child(&step.node, &child, load)?;
                    self.path.push(Step::new(node, start));
                }
            }
        }
    }

    fn root(&self) -> &Node {
        &self.path[0].node
    }

    fn deepest(&self) -> &Step {
        self.path
            .last()
            .expect("the root holds every offset of the object and is never taken off")
    }
}

impl Step {
    fn new(node: Node, start: u64) -> Self {
        let mut end = 0;
        let mut add = |len: u64| {
            end += len;
            end
        };
        let ends = match &node.list {
            List::Chunks(entries) => entries.iter().map(|e| add(u64::from(e.len))).collect(),
            List::Nodes { children, .. } => children.iter().map(|child| add(child.bytes)).collect(),
        };
        Self { node, start, ends }
    }

    fn holds(&self, offset: u64) -> bool {
        offset
            .checked_sub(self.start)
            .is_some_and(|inner| inner < self.node.bytes)
    }

    /// The index of the entry that holds `offset`, which the node holds.
    fn entry(&self, offset: u64) -> usize {
        let inner = offset - self.start;
        self.ends.partition_point(|end| *end <= inner)
    }
}

fn load_node<E: From<FormatError>>(
    id: &ManifestId,
    load: &mut impl FnMut(&ManifestId) -> Result<Vec<u8>, E>,
) -> Result<Node, E> {
    let bytes = load(id)?;
    let found = ManifestId::of(&bytes);
    if found != *id {
        return Err(FormatError::new("node of a manifest", id, found).into());
    }
    Ok(Node::decode(&bytes)?)
}

fn load_child<E: From<FormatError>>(
    parent: &Node,
    child: &Child,
    load: &mut impl FnMut(&ManifestId) -> Result<Vec<u8>, E>,
) -> Result<Node, E> {
    let node = load_node(&child.node, load)?;
    let expected = (parent.level() - 1, child.bytes, child.chunks, parent.limits);
    let got = (node.level(), node.bytes, node.chunks, node.limits);
    if expected == got {
        return Ok(node);
    }
    let what = format!("node {} of a manifest", child.node);
    let describe = |(level, bytes, chunks, limits): (u8, u64, u64, Limits)| {
        format!("level {level}, {bytes} bytes, {chunks} chunks, {limits:?}")
    };
    Err(FormatError::new(what, describe(expected), describe(got)).into())
}
