//! Fault points: the steps between which a crash test kills the process.
//!
//! A test that kills from outside hits the long steps and misses the short ones, and cannot say
//! which it hit. A point marks the moment between two steps. Built with the feature `faults`, a
//! process that has `GDO_FAULT_AT=<n>` in its environment kills itself with SIGKILL when it passes
//! its n-th point, or with `GDO_FAULT_AT=<name>` the first one of that name, and appends the point's
//! name to the file of `GDO_FAULT_LOG` before. Without the feature, which nothing that is installed
//! has, a point is an empty function.

/// Passes the point `name`.
#[cfg(not(feature = "faults"))]
#[inline]
pub fn point(_name: &'static str) {}

/// Passes the point `name`: the process ends here if this is the point that it was told to die at.
///
/// # Panics
/// If the log cannot be written: the test is wrong then.
#[cfg(feature = "faults")]
pub fn point(name: &'static str) {
    armed::point(name);
}

#[cfg(feature = "faults")]
mod armed {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    static PASSED: AtomicU64 = AtomicU64::new(0);
    static DEADLY: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("GDO_FAULT_AT").ok());

    pub(super) fn point(name: &'static str) {
        let number = PASSED.fetch_add(1, Ordering::AcqRel) + 1;
        let is_deadly = |at: &String| *at == number.to_string() || at == name;
        if !DEADLY.as_ref().is_some_and(is_deadly) {
            return;
        }
        if let Some(path) = std::env::var_os("GDO_FAULT_LOG") {
            let log = OpenOptions::new().create(true).append(true).open(path);
            log.and_then(|mut log| log.write_all(format!("{name}\n").as_bytes()))
                .expect("GDO_FAULT_LOG can be written");
        }
        loop {
            // Other threads must not get further than this one.
            kill(Pid::this(), Signal::SIGKILL).expect("a process may kill itself");
        }
    }
}
