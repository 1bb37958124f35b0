//! What this kernel and user can isolate, for `gdo doctor`: found, missing, and what to do.
//!
//! Looks without changing anything for long (a control group is made and removed again, for
//! nothing else tells whether it can be). The full trial is a container:
//! [`Sandbox::warm`](crate::Sandbox::warm) starts a helper, and a run says the rest.

use std::fs;

use nix::sys::utsname::uname;
use nix::unistd::geteuid;
use serde::Serialize;

use crate::cgroup::{Leaf, Resource, Version, create_leaf};

/// One thing that isolation needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is needed.
    pub name: String,
    /// Whether it is there.
    pub found: bool,
    /// True when nothing runs without it; else runs are only degraded.
    pub required: bool,
    /// What was seen.
    pub detail: String,
    /// What to do about it, when it is missing.
    pub fix: Option<String>,
}

/// Everything that isolation needs, in the order in which it is worth mending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Probe {
    /// The names of what is missing.
    #[must_use]
    pub fn missing(&self) -> Vec<&str> {
        self.checks
            .iter()
            .filter(|check| !check.found)
            .map(|check| check.name.as_str())
            .collect()
    }

    /// True when validators can run at all, if only degraded.
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.found || !check.required)
    }
}

/// Looks at this machine with the rights of this process.
#[must_use]
pub fn probe() -> Probe {
    let mut checks = vec![kernel(), user_namespaces(), seccomp()];
    let name = format!("probe-{}", std::process::id());
    let leaf = create_leaf(&name, |_| Ok::<_, std::convert::Infallible>(()))
        .unwrap_or_else(|never| match never {});
    checks.extend(
        Resource::ALL
            .into_iter()
            .map(|resource| control_group(&leaf, resource)),
    );
    // What cannot be removed is empty, and the next probe finds it.
    let _ = leaf.remove();
    crate::cgroup::Home::find().remove();
    Probe { checks }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// The newest system call that is needed is `close_range` of Linux 5.9.
fn kernel() -> Check {
    let release = uname().map_or_else(
        |errno| errno.to_string(),
        |name| name.release().to_string_lossy().into_owned(),
    );
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let found = version >= (5, 9);
    Check {
        name: "Linux 5.9".into(),
        found,
        required: true,
        detail: release,
        fix: (!found).then(|| "install a newer kernel".into()),
    }
}

fn user_namespaces() -> Check {
    let root = geteuid().is_root();
    let max = read("/proc/sys/user/max_user_namespaces");
    let refused_by = [
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ]
    .into_iter()
    .find(|(name, bad, _)| {
        !root && read(&format!("/proc/sys/{}", name.replace('.', "/"))).as_deref() == Some(bad)
    });
    let (found, detail, fix) = match (max.as_deref(), refused_by) {
        (None, _) => {
            let fix = "use a kernel with CONFIG_USER_NS, as every distribution has".to_owned();
            (false, "this kernel has none".to_owned(), Some(fix))
        }
        (Some("0"), _) => {
            let fix = "sysctl -w user.max_user_namespaces=1000".to_owned();
            (false, "user.max_user_namespaces is 0".to_owned(), Some(fix))
        }
        (_, Some((name, bad, good))) => {
            let fix = format!("sysctl -w {name}={good}, or run the node as root");
            (false, format!("{name} is {bad}"), Some(fix))
        }
        (Some(max), None) => (true, format!("at most {max}"), None),
    };
    Check {
        name: "user namespaces".into(),
        found,
        required: true,
        detail,
        fix,
    }
}

fn seccomp() -> Check {
    let actions = read("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let found = actions.split_whitespace().any(|action| action == "errno");
    Check {
        name: "seccomp filters".into(),
        found,
        required: true,
        detail: if found {
            actions
        } else {
            "this kernel has none".into()
        },
        fix: (!found).then(|| {
            "use a kernel with CONFIG_SECCOMP_FILTER, as every distribution has".to_owned()
        }),
    }
}

fn control_group(leaf: &Leaf, resource: Resource) -> Check {
    let group = leaf.groups.iter().find(|group| group.resource == resource);
    let detail = match group {
        Some(group) => {
            let version = if group.version == Version::V1 { 1 } else { 2 };
            let place = group.path.parent().unwrap_or(&group.path);
            format!("version {version}, at {}", place.display())
        }
        None => "not available to this process".into(),
    };
    let listed = read("/proc/cgroups").unwrap_or_default();
    let off = resource == Resource::Memory
        && listed
            .lines()
            .any(|line| line.starts_with("memory\t") && line.ends_with("\t0"));
    let fix = if group.is_some() {
        None
    } else if off {
        Some(
            "boot with cgroup_enable=memory (on a Raspberry Pi in /boot/firmware/cmdline.txt)"
                .into(),
        )
    } else if geteuid().is_root() {
        Some(
            "mount the control groups: systemd does, or `mount -t cgroup2 none /sys/fs/cgroup`"
                .into(),
        )
    } else {
        Some(
            "run the node as root, or as a systemd user service with Delegate=yes on a machine \
             with cgroup version 2; until then set runtime.isolation = \"degraded\" in node.toml"
                .into(),
        )
    };
    Check {
        name: resource.name().into(),
        found: group.is_some(),
        required: false,
        detail,
        fix,
    }
}

#[cfg(test)]
mod tests {
    use super::probe;

    #[test]
    fn every_check_that_fails_says_what_to_do_and_no_other_does() {
        let probe = probe();
        assert_eq!(probe.checks.len(), 7);
        for check in &probe.checks {
            assert_eq!(check.found, check.fix.is_none(), "{check:?}");
            assert!(!check.detail.is_empty(), "{check:?}");
        }
    }
}
