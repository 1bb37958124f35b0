//! The bytes of a node.

use gdo_core::error::FormatError;

use super::{Child, Entry, LEVEL_MAX, List, NODE_BYTES_MAX, Node, OBJECT_BYTES_MAX};
use crate::cut::Limits;
use crate::hash::{ChunkId, ManifestId};

/// What every node begins with; the last byte is the version of the format.
const MAGIC: &[u8; 8] = b"gdo-man\x01";
/// Magic, level and three zero bytes, four limits, entries, bytes, chunks.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 4 * 4 + 4 + 8 + 8;
/// Id and length.
pub(super) const ENTRY_BYTES: usize = 32 + 4;
/// Id, bytes and chunks.
pub(super) const CHILD_BYTES: usize = 32 + 8 + 8;

pub(super) fn encode(node: &Node) -> Vec<u8> {
    let (count, width) = match &node.list {
        List::Chunks(entries) => (entries.len(), ENTRY_BYTES),
        List::Nodes { children, .. } => (children.len(), CHILD_BYTES),
    };
    let mut out = Vec::with_capacity(HEADER_BYTES + count * width);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[node.level(), 0, 0, 0]);
    let Limits {
        min,
        avg,
        max,
        member,
    } = node.limits;
    for limit in [min, avg, max, member, count as u32] {
        out.extend_from_slice(&limit.to_le_bytes());
    }
    out.extend_from_slice(&node.bytes.to_le_bytes());
    out.extend_from_slice(&node.chunks.to_le_bytes());
    match &node.list {
        List::Chunks(entries) => {
            for entry in entries {
                out.extend_from_slice(entry.chunk.as_bytes());
                out.extend_from_slice(&entry.len.to_le_bytes());
            }
        }
        List::Nodes { children, .. } => {
            for child in children {
                out.extend_from_slice(child.node.as_bytes());
                out.extend_from_slice(&child.bytes.to_le_bytes());
                out.extend_from_slice(&child.chunks.to_le_bytes());
            }
        }
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Node, FormatError> {
    if bytes.len() > NODE_BYTES_MAX {
        let expected = format!("at most {NODE_BYTES_MAX} bytes");
        return Err(wrong("length", expected, bytes.len()));
    }
    let mut rest = bytes;
    let magic: [u8; 8] = take(&mut rest)?;
    if &magic != MAGIC {
        return Err(wrong(
            "magic",
            "'gdo-man' and version 1",
            magic.escape_ascii(),
        ));
    }
    let [level, zeros @ ..]: [u8; 4] = take(&mut rest)?;
    if level > LEVEL_MAX || zeros != [0; 3] {
        let expected = format!("0 to {LEVEL_MAX} and three zero bytes");
        return Err(wrong("level", expected, format!("{level} {zeros:?}")));
    }
    let limits = Limits {
        min: take_u32(&mut rest)?,
        avg: take_u32(&mut rest)?,
        max: take_u32(&mut rest)?,
        member: take_u32(&mut rest)?,
    };
    limits.check()?;
    let count = take_u32(&mut rest)? as usize;
    let stated = (take_u64(&mut rest)?, take_u64(&mut rest)?);
    let width = if level == 0 { ENTRY_BYTES } else { CHILD_BYTES };
    if count.checked_mul(width) != Some(rest.len()) {
        let expected = format!("{} bytes after the header", count as u64 * width as u64);
        return Err(wrong("list", expected, rest.len()));
    }
    let (list, bytes, chunks) = if level == 0 {
        decode_leaf(rest, limits.max)?
    } else {
        decode_branch(rest, level)?
    };
    if (bytes, chunks) != stated {
        let (stated_bytes, stated_chunks) = stated;
        let expected = format!("the sums {bytes} bytes and {chunks} chunks");
        let got = format!("{stated_bytes} and {stated_chunks}");
        return Err(wrong("header", expected, got));
    }
    Ok(Node {
        limits,
        bytes,
        chunks,
        list,
    })
}

fn decode_leaf(mut rest: &[u8], max: u32) -> Result<(List, u64, u64), FormatError> {
    let mut entries = Vec::with_capacity(rest.len() / ENTRY_BYTES);
    let mut bytes = 0;
    while !rest.is_empty() {
        let chunk = ChunkId::from_bytes(take(&mut rest)?);
        let len = take_u32(&mut rest)?;
        if len == 0 || len > max {
            let what = format!("length of chunk {}", entries.len());
            return Err(wrong(&what, format!("1 to {max}"), len));
        }
        bytes += u64::from(len);
        entries.push(Entry { chunk, len });
    }
    let chunks = entries.len() as u64;
    Ok((List::Chunks(entries), bytes, chunks))
}

fn decode_branch(mut rest: &[u8], level: u8) -> Result<(List, u64, u64), FormatError> {
    let mut children = Vec::with_capacity(rest.len() / CHILD_BYTES);
    let (mut bytes, mut chunks) = (0u64, 0u64);
    while !rest.is_empty() {
        let child = Child {
            node: ManifestId::from_bytes(take(&mut rest)?),
            bytes: take_u64(&mut rest)?,
            chunks: take_u64(&mut rest)?,
        };
        // No chunk is empty, so there are no more chunks than bytes and neither sum can wrap.
        let sum = bytes.checked_add(child.bytes);
        let sum = sum.filter(|sum| *sum <= OBJECT_BYTES_MAX);
        let (Some(sum), true) = (sum, (1..=child.bytes).contains(&child.chunks)) else {
            let what = format!("sums of node {}", children.len());
            let expected =
                format!("chunks from 1 to its bytes, and at most {OBJECT_BYTES_MAX} bytes");
            let got = format!("{} chunks, {} bytes", child.chunks, child.bytes);
            return Err(wrong(&what, expected, got));
        };
        bytes = sum;
        chunks += child.chunks;
        children.push(child);
    }
    if children.is_empty() {
        return Err(wrong("branch", "a node or more", 0));
    }
    Ok((List::Nodes { level, children }, bytes, chunks))
}

fn wrong(what: &str, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> FormatError {
    FormatError::new(format!("{what} of a manifest"), expected, got)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], FormatError> {
    let Some((head, tail)) = rest.split_first_chunk() else {
        return Err(wrong("end", format!("{N} bytes more"), rest.len()));
    };
    *rest = tail;
    Ok(*head)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, FormatError> {
    take(rest).map(u32::from_le_bytes)
}

fn take_u64(rest: &mut &[u8]) -> Result<u64, FormatError> {
    take(rest).map(u64::from_le_bytes)
}
