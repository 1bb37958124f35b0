//! The node's clocks: the one place that reads them.
//!
//! Wall time is a claim, never an input of the head rule or of a vote (P-37). Without a source that
//! says how far off it may be, the uncertainty is unknown, and then the ledger's time does not move.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use gdo_consensus::machine::Millis;
use gdo_core::block::Clock;
use nix::time::{ClockId, clock_gettime};

use crate::error::NodeError;

/// systemd-timesyncd touches this file whenever it has synchronised the clock.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// What a clock that timesyncd keeps may be off, in milliseconds: its own root distance limit.
const UNCERTAINTY_MS: u64 = 5000;

/// Reads this machine's clocks.
#[derive(Debug)]
pub struct Clocks {
    boot: String,
    start: Instant,
    uncertainty_ms: Option<u64>,
}

impl Clocks {
    /// Finds the clocks; `uncertainty_ms` is the operator's word, which wins.
    ///
    /// # Errors
    /// The kernel does not tell its boot id.
    pub fn open(uncertainty_ms: Option<u64>) -> Result<Self, NodeError> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let boot =
            std::fs::read_to_string(path).map_err(|source| NodeError::io("read", path, source))?;
        Ok(Self {
            boot: boot.trim().to_owned(),
            start: Instant::now(),
            uncertainty_ms,
        })
    }

    /// The moment by the monotonic clock, from the start of this process.
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// What a block says of the clocks.
    #[must_use]
    pub fn claim(&self) -> Clock {
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            seconds * 1000 + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000_000
        });
        let kept = || Path::new(SYNCHRONISED).exists().then_some(UNCERTAINTY_MS);
        Clock {
            boot: self.boot.clone(),
            mono_ms: since_boot,
            uncertainty_ms: self.uncertainty_ms.or_else(kept),
        }
    }
}

/// The wall clock, in seconds since 1970-01-01 UTC.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn wall_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
