//! Chunks that lie beside the one that was found last.
//!
//! What was stored together comes again together, in the same order. So after a chunk was found
//! through the index, the tables of its record and of those behind it answer for most of the chunks
//! that follow, at the price of a short read for a whole frame instead of a look into the index for
//! each chunk.
//!
//! **Invariants**: only records that are committed and not known to be broken are believed; memory is
//! bounded by [`IDS_MAX`].

use std::collections::HashMap;
use std::sync::Arc;

use crate::disk::PackFile;
use crate::index::key::Location;
use crate::log::Log;
use crate::read::read_from;
use crate::record::Kind;
use crate::scan::read_head;

/// So many ids are remembered; then all are forgotten.
const IDS_MAX: usize = 1 << 14;

/// What lies around the places that were found last.
#[derive(Default)]
pub(crate) struct Nearby {
    /// The pack and the record in which a chunk lies.
    ids: HashMap<[u8; 32], (u32, u32)>,
    cursor: Option<Cursor>,
}

/// Where reading tables goes on.
struct Cursor {
    pack: u32,
    file: Arc<dyn PackFile>,
    next: u64,
    /// Up to where the pack is committed.
    end: u64,
    /// The record whose table was read last, and whether a chunk of it was of use.
    record: u32,
    was_useful: bool,
}

impl Nearby {
    /// The pack in which a chunk lies, if it is one of those nearby.
    pub(crate) fn find(&mut self, log: &Log, id: &[u8; 32]) -> Option<u32> {
        if let Some(pack) = self.look(id) {
            return Some(pack);
        }
        // A table that was of no use says that the stream has gone elsewhere.
        let cursor = self.cursor.as_ref().filter(|cursor| cursor.was_useful)?;
        if cursor.next >= cursor.end {
            return None;
        }
        self.read_table(log);
        self.look(id)
    }

    /// Reads the table of the record in which a chunk was found through the index.
    /// If it cannot be read, nothing is nearby.
    pub(crate) fn begin_at(&mut self, log: &Log, place: &Location) {
        self.cursor = None;
        let (Ok(file), Some(state)) = (log.file(place.pack), log.pack(place.pack)) else {
            return;
        };
        self.cursor = Some(Cursor {
            pack: place.pack,
            file,
            next: u64::from(place.record),
            end: state.bytes,
            record: place.record,
            was_useful: true,
        });
        self.read_table(log);
        if let Some(cursor) = &mut self.cursor {
            cursor.was_useful = true;
        }
    }

    fn look(&mut self, id: &[u8; 32]) -> Option<u32> {
        let (pack, record) = *self.ids.get(id)?;
        if let Some(cursor) = &mut self.cursor {
            cursor.was_useful |= (cursor.pack, cursor.record) == (pack, record);
        }
        Some(pack)
    }

    /// Reads the next table of chunks; records of other kinds are stepped over.
    fn read_table(&mut self, log: &Log) {
        let Some(cursor) = &mut self.cursor else {
            return;
        };
        while cursor.next < cursor.end {
            let (pack, offset) = (cursor.pack, cursor.next);
            let Ok((head, entries)) = read_head(pack, offset, &read_from(&*cursor.file)) else {
                self.cursor = None;
                return;
            };
            cursor.record = offset as u32;
            cursor.next = offset + head.record_bytes();
            if head.kind != Kind::Chunks {
                continue;
            }
            cursor.was_useful = false;
            if log.is_bad(pack, cursor.record) {
                return;
            }
            if self.ids.len() + entries.len() > IDS_MAX {
                self.ids.clear();
            }
            let place = (pack, cursor.record);
            self.ids
                .extend(entries.iter().map(|entry| (entry.id, place)));
            return;
        }
    }
}
