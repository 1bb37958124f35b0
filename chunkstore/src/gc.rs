//! Garbage collection: what no root needs goes, while others write and read.
//!
//! A collection marks what the kept objects are made of, takes the names of the other objects away,
//! moves what is of use out of packs that hold little of it, and deletes packs in which nothing has
//! been of use since the collection before. What an ingest or a reader rests on stays by its lease.
//!
//! **Invariants**: what is marked is never lost: the marks may be too many and are never too few; the
//! copy of a chunk is durable and indexed before its pack is given up; a pack is deleted only if the
//! collection before this one found it dead already and nobody has leased it since this one began;
//! every step may be interrupted.

mod repack;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use gdo_core::id::Digest;

use crate::error::StoreError;
use crate::index::Batch;
use crate::index::key::{Key, Location, ObjectKey, prefix};
use crate::log::{Bad, Change};
use crate::marks::Marks;
use crate::read::ObjectReader;
use crate::recover::delete_packs;
use crate::store::{Progress, Store, lock};

/// So many names are taken away in one commit.
const FORGET_AT_ONCE: usize = 1000;

/// What a collection keeps beside its roots, and when it moves things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GcOptions {
    /// Objects that came at this time or later are kept.
    pub keep_since_unix_seconds: i64,
    /// A pack of which less than this is of use is given up, and what is of use in it is moved.
    pub repack_live_percent: u8,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            keep_since_unix_seconds: i64::MIN,
            repack_live_percent: 60,
        }
    }
}

/// What a collection did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GcReport {
    /// The number of the collection.
    pub generation: u64,
    /// How many objects are kept.
    pub objects_kept: u64,
    /// How many objects are gone.
    pub objects_removed: u64,
    /// Roots that the store does not have.
    pub missing: Vec<Digest>,
    /// How many bytes of chunks, before compression, are of use.
    pub live_bytes: u64,
    /// How many packs were given up and wait for the next collection to be deleted.
    pub packs_dead: u64,
    /// Out of how many packs something was moved.
    pub packs_repacked: u64,
    /// How many bytes, before compression, were moved.
    pub moved_bytes: u64,
    /// How many packs were deleted.
    pub packs_deleted: u64,
    /// How many bytes that freed on the disk.
    pub freed_bytes: u64,
}

/// What a pack holds.
#[derive(Clone, Copy, Default)]
struct Use {
    live: u64,
    total: u64,
    /// Whether it holds the record by which an object is named, or not any more.
    has_names: bool,
}

/// One running collection.
struct Collection<'a> {
    store: &'a Store,
    options: GcOptions,
    marks: Marks,
    report: GcReport,
    progress: &'a mut dyn FnMut(Progress),
}

impl Store {
    /// Removes what neither `roots` nor a time within `options` nor a running ingest or reader needs.
    /// Space is freed in the second collection after something became useless.
    ///
    /// # Errors
    /// The manifest of a kept object is damaged, so that what it needs is not known: store the object
    /// again, or give it up as a root. The disk fails or is full.
    pub fn gc(
        &self,
        roots: &BTreeSet<Digest>,
        options: &GcOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<GcReport, StoreError> {
        self.check_writable("collect garbage")?;
        let _alone = lock(&self.inner.gc);
        let generation = lock(&self.inner.leases).begin_generation();
        let keys = self.inner.log.index.estimate_keys();
        let mut collection = Collection {
            store: self,
            options: *options,
            marks: Marks::for_ids(keys),
            report: GcReport {
                generation,
                ..GcReport::default()
            },
            progress,
        };
        collection.note_generation()?;
        collection.choose_objects(roots)?;
        collection.sweep()?;
        Ok(collection.report)
    }
}

impl Collection<'_> {
    fn note_generation(&self) -> Result<(), StoreError> {
        let index = &self.store.inner.log.index;
        let mut batch = Batch::default();
        let before = index.keys(&[prefix::GENERATION])?;
        before.iter().for_each(|key| batch.delete(key));
        batch.put(&Key::Generation(self.report.generation));
        index.write(batch)
    }

    fn tell(&mut self, step: &'static str, done_bytes: u64, total_bytes: u64) {
        (self.progress)(Progress {
            done_bytes,
            total_bytes,
            step,
        });
    }

