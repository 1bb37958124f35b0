//! A disk in memory that can lose what was not synced, and can fail or be full from any step on.
//!
//! Each file has what is durable and, in order, what was written since. When the machine stops, each
//! of these writes is kept, lost, or kept in part, as dice say. Creating and deleting a pack is durable
//! when it returns, which is what the store asks of a disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::dice;
use crate::disk::{Disk, PackFile};

thread_local! {
    /// The disk whose machine this thread is; the index asks it too before it writes.
    static MACHINE: RefCell<Option<Arc<Machine>>> = const { RefCell::new(None) };
}

/// What happens at the step that a machine fails at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// The machine stops: this and everything after it is not done.
    Stop,
    /// The disk is full for once.
    FullOnce,
    /// The disk is full from here on.
    Full,
    /// The step fails for once with an error of the disk.
    Error,
}

/// Counts the steps of everything that is written.
#[derive(Debug)]
pub(crate) struct Machine {
    steps: Mutex<u64>,
    fails_at: u64,
    failure: Failure,
}

impl Machine {
    pub(crate) fn new(fails_at: u64, failure: Failure) -> Arc<Self> {
        let machine = Arc::new(Self {
            steps: Mutex::new(0),
            fails_at,
            failure,
        });
        MACHINE.set(Some(Arc::clone(&machine)));
        machine
    }

    pub(crate) fn steps(&self) -> u64 {
        *lock(&self.steps)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.steps() >= self.fails_at
    }

    fn step(&self) -> io::Result<()> {
        let mut steps = lock(&self.steps);
        *steps += 1;
        let is_now = *steps == self.fails_at;
        let is_after = *steps >= self.fails_at;
        match self.failure {
            Failure::Stop if is_after => Err(io::Error::other("the machine has stopped")),
            Failure::FullOnce if is_now => Err(io::ErrorKind::StorageFull.into()),
            Failure::Full if is_after => Err(io::ErrorKind::StorageFull.into()),
            Failure::Error if is_now => Err(io::Error::from_raw_os_error(5)),
            _ => Ok(()),
        }
    }
}

/// A step of this thread's machine, if it has one.
pub(crate) fn step() -> io::Result<()> {
    MACHINE.with_borrow(|machine| machine.as_ref().map_or(Ok(()), |machine| machine.step()))
}

/// This thread works on a sound disk from here on.
pub(crate) fn leave_machine() {
    MACHINE.set(None);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("no test panics while it holds a lock of the disk")
}

/// The disk.
#[derive(Clone, Default)]
pub(crate) struct Forgetful {
    packs: Arc<Mutex<BTreeMap<u32, Arc<Mutex<Contents>>>>>,
}

impl Forgetful {
    /// Reads of these bytes of a pack fail from here on.
    pub(crate) fn fail_reads(&self, pack: u32, unreadable: Range<u64>) {
        let packs = lock(&self.packs);
        lock(packs.get(&pack).expect("there is such a pack")).unreadable = unreadable;
    }
}

#[derive(Clone, Default)]
struct Contents {
    durable: Vec<u8>,
    since: Vec<Change>,
    live: Vec<u8>,
    unreadable: Range<u64>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Cut(len) => to.resize(*len as usize, 0),
            Self::Write(at, bytes) => {
                let end = *at as usize + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at as usize..end].copy_from_slice(bytes);
            }
        }
    }
}

impl Forgetful {
    /// What the disk holds after the machine stopped and started again.
    pub(crate) fn after_stop(&self, seed: u64) -> Self {
        let mut state = seed;
        let survive = |(pack, contents): (&u32, &Arc<Mutex<Contents>>)| {
            let contents = lock(contents);
            let mut durable = contents.durable.clone();
            for change in &contents.since {
                match (dice(&mut state, 4), change) {
                    (0 | 1, change) => change.apply(&mut durable),
                    (2, Change::Write(at, bytes)) => {
                        let kept = dice(&mut state, bytes.len() as u64 + 1) as usize;
                        Change::Write(*at, bytes[..kept].to_vec()).apply(&mut durable);
                    }
                    _ => {}
                }
            }
            let live = durable.clone();
            let since = Vec::new();
            (
                *pack,
                Arc::new(Mutex::new(Contents {
                    durable,
                    since,
                    live,
                    unreadable: 0..0,
                })),
            )
        };
        let packs = lock(&self.packs).iter().map(survive).collect();
        Self {
            packs: Arc::new(Mutex::new(packs)),
        }
    }
}

impl Disk for Forgetful {
    fn packs(&self) -> io::Result<Vec<u32>> {
        Ok(lock(&self.packs).keys().copied().collect())
    }

    fn create(&self, pack: u32) -> io::Result<Arc<dyn PackFile>> {
        step()?;
        let file = Arc::new(Mutex::new(Contents::default()));
        let before = lock(&self.packs).insert(pack, Arc::clone(&file));
        assert!(before.is_none(), "pack {pack} was there");
        step()?;
        Ok(Arc::new(Open(file)))
    }

    fn open(&self, pack: u32) -> io::Result<Arc<dyn PackFile>> {
        let packs = lock(&self.packs);
        let file = packs.get(&pack).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Open(Arc::clone(file))))
    }

    fn remove(&self, pack: u32) -> io::Result<()> {
        step()?;
        lock(&self.packs).remove(&pack);
        step()
    }

    fn path(&self, pack: u32) -> PathBuf {
        PathBuf::from(format!("memory/{pack}"))
    }
}

struct Open(Arc<Mutex<Contents>>);

impl Open {
    fn change(&self, change: Change) -> io::Result<()> {
        let failed = step();
        let mut contents = lock(&self.0);
        let change = match (&failed, change) {
            (Ok(()), change) => change,
            // What fails may be done in part.
            (Err(_), Change::Write(at, bytes)) => {
                Change::Write(at, bytes[..bytes.len() / 2].to_vec())
            }
            (Err(_), Change::Cut(_)) => return failed,
        };
        change.apply(&mut contents.live);
        contents.since.push(change);
        failed
    }
}

impl PackFile for Open {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let contents = lock(&self.0);
        let end = offset + buffer.len() as u64;
        if offset < contents.unreadable.end && contents.unreadable.start < end {
            return Err(io::Error::from_raw_os_error(5));
        }
        let range = offset as usize..end as usize;
        let bytes = contents
            .live
            .get(range)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write(offset, bytes.to_vec()))
    }

    fn sync(&self) -> io::Result<()> {
        step()?;
        let mut contents = lock(&self.0);
        contents.durable = contents.live.clone();
        contents.since.clear();
        drop(contents);
        step()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change(Change::Cut(bytes))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).live.len() as u64)
    }
}
