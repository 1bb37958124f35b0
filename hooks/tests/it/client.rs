//! Stock git on the member's side.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Git with a clean environment and a name to commit under.
pub(crate) fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("tests need a PATH"))
        .env("HOME", directory)
        .env("LC_ALL", "C.UTF-8")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "alice")
            .env(format!("GIT_{role}_EMAIL"), "alice@example.invalid")
            .env(format!("GIT_{role}_DATE"), "1700000000 +0000");
    }
    command
}

/// Runs git, which must succeed, and gives its trimmed standard output.
pub(crate) fn run<S: AsRef<OsStr>>(directory: &Path, arguments: &[S]) -> String {
    let output = git(directory)
        .args(arguments)
        .output()
        .expect("git must be installed");
    let names: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    assert!(
        output.status.success(),
        "git {names:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("git prints text here")
        .trim()
        .to_owned()
}

/// What a client saw of a push.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) ok: bool,
    /// Standard error, with the spaces that git pads lines with removed at their ends.
    pub(crate) text: String,
}

impl From<Output> for Seen {
    fn from(output: Output) -> Self {
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        Self {
            ok: output.status.success(),
            text: lines.join("\n"),
        }
    }
}

impl Seen {
    #[track_caller]
    pub(crate) fn assert_shows(&self, part: &str) {
        assert!(self.text.contains(part), "no '{part}' in:\n{}", self.text);
    }

    #[track_caller]
    pub(crate) fn assert_lacks(&self, part: &str) {
        assert!(!self.text.contains(part), "'{part}' in:\n{}", self.text);
    }
}

/// A member's clone.
pub(crate) struct Clone {
    pub(crate) path: PathBuf,
}

impl Clone {
    pub(crate) fn of(url: &str, path: PathBuf) -> Self {
        let parent = path.parent().expect("a clone lies in a directory");
        run(parent, &["clone", "-q", url, &path.to_string_lossy()]);
        Self { path }
    }

    /// Commits one file and gives the commit's id.
    pub(crate) fn commit(&self, file: &str, text: &str) -> String {
        fs::write(self.path.join(file), text).expect("the clone is ours");
        run(&self.path, &["add", file]);
        run(&self.path, &["commit", "-q", "-m", file]);
        self.tip("HEAD")
    }

    pub(crate) fn tip(&self, name: &str) -> String {
        run(&self.path, &["rev-parse", name])
    }

    pub(crate) fn push(&self, arguments: &[&str]) -> Seen {
        self.push_command(arguments)
            .output()
            .expect("git must be installed")
            .into()
    }

    pub(crate) fn push_command(&self, arguments: &[&str]) -> Command {
        let mut command = git(&self.path);
        command.arg("push").args(arguments);
        command
    }
}
