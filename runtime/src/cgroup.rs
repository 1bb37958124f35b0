//! Control groups: where this machine keeps them, and one leaf for each helper.
//!
//! A helper joins its leaf once, and every container it makes is born there: moving a process from
//! group to group is what made containers slow (a grace period of the kernel for each hierarchy),
//! and making and removing the groups for each run was most of the rest. The limits of a run are
//! numbers written into the leaf between two runs (`limiter`).
//!
//! Versions 1, 2 and a mix of both are handled the same way: each resource is looked up by itself.
//! Leaves lie in a directory `gdo` below the group this process is in, so whatever confines the
//! node confines its containers too. In version 2 a group with processes cannot have limited
//! children, so there the nearest group above is taken that can have them.
//!
//! **Invariants.** Nothing but empty directories made here is ever removed. A leaf's name contains
//! the sandbox's own, so two sandboxes never share one.

mod limiter;
mod mounts;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use limiter::Limiter;
use mounts::Mounts;
pub(crate) use mounts::hierarchies;

/// Name of the directory that holds all leaves.
const PARENT: &str = "gdo";

/// Which interface files a control group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    /// One hierarchy for each controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// A resource that can be limited or counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Resource {
    /// Memory, and the processes killed for it.
    Memory,
    /// Number of processes.
    Pids,
    /// Share of the processors.
    Cpu,
    /// Processor time used.
    CpuTime,
}

impl Resource {
    pub(crate) const ALL: [Resource; 4] = [
        Resource::Memory,
        Resource::Pids,
        Resource::Cpu,
        Resource::CpuTime,
    ];

    /// The controller's name in the given version; version 2 counts processor time without one.
    fn controller(self, version: Version) -> Option<&'static str> {
        match (self, version) {
            (Resource::Memory, _) => Some("memory"),
            (Resource::Pids, _) => Some("pids"),
            (Resource::Cpu, _) => Some("cpu"),
            (Resource::CpuTime, Version::V1) => Some("cpuacct"),
            (Resource::CpuTime, Version::V2) => None,
        }
    }

    /// What is missing without it, in words for `gdo doctor`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Resource::Memory => "cgroup controller memory",
            Resource::Pids => "cgroup controller pids",
            Resource::Cpu => "cgroup controller cpu",
            Resource::CpuTime => "cgroup processor accounting",
        }
    }
}

/// One resource's directory of a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) resource: Resource,
    pub(crate) version: Version,
    pub(crate) path: PathBuf,
}

/// The directories of one helper's leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaf {
    pub(crate) groups: Vec<Group>,
}

/// The directories below which this process may make leaves.
#[derive(Debug, Default)]
pub(crate) struct Home {
    parents: Vec<Group>,
}

/// How often a home that was removed under our hands is looked up again.
const ATTEMPTS: usize = 20;

/// Makes the leaf of this name; `before` is told its directories before they are made.
///
/// What this kernel or user does not offer is left out; see [`Leaf::missing`].
pub(crate) fn create_leaf<E>(
    name: &str,
    mut before: impl FnMut(&Leaf) -> Result<(), E>,
) -> Result<Leaf, E> {
    let mut attempts = 0..ATTEMPTS;
    loop {
        let mut leaf = Home::find().leaf(name);
        before(&leaf)?;
        if leaf.create() || attempts.next().is_none() {
            return Ok(leaf);
        }
    }
}

impl Home {
    /// Looks up, and where needed makes, the parents of all leaves.
    ///
    /// What this kernel or user does not offer is left out; see [`Leaf::missing`].
    pub(crate) fn find() -> Home {
        let Ok(mounts) = Mounts::read() else {
            return Home::default();
        };
        let mut parents: Vec<Group> = Vec::new();
        let mut unified = None;
        for resource in Resource::ALL {
            let legacy = resource
                .controller(Version::V1)
                .and_then(|controller| mounts.legacy(controller))
                .map(|own| own.join(PARENT))
                .filter(|parent| make(parent).is_ok());
            if let Some(path) = legacy {
                parents.push(Group {
                    resource,
                    version: Version::V1,
                    path,
                });
                continue;
            }
            // Looked up only when it is needed: it makes a directory.
            let unified = unified
                .get_or_insert_with(|| mounts.unified().and_then(|own| unified_parent(&own)));
            let Some((path, controllers)) = unified else {
                continue;
            };
            let wanted = resource.controller(Version::V2);
            if wanted.is_none_or(|name| controllers.iter().any(|found| found == name)) {
                parents.push(Group {
                    resource,
                    version: Version::V2,
                    path: path.clone(),
                });
            }
        }
        Home { parents }
    }

