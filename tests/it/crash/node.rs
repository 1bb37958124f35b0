//! The node that is killed, and a pusher who speaks to it as git's hook does.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use gdo_core::hook::{self, CommandOutcome, ProcReceive, Pusher, RefUpdate, Reply, Request};
use gdo_core::id::ObjectId;
use gdo_node::dir::NodeDir;
use gdo_tests::Org;

/// SIGKILL.
const KILLED: i32 = 9;

/// A node that serves.
#[derive(Debug)]
pub struct FaultNode {
    process: Child,
    dir: NodeDir,
    log: PathBuf,
}

/// When a node is to die, and where it says at which step it did.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    /// The number of the fault point, or its name.
    pub step: &'a str,
    /// The file that collects the names of the points.
    pub log: &'a Path,
}

impl FaultNode {
    /// Starts the node of an organisation; `None` if it died as it was told to before it served.
    ///
    /// # Panics
    /// It ends in any other way: a killed node must open.
    #[track_caller]
    pub fn start(org: &Org, death: Option<Death<'_>>) -> Option<Self> {
        let log = org.dir().join("run/node.log");
        let mut command = org
            .environment()
            .command(env!("CARGO_BIN_EXE_gdo-fault-node"));
        if let Some(death) = death {
            command
                .env("GDO_FAULT_AT", death.step)
                .env("GDO_FAULT_LOG", death.log);
        }
        let mut process = command
            .arg(org.dir())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the node directory is ours"))
            .spawn()
            .expect("it was built with this test");
        let stdout = process.stdout.take().expect("it is piped");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let node = Self {
            process,
            dir: NodeDir::at(org.dir()).expect("the path is absolute"),
            log,
        };
        if line.starts_with("ready ") {
            return Some(node);
        }
        assert!(
            death.is_some(),
            "the node did not start ({read:?}): {}",
            node.said()
        );
        node.has_died();
        None
    }

    /// Pushes a commit whose objects the ledger has; `None` if the node died before it answered.
    ///
    /// # Panics
    /// The node answers what it must not.
    #[track_caller]
    pub fn push(&self, tip: ObjectId, options: &[&str]) -> Option<CommandOutcome> {
        let mut pusher = self.begin_push(tip, options)?;
        while pusher.hear() {}
        pusher.outcome
    }

    /// Sends a push; `None` if the node is dead already.
    #[track_caller]
    pub fn begin_push(&self, tip: ObjectId, options: &[&str]) -> Option<PushInFlight> {
        let nothing = ObjectId::from_bytes(&vec![0; tip.as_bytes().len()]).expect("as long");
        let request = Request::ProcReceive(ProcReceive {
            commands: vec![RefUpdate {
                old: nothing,
                new: tip,
                reference: "refs/for/main".to_owned(),
            }],
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            atomic: false,
            pusher: Pusher::default(),
        });
        let mut stream = UnixStream::connect(self.dir.hook_socket()).ok()?;
        let line = hook::to_line(&request).expect("a small request");
        stream.write_all(line.as_bytes()).ok()?;
        Some(PushInFlight {
            stream: BufReader::new(stream),
            line: String::new(),
            outcome: None,
        })
    }

    /// Whether the node gets through everything that the push has left to do, and still answers.
    pub fn settles(&self) -> bool {
        // The first answer may come before the work of the idle loop, the second one comes after it.
        let ask = || gdo_node::control::ask(&self.dir.control_socket(), "/v1/status");
        ask().is_ok() && ask().is_ok()
    }

    /// Kills the node from outside.
    ///
    /// # Panics
    /// It ended by itself.
    #[track_caller]
    pub fn kill(mut self) {
        self.process.kill().expect("it is our child");
        self.has_died();
    }

    /// Waits for the death of a node that kills itself.
    ///
    /// # Panics
    /// It ends in another way.
    #[track_caller]
    pub fn has_died(mut self) {
        let status = self.process.wait().expect("it is our child");
        assert_eq!(
            status.signal(),
            Some(KILLED),
            "the node ended with {status}: {}",
            self.said()
        );
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for FaultNode {
    fn drop(&mut self) {
        // Whatever the test found wrong, nothing of it is left running.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A push that waits for its answer.
#[derive(Debug)]
pub struct PushInFlight {
    stream: BufReader<UnixStream>,
    /// What was heard of the next line before the patience ended.
    line: String,
    /// What the node answered, if it did.
    pub outcome: Option<CommandOutcome>,
}

impl PushInFlight {
    /// Waits for the next line; false after the last one.
    ///
    /// # Panics
    /// The line is no answer to a push.
    #[track_caller]
    pub fn hear(&mut self) -> bool {
        match self.stream.read_line(&mut self.line) {
            Ok(_) if self.line.ends_with('\n') => {}
            _ => return false, // the node died, or the patience ended
        }
        let line = std::mem::take(&mut self.line);
        match hook::from_line(&line).expect("a line of the protocol") {
            Reply::Progress { .. } => true,
            Reply::Result(result) => {
                self.outcome = Some(result.outcome);
                true
            }
            Reply::Done {} => false,
            other => panic!("no answer to a push: {other:?}"),
        }
    }

    /// Waits at most this long for each line from now on.
    pub fn set_patience(&self, patience: Duration) {
        let set = self.stream.get_ref().set_read_timeout(Some(patience));
        set.expect("the patience is not zero");
    }
}
