//! The upkeep of repository and chunk store: packing, pruning and collecting, in a thread of its own,
//! since git's automatic gc is off.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use gdo_ledger::{Ledger, MaintenanceInput};

use crate::clock::wall_seconds;
use crate::images::Images;
use crate::objects::Objects;

/// When the first upkeep is due: a node that is killed and started again must not race with the git
/// that upkeep left behind, and nobody waits for it.
const FIRST: Duration = Duration::from_secs(10 * 60);
/// How often upkeep is due from then on.
const PERIOD: Duration = Duration::from_secs(6 * 3600);

/// Upkeep goes on until this is dropped.
#[derive(Debug)]
pub struct Upkeep {
    _stop: Sender<()>,
}

impl Upkeep {
    /// Starts the thread; the first upkeep comes after a while.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(ledger: Arc<Ledger>, objects: Objects, images: Images) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        std::thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(move || run(&ledger, &objects, &images, &stopped))?;
        Ok(Self { _stop: stop })
    }
}

fn run(ledger: &Ledger, objects: &Objects, images: &Images, stopped: &Receiver<()>) {
    let mut due = FIRST;
    while stopped.recv_timeout(due) == Err(RecvTimeoutError::Timeout) {
        match ledger.maintain(&MaintenanceInput::default()) {
            Ok(done) => tracing::debug!(?done, "upkeep"),
            Err(error) => tracing::warn!(%error, "upkeep failed; it is tried again later"),
        }
        let now = wall_seconds();
        if let Err(error) = images.expire(now) {
            tracing::warn!(%error, "staged images cannot be removed; it is tried again later");
        }
        match objects.collect(now, &mut |_| {}) {
            Ok(None) => {}
            Ok(Some(done)) => tracing::debug!(?done, "upkeep of the chunk store"),
            Err(error) => {
                tracing::warn!(%error, "upkeep of the chunk store failed; it is tried again later");
            }
        }
        due = PERIOD;
    }
}
