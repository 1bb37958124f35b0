//! Walks the records of a pack, whole ones and broken ones.
//!
//! Used where the index is not trusted or not there: after a crash, to make it anew, to verify, and
//! to move what is of use out of a pack. A broken record does not hide the ones behind it: the walk
//! looks for the next place where a head holds what its checksum says.

use std::ops::Range;
use std::sync::Arc;

use crate::disk::PackFile;
use crate::record::{Entry, HEAD_BYTES, Head, PACK_HEADER_BYTES, RECORD_MAGIC, check_pack_header};

/// How much is read at once to find the next record behind a broken one.
const WINDOW_BYTES: usize = 64 << 10;

/// What the walk came upon.
pub(crate) enum Item {
    /// A record whose parts hold what their checksums say.
    Whole(Whole),
    /// Bytes that are no record.
    Broken(Broken),
}

/// A record as it stands in the pack; its body is not decompressed.
pub(crate) struct Whole {
    pub(crate) offset: u64,
    pub(crate) head: Head,
    pub(crate) entries: Vec<Entry>,
    pub(crate) body: Vec<u8>,
}

/// Bytes that are no record, or not all of one.
pub(crate) struct Broken {
    pub(crate) offset: u64,
    /// Up to where nothing could be read.
    pub(crate) end: u64,
    /// The head and table, where only the body is broken.
    pub(crate) head: Option<(Head, Vec<Entry>)>,
    pub(crate) reason: String,
}

impl Broken {
    /// Where the records begin that cannot be read: one, or all that may lie there.
    pub(crate) fn range(&self) -> Range<u32> {
        let start = self.offset as u32;
        match self.head {
            Some(_) => start..start + 1,
            None => start..self.end as u32,
        }
    }
}

/// A walk through one pack.
pub(crate) struct Scanner {
    file: Arc<dyn PackFile>,
    pack: u32,
    at: u64,
    end: u64,
}

impl Scanner {
    /// Begins at `from`, where a record should begin, and ends at `end`.
    pub(crate) fn new(file: Arc<dyn PackFile>, pack: u32, from: u64, end: u64) -> Self {
        Self {
            file,
            pack,
            at: from,
            end,
        }
    }

    fn read(&self, offset: u64, bytes: u64) -> Result<Vec<u8>, String> {
        let left = self.end.saturating_sub(offset);
        if bytes > left {
            return Err(format!(
                "expected {bytes} bytes more, found the end after {left}"
            ));
        }
        let mut buffer = vec![0; bytes as usize];
        let read = self.file.read_at(&mut buffer, offset);
        read.map_err(|error| format!("cannot be read: {error}"))?;
        Ok(buffer)
    }

    fn read_head(&self, offset: u64) -> Result<(Head, Vec<Entry>), String> {
        read_head(self.pack, offset, &|offset, bytes| self.read(offset, bytes))
    }

    /// The first place at or behind `from` where the head of a record holds, or the end.
    fn find_head(&self, from: u64) -> u64 {
        let mut start = from;
        while start < self.end {
            let bytes = (self.end - start).min(WINDOW_BYTES as u64);
            // What cannot be read is stepped over.
            let window = self.read(start, bytes).unwrap_or_default();
            let magics = window
                .windows(RECORD_MAGIC.len())
                .enumerate()
                .filter(|(_, bytes)| *bytes == RECORD_MAGIC);
            for (place, _) in magics {
                if self.read_head(start + place as u64).is_ok() {
                    return start + place as u64;
                }
            }
            if bytes < WINDOW_BYTES as u64 {
                break;
            }
            // A magic may lie across two windows.
            start += bytes - RECORD_MAGIC.len() as u64 + 1;
        }
        self.end
    }

    fn broken(&mut self, head: Option<(Head, Vec<Entry>)>, reason: String) -> Item {
        let offset = self.at;
        let record_end = head.as_ref().map(|(head, _)| offset + head.record_bytes());
        self.at = match record_end {
            Some(end) if end <= self.end => end,
            _ => self.find_head(offset + 1),
        };
        Item::Broken(Broken {
            offset,
            end: self.at,
            head,
            reason,
        })
    }
}

impl Iterator for Scanner {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.at >= self.end {
            return None;
        }
        let offset = self.at;
        let (head, entries) = match self.read_head(offset) {
            Ok(found) => found,
            Err(reason) => return Some(self.broken(None, reason)),
        };
        let body_at = offset + head.record_bytes() - u64::from(head.stored);
        let body = self.read(body_at, u64::from(head.stored));
        let body = body.and_then(|body| head.check_body(&body).map(|()| body));
        match body {
            Ok(body) => {
                self.at = offset + head.record_bytes();
                Some(Item::Whole(Whole {
                    offset,
                    head,
                    entries,
                    body,
                }))
            }
            Err(reason) => Some(self.broken(Some((head, entries)), reason)),
        }
    }
}

/// Reads the head and the table of the record at `offset` of `pack` with `read(offset, bytes)`.
pub(crate) fn read_head(
    pack: u32,
    offset: u64,
    read: &dyn Fn(u64, u64) -> Result<Vec<u8>, String>,
) -> Result<(Head, Vec<Entry>), String> {
    let raw = read(offset, HEAD_BYTES as u64)?;
    let raw: &[u8; HEAD_BYTES] = raw[..].try_into().expect("as many were read");
    let head = Head::parse(raw, pack)?;
    let table = read(offset + HEAD_BYTES as u64, head.table_bytes() as u64)?;
    let entries = head.table(raw, &table)?;
    Ok((head, entries))
}

/// Whether the pack begins as one.
pub(crate) fn read_pack_header(file: &dyn PackFile, pack: u32) -> Result<(), String> {
    let mut header = [0; PACK_HEADER_BYTES as usize];
    let read = file.read_at(&mut header, 0);
    read.map_err(|error| format!("the header cannot be read: {error}"))?;
    check_pack_header(&header, pack)
}
