//! Fault points: the steps between which the crash test kills the process.
//!
//! In the crate's own tests a process that has `GDO_CHUNKS_FAULT_AT=<n>` in its environment kills
//! itself with SIGKILL when it passes its n-th point. In everything else a point is an empty
//! function.

/// Passes the point `name`.
#[cfg(not(test))]
#[inline]
pub(crate) fn point(_name: &'static str) {}

/// Passes the point `name`: the process ends here if this is the point that it was told to die at.
#[cfg(test)]
pub(crate) fn point(name: &'static str) {
    armed::point(name);
}

/// How many points were passed so far.
#[cfg(test)]
pub(crate) fn passed() -> u64 {
    armed::PASSED.load(std::sync::atomic::Ordering::Acquire)
}

#[cfg(test)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    pub(super) static PASSED: AtomicU64 = AtomicU64::new(0);
    static DEADLY: LazyLock<Option<u64>> = LazyLock::new(|| {
        let at = std::env::var("GDO_CHUNKS_FAULT_AT").ok()?;
        Some(at.parse().expect("GDO_CHUNKS_FAULT_AT is a number"))
    });

    pub(super) fn point(_name: &'static str) {
        let number = PASSED.fetch_add(1, Ordering::AcqRel) + 1;
        if *DEADLY != Some(number) {
            return;
        }
        loop {
            // Other threads must not get further than this one.
            kill(Pid::this(), Signal::SIGKILL).expect("a process may kill itself");
        }
    }
}
