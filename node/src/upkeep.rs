//! The repository's upkeep: packing and pruning, in a thread of its own, since git's automatic gc is
//! off.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use gdo_ledger::{Ledger, MaintenanceInput};

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
    pub fn start(ledger: Arc<Ledger>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        std::thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(move || run(&ledger, &stopped))?;
        Ok(Self { _stop: stop })
    }
}

fn run(ledger: &Ledger, stopped: &Receiver<()>) {
    let mut due = FIRST;
    while stopped.recv_timeout(due) == Err(RecvTimeoutError::Timeout) {
        match ledger.maintain(&MaintenanceInput::default()) {
            Ok(done) => tracing::debug!(?done, "upkeep"),
            Err(error) => tracing::warn!(%error, "upkeep failed; it is tried again later"),
        }
        due = PERIOD;
    }
}
