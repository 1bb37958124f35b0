//! Runs the git binary, with nothing inherited that could change what it does.
//!
//! Git stays the server side of the wire and the judge in tests; its configuration of the machine and
//! of the user, and every `GIT_*` variable of whoever started us, are kept out of it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::error::LedgerError;

/// A git command on the repository at `dir`, isolated from the machine's and the user's configuration.
#[must_use]
pub fn command(dir: &Path) -> Command {
    let mut command = bare_command();
    command.env("GIT_DIR", dir);
    command
}

/// A git command on no repository, isolated likewise.
fn bare_command() -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_TERMINAL_PROMPT", "0");
    command.env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null());
    command
}

/// Runs git on the repository at `dir` and gives its standard output.
///
/// # Errors
/// Git is missing, or it failed: then with what it said.
pub fn run<A: AsRef<OsStr>>(dir: &Path, args: &[A]) -> Result<String, LedgerError> {
    output(command(dir), args)
}

/// Runs git on no repository.
pub(crate) fn run_bare<A: AsRef<OsStr>>(args: &[A]) -> Result<String, LedgerError> {
    output(bare_command(), args)
}

fn output<A: AsRef<OsStr>>(mut command: Command, args: &[A]) -> Result<String, LedgerError> {
    command.args(args);
    let shown = || {
        let words = args.iter().map(|arg| arg.as_ref().to_string_lossy());
        format!("git {}", words.collect::<Vec<_>>().join(" "))
    };
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().map_err(|source| LedgerError::GitMissing {
        command: shown(),
        source,
    })?;
    if status.success() {
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    } else {
        Err(LedgerError::Git {
            command: shown(),
            status: status.to_string(),
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }
}

/// The version of the git binary, as (major, minor, patch).
///
/// # Errors
/// Git is missing, or it does not tell its version.
pub fn version() -> Result<(u32, u32, u32), LedgerError> {
    let text = run_bare(&["version"])?;
    parse_version(&text).ok_or(LedgerError::GitVersion { got: text })
}

fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.trim().strip_prefix("git version ")?.split(['.', ' ']);
    let mut next = || numbers.next().map_or(Some(0), |part| part.parse().ok());
    Some((next()?, next()?, next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_vendors_are_read() {
        let cases = [
            ("git version 2.47.3\n", Some((2, 47, 3))),
            ("git version 2.39.5 (Apple Git-154)", Some((2, 39, 5))),
            ("git version 2.45.0.rc1", Some((2, 45, 0))),
            ("git version 2.45\n", Some((2, 45, 0))),
            ("not git", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_version(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_of_the_environment_reaches_git() {
        let command = command(Path::new("/nowhere"));
        let set: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_some())
            .collect();
        assert!(set.contains(&(OsStr::new("GIT_DIR"), Some(OsStr::new("/nowhere")))));
        assert!(set.contains(&(
            OsStr::new("GIT_CONFIG_GLOBAL"),
            Some(OsStr::new("/dev/null"))
        )));
        assert!(set.contains(&(OsStr::new("GIT_CONFIG_NOSYSTEM"), Some(OsStr::new("1")))));
    }
}
