//! Waits for a container while reading what it writes.
//!
//! One loop over its pidfd, its two pipes, the helper's stdin and two clocks. It ends when the
//! container has ended and both pipes are empty, which the end of its process namespace brings
//! about: no background process survives it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Why a container was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Killed {
    /// It ran into the wall clock limit.
    Wall,
    /// It ran into the processor time limit.
    Cpu,
    /// It wrote too much.
    Output,
    /// The caller closed the pipe.
    Cancelled,
}

/// What a container wrote and whether it had to be killed.
#[derive(Debug, Default)]
pub(super) struct Drained {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) killed: Option<Killed>,
}

/// The bounds of the wait.
pub(super) struct Bounds<'a> {
    pub(super) deadline: Instant,
    pub(super) output_bytes_max: usize,
    /// How much processor time is left, if something counts it.
    pub(super) cpu_left: &'a dyn Fn() -> Option<Duration>,
}

/// Descriptors of a running container.
pub(super) struct Running<'a> {
    pub(super) pidfd: BorrowedFd<'a>,
    pub(super) stdout: File,
    pub(super) stderr: File,
    /// Kills every process of the container.
    pub(super) kill: &'a dyn Fn() -> io::Result<()>,
}

struct Pipe {
    file: Option<File>,
    bytes: Vec<u8>,
}

impl Pipe {
    /// Reads what is there into at most `room` bytes; true when it would have been more.
    fn read(&mut self, room: usize) -> io::Result<bool> {
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        let mut chunk = [0u8; 64 * 1024];
        let count = match file.read(&mut chunk) {
            Ok(count) => count,
            Err(problem) if problem.kind() == io::ErrorKind::Interrupted => return Ok(false),
            Err(problem) => return Err(problem),
        };
        if count == 0 {
            self.file = None;
        }
        let kept = room.min(count);
        self.bytes.extend_from_slice(&chunk[..kept]);
        Ok(kept < count)
    }
}

/// Waits until the container has ended, killing it when it leaves its bounds.
pub(super) fn drain(running: Running<'_>, bounds: &Bounds<'_>) -> io::Result<Drained> {
    let mut pipes = [
        Pipe {
            file: Some(running.stdout),
            bytes: Vec::new(),
        },
        Pipe {
            file: Some(running.stderr),
            bytes: Vec::new(),
        },
    ];
    let mut killed = None;
    let mut ended = false;
    while !ended || pipes.iter().any(|pipe| pipe.file.is_some()) {
        let reason = if killed.is_some() || ended {
            None
        } else {
            overdue(bounds)
        };
        let timeout = match reason {
            Some(Err(wait)) => PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX),
            _ => PollTimeout::NONE,
        };
        let mut stop = reason.and_then(Result::ok);
        if stop.is_none() {
            let ready = wait(&running.pidfd, &pipes, ended, killed.is_some(), timeout)?;
            ended |= ready[0];
            for at in 0..pipes.len() {
                let written: usize = pipes.iter().map(|pipe| pipe.bytes.len()).sum();
                let room = bounds.output_bytes_max.saturating_sub(written);
                if ready[at + 1] && pipes[at].read(room)? {
                    stop = Some(Killed::Output);
                }
            }
            if ready[3] && stop.is_none() {
                stop = Some(Killed::Cancelled);
            }
        }
        if let (Some(reason), None) = (stop, killed) {
            (running.kill)()?;
            killed = Some(reason);
        }
    }
    let [stdout, stderr] = pipes.map(|pipe| pipe.bytes);
    Ok(Drained {
        stdout,
        stderr,
        killed,
    })
}

/// The limit that has been reached, or how long none can be.
fn overdue(bounds: &Bounds<'_>) -> Option<Result<Killed, Duration>> {
    let wall = bounds.deadline.saturating_duration_since(Instant::now());
    let cpu = (bounds.cpu_left)();
    Some(if wall.is_zero() {
        Ok(Killed::Wall)
    } else if cpu.is_some_and(|left| left.is_zero()) {
        Ok(Killed::Cpu)
    } else {
        // On one processor the processor time cannot run out sooner than that.
        let next = cpu.map_or(wall, |left| wall.min(left));
        Err(next + Duration::from_millis(1))
    })
}

/// Which of pidfd, stdout, stderr and the caller's pipe have something to say.
fn wait(
    pidfd: &BorrowedFd<'_>,
    pipes: &[Pipe; 2],
    ended: bool,
    killed: bool,
    timeout: PollTimeout,
) -> io::Result<[bool; 4]> {
    let stdin = io::stdin();
    let mut watched: Vec<(usize, BorrowedFd<'_>)> = Vec::with_capacity(4);
    if !ended {
        watched.push((0, *pidfd));
    }
    for (index, pipe) in pipes.iter().enumerate() {
        watched.extend(pipe.file.iter().map(|file| (index + 1, file.as_fd())));
    }
    if !killed && !ended {
        // The caller says nothing during a run: anything readable is the end of the pipe.
        watched.push((3, stdin.as_fd()));
    }
    let mut fds: Vec<PollFd<'_>> = watched
        .iter()
        .map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut ready = [false; 4];
    for ((place, _), fd) in watched.iter().zip(&fds) {
        ready[*place] = fd.revents().is_some_and(|events| !events.is_empty());
    }
    Ok(ready)
}
