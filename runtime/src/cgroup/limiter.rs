//! The helper's side of its leaf: joins it, sets the limits of a run, reads what it used.
//!
//! The directories are opened before the helper leaves the machine's view of the file system. The
//! helper is in the leaf itself: it is one process more than the limit allows the container, its
//! processor time is subtracted, and what memory it had before stays charged to where it came from.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{OFlag, openat};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::stat::Mode;

use super::{Leaf, Resource, Version};
use crate::request::Limits;

/// The period over which the share of the processors is enforced.
const CPU_PERIOD_US: u64 = 100_000;

/// An open leaf.
pub(crate) struct Limiter {
    groups: Vec<OpenGroup>,
    /// What is set at the moment, so that a run with the same limits writes nothing.
    current: Option<Limits>,
}

struct OpenGroup {
    resource: Resource,
    version: Version,
    directory: OwnedFd,
}

/// What a leaf has counted up to now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) oom_kills: u64,
    pub(crate) cpu: Duration,
    pub(crate) memory_peak_bytes: Option<u64>,
}

impl Limiter {
    /// Opens the leaf and moves this process into it.
    pub(crate) fn join(leaf: &Leaf) -> Result<Limiter, String> {
        let mut groups = Vec::new();
        for path in leaf.paths() {
            let procs = path.join("cgroup.procs");
            std::fs::write(&procs, "0").map_err(|e| format!("write {}: {e}", procs.display()))?;
        }
        for group in &leaf.groups {
            groups.push(OpenGroup {
                resource: group.resource,
                version: group.version,
                directory: File::open(&group.path)
                    .map_err(|e| format!("open {}: {e}", group.path.display()))?
                    .into(),
            });
        }
        let limiter = Limiter {
            groups,
            current: None,
        };
        // One processor's worth of time for all, whatever the number of processes.
        if let Some(group) = limiter.group(Resource::Cpu) {
            match group.version {
                Version::V1 => {
                    group.write("cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
                    group.write("cpu.cfs_quota_us", &CPU_PERIOD_US.to_string())?;
                }
                Version::V2 => {
                    group.write("cpu.max", &format!("{CPU_PERIOD_US} {CPU_PERIOD_US}"))?;
                }
            }
        }
        Ok(limiter)
    }

    /// True when memory, processes and processor time are all held by the leaf.
    pub(crate) fn complete(&self) -> bool {
        [Resource::Memory, Resource::Pids, Resource::CpuTime]
            .into_iter()
            .all(|resource| self.group(resource).is_some())
    }

    /// Takes limits back that would hinder the making of a container.
    pub(crate) fn relax(&mut self, next: Limits) -> Result<(), String> {
        // Making one takes three processes and little memory.
        let roomy = |limits: Limits| limits.memory_mib >= 32 && limits.pids >= 8;
        if self
            .current
            .is_some_and(|current| current == next && roomy(current))
        {
            return Ok(());
        }
        self.current = None;
        if let Some(group) = self.group(Resource::Memory) {
            match group.version {
                Version::V1 => {
                    group.write_if_there("memory.memsw.limit_in_bytes", "-1")?;
                    group.write("memory.limit_in_bytes", "-1")?;
                }
                Version::V2 => group.write("memory.max", "max")?,
            }
        }
        self.group(Resource::Pids)
            .map_or(Ok(()), |group| group.write("pids.max", "max"))
    }

    /// Sets the limits of a run.
    pub(crate) fn limit(&mut self, limits: Limits) -> Result<(), String> {
        if self.current == Some(limits) {
            return self.reset_peak();
        }
        let bytes = (limits.memory_mib << 20).to_string();
        if let Some(group) = self.group(Resource::Memory) {
            match group.version {
                Version::V1 => {
                    group.write("memory.limit_in_bytes", &bytes)?;
                    group.write_if_there("memory.memsw.limit_in_bytes", &bytes)?;
                }
                Version::V2 => {
                    group.write("memory.max", &bytes)?;
                    group.write_if_there("memory.swap.max", "0")?;
                }
            }
        }
        if let Some(group) = self.group(Resource::Pids) {
            group.write("pids.max", &(limits.pids + 1).to_string())?;
        }
        self.current = Some(limits);
        self.reset_peak()
    }

    /// What has been counted up to now, this process's own processor time left out.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        if let Some(group) = self.group(Resource::Memory) {
            let (events, peak) = match group.version {
                Version::V1 => ("memory.oom_control", "memory.max_usage_in_bytes"),
                Version::V2 => ("memory.events", "memory.peak"),
            };
            usage.oom_kills = group.read_field(events, "oom_kill").unwrap_or(0);
            usage.memory_peak_bytes = group
                .read(peak)
                .ok()
                .and_then(|text| text.trim().parse().ok());
        }
        usage.cpu = self.cpu().unwrap_or_default().saturating_sub(own_cpu());
        usage
    }

    /// Processor time of everything in the leaf, this process included.
    fn cpu(&self) -> Option<Duration> {
        let group = self.group(Resource::CpuTime)?;
        match group.version {
            Version::V1 => {
                let text = group.read("cpuacct.usage").ok()?;
                Some(Duration::from_nanos(text.trim().parse().ok()?))
            }
            Version::V2 => Some(Duration::from_micros(
                group.read_field("cpu.stat", "usage_usec")?,
            )),
        }
    }

    /// True when processor time is counted.
    pub(crate) fn counts_cpu(&self) -> bool {
        self.group(Resource::CpuTime).is_some()
    }

    fn reset_peak(&self) -> Result<(), String> {
        match self.group(Resource::Memory) {
            Some(group) if group.version == Version::V1 => {
                group.write("memory.max_usage_in_bytes", "0")
            }
            // Kernels before 6.12 cannot reset it: the peak is then that of the leaf's whole life.
            Some(group) => group.write_if_there("memory.peak", "0"),
            None => Ok(()),
        }
    }

    fn group(&self, resource: Resource) -> Option<&OpenGroup> {
        self.groups.iter().find(|group| group.resource == resource)
    }
}

