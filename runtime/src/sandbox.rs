//! The caller's side: keeps helper processes and hands them requests.
//!
//! A helper serves one run at a time and is kept for the next one. Calls may come from any thread;
//! each takes a helper that is free or starts one. The helper's pipe is its leash: when this
//! process closes it, or ends however it may, the helper kills its container and ends, and the
//! container dies with the helper by itself (`helper`). What is left to `sweep` are directories.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::SandboxError;
use crate::helper::{Answer, Order, Setup};
use crate::outcome::Outcome;
use crate::request::{Isolation, RunRequest};

/// How to start a helper: a program that calls [`sandbox_main`](crate::sandbox_main).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl HelperCommand {
    /// This very program again, as `gdo sandbox run`.
    #[must_use]
    pub fn this_program() -> HelperCommand {
        HelperCommand {
            program: PathBuf::from("/proc/self/exe"),
            args: vec!["sandbox".into(), "run".into()],
        }
    }

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
    /// Directory of this sandbox alone, for what lives as long as the helpers.
    pub state_dir: PathBuf,
    /// What to do about isolation this machine lacks.
    pub isolation: Isolation,
}

/// Runs validators.
#[derive(Debug)]
pub struct Sandbox {
    config: SandboxConfig,
    idle: Mutex<Vec<Helper>>,
    next_slot: AtomicU32,
}

impl Sandbox {
    /// A sandbox that has not started a helper yet.
    ///
    /// # Errors
    /// [`SandboxError::Io`] when the state directory cannot be made.
    pub fn new(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
        std::fs::create_dir_all(&config.state_dir).map_err(SandboxError::io(format!(
            "make {}",
            config.state_dir.display()
        )))?;
        Ok(Sandbox {
            config,
            idle: Mutex::new(Vec::new()),
            next_slot: AtomicU32::new(0),
        })
    }

    /// Runs one validator and waits for its end.
    ///
    /// # Errors
    /// [`SandboxError`] when no outcome came about; it is never the validator's verdict.
    pub fn run(&self, request: &RunRequest) -> Result<Outcome, SandboxError> {
        request.check()?;
        let idle = self
            .idle
            .lock()
            .expect("nothing panics while it holds this lock")
            .pop();
        let mut helper = match idle {
            Some(helper) => helper,
            None => self.start()?,
        };
        let answer = helper.ask(&Order::Run(Box::new(request.clone())))?;
        self.idle
            .lock()
            .expect("nothing panics while it holds this lock")
            .push(helper);
        match answer {
            Answer::Done(outcome) => Ok(*outcome),
            Answer::Failed(problem) => Err(SandboxError::Start(problem)),
            Answer::Ready(_) => Err(SandboxError::HelperLost {
                program: self.config.helper.program.clone(),
                problem: "it answered out of turn".into(),
            }),
        }
    }

    fn start(&self) -> Result<Helper, SandboxError> {
        let slot = self.next_slot.fetch_add(1, Ordering::Relaxed);
        let work_dir = self.config.state_dir.join(format!("helper-{slot}"));
        std::fs::create_dir(&work_dir)
            .map_err(SandboxError::io(format!("make {}", work_dir.display())))?;
        let mut helper = Helper::start(&self.config.helper, &work_dir)?;
        let setup = Setup {
            work_dir,
            slot,
            isolation: self.config.isolation,
        };
        match helper.ask(&Order::Setup(setup))? {
            Answer::Ready(_) => Ok(helper),
            Answer::Failed(problem) => Err(SandboxError::Start(problem)),
            Answer::Done(_) => Err(helper.lost("it answered out of turn")),
        }
    }
}

/// A helper process at the end of two pipes.
#[derive(Debug)]
struct Helper {
    program: PathBuf,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    work_dir: PathBuf,
}

impl Helper {
    fn start(command: &HelperCommand, work_dir: &Path) -> Result<Helper, SandboxError> {
        let what = format!("start the sandbox helper {}", command.program.display());
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(SandboxError::io(what))?;
        let orders = child.stdin.take();
        let answers = child.stdout.take().expect("stdout was asked to be a pipe");
        Ok(Helper {
            program: command.program.clone(),
            child,
            orders,
            answers: BufReader::new(answers),
            work_dir: work_dir.to_path_buf(),
        })
    }

    fn ask(&mut self, order: &Order) -> Result<Answer, SandboxError> {
        let mut line = serde_json::to_vec(order).map_err(|e| self.lost(&e.to_string()))?;
        line.push(b'\n');
        let orders = self
            .orders
            .as_mut()
            .expect("the pipe is open until the helper is dropped");
        let sent = orders.write_all(&line);
        let mut text = Vec::new();
        let received = sent.and_then(|()| self.answers.read_until(b'\n', &mut text));
        match received {
            Ok(0) => Err(self.lost("it ended without an answer")),
            Ok(_) => serde_json::from_slice(&text).map_err(|e| self.lost(&e.to_string())),
            Err(problem) => Err(self.lost(&problem.to_string())),
        }
    }

    fn lost(&self, problem: &str) -> SandboxError {
        SandboxError::HelperLost {
            program: self.program.clone(),
            problem: problem.to_owned(),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // The end of its stdin makes it kill its container, if there is one, and end.
        drop(self.orders.take());
        let _ = self.child.wait();
        let _ = std::fs::remove_dir(&self.work_dir);
    }
}
