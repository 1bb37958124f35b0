//! What one run left behind: facts, not yet a verdict.

use serde::{Deserialize, Serialize};

/// The facts of one finished run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Exit code of the validator, unless a signal ended it.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It ran into `wall_ms` and was killed.
    pub timed_out: bool,
    /// It ran into `cpu_ms` and was killed.
    pub cpu_exceeded: bool,
    /// The kernel killed one of its processes for memory, not necessarily the first one.
    pub oom: bool,
    /// stdout and stderr together, or the report, were longer than `output_kib`.
    pub truncated: bool,
    /// The caller took the request back and the run was killed.
    pub cancelled: bool,
    /// What it wrote to stdout; with stderr at most `output_kib`.
    #[serde(with = "hex::serde")]
    pub stdout: Vec<u8>,
    /// What it wrote to stderr; with stdout at most `output_kib`.
    #[serde(with = "hex::serde")]
    pub stderr: Vec<u8>,
    /// `/gdo/out/report.json`, if it is there, a regular file, and within `output_kib`.
    pub report: Option<String>,
    /// What it used.
    pub resources: Resources,
    /// Where the time went.
    pub stages: Stages,
    /// Isolation and limits that this machine could not give, by name; empty with full isolation.
    pub degraded: Vec<String>,
}

/// What a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// From start to end, in milliseconds.
    pub wall_ms: u64,
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory it had at one time, in bytes, where the kernel counts it.
    pub memory_peak_bytes: Option<u64>,
}

/// Time per stage of one run, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages {
    /// From the request to the container's making: binds, limits, configuration.
    pub prepare_us: u64,
    /// Making the container up to the point where its program can start.
    pub create_us: u64,
    /// From the start of its program to its end.
    pub run_us: u64,
    /// Reading the report and clearing up.
    pub clean_us: u64,
}
