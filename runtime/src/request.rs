//! What to run, on which directories, within which limits.
//!
//! Plain values: the manifest's vocabulary lives in the core crate, and the helper process reads
//! these from a pipe before anything else of the program is initialised.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::error::SandboxError;
use crate::image::Image;

/// How a node treats isolation that its kernel or user does not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Refuse to run, naming what is missing.
    #[default]
    Full,
    /// Run with what there is and report what is missing.
    Degraded,
}

/// The limits of one run; the same names and units as in a dapp's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Time from start to end, in milliseconds.
    pub wall_ms: u64,
    /// Processor time of all processes together, in milliseconds.
    pub cpu_ms: u64,
    /// Memory of all processes and of the writable directories, in MiB.
    pub memory_mib: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Size of stdout and stderr together, and of the report by itself, in KiB.
    pub output_kib: u64,
    /// Size of `/tmp`, in MiB.
    pub tmp_mib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            wall_ms: 10_000,
            cpu_ms: 5_000,
            memory_mib: 64,
            pids: 32,
            output_kib: 256,
            tmp_mib: 16,
        }
    }
}

/// One run of one validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The prepared root file system, read-only ([`Image::rootfs`]).
    pub rootfs: PathBuf,
    /// Directory shown as `/gdo/base`.
    pub base: PathBuf,
    /// Directory shown as `/gdo/candidate`.
    pub candidate: PathBuf,
    /// File shown as `/gdo/context.json`.
    pub context: PathBuf,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The image's environment, `NAME=value` each; what the contract fixes wins over it.
    pub env: Vec<String>,
    /// The image's working directory, absolute.
    pub working_dir: String,
    /// `SOURCE_DATE_EPOCH`: 0, or the ledger's time for a dapp that declares `uses = ["time"]`.
    pub source_date_epoch: i64,
    /// The limits.
    pub limits: Limits,
}

impl RunRequest {
    /// A run of the image's own command on the two trees.
    #[must_use]
    pub fn new(image: &Image, base: &Path, candidate: &Path, context: &Path) -> RunRequest {
        RunRequest {
            rootfs: image.rootfs.clone(),
            base: base.to_path_buf(),
            candidate: candidate.to_path_buf(),
            context: context.to_path_buf(),
            command: image.command.clone(),
            env: image.env.clone(),
            working_dir: image.working_dir.clone(),
            source_date_epoch: 0,
            limits: Limits::default(),
        }
    }

    /// The same run with the manifest's command in place of the image's.
    #[must_use]
    pub fn with_command(mut self, command: Vec<String>) -> RunRequest {
        self.command = command;
        self
    }

    /// The same run within these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> RunRequest {
        self.limits = limits;
        self
    }

    /// Refuses what the helper could not carry out, naming the field.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let refuse = |problem: String| Err(SandboxError::Request(problem));
        if self.command.first().is_none_or(String::is_empty) {
            return refuse("command is empty: name a program in dapp.toml or in the image".into());
        }
        if self
            .command
            .iter()
            .chain(&self.env)
            .any(|word| word.contains('\0'))
        {
            return refuse("command and environment must not contain a NUL byte".into());
        }
        if let Some(entry) = self.env.iter().find(|entry| !entry.contains('=')) {
            return refuse(format!("environment entry {entry:?} is not NAME=value"));
        }
        if !self.working_dir.starts_with('/') {
            return refuse(format!(
                "working directory {:?} is not absolute",
                self.working_dir
            ));
        }
        for (name, path) in [
            ("rootfs", &self.rootfs),
            ("base", &self.base),
            ("candidate", &self.candidate),
            ("context", &self.context),
        ] {
            if !path.is_absolute() {
                return refuse(format!("{name} {} is not an absolute path", path.display()));
            }
            let meta = std::fs::metadata(path)
                .map_err(SandboxError::io(format!("open {name} {}", path.display())))?;
            if meta.is_dir() != (name != "context") {
                return refuse(format!("{name} {} is of the wrong kind", path.display()));
            }
            // Inside of a container that root runs its user is nobody; a validator that cannot read
            // its input might take that for the author's fault.
            let needed = if meta.is_dir() { 0o005 } else { 0o004 };
            if geteuid().is_root() && meta.mode() & needed != needed {
                let mode = meta.mode() & 0o777;
                let path = path.display();
                return refuse(format!(
                    "{name} {path} has mode {mode:o}, not readable by everybody"
                ));
            }
        }
        self.limits.check()
    }
}

impl Limits {
    /// Upper bounds that keep every later conversion exact.
    fn check(&self) -> Result<(), SandboxError> {
        for (name, value, max) in [
            ("wall_ms", self.wall_ms, 86_400_000),
            ("cpu_ms", self.cpu_ms, 86_400_000),
            ("memory_mib", self.memory_mib, 1 << 20),
            ("pids", self.pids, 1 << 15),
            ("output_kib", self.output_kib, 1 << 14),
            ("tmp_mib", self.tmp_mib, 1 << 20),
        ] {
            if value == 0 || value > max {
                return Err(SandboxError::Request(format!(
                    "limit {name} is {value}, expected 1..={max}"
                )));
            }
        }
        Ok(())
    }
}
