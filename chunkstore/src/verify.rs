//! Reads everything and names what is not as it was written.
//!
//! Every record of every pack is read and every chunk hashed; then every object is followed to its
//! last chunk. What is broken is remembered, so that the next ingest of the object heals it, and what
//! was thought broken and reads well counts as good again.

use std::collections::BTreeMap;
use std::io;

use gdo_core::id::Digest;

use crate::error::{Damage, StoreError};
use crate::frame::Frame;
use crate::hash::{ChunkId, ManifestId};
use crate::index::key::Key;
use crate::log::{PackState, locations};
use crate::read::ObjectReader;
use crate::record::{Entry, Kind, PACK_HEADER_BYTES};
use crate::scan::{Broken, Item, Scanner, Whole, read_pack_header};
use crate::store::{Progress, Store, lock};

/// So many damages are named; more are only counted.
const DAMAGES_MAX: usize = 10_000;
/// So many broken parts are looked for elsewhere; more count as damages.
const BROKEN_MAX: usize = 100_000;

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// How many packs were read.
    pub packs: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many chunks and nodes of manifests were hashed.
    pub chunks: u64,
    /// How many objects were followed to their last chunk.
    pub objects: u64,
    /// What is damaged, as far as it fits in a list of 10,000.
    pub damages: Vec<Damage>,
    /// How many damages there are.
    pub damages_found: u64,
    /// How many chunks and nodes are broken in one place and sound in another: they were healed, and
    /// the broken copies go with a collection.
    pub healed: u64,
}

/// What is broken in a pack, and which chunk or node that concerns.
struct InPack {
    part: Option<(Kind, [u8; 32])>,
    damage: Damage,
}

/// What is broken in all packs, as far as it is remembered until all of them are read.
#[derive(Default)]
struct BrokenParts {
    listed: Vec<InPack>,
    /// How many more there are.
    more: u64,
}

impl BrokenParts {
    fn extend(&mut self, parts: impl IntoIterator<Item = InPack>) {
        for part in parts {
            if self.listed.len() < BROKEN_MAX {
                self.listed.push(part);
            } else {
                self.more += 1;
            }
        }
    }
}

impl VerifyReport {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages_found == 0
    }

    fn add(&mut self, damage: Damage) {
        self.damages_found += 1;
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push(damage);
        }
    }
}

