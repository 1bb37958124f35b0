//! The container's configuration: the contract of validators, written out for libcontainer.
//!
//! The helper has already bound everything of the run under one directory of its own mount
//! namespace, read-only where the contract says so; here it becomes one mount, `/gdo`. A flag that
//! was set outside of the container's user namespace cannot be taken back inside it.

use std::collections::BTreeMap;
use std::path::Path;

use libcontainer::oci_spec::OciSpecError;
use libcontainer::oci_spec::runtime::{
    Capabilities, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxIdMappingBuilder,
    LinuxNamespaceBuilder, LinuxNamespaceType, Mount, MountBuilder, PosixRlimit,
    PosixRlimitBuilder, PosixRlimitType, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
    UserBuilder,
};

use crate::request::{Limits, RunRequest};
use crate::seccomp;

/// The host name every validator sees.
const HOSTNAME: &str = "validator";

/// What the machine adds to a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement<'a> {
    /// Where the root file system is bound.
    pub(crate) rootfs: &'a Path,
    /// The directory that becomes `/gdo`.
    pub(crate) gdo: &'a Path,
    /// The user id outside of the container that its user 0 is.
    pub(crate) host_uid: u32,
    /// The group id outside of the container that its group 0 is.
    pub(crate) host_gid: u32,
    /// No cgroup holds memory, processes and processor time: rlimits must.
    pub(crate) rlimits_only: bool,
}

/// The configuration of one run.
pub(crate) fn spec(request: &RunRequest, place: Placement<'_>) -> Result<Spec, OciSpecError> {
    let none = Capabilities::new;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(none())
        .effective(none())
        .inheritable(none())
        .permitted(none())
        .ambient(none())
        .build()?;
    let process = ProcessBuilder::default()
        .terminal(false)
        .user(
            UserBuilder::default()
                .uid(0u32)
                .gid(0u32)
                .umask(0o022u32)
                .build()?,
        )
        .args(request.command.clone())
        .env(environment(request))
        .cwd(request.working_dir.as_str())
        .capabilities(capabilities)
        .no_new_privileges(true)
        .rlimits(rlimits(request.limits, place.rlimits_only)?)
        .build()?;
    let namespaces = [
        LinuxNamespaceType::User,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Network,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Cgroup,
    ]
    .into_iter()
    .map(|typ| LinuxNamespaceBuilder::default().typ(typ).build())
    .collect::<Result<Vec<_>, _>>()?;
    let id = |host: u32| {
        LinuxIdMappingBuilder::default()
            .container_id(0u32)
            .host_id(host)
            .size(1u32)
            .build()
    };
    let linux = LinuxBuilder::default()
        // Never made: libcontainer sees no control groups it may write to (helper/view). Without
        // an absolute path it would look for systemd.
        .cgroups_path("/gdo-never-made")
        .namespaces(namespaces)
        .uid_mappings(vec![id(place.host_uid)?])
        .gid_mappings(vec![id(place.host_gid)?])
        // What a user without rights could still read there; the rest of what other runtimes mask
        // is root's alone, and all of /proc is read-only.
        .masked_paths(paths(&[
            "/proc/interrupts",
            "/proc/keys",
            "/proc/timer_stats",
        ]))
        .readonly_paths(paths(&["/dev"]))
        .rootfs_propagation("private")
        .seccomp(seccomp::filter()?)
        .build()?;
    let mut spec = SpecBuilder::default()
        .version("1.0.2")
        .hostname(HOSTNAME)
        .root(
            RootBuilder::default()
                .path(place.rootfs)
                .readonly(true)
                .build()?,
        )
        .process(process)
        .mounts(mounts(request.limits, place.gdo)?)
        .linux(linux)
        .build()?;
    // The builder fills in resources; with none, libcontainer leaves cgroups alone, which are ours.
    if let Some(mut linux) = spec.linux().clone() {
        linux.set_resources(None);
        spec.set_linux(Some(linux));
    }
    Ok(spec)
}

/// The image's environment under what the contract fixes, sorted.
fn environment(request: &RunRequest) -> Vec<String> {
    let mut env = BTreeMap::from([("HOME", "/tmp"), ("PATH", "/usr/local/bin:/usr/bin:/bin")]);
    env.extend(request.env.iter().filter_map(|entry| entry.split_once('=')));
    let epoch = request.source_date_epoch.to_string();
    env.extend([
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("PYTHONHASHSEED", "0"),
        ("SOURCE_DATE_EPOCH", epoch.as_str()),
    ]);
    env.into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn paths(list: &[&str]) -> Vec<String> {
    list.iter().map(|path| (*path).to_owned()).collect()
}

fn mounts(limits: Limits, gdo: &Path) -> Result<Vec<Mount>, OciSpecError> {
    let mount = |target: &str, kind: &str, source: &Path, options: &[&str]| {
        MountBuilder::default()
            .destination(target)
            .typ(kind)
            .source(source)
            .options(paths(options))
            .build()
    };
    let tmp_size = format!("size={}m", limits.tmp_mib);
    let tmp = Path::new("tmpfs");
    Ok(vec![
        mount(
            "/proc",
            "proc",
            Path::new("proc"),
            &["ro", "nosuid", "noexec", "nodev"],
        )?,
        mount(
            "/dev",
            "tmpfs",
            tmp,
            &[
                "nosuid",
                "noexec",
                "strictatime",
                "mode=755",
                "size=64k",
                "nr_inodes=64",
            ],
        )?,
        mount(
            "/tmp",
            "tmpfs",
            tmp,
            &[
                "nosuid",
                "nodev",
                "noexec",
                "mode=1777",
                "nr_inodes=16384",
                tmp_size.as_str(),
            ],
        )?,
        mount(
            "/gdo",
            "bind",
            gdo,
            &["rbind", "ro", "nosuid", "nodev", "noexec"],
        )?,
    ])
}

fn rlimits(limits: Limits, alone: bool) -> Result<Vec<PosixRlimit>, OciSpecError> {
    let limit = |typ, value: u64| {
        PosixRlimitBuilder::default()
            .typ(typ)
            .hard(value)
            .soft(value)
            .build()
    };
    let mut all = vec![
        limit(PosixRlimitType::RlimitNofile, 256)?,
        limit(PosixRlimitType::RlimitCore, 0)?,
        limit(PosixRlimitType::RlimitFsize, limits.tmp_mib << 20)?,
    ];
    if alone {
        // Each process by itself has these, memory and time; whole seconds, ended by SIGKILL.
        all.push(limit(PosixRlimitType::RlimitAs, limits.memory_mib << 20)?);
        all.push(limit(PosixRlimitType::RlimitNproc, limits.pids)?);
        all.push(limit(
            PosixRlimitType::RlimitCpu,
            limits.cpu_ms.div_ceil(1000),
        )?);
    }
    Ok(all)
}
