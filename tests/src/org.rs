//! An organisation: a node directory, the daemon that serves it, and its founder alice.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::clone::Clone;
use crate::program::Environment;
use crate::seen::Seen;

/// The founder of every organisation of the tests.
pub const FOUNDER: &str = "alice";

/// Has git leave out the nodes' records of their runs.
const ATTESTATIONS: &str = "--exclude=refs/gdo/main/att/*";

/// An organisation with its node; the node is stopped and everything deleted at the end.
#[derive(Debug)]
pub struct Org {
    daemon: Option<Daemon>,
    environment: Environment,
    dir: PathBuf,
    temp: TempDir,
}

/// A daemon that runs.
#[derive(Debug)]
struct Daemon {
    process: Child,
    url: String,
}

impl Org {
    /// An organisation from a template, with its node running.
    #[must_use]
    #[track_caller]
    pub fn new(template: &str) -> Self {
        let mut org = Self::stopped(template);
        org.start();
        org
    }

    /// An organisation whose node does not run yet.
    #[must_use]
    #[track_caller]
    pub fn stopped(template: &str) -> Self {
        Self::stopped_at(template, "node")
    }

    /// An organisation whose node directory lies at a path below the temporary directory.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    #[track_caller]
    pub fn stopped_at(template: &str, below: impl AsRef<Path>) -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let environment = Environment::new(temp.path().join("home"));
        let org = Self {
            daemon: None,
            dir: temp.path().join(below),
            environment,
            temp,
        };
        let key = org.environment.make_key(FOUNDER);
        let _ = org.init(template, &key).accepted();
        org
    }

    fn init(&self, template: &str, key: &Path) -> Seen {
        let mut command = self
            .environment
            .gdo(&["init", "--member", FOUNDER, "--name", "makers"]);
        command.args(["--template", template, "--listen", "127.0.0.1:0", "--key"]);
        Seen::of(command.arg(key).arg(&self.dir))
    }

    /// Starts the daemon and waits until it serves.
    ///
    /// # Panics
    /// It does not start.
    #[track_caller]
    pub fn start(&mut self) {
        let log = self.dir.join("run/node.log");
        let mut process = self
            .run_command()
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the node directory is ours"))
            .spawn()
            .expect("gdo is there");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        let url = line.trim().strip_prefix("ready ").map(str::to_owned);
        let Some(url) = url else {
            let status = process.wait();
            panic!(
                "the node did not start ({read:?}, {status:?}):\n{}",
                self.log()
            );
        };
        self.daemon = Some(Daemon { process, url });
    }

    /// The command that runs the daemon in the foreground.
    #[must_use]
    pub fn run_command(&self) -> Command {
        let mut command = self.environment.gdo(&["node", "run"]);
        command.arg(&self.dir);
        command
    }

    /// Stops the daemon as an operator does, and waits for its end.
    ///
    /// # Panics
    /// It does not stop, or ends in an error.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut daemon = self.daemon.take().expect("the node runs");
        let _ = self.gdo(&["node", "stop"]).accepted();
        let status = daemon.process.wait().expect("it is our child");
        assert!(
            status.success(),
            "the node ended with {status}:\n{}",
            self.log()
        );
    }

    /// Kills the daemon with SIGKILL.
    ///
    /// # Panics
    /// It ended before.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("the node runs");
        daemon.process.kill().expect("it is our child");
        let status = daemon.process.wait().expect("it is our child");
        assert_eq!(
            status.code(),
            None,
            "the node ended by itself:\n{}",
            self.log()
        );
    }

    /// The process of the daemon.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("the node runs").process.id()
    }

    /// Where it is cloned from.
    ///
    /// # Panics
    /// The node does not run.
    #[must_use]
    #[track_caller]
    pub fn url(&self) -> &str {
        &self.daemon.as_ref().expect("the node runs").url
    }

    /// The node directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Moves the node directory.
    ///
    /// # Panics
    /// It cannot be moved.
    pub fn move_to(&mut self, name: &str) {
        let new = self.temp.path().join(name);
        fs::rename(&self.dir, &new).expect("the directory is ours");
        self.dir = new;
    }

    /// The repository of the ledger.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.dir.join("ledger.git")
    }

    /// Room for what a test makes.
    #[must_use]
    pub fn temp(&self) -> &Path {
        self.temp.path()
    }

    /// The environment of the people's commands.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What the daemon logged since it was started.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("run/node.log")).unwrap_or_default()
    }

    /// A clone of the founder, over HTTP.
    #[must_use]
    #[track_caller]
    pub fn clone(&self, name: &str) -> Clone {
        self.clone_of(name, FOUNDER)
    }

    /// A clone of the person whose key was made under this name, over HTTP.
    #[must_use]
    #[track_caller]
    pub fn clone_of(&self, name: &str, person: &str) -> Clone {
        let key = self.environment.home().join(person).with_extension("pub");
        Clone::new(
            &self.environment,
            self.url(),
            self.temp.path().join(name),
            &key,
        )
    }

    /// Makes a key for a person and has the member of `clone` propose them with a role.
    ///
    /// # Panics
    /// The proposal is not merged.
    #[track_caller]
    pub fn add_person(&self, clone: &Clone, name: &str, role: &str) {
        let key = self.environment.make_key(name);
        let key = fs::read_to_string(key).expect("it was just made");
        let text = format!(
            "kind = \"person\"\nkeys = [\"{}\"]\nroles = [\"{role}\"]\nstatus = \"active\"\nweight = 1\n",
            key.trim()
        );
        clone.commit(&[(&format!(".gdo/roster/{name}.toml"), &text)]);
        clone.propose(&[]).accepted().shows("policy       pass");
        clone.pull();
    }

    /// Waits until the daemon has logged a text since it was started.
    ///
    /// # Panics
    /// It does not within a minute.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        let mut command = self.environment.command("timeout");
        command
            .args(["60", "tail", "-n", "+1", "-f"])
            .arg(self.dir.join("run/node.log"));
        let mut tail = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("coreutils must be installed");
        let stdout = BufReader::new(tail.stdout.take().expect("it is piped"));
        let mut lines = stdout.lines().map_while(Result::ok);
        let found = lines.any(|line| line.contains(text));
        let _ = tail.kill();
        let _ = tail.wait();
        assert!(found, "the node never logged '{text}':\n{}", self.log());
    }

    /// A gdo command about this node, run to its end.
    #[must_use]
    pub fn gdo(&self, arguments: &[&str]) -> Seen {
        let mut command = self.environment.gdo(arguments);
        command
            .env("GDO_DIR", &self.dir)
            .current_dir(self.temp.path());
        Seen::of(&mut command)
    }

    /// What `gdo status --json` says.
    ///
    /// # Panics
    /// The node does not answer.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        let seen = self.gdo(&["status", "--json"]).accepted();
        serde_json::from_str(&seen.text).expect("it is JSON")
    }

    /// Runs git in the ledger's repository, which must succeed.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut command = self.environment.git(&self.ledger(), arguments);
        Seen::of(&mut command).accepted().text.trim().to_owned()
    }

    /// The content of a file of main.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<String> {
        let name = format!("main:{path}");
        let seen = Seen::of(&mut self.environment.git(&self.ledger(), &["show", &name]));
        seen.ok.then_some(seen.text)
    }

    /// The commit of main.
    #[must_use]
    #[track_caller]
    pub fn main(&self) -> String {
        self.git(&["rev-parse", "main"])
    }

    /// The ledger's refs and what they hold, but for the node's records of its runs, which it writes
    /// when it has nothing else to do.
    #[must_use]
    #[track_caller]
    pub fn refs(&self) -> String {
        let all = self.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let mut lines: Vec<&str> = all.lines().collect();
        lines.retain(|line| !line.starts_with("refs/gdo/main/att/"));
        lines.join("\n")
    }

    /// Requires that stock git finds nothing wrong with the ledger: every object is well formed and
    /// there, and every commit bears the good signature of a member, but for those that anybody can
    /// compute (checkpoints after the first, anchors and heads) and a node's records of its runs,
    /// which hold signatures.
    ///
    /// # Panics
    /// Something is wrong.
    #[track_caller]
    pub fn check(&self) {
        if self.daemon.is_some() {
            // Between the two it has nothing to do, and does what it puts off until then.
            let _ = (self.status(), self.status());
        }
        let fsck = self.git(&["fsck", "--strict", "--no-progress"]);
        let mut lines = fsck.lines();
        let fault = lines.find(|line| !line.starts_with("dangling "));
        assert_eq!(fault, None, "git fsck finds faults");
        let commits = self.git(&["log", ATTESTATIONS, "--all", "--format=%H %P|%s"]);
        let signed: Vec<&str> = commits.lines().filter_map(id_if_signed).collect();
        assert!(!signed.is_empty(), "the first checkpoint is signed");
        self.git(&[&["verify-commit"], signed.as_slice()].concat());
    }
}

/// The id in a line `id parents|subject` of a commit that must be signed.
fn id_if_signed(line: &str) -> Option<&str> {
    let (id, rest) = line.split_once(' ')?;
    let (parents, subject) = rest.split_once('|')?;
    let computed = subject.starts_with("gdo checkpoint ") && !parents.is_empty();
    let computed = computed || matches!(subject, "gdo anchor" | "gdo head");
    (!computed).then_some(id)
}

impl Drop for Org {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let stopped = self.gdo(&["node", "stop"]);
            if !stopped.ok {
                let _ = daemon.process.kill();
            }
            let _ = daemon.process.wait();
        }
    }
}
