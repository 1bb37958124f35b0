//! The packs that are written: records are appended, synced once a commit, and then indexed.
//!
//! All ingests append to one pack, each as its frames are full. A commit makes everything durable
//! that was appended so far, whoever appended it, and then indexes it; so what the index holds of a
//! pack is always all of its records up to a length, and what lies behind that length after a crash
//! is found by reading on from there.
//!
//! **Invariants**: a record is in the index only when it is durable; a pack is sealed before the next
//! one is begun; a name of an object is durable only with or after everything that it rests on.

mod bad;
mod group;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use gdo_core::id::Digest;

use crate::disk::{Disk, PackFile};
use crate::error::StoreError;
use crate::index::key::{Key, Location, ObjectKey, id_prefix, oid_prefix, prefix};
use crate::index::{Batch, Index};
use crate::record::{Kind, ObjectRecord, PACK_HEADER_BYTES, Record, encode_pack_header};

pub(crate) use bad::Bad;
use group::Ticket;
use writer::Writer;
pub(crate) use writer::{Active, locations};

/// A pack is sealed when the next record would make it longer.
pub(crate) const PACK_BYTES: u64 = 128 << 20;
/// So many entries may wait for a commit; more make one.
const WAITING_MAX: usize = 1 << 15;
/// So many packs are kept open for reading.
const OPEN_FILES_MAX: usize = 64;

/// What is known of a pack that is in the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PackState {
    /// Up to where it is indexed.
    pub(crate) bytes: u64,
    /// Whether nothing is added to it any more.
    pub(crate) is_sealed: bool,
}

/// A change of what objects there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// There is this object.
    Name(ObjectRecord),
    /// There is no such object any more.
    Forget(Digest),
}

/// The packs and the index over them.
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) index: Index,
    pack_bytes: u64,
    commit: Mutex<()>,
    /// What waits for a commit.
    queue: Mutex<Vec<Arc<Ticket>>>,
    writer: Mutex<Writer>,
    table: Mutex<BTreeMap<u32, PackState>>,
    bad: Mutex<Bad>,
    open: Mutex<BTreeMap<u32, Arc<dyn PackFile>>>,
}

/// Where a log goes on.
#[derive(Default)]
pub(crate) struct Start {
    pub(crate) table: BTreeMap<u32, PackState>,
    pub(crate) bad: Bad,
    /// The pack that is appended to, if there is one that is not sealed.
    pub(crate) active: Option<Active>,
    /// The number of the next pack.
    pub(crate) next: u32,
    /// Objects of which a name was found that was never acknowledged.
    pub(crate) named: BTreeSet<Digest>,
    /// Whether the index was just made of the packs.
    pub(crate) is_new: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds a lock of the log")
}

impl Log {
    /// Goes on where `start` says.
    pub(crate) fn new(disk: Arc<dyn Disk>, index: Index, pack_bytes: u64, start: Start) -> Self {
        let writer = Writer {
            pack: start.active,
            next: start.next,
            ..Writer::default()
        };
        Self {
            disk,
            index,
            pack_bytes,
            commit: Mutex::new(()),
            queue: Mutex::default(),
            writer: Mutex::new(writer),
            table: Mutex::new(start.table),
            bad: Mutex::new(start.bad),
            open: Mutex::new(BTreeMap::new()),
        }
    }

    /// The packs that are in the index.
    pub(crate) fn packs(&self) -> BTreeMap<u32, PackState> {
        lock(&self.table).clone()
    }

    /// What the index says of one pack.
    pub(crate) fn pack(&self, pack: u32) -> Option<PackState> {
        lock(&self.table).get(&pack).copied()
    }

    /// Where a chunk or node lies that was appended and is not durable yet.
    pub(crate) fn waiting_place(&self, kind: Kind, id: &[u8; 32]) -> Option<Location> {
        lock(&self.writer).place(&id_prefix(kind, id))
    }

