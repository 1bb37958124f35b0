//! Makes the index anew from the packs alone.
//!
//! The new index is made beside the old one and takes its place when it is whole, so that the work
//! may be interrupted at any point. Then every object is followed to its last chunk: what lay in a pack
//! that is gone is in no table.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, Files};
use crate::error::{Damage, StoreError};
use crate::fault;
use crate::index::Index;
use crate::log::PACK_BYTES;
use crate::recover::{check_format, index_packs};
use crate::store::{Options, Progress, Store, index_dir, packs_dir, take_lock};
use crate::verify::VerifyReport;

/// What was found when the index was made anew.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReindexReport {
    /// How many packs there are.
    pub packs: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many records were entered.
    pub records: u64,
    /// What could not be read, and what objects lack.
    pub damages: Vec<Damage>,
}

impl Store {
    /// Makes the index of the store in `dir`, which must not be open, anew from its packs.
    ///
    /// # Errors
    /// The store is open elsewhere; the disk fails or is full. Damage in a pack is no error: it is in
    /// the report.
    pub fn reindex(
        dir: &Path,
        options: &Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ReindexReport, StoreError> {
        let _held = take_lock(dir, options)?;
        check_format(dir, true)?;
        let failed = |path: &Path, error: io::Error| StoreError::io(path, error);
        let packs_dir = packs_dir(dir);
        let files = Files::open(&packs_dir, true).map_err(|error| failed(&packs_dir, error))?;
        let disk: Arc<dyn Disk> = Arc::new(files);
        let packs = disk.packs().map_err(|error| failed(&packs_dir, error))?;
        let mut sizes = Vec::new();
        for pack in &packs {
            let len = disk.open(*pack).and_then(|file| file.len());
            sizes.push(len.map_err(|error| failed(&disk.path(*pack), error))?);
        }
        let next = dir.join("index.next");
        remove_dir(&next).map_err(|error| failed(&next, error))?;
        let total_bytes = sizes.iter().sum();
        let index = Index::open(&next, options.index_mib_max, false)?;
        let found = index_packs(&disk, &index, &packs, &mut |pack, at| {
            let before = packs.iter().zip(&sizes).take_while(|(of, _)| **of < pack);
            progress(Progress {
                done_bytes: before.map(|(_, bytes)| bytes).sum::<u64>() + at,
                total_bytes,
                step: "reading packs",
            });
        })?;
        drop(index);
        let index = index_dir(dir);
        let last = dir.join("index.last");
        let swap = || {
            remove_dir(&last)?;
            fault::point("index before swap");
            match std::fs::rename(&index, &last) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                // Between these two there is none, and one is made when the store opens.
                _ => fault::point("index amid swap"),
            }
            std::fs::rename(&next, &index)?;
            fault::point("index after swap");
            File::open(dir)?.sync_all()?;
            remove_dir(&last)
        };
        swap().map_err(|error| failed(&index, error))?;
        let store = Self::open_on(disk, &index, options, PACK_BYTES, None)?;
        let mut followed = VerifyReport::default();
        store.verify_objects(&mut followed, progress)?;
        let damage = |(pack, start, end, reason): (u32, u64, u64, String)| Damage {
            pack: Some(pack),
            offset: Some(start),
            reason: format!("{reason} (up to {end})"),
            ..Damage::default()
        };
        let broken = found.broken.into_iter().map(damage);
        Ok(ReindexReport {
            packs: packs.len() as u64,
            bytes: total_bytes,
            records: found.records,
            damages: broken.chain(followed.damages).collect(),
        })
    }
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
