//! The upkeep of repository and chunk store: packing, pruning and collecting, in a thread of its own,
//! since git's automatic gc is off; and the plain copies of what `main` came to name without a push.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use gdo_ledger::{Ledger, MaintenanceInput};

use crate::clock::wall_seconds;
use crate::images::Images;
use crate::objects::Objects;

/// When the first upkeep is due: a node that is killed and started again must not race with the git
/// that upkeep left behind, and nobody waits for it.
const FIRST: Duration = Duration::from_secs(10 * 60);
/// How often upkeep is due from then on.
const PERIOD: Duration = Duration::from_secs(6 * 3600);
/// How often it is seen whether `main` has moved.
const LOOK: Duration = Duration::from_secs(60);

/// Upkeep goes on until this is dropped.
#[derive(Debug)]
pub struct Upkeep {
    _stop: Sender<()>,
}

/// What is kept up.
#[derive(Debug)]
pub struct Kept {
    /// The repository.
    pub ledger: Arc<Ledger>,
    /// The chunk store, and the plain copies.
    pub objects: Objects,
    /// The staged images.
    pub images: Images,
    /// The ref whose large files are laid out.
    pub main: String,
}

impl Upkeep {
    /// Starts the thread; the first upkeep comes after a while.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(kept: Kept) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        std::thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(move || kept.run(&stopped))?;
        Ok(Self { _stop: stop })
    }
}

impl Kept {
    fn run(&self, stopped: &Receiver<()>) {
        let mut due = Instant::now() + FIRST;
        let mut laid_out = None;
        loop {
            let tip = self.ledger.read_ref(&self.main).ok().flatten();
            if tip != laid_out {
                self.objects.lay_out_main(&self.main);
                laid_out = tip;
            }
            if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            if Instant::now() >= due {
                self.keep_up();
                laid_out = None;
                due = Instant::now() + PERIOD;
            }
        }
    }

    fn keep_up(&self) {
        match self.ledger.maintain(&MaintenanceInput::default()) {
            Ok(done) => tracing::debug!(?done, "upkeep"),
            Err(error) => tracing::warn!(%error, "upkeep failed; it is tried again later"),
        }
        let now = wall_seconds();
        if let Err(error) = self.images.expire(now) {
            tracing::warn!(%error, "staged images cannot be removed; it is tried again later");
        }
        match self.objects.collect(now, &mut |_| {}) {
            Ok(None) => {}
            Ok(Some(done)) => tracing::debug!(?done, "upkeep of the chunk store"),
            Err(error) => {
                tracing::warn!(%error, "upkeep of the chunk store failed; it is tried again later");
            }
        }
    }
}
