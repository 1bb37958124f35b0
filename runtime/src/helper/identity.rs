//! Who a container's user 0 is outside of it.
//!
//! As root, every helper's containers are another user that nobody else is, so that containers are
//! strangers to each other and to the machine. As an ordinary user there is only that user.

use std::fs;

use nix::unistd::{geteuid, setgroups};

/// The first id for containers when root runs them: a range that no distribution gives to people,
/// services or other containers.
const BASE: u32 = 1_900_000_000;

/// A user and a group, as numbers in this process's own user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Identity {
    /// For the containers of helper number `slot`; to be asked before the helper makes namespaces.
    pub(super) fn for_helper(slot: u32) -> Identity {
        if !geteuid().is_root() {
            // The helper is about to make a namespace in which this user is 0.
            return Identity { uid: 0, gid: 0 };
        }
        let id = |map: &str| choose(&fs::read_to_string(map).unwrap_or_default(), slot);
        Identity {
            uid: id("/proc/self/uid_map"),
            gid: id("/proc/self/gid_map"),
        }
    }
}

/// Leaves the groups that root was started with: one that a container's namespace does not know still
/// opens files to it. An ordinary user may not leave groups; the container has those of its caller.
pub(super) fn leave_groups() -> nix::Result<()> {
    let is_denied = fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text == "deny\n");
    if !geteuid().is_root() || is_denied {
        return Ok(());
    }
    setgroups(&[])
}

/// An id that exists here: of our range, or, where root is one of a container itself and has fewer
/// ids, counted from the end of what it has, or else root's own.
fn choose(map: &str, slot: u32) -> u32 {
    let wanted = u64::from(BASE) + u64::from(slot);
    let ranges: Vec<(u64, u64)> = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u64>);
            let (first, _, count) = (fields.next()?.ok()?, fields.next()?, fields.next()?.ok()?);
            Some((first, count))
        })
        .collect();
    let exists = |id: u64| {
        ranges
            .iter()
            .any(|(first, count)| (*first..first + count).contains(&id))
    };
    let last = ranges
        .iter()
        .map(|(first, count)| first + count)
        .max()
        .unwrap_or(0);
    [wanted, last.saturating_sub(1 + u64::from(slot))]
        .into_iter()
        .find(|id| exists(*id))
        .and_then(|id| u32::try_from(id).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{BASE, choose};

    #[test]
    fn a_container_is_a_user_that_exists_and_is_nobody_elses_where_there_are_enough() {
        assert_eq!(choose("         0          0 4294967295\n", 3), BASE + 3);
        assert_eq!(choose("0 100000 65536\n", 0), 65_535);
        assert_eq!(choose("0 100000 65536\n", 2), 65_533);
        assert_eq!(choose("0 1000 1\n1 100000 65536\n", 1), 65_535);
        assert_eq!(choose("0 1000 1\n", 0), 0);
        assert_eq!(choose("0 1000 1\n", 1), 0);
        assert_eq!(choose("", 0), 0);
    }
}