    /// Marks what the kept objects need and takes the names of the others away. When this returns,
    /// every object that has a name is marked, or was named by an ingest that holds leases.
    fn choose_objects(&mut self, roots: &BTreeSet<Digest>) -> Result<(), StoreError> {
        let objects = self.store.object_keys()?;
        let known: BTreeSet<&Digest> = objects.iter().map(|object| &object.oid).collect();
        let missing = roots.iter().filter(|oid| !known.contains(oid));
        self.report.missing = missing.copied().collect();
        let since = self.options.keep_since_unix_seconds;
        let open = lock(&self.store.inner.leases).open_objects();
        let (mut kept, others): (Vec<ObjectKey>, Vec<ObjectKey>) =
            objects.into_iter().partition(|object| {
                roots.contains(&object.oid)
                    || object.came_unix_seconds >= since
                    || open.contains(&object.oid)
            });
        self.mark(&kept)?;
        let mut removed = 0;
        for some in others.chunks(FORGET_AT_ONCE) {
            let stay = self.forget(some)?;
            removed += (some.len() - stay.len()) as u64;
            self.mark(&stay)?;
            kept.extend(stay);
        }
        self.report.objects_kept = kept.len() as u64;
        self.report.objects_removed = removed;
        Ok(())
    }

    fn mark(&mut self, objects: &[ObjectKey]) -> Result<(), StoreError> {
        let total = objects.iter().map(|object| object.size).sum();
        let mut done = 0;
        for object in objects {
            self.tell("marking", done, total);
            self.mark_object(&object.oid)?;
            done += object.size;
        }
        self.tell("marking", total, total);
        Ok(())
    }

