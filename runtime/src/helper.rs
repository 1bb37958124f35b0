//! The helper: a single-threaded process that makes containers, one after the other.
//!
//! libcontainer clones and then runs ordinary code in the child, which is only sound while nobody
//! else holds a lock, so it must never run in the daemon. The daemon starts this instead (its own
//! executable again), keeps it warm, and talks to it over two pipes: one line of JSON in, one line
//! out. Being warm saves the exec and the making of the helper's own namespaces.
//!
//! **Invariants.** The process has one thread, checked at start. It leaves its view of the file
//! system to itself (`view`), so that whatever it mounts is gone when it is, however it ends. A
//! closed stdin means that the caller is gone or has given up: the container is killed and the
//! helper ends.

mod container;
mod drain;
mod executor;
mod identity;
mod view;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::cgroup::Leaf;
use crate::outcome::Outcome;
use crate::process::close_inherited;
use crate::request::RunRequest;
use worker::Worker;

/// What the caller sends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The first line: where and how to work.
    Setup(Setup),
    /// One run.
    Run(Box<RunRequest>),
}

/// Where and how a helper works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Number of this helper among its siblings, from 0.
    pub(crate) slot: u32,
    /// The control groups of this helper alone.
    pub(crate) leaf: Leaf,
}

/// What the helper answers, one line for one order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is set up.
    Ready,
    /// A run ended.
    Done(Box<Outcome>),
    /// A run, or the setup, could not be made.
    Failed(String),
}

/// Serves runs on stdin and stdout until stdin ends; the whole of `gdo-helper sandbox run`.
///
/// Must be called before the program has started any thread.
#[must_use]
pub fn sandbox_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("gdo-helper: {problem}");
            ExitCode::from(3)
        }
    }
}

fn serve() -> Result<(), String> {
    single_threaded()?;
    close_inherited().map_err(|problem| format!("close inherited descriptors: {problem}"))?;
    identity::leave_groups().map_err(|problem| format!("leave root's groups: {problem}"))?;
    let mut lines = Lines::default();
    let Some(first) = lines.next()? else {
        return Ok(());
    };
    let Order::Setup(setup) = parse(&first)? else {
        return Err("the first line must be a setup".into());
    };
    let mut worker = match Worker::new(&setup) {
        Ok(worker) => worker,
        Err(problem) => return answer(&Answer::Failed(problem)),
    };
    answer(&Answer::Ready)?;
    while let Some(line) = lines.next()? {
        let Order::Run(request) = parse(&line)? else {
            return Err("a helper is set up once".into());
        };
        match worker.run(&request) {
            // Nobody is there any more to hear about it.
            Ok(outcome) if outcome.cancelled => return Ok(()),
            Ok(outcome) => answer(&Answer::Done(Box::new(outcome)))?,
            Err(problem) => answer(&Answer::Failed(problem))?,
        }
    }
    Ok(())
}

fn single_threaded() -> Result<(), String> {
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(|problem| format!("read /proc/self/task: {problem}"))?
        .count();
    if threads == 1 {
        Ok(())
    } else {
        Err(format!(
            "the helper has {threads} threads, expected 1: call it before anything else"
        ))
    }
}

fn parse(line: &[u8]) -> Result<Order, String> {
    serde_json::from_slice(line).map_err(|problem| format!("cannot read the order: {problem}"))
}

fn answer(answer: &Answer) -> Result<(), String> {
    let mut line = serde_json::to_vec(answer).map_err(|problem| problem.to_string())?;
    line.push(b'\n');
    io::stdout()
        .write_all(&line)
        .map_err(|problem| format!("answer: {problem}"))?;
    io::stdout()
        .flush()
        .map_err(|problem| format!("answer: {problem}"))
}

/// Lines of stdin, read without a buffer that would hide its end from `poll`.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// The next line, or nothing when the caller has closed the pipe.
    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut chunk = [0u8; 16 * 1024];
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                return Ok(Some(line));
            }
            match nix::unistd::read(io::stdin(), &mut chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(nix::errno::Errno::EINTR) => {}
                Err(problem) => return Err(format!("read stdin: {problem}")),
            }
        }
    }
}