    /// Where a chunk or node lies and was not found broken, the latest place first.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn places(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<Location>, StoreError> {
        // In the order in which a place moves on, so that none is missed.
        if let Some(place) = self.waiting_place(kind, id) {
            return Ok(vec![place]);
        }
        let mut places = self.all_places(kind, id)?;
        let bad = lock(&self.bad);
        places.retain(|place| !bad.holds(place.pack, place.record));
        Ok(places)
    }

    /// Where the index says that a chunk or node lies, broken or not, the latest place first.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn all_places(
        &self,
        kind: Kind,
        id: &[u8; 32],
    ) -> Result<Vec<Location>, StoreError> {
        let mut places = Vec::new();
        self.index.scan(&id_prefix(kind, id), &mut |key| {
            if let Key::Chunk(_, place) | Key::Node(_, place) = key {
                places.push(place);
            }
            Ok(true)
        })?;
        places.reverse();
        Ok(places)
    }

    /// What the index says of an object.
    pub(crate) fn object(&self, oid: &Digest) -> Result<Option<ObjectKey>, StoreError> {
        let keys = self.index.keys(&oid_prefix(prefix::OBJECT, oid))?;
        let objects = keys.into_iter().filter_map(|key| match key {
            Key::Object(object) => Some(object),
            _ => None,
        });
        Ok(objects.max_by_key(|object| object.place))
    }

    /// Appends a record and says which pack it is in and where.
    ///
    /// # Errors
    /// The disk fails or is full; the pack is as it was before then.
    pub(crate) fn append(&self, record: &Record) -> Result<(u32, u32), StoreError> {
        loop {
            {
                let mut writer = lock(&self.writer);
                let is_crowded = writer.waiting.puts.len() >= WAITING_MAX;
                if !is_crowded && writer.has_room(record, self.pack_bytes) {
                    return self.write(&mut writer, record);
                }
            }
            let held = lock(&self.commit);
            self.make_room(&held, record)?;
        }
    }

    /// Changes what objects there are by what `decide` says while no other commit runs.
    ///
    /// # Errors
    /// Those of `decide` and of [`Log::commit`].
    pub(crate) fn commit_if(
        &self,
        decide: &mut dyn FnMut() -> Result<Vec<Change>, StoreError>,
    ) -> Result<usize, StoreError> {
        let held = lock(&self.commit);
        let changes = decide()?;
        if changes.is_empty() {
            return Ok(0);
        }
        for change in &changes {
            self.append_change(&held, change, &BTreeSet::new())?;
        }
        self.flush(&held)?;
        Ok(changes.len())
    }

    /// Appends the record of a change and lets it wait for the commit that is held; gives the pack that
    /// it is in.
    fn append_change(
        &self,
        held: &MutexGuard<'_, ()>,
        change: &Change,
        rest_on: &BTreeSet<u32>,
    ) -> Result<u32, StoreError> {
        let (record, oid) = match change {
            Change::Name(object) => (object.to_record(), object.oid),
            Change::Forget(oid) => (Record::gone(oid), *oid),
        };
        self.make_room(held, &record)?;
        let mut deletes = self.index.keys(&oid_prefix(prefix::OBJECT, &oid))?;
        deletes.extend(self.index.keys(&oid_prefix(prefix::GONE, &oid))?);
        let mut writer = lock(&self.writer);
        if let Some(pack) = rest_on.intersection(&writer.failed).next() {
            return Err(StoreError::PackFailed { pack: *pack });
        }
        // Another thread may have filled the pack meanwhile; a pack may be a little longer.
        let place = self.write(&mut writer, &record)?;
        let deletes = deletes.into_iter().map(|key| (place.0, key));
        writer.waiting.deletes.extend(deletes);
        writer.waiting.puts.push(key_of_change(change, place));
        Ok(place.0)
    }

    /// Commits if much waits, and seals the pack and begins another if the record does not fit.
    fn make_room(&self, held: &MutexGuard<'_, ()>, record: &Record) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let has_room = writer.has_room(record, self.pack_bytes);
        if has_room && writer.waiting.puts.len() < WAITING_MAX {
            return Ok(());
        }
        if has_room {
            drop(writer);
            return self.flush(held);
        }
        if let Some(active) = &writer.pack {
            let seal = Record::seal(active.bytes);
            self.write(&mut writer, &seal)?;
            let sealed = writer.pack.take().expect("it was there to be written to");
            writer.sealed.push(sealed);
        }
        drop(writer);
        self.flush(held)?;
        self.begin_pack(&mut lock(&self.writer))
    }

    fn begin_pack(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let number = writer.next;
        let path = self.disk.path(number);
        // A number is used once, even if this fails half way.
        writer.next = number
            .checked_add(1)
            .expect("there are fewer packs than 2^32");
        let made = self.disk.create(number).and_then(|file| {
            file.write_at(&encode_pack_header(number), 0)?;
            Ok(file)
        });
        let file = made.map_err(|error| {
            // If this fails too, an empty pack is left, which the next open removes.
            let _ = self.disk.remove(number);
            StoreError::io(&path, error)
        })?;
        writer.pack = Some(Active {
            number,
            file,
            bytes: PACK_HEADER_BYTES,
        });
        Ok(())
    }

    /// Writes a record at the end of the pack that is open.
    fn write(&self, writer: &mut Writer, record: &Record) -> Result<(u32, u32), StoreError> {
        if writer.pack.is_none() {
            self.begin_pack(writer)?;
        }
        let active = writer.pack.as_mut().expect("a pack was begun");
        let mut bytes = record.encode_head(active.number);
        bytes.extend_from_slice(&record.body);
        let (pack, offset) = (active.number, active.bytes);
        if let Err(error) = active.file.write_at(&bytes, offset) {
            let error = StoreError::io(&self.disk.path(pack), error);
            if active.file.set_len(offset).is_err() {
                // Nothing may follow what cannot be taken back.
                writer.fail(pack);
            }
            return Err(error);
        }
        active.bytes += bytes.len() as u64;
        let offset = u32::try_from(offset).expect("a pack is far shorter than 4 GiB");
        writer.note(record, (pack, offset));
        Ok((pack, offset))
    }

    /// Syncs what was written and then indexes it.
    fn flush(&self, _held: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let (files, waiting) = lock(&self.writer).begin_commit();
        for (pack, file) in files {
            if let Err(error) = file.sync() {
                // What the disk holds of it nobody knows; nothing rests on this pack from here on.
                lock(&self.writer).restore(waiting, Some(pack));
                return Err(StoreError::io(&self.disk.path(pack), error));
            }
        }
        let mut batch = Batch::default();
        for (pack, state) in &waiting.states {
            let before = lock(&self.table).get(pack).copied();
            if before != Some(*state) {
                before
                    .iter()
                    .for_each(|before| batch.delete(&key_of_pack(*pack, *before)));
                batch.put(&key_of_pack(*pack, *state));
            }
        }
        for (_, key) in &waiting.deletes {
            batch.delete(key);
        }
        waiting.puts.iter().for_each(|key| batch.put(key));
        if batch.len() > 0
            && let Err(error) = self.index.write(batch)
        {
            // It is durable in the pack; the next commit indexes it.
            lock(&self.writer).restore(waiting, None);
            return Err(error);
        }
        lock(&self.table).extend(waiting.states);
        lock(&self.writer).syncing.clear();
        Ok(())
    }

    /// The open file of a pack.
    pub(crate) fn file(&self, pack: u32) -> io::Result<Arc<dyn PackFile>> {
        let mut open = lock(&self.open);
        if let Some(file) = open.get(&pack) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(pack)?;
        if open.len() >= OPEN_FILES_MAX {
            open.pop_first();
        }
        open.insert(pack, Arc::clone(&file));
        Ok(file)
    }

    /// Forgets a pack that is not in the index any more.
    pub(crate) fn forget(&self, pack: u32) {
        lock(&self.open).remove(&pack);
        lock(&self.table).remove(&pack);
    }
}

pub(crate) fn key_of_pack(pack: u32, state: PackState) -> Key {
    Key::Pack {
        pack,
        bytes: state.bytes,
        is_sealed: state.is_sealed,
    }
}

pub(crate) fn key_of_change(change: &Change, place: (u32, u32)) -> Key {
    match change {
        Change::Forget(oid) => Key::Gone(*oid, place),
        Change::Name(object) => Key::Object(ObjectKey {
            oid: object.oid,
            size: object.size,
            manifest: object.manifest,
            came_unix_seconds: object.came_unix_seconds,
            place,
        }),
    }
}
