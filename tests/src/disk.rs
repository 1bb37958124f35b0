//! A disk that is small enough to be full.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::seen::Seen;

/// A small file system; unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many MiB on a new directory.
    ///
    /// # Panics
    /// This user may not mount.
    #[must_use]
    #[track_caller]
    pub fn mount(at: PathBuf, mib: u32) -> Self {
        fs::create_dir(&at).expect("a new directory");
        let owner = fs::metadata(&at).expect("it was just made").uid();
        let options = format!("size={mib}m,mode=0755,uid={owner}");
        let mut command = as_root("mount", owner);
        let seen = Seen::of(
            command
                .args(["-t", "tmpfs", "-o", &options, "gdo-test"])
                .arg(&at),
        );
        assert!(
            seen.ok,
            "mounting needs root, or sudo without a password: {}",
            seen.text
        );
        Self(at)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Fills it but for so many bytes; gives the file to delete.
    ///
    /// # Panics
    /// coreutils or util-linux are missing.
    #[must_use]
    #[track_caller]
    pub fn fill(&self, left: u64) -> PathBuf {
        let mut command = Command::new("df");
        let seen = Seen::of(command.args(["--output=avail", "-B1"]).arg(&self.0)).accepted();
        let free = seen
            .text
            .lines()
            .last()
            .and_then(|line| line.trim().parse::<u64>().ok());
        let size = free.expect("df gives a number").saturating_sub(left);
        let file = self.0.join("filler");
        let mut command = Command::new("fallocate");
        let _ = Seen::of(command.args(["-l", &size.to_string()]).arg(&file)).accepted();
        file
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let owner = fs::metadata(&self.0).map_or(0, |about| about.uid());
        let _ = as_root("umount", owner).arg("-l").arg(&self.0).status();
    }
}

/// A program that only root may run, by `user`.
fn as_root(program: &str, user: u32) -> Command {
    if user == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}
