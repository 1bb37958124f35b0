//! Clears up after helpers that were killed.
//!
//! A container ends with its helper by itself and a helper with its caller, so this finds little;
//! but whatever a killed process left is found by the records of the state directory, and removed
//! in the order that makes each step possible: processes, control groups, record.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::error::SandboxError;
use crate::process::{pidfd_kill, pidfd_open};
use crate::state::{Record, StateDir};

/// A killed process that has not ended by then hangs in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was cleared up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Helpers of which something was left.
    pub helpers: usize,
    /// Processes that had to be killed.
    pub processes: usize,
}

/// Clears up after every helper in the state directory; only before this process has its own.
pub(crate) fn sweep(state: &StateDir) -> Result<Swept, SandboxError> {
    let mut swept = Swept::default();
    for (slot, record) in state.records()? {
        swept.helpers += 1;
        swept.processes += sweep_one(state, slot, &record)?;
    }
    Ok(swept)
}

/// Clears up after one helper, which must not be wanted any more; the number of processes killed.
pub(crate) fn sweep_one(
    state: &StateDir,
    slot: u32,
    record: &Record,
) -> Result<usize, SandboxError> {
    let helper = record
        .process
        .filter(|process| process.exists())
        .map(|process| process.pid);
    let mut killed = 0;
    let deadline = Instant::now() + PATIENCE;
    let mut doomed: Vec<i32> = helper.into_iter().collect();
    loop {
        doomed.extend(record.leaf.processes());
        // While processes are being killed others may be born; the groups are empty at last.
        if doomed.is_empty() {
            break;
        }
        for pid in doomed.drain(..) {
            killed += usize::from(end(pid, deadline).map_err(SandboxError::io(format!(
                "kill process {pid}, left over from a sandbox helper"
            )))?);
        }
    }
    record.leaf.remove().map_err(|(path, problem)| {
        SandboxError::io(format!("remove the control group {}", path.display()))(problem)
    })?;
    state.forget(slot);
    Ok(killed)
}

/// Kills a process and waits until it has ended; false when it had ended before.
fn end(pid: i32, deadline: Instant) -> io::Result<bool> {
    let pidfd = match pidfd_open(pid) {
        Err(problem) if problem.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(false),
        other => other?,
    };
    pidfd_kill(pidfd.as_raw_fd())?;
    wait_for(&pidfd, deadline)?;
    // As a subreaper this process has inherited it; else somebody else has.
    let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    Ok(true)
}

fn wait_for(pidfd: &OwnedFd, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::other("it was killed and does not end"));
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}
