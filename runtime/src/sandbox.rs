//! The caller's side: keeps helper processes and hands them requests.
//!
//! A helper serves one run at a time and is kept for the next one. Calls may come from any thread;
//! each takes a helper that is free or starts one. The helper's pipe is its leash: when this
//! process closes it, or ends however it may, the helper kills its container and ends, and a
//! container dies with its helper. What can be left then, control groups, is
//! written down before it is made ([`state`](crate::state)) and cleared up by `sweep`: at the start
//! of a sandbox, and here when a helper is lost.
//!
//! **Invariants.** A helper that gave no answer, or a wrong one, is never used again. The time a
//! call takes is bounded by the request's wall clock limit and half a minute of grace.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cgroup::{Home, Leaf, create_leaf};
use crate::error::SandboxError;
use crate::helper::{Answer, Order, Setup};
use crate::outcome::Outcome;
use crate::process::{pidfd_kill, pidfd_open};
use crate::request::{Isolation, RunRequest};
use crate::state::{ProcessId, Record, StateDir};
use crate::sweep::{self, Swept};

/// How long a helper may take for everything that is not the validator's own time.
const GRACE: Duration = Duration::from_secs(30);

/// How to start a helper: a program that calls [`sandbox_main`](crate::sandbox_main).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl HelperCommand {
    /// Another program that does nothing else.
    #[must_use]
    pub fn program(program: &Path) -> HelperCommand {
        HelperCommand {
            program: program.to_path_buf(),
            args: Vec::new(),
        }
    }
}

/// What a sandbox needs to know.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// How to start a helper.
    pub helper: HelperCommand,
    /// Directory of this sandbox alone, for what lives as long as the helpers; see
    /// [`default_state_dir`](crate::default_state_dir).
    pub state_dir: PathBuf,
    /// What to do about isolation this machine lacks.
    pub isolation: Isolation,
}

/// Runs validators.
#[derive(Debug)]
pub struct Sandbox {
    config: SandboxConfig,
    state: StateDir,
    missing: Vec<String>,
    swept: Swept,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Helper>,
    /// All helpers by slot, with the process for as long as nobody has waited for it: until then
    /// its number is nobody else's.
    running: BTreeMap<u32, Option<i32>>,
    stopped: bool,
}

impl Sandbox {
    /// Takes hold of the state directory and clears up what earlier processes left there.
    ///
    /// # Errors
    /// [`SandboxError::InUse`] when another process holds the directory,
    /// [`SandboxError::Isolation`] when full isolation is asked for and this machine lacks some.
    pub fn new(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
        let state = StateDir::hold(&config.state_dir)?;
        let swept = sweep::sweep(&state)?;
        let trial = create_leaf(&format!("{}-trial", state.name()), |_| {
            Ok::<_, SandboxError>(())
        })?;
        let missing = trial.missing();
        let removed = trial.remove();
        let sandbox = Sandbox {
            config,
            state,
            missing,
            swept,
            pool: Mutex::default(),
        };
        removed.map_err(|(path, problem)| {
            SandboxError::io(format!("remove {}", path.display()))(problem)
        })?;
        if sandbox.config.isolation == Isolation::Full && !sandbox.missing.is_empty() {
            return Err(SandboxError::Isolation {
                missing: sandbox.missing.clone(),
            });
        }
        Ok(sandbox)
    }

    /// What this machine cannot limit, by name; empty unless isolation is degraded.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// What earlier processes had left.
    #[must_use]
    pub fn swept(&self) -> Swept {
        self.swept
    }

    /// Starts a helper, if none is free, so that the next run need not wait for it.
    ///
    /// # Errors
    /// As [`run`](Sandbox::run), as far as the start of a helper is concerned.
    pub fn warm(&self) -> Result<(), SandboxError> {
        let helper = self.take()?;
        self.put_back(helper);
        Ok(())
    }

    /// Ends the helpers that are free, and with them the memory they hold.
    pub fn cool(&self) {
        let idle = std::mem::take(&mut self.pool().idle);
        for helper in idle {
            self.retire(helper);
        }
    }

    /// Kills every run at once; this sandbox runs nothing any more.
    ///
    /// Calls of [`run`](Sandbox::run) that are under way return [`SandboxError::Stopped`].
    pub fn stop(&self) {
        let mut pool = self.pool();
        pool.stopped = true;
        for pid in pool.running.values().flatten() {
            let _ = pidfd_open(*pid).and_then(|pidfd| pidfd_kill(pidfd.as_raw_fd()));
        }
        let idle = std::mem::take(&mut pool.idle);
        drop(pool);
        for helper in idle {
            self.retire(helper);
        }
    }

