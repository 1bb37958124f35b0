//! One container, from its making to its removal: the only place that drives libcontainer.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::pipe2;

use super::drain::{Bounds, Drained, Running, drain};
use super::executor::BoundToHelper;
use crate::process::{pidfd_kill, pidfd_open};

/// A container that is made and whose program has not been started.
pub(super) struct Created {
    container: Container,
    pid: libc::pid_t,
    pidfd: OwnedFd,
    stdout: File,
    stderr: File,
}

/// How a container's first process ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) exit: Option<i32>,
    pub(super) signal: Option<i32>,
    /// Processor time of the processes it waited for, its own included.
    pub(super) cpu: Duration,
}

impl Created {
    /// Makes the container `id` from `bundle/config.json`.
    pub(super) fn make(id: &str, state: &Path, bundle: &Path) -> Result<Created, String> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|errno| format!("make a pipe: {errno}"));
        let (stdout, stdout_writer) = pipe()?;
        let (stderr, stderr_writer) = pipe()?;
        let null = File::open("/dev/null").map_err(|e| format!("open /dev/null: {e}"))?;
        let container = ContainerBuilder::new(id.to_owned(), SyscallType::default())
            .with_executor(BoundToHelper)
            .with_root_path(state)
            .map_err(|e| chain(&e))?
            .with_stdin(null)
            .with_stdout(stdout_writer)
            .with_stderr(stderr_writer)
            .validate_id()
            .map_err(|e| chain(&e))?
            .as_init(bundle)
            .with_systemd(false)
            .with_detach(true)
            .build()
            .map_err(|e| chain(&e))?;
        let pid = container
            .pid()
            .ok_or("the container has no process")?
            .as_raw();
        Ok(Created {
            container,
            pid,
            pidfd: pidfd_open(pid).map_err(|e| format!("open process {pid}: {e}"))?,
            stdout: stdout.into(),
            stderr: stderr.into(),
        })
    }

    /// The first process, as seen from outside.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Starts the program, waits for its end within the bounds, and removes the container.
    pub(super) fn finish(mut self, bounds: &Bounds<'_>) -> Result<(Drained, End), String> {
        if let Err(problem) = self.container.start() {
            let text = chain(&problem);
            self.abandon();
            return Err(text);
        }
        let pidfd = self.pidfd;
        let kill = || pidfd_kill(pidfd.as_raw_fd());
        let running = Running {
            pidfd: pidfd.as_fd(),
            stdout: self.stdout,
            stderr: self.stderr,
            kill: &kill,
        };
        let drained = drain(running, bounds);
        if drained.is_err() {
            // Only a failing poll or read comes here; the container must not survive it.
            let _ = kill();
        }
        let end = wait(self.pid).map_err(|e| format!("wait for process {}: {e}", self.pid))?;
        self.container.delete(true).map_err(|e| chain(&e))?;
        Ok((
            drained.map_err(|e| format!("wait for the container: {e}"))?,
            end,
        ))
    }

    /// Kills and removes a container whose program was never started.
    pub(super) fn abandon(mut self) {
        let _ = pidfd_kill(self.pidfd.as_raw_fd());
        let _ = wait(self.pid);
        let _ = self.container.delete(true);
    }
}

/// An error with everything that caused it, for libcontainer says little in its outermost ones.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn wait(pid: libc::pid_t) -> io::Result<End> {
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage, a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the right types.
        match Errno::result(unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) }) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.unsigned_abs())
            + Duration::from_micros(t.tv_usec.unsigned_abs())
    };
    Ok(End {
        exit: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
    })
}

/// A point in time and what has passed since the last one asked for.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Microseconds since the start or the last lap.
    pub(super) fn lap_us(&mut self) -> u64 {
        let now = Instant::now();
        let passed = now.duration_since(self.0);
        self.0 = now;
        u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
    }
}
