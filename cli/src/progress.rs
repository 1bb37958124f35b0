//! A bar for what takes more than a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How long nothing is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that are being worked through; quiet where nobody looks.
#[derive(Debug)]
pub struct Bytes {
    what: &'static str,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Bytes {
    /// A bar that says what is being done.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            started: Instant::now(),
            bar: None,
        }
    }

    /// Tells how far it is.
    pub fn tell(&mut self, done: u64, total: u64) {
        if self.bar.is_none() && self.started.elapsed() > PATIENCE {
            let style = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let style = ProgressStyle::with_template(style).expect("the template is well formed");
            let bar = ProgressBar::new(total).with_style(style.progress_chars("=> "));
            self.bar = Some(bar.with_message(self.what));
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
