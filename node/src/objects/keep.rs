//! What is kept and what goes: everything that a ref of the ledger points to stays for good, what is
//! pinned until it is no more, the rest for a day.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use gdo_chunkstore::{GcOptions, GcReport, Progress};
use gdo_core::id::Digest;

use super::copies::remove_left_files;
use super::{KEPT_SECONDS_MAX, Objects};
use crate::error::ObjectsError;

/// Packs with less than this share of live bytes are written anew, in per cent.
const REPACK_LIVE_PERCENT: u8 = 60;

/// What a collection did.
pub type Collected = GcReport;

impl Objects {
    /// The objects that may not go: those that anything under a ref points to, and those that are
    /// pinned.
    ///
    /// # Errors
    /// The ledger cannot be listed, or a pin cannot be read.
    pub fn roots(&self) -> Result<BTreeSet<Digest>, ObjectsError> {
        let mut roots = self.0.pins.objects()?;
        roots.extend(self.ledger().pointers()?.iter().map(|pointer| pointer.oid));
        Ok(roots)
    }

    /// Pins objects under a name, in the place of what it pinned before; says whether all of them are
    /// here and whole, else nothing is pinned.
    ///
    /// # Errors
    /// The store or the folder of the pins fails.
    pub fn pin(&self, name: &str, objects: &BTreeSet<Digest>) -> Result<bool, ObjectsError> {
        // First the pin: a collection that runs sees it, or has seen that they are touched.
        self.0.pins.set(name, objects)?;
        for oid in objects {
            if self.find_and_touch(oid)?.is_none() {
                self.unpin(name)?;
                return Ok(false);
            }
        }
        self.staging_as_it_is().forget();
        Ok(true)
    }

    /// Takes a pin away; says whether there was one.
    ///
    /// # Errors
    /// The folder of the pins or the store fails.
    pub fn unpin(&self, name: &str) -> Result<bool, ObjectsError> {
        let was_there = self.0.pins.remove(name)?;
        self.staging_as_it_is().forget();
        Ok(was_there)
    }

    /// Whether a pin of this name is set.
    #[must_use]
    pub fn is_pinned(&self, name: &str) -> bool {
        self.0.pins.has(name)
    }

    /// Collects what nothing names and what came more than a day before `now`; `None` where this node
    /// never had an object.
    ///
    /// # Errors
    /// The ledger cannot be listed, or the store fails; then nothing that is named is lost.
    pub fn collect(
        &self,
        now: i64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Collected>, ObjectsError> {
        let oldest = u64::try_from(now - KEPT_SECONDS_MAX).unwrap_or(0);
        let oldest = UNIX_EPOCH + Duration::from_secs(oldest);
        let is_left = |oid: &Digest| matches!(self.find(oid), Ok(None));
        let left = remove_left_files(self.ledger().dir(), oldest, &is_left);
        if left > 0 {
            tracing::debug!(
                left,
                "removed large files of pushes by path that never came"
            );
        }
        let Some(store) = self.existing()? else {
            return Ok(None);
        };
        let options = GcOptions {
            keep_since_unix_seconds: now - KEPT_SECONDS_MAX,
            repack_live_percent: REPACK_LIVE_PERCENT,
        };
        let roots = self.roots()?;
        let report = store.gc(&roots, &options, progress)?;
        self.staging_as_it_is().forget();
        Ok(Some(report))
    }
}
