//! `gdo doctor`: what is missing on this machine, and what to do about it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use gdo_node::config::Config;
use gdo_node::control;
use gdo_node::dir::NodeDir;
use gdo_node::helper::Helper;
use serde::Serialize;

use crate::error::CommandError;
use crate::output;
use crate::place::{self, Place};
use crate::source::{Reading, Source};

/// The oldest git that speaks what a node needs.
const GIT_MIN: (u32, u32, u32) = (2, 39, 5);

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// It works, but not as it should.
    Warning,
    /// It does not work.
    Bad,
}

#[derive(Serialize)]
struct Check {
    name: String,
    state: State,
    detail: String,
    fix: Option<String>,
}

impl Check {
    fn new(name: &str, state: State, detail: impl std::fmt::Display) -> Self {
        Self {
            name: name.to_owned(),
            state,
            detail: detail.to_string(),
            fix: None,
        }
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn print(&self) -> Result<(), CommandError> {
        let word = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Bad => "BAD",
        };
        output::line(&format!("{word:<8} {:<28} {}", self.name, self.detail))?;
        match &self.fix {
            Some(fix) if self.state != State::Ok => output::line(&format!("         {fix}")),
            _ => Ok(()),
        }
    }
}

/// Checks this machine, and the node directory where there is one.
///
/// # Errors
/// A check failed: exit code 1.
pub fn run(dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
    let mut checks = vec![git(), ssh_keygen(), helper()];
    checks.extend(isolation());
    match place::find(dir) {
        Ok(Place::Node(node)) => checks.extend(node_checks(&node)),
        Ok(Place::Clone(clone)) => {
            let detail = format!(
                "branch {} of {}",
                clone.branch(),
                clone.remote().unwrap_or("this repository")
            );
            checks.push(Check::new("clone", State::Ok, detail));
        }
        Err(_) if dir.is_none() => {}
        Err(error) => return Err(error),
    }
    if json {
        output::json(&checks)?;
    } else {
        checks.iter().try_for_each(Check::print)?;
    }
    let bad = checks
        .iter()
        .filter(|check| check.state == State::Bad)
        .count();
    if bad == 0 {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(CommandError::no(format!("{bad} checks failed")))
    }
}

fn git() -> Check {
    let (major, minor, patch) = GIT_MIN;
    match gdo_ledger::git::version() {
        Ok(found) => {
            let detail = format!("{}.{}.{}", found.0, found.1, found.2);
            let state = if found >= GIT_MIN {
                State::Ok
            } else {
                State::Bad
            };
            Check::new("git", state, detail)
                .fix(format!("install git {major}.{minor}.{patch} or newer"))
        }
        Err(error) => Check::new("git", State::Bad, error).fix("apt install git"),
    }
}

/// OpenSSH tells its version only with `ssh -V`, and `ssh-keygen` comes with it.
fn ssh_keygen() -> Check {
    match Command::new("ssh").arg("-V").output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Check::new("openssh", State::Ok, String::from_utf8_lossy(&said).trim())
        }
        Err(error) => Check::new("openssh", State::Bad, format!("cannot run ssh: {error}"))
            .fix("apt install openssh-client"),
    }
}

/// What runs git's hooks and makes containers.
fn helper() -> Check {
    match Helper::find() {
        Ok(helper) => Check::new("helper", State::Ok, helper.path().display()),
        Err(error) => Check::new("helper", State::Bad, error).fix("install gdo again, all of it"),
    }
}

fn isolation() -> impl Iterator<Item = Check> {
    gdo_runtime::probe().checks.into_iter().map(|check| Check {
        name: check.name,
        state: match (check.found, check.required) {
            (true, _) => State::Ok,
            (false, true) => State::Bad,
            (false, false) => State::Warning,
        },
        detail: check.detail,
        fix: check.fix,
    })
}

fn node_checks(node: &NodeDir) -> Vec<Check> {
    vec![
        configuration(node),
        key(node),
        ledger(node),
        daemon(node),
        chunks(node),
        disk(node),
    ]
}

fn configuration(node: &NodeDir) -> Check {
    match Config::read(&node.config_file()) {
        Ok(config) => Check::new("node.toml", State::Ok, format!("node {}", config.name)),
        Err(error) => Check::new("node.toml", State::Bad, error).fix("see the key that it names"),
    }
}

fn key(node: &NodeDir) -> Check {
    let file = node.key_file();
    let mode = std::fs::metadata(&file).map(|found| found.mode() & 0o777);
    match (node.read_key(), mode) {
        (Ok(_), Ok(mode)) if mode & 0o077 != 0 => Check::new(
            "key",
            State::Bad,
            format!("others may read it (mode {mode:o})"),
        )
        .fix(format!("chmod 600 {}", file.display())),
        (Ok(key), _) => Check::new("key", State::Ok, key.public().fingerprint()),
        (Err(error), _) => Check::new("key", State::Bad, error)
            .fix("restore it from where you keep it; a new one needs a roster change"),
    }
}

fn ledger(node: &NodeDir) -> Check {
    let opened = Source::open(Some(node.root()), Reading::default());
    let found = opened.and_then(|source| {
        let record = source.ledger.read_record(&source.tree)?;
        source.rules()?;
        Ok(format!(
            "checkpoint {} {}",
            record.height,
            source.main.short(12)
        ))
    });
    match found {
        Ok(detail) => Check::new("ledger.git", State::Ok, detail),
        Err(error) => {
            Check::new("ledger.git", State::Bad, error.message()).fix("gdo verify says more")
        }
    }
}

fn daemon(node: &NodeDir) -> Check {
    let start = format!("gdo node start {}", node.root().display());
    match node.holder() {
        Ok(None) => Check::new("daemon", State::Warning, "it does not run").fix(start),
        Ok(Some(pid)) => match control::ask(&node.control_socket(), "/v1/status") {
            Ok(_) => Check::new("daemon", State::Ok, format!("process {pid} answers")),
            Err(error) => Check::new(
                "daemon",
                State::Bad,
                format!("process {pid} does not answer: {error}"),
            )
            .fix(format!("see {}", node.run().join("node.log").display())),
        },
        Err(error) => Check::new("daemon", State::Bad, error),
    }
}

/// What only this disk holds.
fn chunks(node: &NodeDir) -> Check {
    let detail = if node.chunks().is_dir() {
        "large objects are here and in no other place for certain: back chunks/ up"
    } else {
        "no large objects"
    };
    Check::new("chunks", State::Ok, detail)
}

/// How full the disk is.
fn disk(node: &NodeDir) -> Check {
    match nix::sys::statvfs::statvfs(node.root()) {
        Ok(found) => {
            let free = found.blocks_available() * found.fragment_size();
            let mib = free >> 20;
            let state = if mib < 256 { State::Warning } else { State::Ok };
            Check::new("disk", state, format!("{mib} MiB free"))
                .fix("a full disk refuses pushes: make room")
        }
        Err(error) => Check::new("disk", State::Warning, error),
    }
}
