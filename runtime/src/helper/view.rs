//! The helper's own view of the file system, in which the run's directories are put together.
//!
//! A mount namespace that nobody else is in: what is mounted here is unmounted by the kernel when
//! the helper ends, so no run leaves a mount behind. It also lets a node directory lie under a home
//! of mode 0700: everything a run needs is bound under one directory that everybody may traverse
//! (it covers `/sys`, which no run needs), and nobody's modes are changed.
//!
//! libcontainer is shown a machine without control groups, for it would move every process through
//! every hierarchy of version 1 (up to 15 ms each); the limits are this crate's own work (`cgroup`).
//! Root gets that by taking the hierarchies out of its view. An ordinary user cannot: it makes a
//! user namespace and covers them with an empty view of version 2, in which libcontainer tolerates
//! that it may not write.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{getegid, geteuid};

use super::identity::Identity;
use crate::cgroup::hierarchies;
use crate::request::RunRequest;

/// Covered by the helper's own files: nobody needs what is there, and everybody may pass.
const COVERED: &str = "/sys";
const CGROUP_ROOT: &str = "/sys/fs/cgroup";
const WORK: &str = "/sys/gdo";
const NOTHING: Option<&str> = None;

/// The directories in which runs are put together.
#[derive(Debug)]
pub(super) struct View {
    /// The root file system that is bound at the moment, kept from run to run.
    bound_rootfs: Option<PathBuf>,
    /// Who owns what the container may write, outside of it.
    owner: Identity,
}

impl View {
    /// Makes the namespace and the directories.
    pub(super) fn enter(owner: Identity) -> Result<View, String> {
        let root = geteuid().is_root();
        if root {
            unshare(CloneFlags::CLONE_NEWNS).map_err(problem("make a mount namespace"))?;
            make_private()?;
            for point in hierarchies().map_err(|e| format!("read the mounts: {e}"))? {
                detach(&point)?;
            }
        } else {
            become_root_of_own_namespace()?;
            make_private()?;
        }
        tmpfs(Path::new(COVERED), "size=16m,nr_inodes=4096,mode=0755")?;
        fs::create_dir_all(CGROUP_ROOT).map_err(|e| format!("make {CGROUP_ROOT}: {e}"))?;
        if !root {
            empty_hierarchy()?;
        }
        let view = View {
            bound_rootfs: None,
            owner,
        };
        for directory in [view.state(), view.bundle(), view.rootfs(), view.gdo()] {
            fs::create_dir_all(&directory)
                .map_err(|e| format!("make {}: {e}", directory.display()))?;
        }
        Ok(view)
    }

    /// libcontainer's own records.
    pub(super) fn state(&self) -> PathBuf {
        Path::new(WORK).join("state")
    }

    /// Where `config.json` is written.
    pub(super) fn bundle(&self) -> PathBuf {
        Path::new(WORK).join("bundle")
    }

    /// Where the root file system is bound.
    pub(super) fn rootfs(&self) -> PathBuf {
        Path::new(WORK).join("rootfs")
    }

    /// The directory that the container sees as `/gdo`.
    pub(super) fn gdo(&self) -> PathBuf {
        Path::new(WORK).join("gdo")
    }

    /// Puts the directories of one run together.
    pub(super) fn assemble(&mut self, request: &RunRequest) -> Result<(), String> {
        if self.bound_rootfs.as_ref() != Some(&request.rootfs) {
            if self.bound_rootfs.take().is_some() {
                detach(&self.rootfs())?;
            }
            bind_readonly(&request.rootfs, &self.rootfs(), MsFlags::empty())?;
            self.bound_rootfs = Some(request.rootfs.clone());
        }
        let gdo = self.gdo();
        tmpfs(&gdo, "size=64k,nr_inodes=16,mode=0755")?;
        for (name, source) in [("base", &request.base), ("candidate", &request.candidate)] {
            let target = gdo.join(name);
            fs::create_dir(&target).map_err(|e| format!("make {}: {e}", target.display()))?;
            bind_readonly(source, &target, MsFlags::MS_NOEXEC)?;
        }
        let context = gdo.join("context.json");
        fs::write(&context, b"").map_err(|e| format!("make {}: {e}", context.display()))?;
        bind_readonly(&request.context, &context, MsFlags::MS_NOEXEC)?;
        let out = gdo.join("out");
        fs::create_dir(&out).map_err(|e| format!("make {}: {e}", out.display()))?;
        // One page more than the cap: a report that is too long must be seen to be too long.
        let size = (request.limits.output_kib + 4) << 10;
        let Identity { uid, gid } = self.owner;
        tmpfs(
            &out,
            &format!("size={size},nr_inodes=64,mode=0755,uid={uid},gid={gid}"),
        )
    }

    /// Takes the directories of the run apart, after a failure as well.
    pub(super) fn dismantle(&self) -> Result<(), String> {
        detach(&self.gdo())
    }
}

fn problem(action: &'static str) -> impl FnOnce(nix::errno::Errno) -> String {
    move |errno| format!("{action}: {errno}")
}

fn make_private() -> Result<(), String> {
    mount(
        NOTHING,
        "/",
        NOTHING,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        NOTHING,
    )
    .map_err(problem("make the mounts private"))
}

/// Shows a hierarchy of version 2, in which nothing can be made.
fn empty_hierarchy() -> Result<(), String> {
    mount(
        Some("cgroup2"),
        CGROUP_ROOT,
        Some("cgroup2"),
        MsFlags::empty(),
        NOTHING,
    )
    .map_err(problem("show an empty cgroup hierarchy"))?;
    // Where the user does have a group of its own, that is not libcontainer's to divide.
    let readonly = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(NOTHING, CGROUP_ROOT, NOTHING, readonly, NOTHING)
        .map_err(problem("protect the empty cgroup hierarchy"))
}

/// A user namespace in which this user is root, and the namespaces it then may have.
fn become_root_of_own_namespace() -> Result<(), String> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)
        .map_err(problem("make a user namespace"))?;
    for (file, content) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        fs::write(Path::new("/proc/self").join(file), content)
            .map_err(|e| format!("write /proc/self/{file}: {e}"))?;
    }
    Ok(())
}

fn tmpfs(target: &Path, options: &str) -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options))
        .map_err(|errno| format!("mount a tmpfs at {}: {errno}", target.display()))
}

fn bind_readonly(source: &Path, target: &Path, more: MsFlags) -> Result<(), String> {
    let fail = |errno| format!("bind {} to {}: {errno}", source.display(), target.display());
    mount(Some(source), target, NOTHING, MsFlags::MS_BIND, NOTHING).map_err(fail)?;
    let mut flags = MsFlags::MS_REMOUNT
        | MsFlags::MS_BIND
        | MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | more;
    // What the source forbids is locked for an ordinary user: a remount has to repeat it.
    if statvfs(target)
        .map_err(fail)?
        .flags()
        .contains(FsFlags::ST_NOEXEC)
    {
        flags |= MsFlags::MS_NOEXEC;
    }
    mount(NOTHING, target, NOTHING, flags, NOTHING).map_err(fail)
}

fn detach(target: &Path) -> Result<(), String> {
    umount2(target, MntFlags::MNT_DETACH)
        .map_err(|errno| format!("unmount {}: {errno}", target.display()))
}
