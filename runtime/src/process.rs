//! Processes by descriptor: a number may be somebody else by the time it is used, a pidfd not.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

/// A descriptor of the process that has this number now.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Kills the process; one that has ended is fine. With the first process of a process namespace
/// the kernel ends every other one of it.
pub(crate) fn pidfd_kill(pidfd: RawFd) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a descriptor, a signal number, no siginfo, no flags; a wrong descriptor is an error.
    let result = Errno::result(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd, libc::SIGKILL, info, 0)
    });
    match result {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Closes every descriptor but the three standard ones: whatever a caller let its children inherit
/// is no business of a helper's.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: called first thing in a single-threaded program, when nothing of it owns a descriptor
    // above 2.
    Errno::result(unsafe { libc::close_range(3, libc::c_uint::MAX, 0) })?;
    Ok(())
}

/// Gives every signal its default action and blocks none, as a program expects it that is started
/// by nobody in particular; this one ignores SIGPIPE, and its ancestors whatever they liked.
pub(crate) fn reset_signals() {
    // The kernel's own structure, all zero: SIG_DFL, no flags, no restorer, an empty mask.
    let default = [0u64; 4];
    let nothing = std::ptr::null_mut::<u64>();
    for signal in 1..=64 {
        // SAFETY: both structures are valid for the sizes that the kernel has; the actions of
        // SIGKILL and SIGSTOP cannot be set, which is an error without consequence.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), nothing, 8);
        }
    }
    // SAFETY: an empty mask of the kernel's size, and no interest in the old one.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            default.as_ptr(),
            nothing,
            8,
        );
    }
}

/// Makes this process inherit orphans below it, so that it can wait for containers whose helper
/// was killed.
///
/// Changes the whole process, so only the daemon calls it, once, at start.
///
/// # Errors
/// The kernel's answer; Linux 3.4 and newer have it.
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}
