//! Where the control group hierarchies are mounted, and which group of each this process is in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The hierarchies of this machine, as this process sees them.
pub(super) struct Mounts {
    hierarchies: Vec<Hierarchy>,
}

struct Hierarchy {
    /// Controllers of version 1; nothing for version 2.
    controllers: Option<Vec<String>>,
    /// The group this process is in, as a directory.
    own: PathBuf,
}

impl Mounts {
    /// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`.
    pub(super) fn read() -> io::Result<Mounts> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        Ok(Mounts::parse(&mountinfo, &own))
    }

    fn parse(mountinfo: &str, own: &str) -> Mounts {
        let hierarchies = mountinfo
            .lines()
            .filter_map(|line| hierarchy(line, own))
            .collect();
        Mounts { hierarchies }
    }

    /// This process's group in the hierarchy of a version 1 controller.
    pub(super) fn legacy(&self, controller: &str) -> Option<PathBuf> {
        let has = |h: &&Hierarchy| {
            h.controllers
                .as_ref()
                .is_some_and(|all| all.iter().any(|name| name == controller))
        };
        self.hierarchies.iter().find(has).map(|h| h.own.clone())
    }

    /// This process's group in the version 2 hierarchy.
    pub(super) fn unified(&self) -> Option<PathBuf> {
        self.hierarchies
            .iter()
            .find(|h| h.controllers.is_none())
            .map(|h| h.own.clone())
    }
}

/// Where control group hierarchies of any version are mounted, the newest mount first.
pub(crate) fn hierarchies() -> io::Result<Vec<PathBuf>> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
    let mut points: Vec<PathBuf> = mountinfo
        .lines()
        .filter(|line| line.contains(" - cgroup ") || line.contains(" - cgroup2 "))
        .filter_map(|line| Some(PathBuf::from(unescape(line.split(' ').nth(4)?))))
        .collect();
    points.reverse();
    Ok(points)
}

/// One line of `mountinfo`, if it is a control group hierarchy:
/// `36 35 98:0 /root /mount/point options [fields] - type source super,options`.
fn hierarchy(line: &str, own: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut fields = left.split(' ').skip(3);
    let (root, mount_point) = (unescape(fields.next()?), unescape(fields.next()?));
    let mut fields = right.split(' ');
    let kind = fields.next()?;
    let controllers = match kind {
        "cgroup2" => None,
        "cgroup" => Some(
            fields
                .nth(1)?
                .split(',')
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        ),
        _ => return None,
    };
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let matches = match &controllers {
            None => id == "0" && names.is_empty(),
            Some(all) => {
                !names.is_empty() && names.split(',').all(|name| all.iter().any(|c| c == name))
            }
        };
        matches.then_some(path)
    })?;
    // In a container the hierarchy's root may be a group of the host, of which paths are told.
    let below = Path::new(path)
        .strip_prefix(&root)
        .or_else(|_| Path::new(path).strip_prefix("/"));
    Some(Hierarchy {
        controllers,
        own: Path::new(&mount_point).join(below.ok()?),
    })
}

/// `mountinfo` writes blanks and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 4).unwrap_or_default();
        if let Ok(byte) = u8::from_str_radix(digits, 8) {
            out.push(char::from(byte));
            rest = &rest[at + 4..];
        } else {
            out.push('\\');
            rest = &rest[at + 1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::Mounts;
    use std::path::PathBuf;

    #[test]
    fn each_controller_is_found_in_its_own_hierarchy_on_a_hybrid_machine() {
        let mounts = Mounts::parse(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            "9:name=systemd:/\n4:memory:/box/a\n2:cpu,cpuacct:/\n0::/user.slice\n",
        );
        assert_eq!(
            mounts.legacy("memory"),
            Some(PathBuf::from("/sys/fs/cgroup/memory/box/a"))
        );
        assert_eq!(
            mounts.legacy("cpuacct"),
            Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/"))
        );
        assert_eq!(mounts.legacy("pids"), None);
        assert_eq!(
            mounts.unified(),
            Some(PathBuf::from("/sys/fs/cgroup/unified/user.slice"))
        );
    }

    #[test]
    fn a_machine_with_version_2_only_has_one_hierarchy() {
        let mounts = Mounts::parse(
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
            "0::/system.slice/gdo.service\n",
        );
        let own = PathBuf::from("/sys/fs/cgroup/system.slice/gdo.service");
        assert_eq!(mounts.unified(), Some(own));
        assert_eq!(mounts.legacy("memory"), None);
    }

    #[test]
    fn a_group_of_the_host_that_is_mounted_as_the_root_is_not_counted_twice() {
        let mounts = Mounts::parse(
            "9 8 0:9 /docker/f00 /sys/fs/cgroup/memory\\040here ro - cgroup cgroup rw,memory\n",
            "4:memory:/docker/f00/inner\n",
        );
        let own = PathBuf::from("/sys/fs/cgroup/memory here/inner");
        assert_eq!(mounts.legacy("memory"), Some(own));
    }
}