    fn mark_object(&mut self, oid: &Digest) -> Result<(), StoreError> {
        let mut reader = match ObjectReader::open(self.store, oid) {
            Ok(reader) => reader,
            // A name that another thread took away since.
            Err(StoreError::Missing { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let marks = RefCell::new(&mut self.marks);
        reader.walk(
            &mut |node| marks.borrow_mut().add(node.as_bytes()),
            &mut |span| {
                marks.borrow_mut().add(span.chunk.as_bytes());
                Ok(())
            },
        )
    }

    /// Takes names away, but for those that were given anew meanwhile or that a reader has open,
    /// which it returns.
    fn forget(&mut self, objects: &[ObjectKey]) -> Result<Vec<ObjectKey>, StoreError> {
        let inner = &self.store.inner;
        let mut stay = Vec::new();
        let forgotten = inner.log.commit_if(&mut || {
            let mut changes = Vec::new();
            for object in objects {
                let now = inner.log.object(&object.oid)?;
                if now != Some(*object) || !lock(&inner.leases).begin_removal(&object.oid) {
                    stay.extend(now);
                } else {
                    changes.push(Change::Forget(object.oid));
                }
            }
            Ok(changes)
        });
        lock(&inner.leases).end_removals();
        forgotten.map(|_| stay)
    }

    /// Looks at every pack that is sealed.
    fn sweep(&mut self) -> Result<(), StoreError> {
        let log = &self.store.inner.log;
        let uses = self.count_uses()?;
        let packs = log.packs();
        let sealed = packs.iter().filter(|(_, state)| state.is_sealed);
        let total = sealed.clone().map(|(_, state)| state.bytes).sum();
        let dead: BTreeMap<u32, u64> = dead_packs(self.store)?;
        let (mut done, mut doomed) = (0, BTreeSet::new());
        for (pack, state) in sealed {
            self.tell("sweeping", done, total);
            done += state.bytes;
            let found = uses.get(pack).copied().unwrap_or_default();
            let is_dead = found.live == 0 && !found.has_names;
            let was_dead = dead.get(pack);
            let percent = u64::from(self.options.repack_live_percent);
            if lock(&self.store.inner.leases).is_doomed(*pack) {
                // An earlier collection failed half way.
                doomed.insert(*pack);
                self.report.freed_bytes += state.bytes;
            } else if lock(&self.store.inner.leases).is_leased(*pack) {
                self.set_dead(*pack, was_dead, false)?;
            } else if is_dead && was_dead.is_some_and(|when| *when < self.report.generation) {
                if lock(&self.store.inner.leases).doom(*pack) {
                    doomed.insert(*pack);
                    self.report.freed_bytes += state.bytes;
                }
            } else if is_dead {
                self.set_dead(*pack, was_dead, true)?;
            } else if found.live * 100 < found.total * percent || found.total == 0 {
                let is_empty = self.repack(*pack, *state, found.has_names)?;
                self.set_dead(*pack, was_dead, is_empty)?;
            } else {
                self.set_dead(*pack, was_dead, false)?;
            }
        }
        self.delete(&doomed)?;
        self.tell("sweeping", total, total);
        Ok(())
    }

    /// Counts what is of use in each pack. Of several copies of a chunk the latest counts.
    fn count_uses(&mut self) -> Result<BTreeMap<u32, Use>, StoreError> {
        let log = &self.store.inner.log;
        let bad = log.bad();
        let mut uses: BTreeMap<u32, Use> = BTreeMap::new();
        for first in [prefix::CHUNK, prefix::NODE] {
            let mut copies: Option<([u8; 32], Vec<Location>)> = None;
            log.index.scan(&[first], &mut |key| {
                let (Key::Chunk(id, place) | Key::Node(id, place)) = key else {
                    return Ok(true);
                };
                match &mut copies {
                    Some((of, places)) if *of == id => places.push(place),
                    _ => {
                        let before = copies.replace((id, vec![place]));
                        count_copies(&mut uses, &self.marks, &bad, before);
                    }
                }
                Ok(true)
            })?;
            count_copies(&mut uses, &self.marks, &bad, copies);
        }
        self.report.live_bytes = uses.values().map(|found| found.live).sum();
        for object in self.store.object_keys()? {
            uses.entry(object.place.0).or_default().has_names = true;
        }
        let oldest = log.packs().keys().next().copied();
        for key in log.index.keys(&[prefix::GONE])? {
            // In the oldest pack it takes back no record that is there.
            if let Key::Gone(_, (pack, _)) = key
                && Some(pack) != oldest
            {
                uses.entry(pack).or_default().has_names = true;
            }
        }
        Ok(uses)
    }

    fn set_dead(
        &mut self,
        pack: u32,
        before: Option<&u64>,
        is_dead: bool,
    ) -> Result<(), StoreError> {
        self.report.packs_dead += u64::from(is_dead);
        let mut batch = Batch::default();
        match (before, is_dead) {
            (None, true) => {
                let generation = self.report.generation;
                batch.put(&Key::Dead { pack, generation });
            }
            (Some(generation), false) => {
                let generation = *generation;
                batch.delete(&Key::Dead { pack, generation });
            }
            _ => return Ok(()),
        }
        self.store.inner.log.index.write(batch)
    }

    fn delete(&mut self, doomed: &BTreeSet<u32>) -> Result<(), StoreError> {
        if doomed.is_empty() {
            return Ok(());
        }
        let inner = &self.store.inner;
        let mut batch = Batch::default();
        doomed
            .iter()
            .for_each(|pack| batch.put(&Key::Doomed { pack: *pack }));
        inner.log.index.write(batch)?;
        delete_packs(&*inner.log.disk, &inner.log.index, doomed)?;
        for pack in doomed {
            inner.log.forget(*pack);
            lock(&inner.leases).forget(*pack);
        }
        lock(&inner.frames).forget(|(pack, _)| doomed.contains(&pack));
        self.report.packs_deleted = doomed.len() as u64;
        Ok(())
    }
}

fn dead_packs(store: &Store) -> Result<BTreeMap<u32, u64>, StoreError> {
    let keys = store.inner.log.index.keys(&[prefix::DEAD])?;
    let dead = keys.into_iter().filter_map(|key| match key {
        Key::Dead { pack, generation } => Some((pack, generation)),
        _ => None,
    });
    Ok(dead.collect())
}

/// Counts the copies of one chunk or node, which are in the order of their packs.
fn count_copies(
    uses: &mut BTreeMap<u32, Use>,
    marks: &Marks,
    bad: &Bad,
    copies: Option<([u8; 32], Vec<Location>)>,
) {
    let Some((id, places)) = copies else { return };
    let good = places
        .iter()
        .rev()
        .find(|at| !bad.holds(at.pack, at.record));
    let counts = good.or(places.last()).copied();
    let is_marked = marks.contains(&id);
    for place in places {
        let found = uses.entry(place.pack).or_default();
        found.total += u64::from(place.bytes);
        if is_marked && Some(place) == counts {
            found.live += u64::from(place.bytes);
        }
    }
}