    /// Runs one validator and waits for its end.
    ///
    /// # Errors
    /// [`SandboxError`] when no outcome came about; it is never the validator's verdict.
    pub fn run(&self, request: &RunRequest) -> Result<Outcome, SandboxError> {
        request.check()?;
        let mut helper = self.take()?;
        let patience = Duration::from_millis(request.limits.wall_ms) + GRACE;
        match helper.ask(&Order::Run(Box::new(request.clone())), patience) {
            Ok(Answer::Done(outcome)) => {
                self.put_back(helper);
                Ok(*outcome)
            }
            Ok(Answer::Failed(problem)) => {
                // Nothing is known about the state it is in.
                self.retire(helper);
                Err(SandboxError::Start(problem))
            }
            Ok(Answer::Ready) => {
                let lost = helper.lost("it answered out of turn");
                self.retire(helper);
                Err(lost)
            }
            Err(lost) => {
                self.retire(helper);
                if self.pool().stopped {
                    Err(SandboxError::Stopped)
                } else {
                    Err(lost)
                }
            }
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool
            .lock()
            .expect("nothing panics while it holds this lock")
    }

    fn take(&self) -> Result<Helper, SandboxError> {
        let idle = self.pool().idle.pop();
        match idle {
            Some(helper) => Ok(helper),
            None => self.start(),
        }
    }

    fn put_back(&self, helper: Helper) {
        let mut pool = self.pool();
        if pool.stopped {
            drop(pool);
            self.retire(helper);
        } else {
            pool.idle.push(helper);
        }
    }

    fn start(&self) -> Result<Helper, SandboxError> {
        let mut pool = self.pool();
        if pool.stopped {
            return Err(SandboxError::Stopped);
        }
        let slot = (0..)
            .find(|slot| !pool.running.contains_key(slot))
            .unwrap_or_default();
        let mut record = Record {
            process: None,
            leaf: Leaf::default(),
        };
        let leaf = create_leaf(&format!("{}-{slot}", self.state.name()), |leaf| {
            record.leaf = leaf.clone();
            self.state.write(slot, &record)
        })?;
        let child = spawn(&self.config.helper)?;
        let pid = i32::try_from(child.id()).expect("process numbers are positive and 31 bits long");
        record.process = ProcessId::of(pid);
        pool.running.insert(slot, Some(pid));
        drop(pool);
        let mut helper = Helper::new(&self.config.helper.program, child, slot, record);
        let ready = self
            .state
            .write(slot, &helper.record)
            .and_then(|()| helper.ask(&Order::Setup(Setup { slot, leaf }), GRACE));
        match ready {
            Ok(Answer::Ready) => Ok(helper),
            Ok(Answer::Failed(problem)) => {
                self.retire(helper);
                Err(SandboxError::Start(problem))
            }
            Ok(Answer::Done(_)) => {
                let lost = helper.lost("it answered out of turn");
                self.retire(helper);
                Err(lost)
            }
            Err(lost) => {
                self.retire(helper);
                Err(lost)
            }
        }
    }

    /// Ends a helper and removes what it had.
    fn retire(&self, mut helper: Helper) {
        self.pool().running.insert(helper.slot, None);
        helper.end();
        // The slot stays taken until nothing is left in it.
        if let Err(problem) = sweep::sweep_one(&self.state, helper.slot, &helper.record) {
            tracing::warn!(slot = helper.slot, %problem, "a sandbox helper left something behind");
        }
        self.pool().running.remove(&helper.slot);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.cool();
        Home::find().remove();
    }
}

fn spawn(command: &HelperCommand) -> Result<Child, SandboxError> {
    Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(SandboxError::io(format!(
            "start the helper {}",
            command.program.display()
        )))
}

/// A helper process at the end of two pipes.
#[derive(Debug)]
struct Helper {
    program: PathBuf,
    child: Child,
    orders: Option<ChildStdin>,
    answers: ChildStdout,
    slot: u32,
    record: Record,
}

impl Helper {
    fn new(program: &Path, mut child: Child, slot: u32, record: Record) -> Helper {
        let orders = child.stdin.take();
        let answers = child.stdout.take().expect("stdout was asked to be a pipe");
        Helper {
            program: program.to_path_buf(),
            child,
            orders,
            answers,
            slot,
            record,
        }
    }

    /// Sends one order and waits for its answer.
    fn ask(&mut self, order: &Order, patience: Duration) -> Result<Answer, SandboxError> {
        let deadline = Instant::now() + patience;
        let mut line = serde_json::to_vec(order).map_err(|e| self.lost(&e.to_string()))?;
        line.push(b'\n');
        let orders = self
            .orders
            .as_mut()
            .expect("the pipe is open until the helper is ended");
        orders
            .write_all(&line)
            .map_err(|e| self.lost(&e.to_string()))?;
        let mut text = Vec::new();
        let mut chunk = vec![0u8; 64 * 1024];
        while text.last() != Some(&b'\n') {
            self.wait_readable(deadline)?;
            match self.answers.read(&mut chunk) {
                Ok(0) => return Err(self.lost("it ended without an answer")),
                Ok(count) => text.extend_from_slice(&chunk[..count]),
                Err(problem) if problem.kind() == io::ErrorKind::Interrupted => {}
                Err(problem) => return Err(self.lost(&problem.to_string())),
            }
        }
        serde_json::from_slice(&text).map_err(|e| self.lost(&e.to_string()))
    }

    fn wait_readable(&self, deadline: Instant) -> Result<(), SandboxError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) if left.is_zero() => Err(self.lost("it did not answer in time")),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(self.lost(&errno.to_string())),
        }
    }

    fn lost(&self, problem: &str) -> SandboxError {
        SandboxError::HelperLost {
            program: self.program.clone(),
            problem: problem.to_owned(),
        }
    }

    /// Kills the process and waits for it; its container goes with it.
    fn end(&mut self) {
        drop(self.orders.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
