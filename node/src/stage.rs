//! Where the time of a push goes: each stage is logged with its microseconds, for `make bench`.
//!
//! `GDO_LOG=info,gdo::stage=debug` turns it on; otherwise a stage costs two readings of the clock.

use std::time::Instant;

/// A stage that ends when this is dropped.
#[derive(Debug)]
pub struct Stage {
    name: &'static str,
    began: Instant,
}

impl Stage {
    /// Begins a stage.
    #[must_use]
    pub fn begin(name: &'static str) -> Self {
        let began = Instant::now();
        Self { name, began }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let us = self.began.elapsed().as_micros();
        tracing::debug!(target: "gdo::stage", stage = self.name, us);
    }
}
