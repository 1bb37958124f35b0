//! Stock git-lfs in a member's clone.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::clone::Clone;
use crate::program::Environment;
use crate::seen::Seen;

/// Has git use git-lfs from now on, for every clone of this environment.
///
/// # Panics
/// git-lfs is missing.
#[track_caller]
pub fn install(environment: &Environment) {
    let seen = Seen::of(&mut environment.git(environment.home(), &["lfs", "version"]));
    assert!(
        seen.ok,
        "git-lfs must be installed (apt install git-lfs): {}",
        seen.text
    );
    let words = ["lfs", "install", "--skip-repo"];
    let _ = Seen::of(&mut environment.git(environment.home(), &words)).accepted();
}

/// Tracks `pattern` and commits `content` as a large file at `path`.
#[track_caller]
pub fn commit(clone: &Clone, pattern: &str, path: &str, content: &[u8]) {
    clone.run(&["lfs", "track", pattern]);
    clone.write(path, content);
    clone.commit_all(&format!("Add {path}"));
}

/// Where git-lfs keeps an object in a clone, or in a repository that is a remote by its path.
///
/// # Panics
/// `oid` is too short to be one.
#[must_use]
pub fn object_file(repository: PathBuf, oid: &str) -> PathBuf {
    let objects = repository.join("lfs/objects");
    objects.join(&oid[..2]).join(&oid[2..4]).join(oid)
}

/// The SHA-256 of a large file that is committed at `path`.
#[must_use]
#[track_caller]
pub fn oid(clone: &Clone, path: &str) -> String {
    let text = clone.run(&["show", &format!("HEAD:{path}")]);
    let oid = text
        .lines()
        .find_map(|line| line.strip_prefix("oid sha256:"));
    oid.unwrap_or_else(|| panic!("{path} is no pointer:\n{text}"))
        .to_owned()
}

/// A file's content.
///
/// # Panics
/// There is none.
#[must_use]
#[track_caller]
pub fn read(clone: &Clone, path: &str) -> Vec<u8> {
    let file = clone.path().join(path);
    fs::read(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `curl`, which says nothing but the answer, its status last on a line of its own.
///
/// # Panics
/// curl is missing.
#[must_use]
pub fn curl(environment: &Environment, arguments: &[&str]) -> Command {
    let mut command = environment.command("curl");
    command.args(["-sS", "--max-time", "60", "-w", "\n%{http_code}"]);
    command.args(arguments);
    command
}