impl Store {
    /// Reads and checks all packs and all objects.
    ///
    /// # Errors
    /// The index cannot be read or written. Damage is no error: it is in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        let packs = self.inner.log.packs();
        let total_bytes = packs.values().map(|state| state.bytes).sum();
        let mut broken = BrokenParts::default();
        for (pack, state) in &packs {
            let mut tell = |done: u64| {
                progress(Progress {
                    done_bytes: done,
                    total_bytes,
                    step: "reading packs",
                });
            };
            self.verify_pack(*pack, *state, &mut report, &mut broken, &mut tell)?;
        }
        report.damages_found += broken.more;
        for InPack { part, damage } in broken.listed {
            match part {
                // All of the packs are known now, so a place that is left is a sound one.
                Some((kind, id)) if !self.inner.log.places(kind, &id)?.is_empty() => {
                    report.healed += 1;
                }
                _ => report.add(damage),
            }
        }
        self.verify_objects(&mut report, progress)?;
        Ok(report)
    }

    /// Whether an object is here and nothing of it is known to be broken. While nothing at all is, that
    /// is as cheap as [`Store::find`]; else the object is followed to its last chunk.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn is_sound(&self, oid: &Digest) -> Result<bool, StoreError> {
        if self.find(oid)?.is_none() {
            return Ok(false);
        }
        let bad = self.inner.log.bad();
        if bad.ranges.is_empty() && bad.packs.is_empty() {
            return Ok(true);
        }
        let damages = ObjectReader::open(self, oid).and_then(|mut reader| {
            let mut damages = 0;
            self.follow(*oid, &mut reader, &mut |_| damages += 1)?;
            Ok(damages)
        });
        match damages {
            Ok(damages) => Ok(damages == 0),
            Err(StoreError::Missing { .. } | StoreError::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn verify_pack(
        &self,
        pack: u32,
        state: PackState,
        report: &mut VerifyReport,
        found: &mut BrokenParts,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let log = &self.inner.log;
        let file = match log.file(pack) {
            Ok(file) => file,
            Err(error) => {
                if !self.is_going(pack) || error.kind() != io::ErrorKind::NotFound {
                    report.add(in_pack(pack, None, format!("cannot be opened: {error}")));
                }
                return Ok(());
            }
        };
        let before = report.bytes;
        let mut bad = Vec::new();
        report.packs += 1;
        if let Err(reason) = read_pack_header(&*file, pack) {
            report.add(in_pack(pack, Some(0), reason));
        }
        for item in Scanner::new(file, pack, PACK_HEADER_BYTES, state.bytes) {
            let at = match item {
                Item::Whole(record) => {
                    let end = record.offset + record.head.record_bytes();
                    let start = record.offset as u32;
                    if !self.verify_record(pack, record, report, found)? {
                        bad.push(start..start + 1);
                    }
                    end
                }
                Item::Broken(broken) => {
                    bad.push(broken.range());
                    note_broken(pack, &broken, found);
                    broken.end
                }
            };
            tell(before + at);
        }
        report.bytes = before + state.bytes;
        log.set_bad(pack, &bad)
    }

    /// Whether a collection has deleted a pack or is about to.
    fn is_going(&self, pack: u32) -> bool {
        lock(&self.inner.leases).is_doomed(pack) || !self.inner.log.packs().contains_key(&pack)
    }

    /// Checks the chunks of a record; says whether they are what their names say.
    fn verify_record(
        &self,
        pack: u32,
        record: Whole,
        report: &mut VerifyReport,
        found: &mut BrokenParts,
    ) -> Result<bool, StoreError> {
        let log = &self.inner.log;
        let (kind, offset) = (record.head.kind, record.offset);
        if !matches!(kind, Kind::Chunks | Kind::Nodes) {
            return Ok(true);
        }
        let place = (pack, offset as u32);
        report.chunks += record.entries.len() as u64;
        let entries = record.entries.clone();
        let wrong = match Frame::open(&record.head, record.entries, record.body) {
            Ok(frame) => frame.wrong(kind),
            Err(reason) => {
                let damage = in_pack(pack, Some(offset), reason);
                found.extend(entries.iter().map(|entry| part_of(kind, entry, &damage)));
                return Ok(false);
            }
        };
        if !wrong.is_empty() {
            let damage = in_pack(pack, Some(offset), "its bytes have another hash".to_owned());
            found.extend(wrong.iter().map(|entry| part_of(kind, entry, &damage)));
            return Ok(false);
        }
        for (id, location) in locations(kind, &entries, place) {
            let is_known = log.index.contains(&Key::of_entry(kind, id, location))?;
            if !is_known && !self.is_going(pack) {
                let reason =
                    "the index does not know of it; make it anew with 'gdo chunks reindex'";
                report.add(Damage {
                    chunk: (kind == Kind::Chunks).then_some(ChunkId::from_bytes(id)),
                    ..in_pack(pack, Some(offset), reason.to_owned())
                });
            }
        }
        Ok(true)
    }

    /// Follows every object to its last chunk. What is in no pack is remembered.
    pub(crate) fn verify_objects(
        &self,
        report: &mut VerifyReport,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), StoreError> {
        let before = report.damages_found;
        let objects = self.objects()?;
        let total_bytes = objects.iter().map(|object| object.size).sum();
        let mut done_bytes = 0;
        for object in objects {
            let mut reader = match ObjectReader::open(self, &object.oid) {
                Ok(reader) => reader,
                Err(StoreError::Missing { .. }) => continue,
                Err(StoreError::Damaged(damage)) => {
                    report.add(*damage);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut add = |damage| report.add(damage);
            match self.follow(object.oid, &mut reader, &mut add) {
                Ok(()) => {}
                Err(StoreError::Damaged(damage)) => report.add(*damage),
                Err(error) => return Err(error),
            }
            report.objects += 1;
            done_bytes += object.size;
            progress(Progress {
                done_bytes,
                total_bytes,
                step: "following objects",
            });
        }
        if report.damages_found == before {
            self.inner.log.set_none_lost()?;
        }
        Ok(())
    }

    /// Looks for every chunk of an object, and tells of those that cannot be read.
    fn follow(
        &self,
        oid: Digest,
        reader: &mut ObjectReader,
        tell: &mut dyn FnMut(Damage),
    ) -> Result<(), StoreError> {
        reader.walk(&mut |_| {}, &mut |span| {
            let id = span.chunk.as_bytes();
            if !self.inner.log.places(Kind::Chunks, id)?.is_empty() {
                return Ok(());
            }
            // It stands in no record that is whole: perhaps in a good part of a broken one.
            match self.inner.read_part(Kind::Chunks, id, Some(span.len)) {
                Err(StoreError::Damaged(damage)) => {
                    tell(Damage {
                        object: Some(oid),
                        range: Some(span.start..span.start + u64::from(span.len)),
                        ..*damage
                    });
                    Ok(())
                }
                found => found.map(drop),
            }
        })
    }
}

fn in_pack(pack: u32, offset: Option<u64>, reason: String) -> Damage {
    Damage {
        pack: Some(pack),
        offset,
        reason,
        ..Damage::default()
    }
}

/// A damage that concerns one chunk or node.
fn part_of(kind: Kind, entry: &Entry, damage: &Damage) -> InPack {
    let chunk = (kind == Kind::Chunks).then_some(ChunkId::from_bytes(entry.id));
    InPack {
        part: Some((kind, entry.id)),
        damage: Damage {
            chunk,
            ..damage.clone()
        },
    }
}

fn note_broken(pack: u32, broken: &Broken, found: &mut BrokenParts) {
    let reason = format!("{} (up to {})", broken.reason, broken.end);
    let damage = in_pack(pack, Some(broken.offset), reason);
    match &broken.head {
        Some((head, entries)) if !entries.is_empty() => {
            found.extend(
                entries
                    .iter()
                    .map(|entry| part_of(head.kind, entry, &damage)),
            );
        }
        _ => found.extend([InPack { part: None, damage }]),
    }
}

impl Frame {
    /// The chunks or nodes whose bytes are not what their names say.
    fn wrong(&self, kind: Kind) -> Vec<Entry> {
        let mut at = 0;
        let is_wrong = |entry: &&Entry| {
            let bytes = &self.plain[at..at + entry.bytes as usize];
            at += entry.bytes as usize;
            match kind {
                Kind::Nodes => *ManifestId::of(bytes).as_bytes() != entry.id,
                _ => *ChunkId::of(bytes).as_bytes() != entry.id,
            }
        };
        self.entries.iter().filter(is_wrong).copied().collect()
    }

    /// Whether every chunk or node is what its name says.
    pub(crate) fn is_sound(&self, kind: Kind) -> bool {
        self.wrong(kind).is_empty()
    }
}

/// How many damages concern each pack, for a summary.
impl VerifyReport {
    /// The packs that are concerned, each with how many damages.
    #[must_use]
    pub fn by_pack(&self) -> BTreeMap<u32, u64> {
        let mut packs = BTreeMap::new();
        for pack in self.damages.iter().filter_map(|damage| damage.pack) {
            *packs.entry(pack).or_default() += 1;
        }
        packs
    }
}