    /// Where a leaf of this name lies, whether it exists or not.
    fn leaf(&self, name: &str) -> Leaf {
        let group = |parent: &Group| Group {
            path: parent.path.join(name),
            ..parent.clone()
        };
        Leaf {
            groups: self.parents.iter().map(group).collect(),
        }
    }

    /// Removes the parents, unless somebody else has leaves there.
    pub(crate) fn remove(&self) {
        for parent in &self.parents {
            let _ = fs::remove_dir(&parent.path);
        }
    }
}

impl Leaf {
    /// Makes the directories; a group that cannot be made or joined is left out from then on.
    ///
    /// False when a parent has gone meanwhile, for a sandbox that ends removes them when it is the
    /// last one: then the home is to be looked up again.
    fn create(&mut self) -> bool {
        let mut home_gone = false;
        self.groups.retain(|group| match make(&group.path) {
            Ok(()) => writable(&group.path.join("cgroup.procs")),
            Err(problem) => {
                home_gone |= problem.kind() == io::ErrorKind::NotFound;
                false
            }
        });
        !home_gone
    }

    /// The resources that have no group here, by name.
    pub(crate) fn missing(&self) -> Vec<String> {
        let has = |resource| self.groups.iter().any(|group| group.resource == resource);
        Resource::ALL
            .into_iter()
            .filter(|resource| !has(*resource))
            .map(|resource| resource.name().to_owned())
            .collect()
    }

    /// The distinct directories.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        let mut paths: Vec<&Path> = self
            .groups
            .iter()
            .map(|group| group.path.as_path())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// The processes in it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut all: Vec<i32> = self
            .paths()
            .into_iter()
            .filter_map(|path| fs::read_to_string(path.join("cgroup.procs")).ok())
            .flat_map(|text| {
                text.lines()
                    .filter_map(|line| line.parse().ok())
                    .collect::<Vec<_>>()
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Removes the directories; they must not hold processes any more.
    ///
    /// # Errors
    /// The first directory that could not be removed; one that is not there is fine.
    pub(crate) fn remove(&self) -> Result<(), (PathBuf, io::Error)> {
        for path in self.paths() {
            match fs::remove_dir(path) {
                Ok(()) => {}
                Err(problem) if problem.kind() == io::ErrorKind::NotFound => {}
                Err(problem) => return Err((path.to_path_buf(), problem)),
            }
        }
        Ok(())
    }
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(problem) if problem.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn writable(path: &Path) -> bool {
    fs::OpenOptions::new().write(true).open(path).is_ok()
}

/// The nearest group at or above `own` below which leaves can be limited, and its controllers.
fn unified_parent(own: &Path) -> Option<(PathBuf, Vec<String>)> {
    let wanted = ["memory", "pids", "cpu"];
    let mut best: Option<(PathBuf, Vec<String>)> = None;
    for group in own
        .ancestors()
        .take_while(|group| group.join("cgroup.controllers").exists())
    {
        let parent = group.join(PARENT);
        // With processes in it a group refuses this, unless it is the root; then one above is for us.
        enable(group, &wanted);
        if make(&parent).is_err() {
            continue;
        }
        enable(&parent, &wanted);
        let enabled = read_words(&parent.join("cgroup.subtree_control"));
        let better = best
            .as_ref()
            .is_none_or(|(_, controllers)| controllers.len() < enabled.len());
        let complete = wanted
            .iter()
            .all(|name| enabled.iter().any(|found| found == name));
        if !better {
            let _ = fs::remove_dir(&parent);
            continue;
        }
        if let Some((worse, _)) = best.replace((parent, enabled)) {
            let _ = fs::remove_dir(worse);
        }
        if complete {
            break;
        }
    }
    best
}

/// Turns controllers on for a group's children, each by itself: one that is missing spoils only
/// its own.
fn enable(group: &Path, controllers: &[&str]) {
    for controller in controllers {
        let _ = fs::write(
            group.join("cgroup.subtree_control"),
            format!("+{controller}"),
        );
    }
}

fn read_words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}
