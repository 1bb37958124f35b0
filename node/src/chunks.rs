//! What `gdo chunks` asks of a node's chunk store: how much there is, whether it is sound, what may go.
//!
//! One implementation: the daemon, which holds the store, answers over its control API; where none
//! runs, the command works on the store itself.
//!
//! **Invariants**: nothing that a ref of the ledger points to is ever collected.

use gdo_chunkstore::{Progress, Store};
use serde::{Deserialize, Serialize};

use crate::error::ObjectsError;
use crate::objects::Objects;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// Say how much there is.
    Stat,
    /// Read everything and name what is damaged.
    Verify,
    /// Remove what nothing names.
    Collect,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stat, Self::Verify, Self::Collect];

    /// Its word in the control API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Verify => "verify",
            Self::Collect => "gc",
        }
    }
}

/// One line of an answer: progress comes any number of times, then one of the others ends it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// How far the work is.
    Progress {
        /// What is being done.
        step: String,
        /// How many bytes of this step are done.
        done_bytes: u64,
        /// How many bytes this step has.
        total_bytes: u64,
    },
    /// How much there is.
    Stat(Stat),
    /// What a check found.
    Verified(Verified),
    /// What a collection did.
    Collected(Collected),
    /// The work could not be done.
    Failed {
        /// Why not.
        reason: String,
    },
}

impl From<Progress> for Line {
    fn from(progress: Progress) -> Self {
        Self::Progress {
            step: progress.step.to_owned(),
            done_bytes: progress.done_bytes,
            total_bytes: progress.total_bytes,
        }
    }
}

/// How much there is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stat {
    /// The bytes of all objects.
    pub logical_bytes: u64,
    /// The bytes of all different chunks.
    pub unique_bytes: u64,
    /// The bytes of all packs on the disk.
    pub stored_bytes: u64,
    /// The bytes of the index on the disk.
    pub index_bytes: u64,
    /// The bytes of the plain copies for clones by path.
    pub plain_bytes: u64,
    /// How many different chunks there are.
    pub chunks: u64,
    /// How many packs there are.
    pub packs: u64,
    /// The objects, sorted by id.
    pub objects: Vec<ObjectStat>,
}

/// One object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ObjectStat {
    /// Its SHA-256.
    pub oid: String,
    /// Its bytes.
    pub logical_bytes: u64,
    /// The bytes of its different chunks.
    pub unique_bytes: u64,
    /// What these take in packs.
    pub stored_bytes: u64,
    /// How many chunks it is made of.
    pub chunks: u64,
    /// When it came last, in seconds since 1970.
    pub came: i64,
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Verified {
    /// How many packs were read.
    pub packs: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many chunks and nodes of manifests were hashed.
    pub chunks: u64,
    /// How many objects were followed to their last chunk.
    pub objects: u64,
    /// How many damages there are.
    pub damages_found: u64,
    /// How many chunks are broken in one place and sound in another.
    pub healed: u64,
    /// How many plain copies for clones by path were broken and were laid out anew.
    pub copies_mended: u64,
    /// What is damaged, as far as it fits in a list.
    pub damages: Vec<String>,
    /// Objects that the ledger points to and that are not here.
    pub missing: Vec<String>,
}

impl Verified {
    /// Whether everything is here and as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages_found == 0 && self.missing.is_empty()
    }
}

/// What a collection did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Collected {
    /// How many objects are kept.
    pub objects_kept: u64,
    /// How many objects are gone.
    pub objects_removed: u64,
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

/// Does what is to be done, and gives the line that ends the answer.
///
/// # Errors
/// The store cannot be opened or read, or the ledger that names its objects cannot.
pub fn run(
    objects: &Objects,
    task: Task,
    now: i64,
    tell: &mut dyn FnMut(Line),
) -> Result<Line, ObjectsError> {
    let mut progress = |progress: Progress| tell(progress.into());
    let store = objects.existing()?;
    Ok(match task {
        Task::Stat => Line::Stat(match store {
            Some(store) => stat(objects, &store, &mut progress)?,
            None => Stat::default(),
        }),
        Task::Verify => Line::Verified(verify(objects, store.as_ref(), &mut progress)?),
        Task::Collect => Line::Collected(collect(objects, now, &mut progress)?),
    })
}

fn stat(
    objects: &Objects,
    store: &Store,
    progress: &mut dyn FnMut(Progress),
) -> Result<Stat, ObjectsError> {
    let totals = store.totals()?;
    let mut stat = Stat {
        logical_bytes: totals.logical_bytes,
        unique_bytes: totals.unique_bytes,
        stored_bytes: totals.stored_bytes,
        index_bytes: totals.index_bytes,
        plain_bytes: objects.plain_bytes(),
        chunks: totals.chunks,
        packs: totals.packs,
        objects: Vec::new(),
    };
    let mut done_bytes = 0;
    for object in store.objects()? {
        progress(Progress {
            done_bytes,
            total_bytes: totals.logical_bytes,
            step: "reading manifests",
        });
        done_bytes += object.size;
        // One that was collected since is no mistake.
        let Some(found) = store.stat(&object.oid)? else {
            continue;
        };
        stat.objects.push(ObjectStat {
            oid: object.oid.to_string(),
            logical_bytes: object.size,
            unique_bytes: found.unique_bytes,
            stored_bytes: found.stored_bytes,
            chunks: found.chunks,
            came: found.came_unix_seconds,
        });
    }
    Ok(stat)
}

fn verify(
    objects: &Objects,
    store: Option<&Store>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verified, ObjectsError> {
    let mut verified = Verified::default();
    if let Some(store) = store {
        let report = store.verify(progress)?;
        verified = Verified {
            packs: report.packs,
            bytes: report.bytes,
            chunks: report.chunks,
            objects: report.objects,
            damages_found: report.damages_found,
            healed: report.healed,
            damages: report.damages.iter().map(ToString::to_string).collect(),
            ..verified
        };
    }
    verified.copies_mended = objects.mend_copies(progress)?;
    for oid in objects.roots()? {
        if objects.find(&oid)?.is_none() {
            verified.missing.push(oid.to_string());
        }
    }
    Ok(verified)
}

fn collect(
    objects: &Objects,
    now: i64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Collected, ObjectsError> {
    let report = objects.collect(now, progress)?.unwrap_or_default();
    Ok(Collected {
        objects_kept: report.objects_kept,
        objects_removed: report.objects_removed,
        packs_dead: report.packs_dead,
        packs_repacked: report.packs_repacked,
        moved_bytes: report.moved_bytes,
        packs_deleted: report.packs_deleted,
        freed_bytes: report.freed_bytes,
    })
}

/// What was found when an index was made anew.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Reindexed {
    /// How many packs were read.
    pub packs: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many records were entered.
    pub records: u64,
    /// What could not be read, and what objects lack.
    pub damages: Vec<String>,
}

/// Makes the index of a store, which no daemon may have open, anew from its packs.
///
/// # Errors
/// The store is open elsewhere, or cannot be read or written.
pub fn reindex(objects: &Objects, tell: &mut dyn FnMut(Line)) -> Result<Reindexed, ObjectsError> {
    let report = objects.reindex(&mut |progress| tell(progress.into()))?;
    let report = report.unwrap_or_default();
    Ok(Reindexed {
        packs: report.packs,
        bytes: report.bytes,
        records: report.records,
        damages: report.damages.iter().map(ToString::to_string).collect(),
    })
}