impl OpenGroup {
    fn open(&self, file: &str, flags: OFlag) -> io::Result<File> {
        Ok(openat(
            &self.directory,
            Path::new(file),
            flags | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?
        .into())
    }

    fn write(&self, file: &str, value: &str) -> Result<(), String> {
        self.open(file, OFlag::O_WRONLY)
            .and_then(|mut open| open.write_all(value.as_bytes()))
            .map_err(|e| format!("write {value} to the control group's {file}: {e}"))
    }

    /// Writes where the kernel has the file and lets it be written: swap accounting and the reset
    /// of the peak are optional.
    fn write_if_there(&self, file: &str, value: &str) -> Result<(), String> {
        let optional = [
            io::ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::Unsupported,
            io::ErrorKind::InvalidInput,
        ];
        match self
            .open(file, OFlag::O_WRONLY)
            .and_then(|mut f| f.write_all(value.as_bytes()))
        {
            Err(problem) if !optional.contains(&problem.kind()) => Err(format!(
                "write {value} to the control group's {file}: {problem}"
            )),
            _ => Ok(()),
        }
    }

    fn read(&self, file: &str) -> io::Result<String> {
        let mut text = String::new();
        self.open(file, OFlag::O_RDONLY)?
            .read_to_string(&mut text)?;
        Ok(text)
    }

    fn read_field(&self, file: &str, name: &str) -> Option<u64> {
        let text = self.read(file).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

fn own_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    [usage.user_time(), usage.system_time()]
        .into_iter()
        .map(|time| {
            Duration::from_secs(time.tv_sec().unsigned_abs())
                + Duration::from_micros(time.tv_usec().unsigned_abs())
        })
        .sum()
}
