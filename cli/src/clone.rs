//! A member's plain clone of a ledger, worked on with the member's own git.
//!
//! Reading is `git fetch` of the ledger's refs, writing is a signed push; both use the remotes, keys
//! and configuration that the member's git has, so a clone needs nothing of gdo. Which remote and
//! branch are the ledger's: `gdo.remote` and `gdo.branch` in git's configuration, else the remote
//! of the current branch or `origin`, and the branch that the remote's HEAD names, or `main`.
//!
//! **Invariants**: no branch, index or work tree of the member is touched.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gdo_ledger::Ledger;
use gdo_node::dir::NodeDir;

use crate::error::CommandError;

/// A git repository that somebody cloned from a ledger.
#[derive(Debug)]
pub struct GitClone {
    /// Where git is run.
    start: PathBuf,
    /// The directory that holds the objects and the refs.
    common: PathBuf,
    remote: Option<String>,
    branch: String,
    /// The remote's branches are this repository's own (`git clone --mirror`).
    is_mirror: bool,
}

impl GitClone {
    /// The clone that holds the directory `start`, if it is in one.
    ///
    /// # Errors
    /// Git is missing, or the clone has several remotes and none is named.
    pub fn find(start: &Path) -> Result<Option<Self>, CommandError> {
        let git = Git { start };
        let found = git.output(&["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
        if !found.status.success() {
            return Ok(None);
        }
        let common = PathBuf::from(text(&found));
        let remote = git.remote()?;
        let is_mirror = match &remote {
            Some(remote) => {
                git.config(&format!("remote.{remote}.mirror"))?.as_deref() == Some("true")
            }
            None => true,
        };
        let branch = git.branch(remote.as_deref())?;
        Ok(Some(Self {
            start: start.to_owned(),
            common,
            remote,
            branch,
            is_mirror,
        }))
    }

    /// The ledger's branch.
    #[must_use]
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The remote that the ledger comes from, if there is one.
    #[must_use]
    pub fn remote(&self) -> Option<&str> {
        self.remote.as_deref()
    }

    /// The directory that holds the objects and the refs.
    #[must_use]
    pub fn common(&self) -> &Path {
        &self.common
    }

    /// Where git-lfs keeps objects in this clone.
    ///
    /// # Errors
    /// Git is missing.
    pub fn lfs_objects(&self) -> Result<PathBuf, CommandError> {
        let git = Git { start: &self.start };
        let found = git.output(&["config", "--type=path", "--get", "lfs.storage"])?;
        let storage = if found.status.success() {
            PathBuf::from(text(&found))
        } else {
            PathBuf::from("lfs")
        };
        Ok(self.common.join(storage).join("objects"))
    }

    /// The remote's address.
    ///
    /// # Errors
    /// Git is missing.
    pub fn remote_url(&self) -> Result<Option<String>, CommandError> {
        let Some(remote) = &self.remote else {
            return Ok(None);
        };
        let found = Git { start: &self.start }.output(&["remote", "get-url", remote])?;
        Ok(found.status.success().then(|| text(&found)))
    }

    /// The node that the remote is, if that is a path on this machine.
    ///
    /// # Errors
    /// Git is missing.
    pub fn node_of_remote(&self) -> Result<Option<NodeDir>, CommandError> {
        let url = self.remote_url()?.unwrap_or_default();
        let path = url.strip_prefix("file://").unwrap_or(&url);
        if path.starts_with('/') {
            Ok(NodeDir::find(Path::new(path)))
        } else {
            Ok(None)
        }
    }

    /// The root of the work tree, if there is one.
    ///
    /// # Errors
    /// Git is missing.
    pub fn work_tree(&self) -> Result<Option<PathBuf>, CommandError> {
        let found = Git { start: &self.start }.output(&["rev-parse", "--show-toplevel"])?;
        Ok(found.status.success().then(|| PathBuf::from(text(&found))))
    }

    /// The ref that holds the newest checkpoint here.
    #[must_use]
    pub fn main_ref(&self) -> String {
        match &self.remote {
            Some(remote) if !self.is_mirror => format!("refs/remotes/{remote}/{}", self.branch),
            _ => format!("refs/heads/{}", self.branch),
        }
    }

    /// Fetches the newest checkpoint and the ledger's refs; without a remote there is nothing to do.
    ///
    /// # Errors
    /// Git could not fetch; what it said went to standard error.
    pub fn fetch(&self) -> Result<(), CommandError> {
        let Some(remote) = &self.remote else {
            return Ok(());
        };
        let branch = &self.branch;
        let status = self
            .git()
            .args([
                "fetch",
                "--quiet",
                "--atomic",
                "--no-tags",
                "--prune",
                "--no-write-fetch-head",
            ])
            .arg(remote)
            .arg(format!("+refs/heads/{branch}:{}", self.main_ref()))
            .arg(format!("+refs/gdo/{branch}/*:refs/gdo/{branch}/*"))
            .status()
            .map_err(no_git)?;
        if status.success() {
            return Ok(());
        }
        Err(CommandError::unknown(format!("cannot fetch the ledger from remote '{remote}' ({status})"))
            .hint("read what was fetched before with --no-fetch; which remote and branch are the ledger's say 'git config gdo.remote' and 'gdo.branch'"))
    }

    /// Opens the ledger in the clone for reading.
    ///
    /// # Errors
    /// The repository cannot be read, or its history is cut off.
    pub fn open(&self) -> Result<Ledger, CommandError> {
        if self.common.join("shallow").exists() {
            let message = format!(
                "{} is a shallow clone, which lacks history",
                self.common.display()
            );
            return Err(CommandError::usage(message).hint("git fetch --unshallow"));
        }
        Ok(Ledger::open_clone(&self.common)?)
    }

    /// A git command in this clone, with the member's own configuration.
    #[must_use]
    pub fn git(&self) -> Command {
        Git { start: &self.start }.command()
    }
}

/// The member's git, run in one directory.
struct Git<'a> {
    start: &'a Path,
}

impl Git<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.start).stdin(Stdio::null());
        command
    }

    fn output<A: AsRef<OsStr>>(&self, args: &[A]) -> Result<Output, CommandError> {
        self.command().args(args).output().map_err(no_git)
    }

    fn config(&self, key: &str) -> Result<Option<String>, CommandError> {
        let found = self.output(&["config", "--get", key])?;
        Ok(found.status.success().then(|| text(&found)))
    }

    fn remote(&self) -> Result<Option<String>, CommandError> {
        let listed = text(&self.output(&["remote"])?);
        let remotes: Vec<&str> = listed.lines().collect();
        if let Some(named) = self.config("gdo.remote")? {
            if remotes.contains(&named.as_str()) {
                return Ok(Some(named));
            }
            let message = format!("gdo.remote names '{named}', which is no remote of this clone");
            return Err(CommandError::usage(message).hint("git remote -v"));
        }
        let head = self.output(&["symbolic-ref", "--quiet", "--short", "HEAD"])?;
        let key = format!("branch.{}.remote", text(&head));
        let of_branch = self
            .config(&key)?
            .filter(|name| remotes.contains(&name.as_str()));
        let origin = remotes.contains(&"origin").then(|| "origin".to_owned());
        match (of_branch.or(origin), remotes.as_slice()) {
            (Some(remote), _) => Ok(Some(remote)),
            (None, []) => Ok(None),
            (None, [only]) => Ok(Some((*only).to_owned())),
            (None, _) => Err(CommandError::usage(format!(
                "the clone has several remotes ({}) and none is named the ledger's",
                remotes.join(", ")
            ))
            .hint("git config gdo.remote NAME")),
        }
    }

    fn branch(&self, remote: Option<&str>) -> Result<String, CommandError> {
        if let Some(named) = self.config("gdo.branch")? {
            return Ok(named);
        }
        if let Some(remote) = remote {
            let name = format!("refs/remotes/{remote}/HEAD");
            let found = text(&self.output(&["symbolic-ref", "--quiet", &name])?);
            let below = format!("refs/remotes/{remote}/");
            if let Some(branch) = found.strip_prefix(&below) {
                return Ok(branch.to_owned());
            }
        }
        Ok("main".to_owned())
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// Git could not be started.
pub fn no_git(error: std::io::Error) -> CommandError {
    CommandError::unknown(format!("cannot run git: {error}")).hint("install git 2.39.5 or newer")
}
