//! The repository's upkeep: packing and pruning, in a thread of its own, since git's automatic gc is
//! off.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use gdo_ledger::{Ledger, MaintenanceInput};

/// How often upkeep is due.
const PERIOD: Duration = Duration::from_secs(6 * 3600);

/// Upkeep goes on until this is dropped.
#[derive(Debug)]
pub struct Upkeep {
    _stop: Sender<()>,
}

impl Upkeep {
    /// Starts with an upkeep now, in the background.
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
    loop {
        match ledger.maintain(&MaintenanceInput::default()) {
            Ok(done) => tracing::debug!(?done, "upkeep"),
            Err(error) => tracing::warn!(%error, "upkeep failed; it is tried again later"),
        }
        if stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
