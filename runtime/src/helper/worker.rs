//! Carries out runs: directories, container, limits, outcome.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::Setup;
use super::container::{Created, Stopwatch};
use super::drain::{Bounds, Killed};
use super::identity::Identity;
use super::view::View;
use crate::cgroup::Limiter;
use crate::outcome::{Outcome, Resources, Stages};
use crate::request::RunRequest;
use crate::spec::{Placement, spec};

/// One helper's state between runs.
pub(super) struct Worker {
    view: View,
    limiter: Limiter,
    identity: Identity,
    runs: u64,
    missing: Vec<String>,
}

impl Worker {
    /// Sets the helper up.
    pub(super) fn new(setup: &Setup) -> Result<Worker, String> {
        let identity = Identity::for_helper(setup.slot);
        let limiter = Limiter::join(&setup.leaf)?;
        let view = View::enter(identity)?;
        Ok(Worker {
            view,
            limiter,
            identity,
            runs: 0,
            missing: setup.leaf.missing(),
        })
    }

    /// Runs one validator to its end.
    pub(super) fn run(&mut self, request: &RunRequest) -> Result<Outcome, String> {
        self.runs += 1;
        let mut watch = Stopwatch::start();
        let outcome = match self.view.assemble(request) {
            Ok(()) => self.contain(request, &mut watch),
            Err(problem) => Err(problem),
        };
        let dismantled = self.view.dismantle();
        let mut outcome = outcome?;
        dismantled?;
        outcome.stages.clean_us += watch.lap_us();
        Ok(outcome)
    }

    fn contain(&mut self, request: &RunRequest, watch: &mut Stopwatch) -> Result<Outcome, String> {
        let (rootfs, gdo, bundle) = (self.view.rootfs(), self.view.gdo(), self.view.bundle());
        let limits = request.limits;
        let place = Placement {
            rootfs: &rootfs,
            gdo: &gdo,
            host_uid: self.identity.uid,
            host_gid: self.identity.gid,
            rlimits_only: !self.limiter.complete(),
        };
        spec(request, place)
            .and_then(|spec| spec.save(bundle.join("config.json")))
            .map_err(|e| format!("write the container's configuration: {e}"))?;
        self.limiter.relax(limits)?;
        let prepare_us = watch.lap_us();
        let created = Created::make(&format!("run-{}", self.runs), &self.view.state(), &bundle)?;
        prepare_process(created.pid());
        let create_us = watch.lap_us();
        if let Err(problem) = self.limiter.limit(limits) {
            created.abandon();
            return Err(problem);
        }
        let before = self.limiter.usage();
        let cpu_max = Duration::from_millis(limits.cpu_ms);
        let cpu_used = || self.limiter.usage().cpu.saturating_sub(before.cpu);
        let cpu_left = || {
            self.limiter
                .counts_cpu()
                .then(|| cpu_max.saturating_sub(cpu_used()))
        };
        let output_bytes_max = (limits.output_kib << 10) as usize;
        let bounds = Bounds {
            deadline: Instant::now() + Duration::from_millis(limits.wall_ms),
            output_bytes_max,
            cpu_left: &cpu_left,
        };
        let (drained, end) = created.finish(&bounds)?;
        let run_us = watch.lap_us();
        let after = self.limiter.usage();
        let cpu = if self.limiter.counts_cpu() {
            cpu_used()
        } else {
            end.cpu
        };
        let (report, report_truncated) = read_report(&gdo.join("out"), output_bytes_max);
        let killed = |reason| drained.killed == Some(reason);
        Ok(Outcome {
            exit: end.exit,
            signal: end.signal,
            timed_out: killed(Killed::Wall),
            cpu_exceeded: killed(Killed::Cpu),
            oom: after.oom_kills > before.oom_kills,
            truncated: killed(Killed::Output) || report_truncated,
            cancelled: killed(Killed::Cancelled),
            stdout: drained.stdout,
            stderr: drained.stderr,
            report,
            resources: Resources {
                wall_ms: run_us / 1000,
                cpu_ms: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
                memory_peak_bytes: after.memory_peak_bytes,
            },
            stages: Stages {
                prepare_us,
                create_us,
                run_us,
                clean_us: watch.lap_us(),
            },
            degraded: self.missing.clone(),
        })
    }
}

/// Settles what only this process can: the container cannot undo it, for its `/proc` is read-only
/// and the calls are not in its filter.
fn prepare_process(pid: i32) {
    // A validator that counts processors finds one everywhere.
    let mut one = CpuSet::new();
    if sched_getcpu().is_ok_and(|cpu| one.set(cpu).is_ok()) {
        let _ = sched_setaffinity(Pid::from_raw(pid), &one);
    }
    // When memory runs out, the validator is to be killed and not the helper beside it. Where this
    // fails, a lost helper says the same: the run is inconclusive.
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
}

/// The report, if the container left a regular file of that name, and whether it was too long.
///
/// The directory was the container's: a link, a pipe or an endless file must neither lead this
/// process out of it nor hold it up.
fn read_report(out: &Path, max: usize) -> (Option<String>, bool) {
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(out.join("report.json"));
    let Ok(file) = opened else {
        return (None, false);
    };
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return (None, false);
    }
    let mut bytes = Vec::new();
    if File::take(file, max as u64 + 1)
        .read_to_end(&mut bytes)
        .is_err()
    {
        return (None, false);
    }
    if bytes.len() > max {
        return (None, true);
    }
    (Some(String::from_utf8_lossy(&bytes).into_owned()), false)
}
