//! Moves what is of use out of a pack that is given up.
//!
//! **Invariant**: everything that was moved is durable and indexed when the pack is called empty.

use std::collections::BTreeSet;
use std::path::Path;

use super::Collection;
use crate::error::StoreError;
use crate::frame::{Frame, FrameBuilder};
use crate::index::key::{Key, prefix};
use crate::log::{Change, PackState, locations};
use crate::record::{Kind, ObjectRecord, PACK_HEADER_BYTES, Record};
use crate::scan::{Item, Scanner, Whole};

impl Collection<'_> {
    /// Moves what is of use out of a pack; says whether nothing of use is left in it.
    pub(super) fn repack(
        &mut self,
        pack: u32,
        state: PackState,
        has_names: bool,
    ) -> Result<bool, StoreError> {
        let log = &self.store.inner.log;
        let Ok(file) = log.file(pack) else {
            // It is lost: what was of use in it can only come anew.
            return Ok(false);
        };
        let mut is_empty = true;
        let no_memory = |error| StoreError::io(Path::new("memory for moving chunks"), error);
        let builder = |kind| FrameBuilder::new(kind, self.store.inner.options.profile);
        let (mut chunks, mut nodes) = (builder(Kind::Chunks), builder(Kind::Nodes));
        for item in Scanner::new(file, pack, PACK_HEADER_BYTES, state.bytes) {
            match item {
                Item::Whole(record) => match record.head.kind {
                    Kind::Chunks => is_empty &= self.move_live(pack, record, &mut chunks)?,
                    Kind::Nodes => is_empty &= self.move_live(pack, record, &mut nodes)?,
                    Kind::Object | Kind::Gone | Kind::Seal => {}
                },
                Item::Broken(broken) => {
                    is_empty = false;
                    log.mark_bad(pack, broken.range())?;
                }
            }
        }
        for mut frame in [chunks, nodes] {
            let record = frame.take(&self.store.inner.compressors);
            if let Some(record) = record.map_err(no_memory)? {
                log.append(&record)?;
            }
        }
        if has_names {
            self.move_names(pack)?;
        } else {
            log.commit(&[], &BTreeSet::new())?;
        }
        self.report.packs_repacked += 1;
        Ok(is_empty)
    }

    /// Moves what is of use in a record; says whether all of it could be read.
    fn move_live(
        &mut self,
        pack: u32,
        record: Whole,
        frame: &mut FrameBuilder,
    ) -> Result<bool, StoreError> {
        let log = &self.store.inner.log;
        let (kind, count) = (record.head.kind, record.entries.len());
        let place = (pack, record.offset as u32);
        let mut live = Vec::new();
        for (id, location) in locations(kind, &record.entries, place) {
            // A record that was marked bad has no place among these.
            let is_here = log.places(kind, &id)?.first() == Some(&location);
            if self.marks.contains(&id) && is_here {
                live.push((id, location));
            }
        }
        if live.is_empty() {
            return Ok(true);
        }
        let (head, entries, body) = (record.head, record.entries, record.body);
        let stored = (live.len() == count).then(|| body.clone());
        let opened = Frame::open(&head, entries, body);
        let sound = opened.ok().filter(|opened| opened.is_sound(kind));
        let Some(opened) = sound else {
            log.mark_bad(place.0, place.1..place.1 + 1)?;
            return Ok(false);
        };
        self.report.moved_bytes += live.iter().map(|(_, at)| u64::from(at.bytes)).sum::<u64>();
        if let Some(body) = stored {
            log.append(&Record {
                kind,
                codec: head.codec,
                entries: opened.entries,
                plain: head.plain,
                body,
            })?;
            return Ok(true);
        }
        for (id, at) in live {
            let bytes = &opened.plain[at.at as usize..(at.at + at.bytes) as usize];
            if frame.is_full_for(bytes.len()) {
                let record = frame.take(&self.store.inner.compressors);
                let record = record.map_err(|error| StoreError::io(&log.disk.path(pack), error))?;
                record
                    .iter()
                    .try_for_each(|record| log.append(record).map(drop))?;
            }
            frame.push(id, bytes);
        }
        Ok(true)
    }

    /// Writes the names that stand in a pack again, and makes everything that was moved durable.
    fn move_names(&self, pack: u32) -> Result<(), StoreError> {
        let log = &self.store.inner.log;
        let moved = log.commit_if(&mut || {
            let mut changes = Vec::new();
            for object in self.store.object_keys()? {
                if object.place.0 == pack {
                    changes.push(Change::Name(ObjectRecord {
                        oid: object.oid,
                        size: object.size,
                        manifest: object.manifest,
                        came_unix_seconds: object.came_unix_seconds,
                    }));
                }
            }
            let is_oldest = log.packs().keys().next() == Some(&pack);
            for key in log.index.keys(&[prefix::GONE])? {
                if let Key::Gone(oid, place) = key
                    && place.0 == pack
                    && !is_oldest
                {
                    changes.push(Change::Forget(oid));
                }
            }
            Ok(changes)
        });
        moved.map(drop)
    }
}
