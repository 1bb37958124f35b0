//! The work tree of a member's clone, where images are put and taken away.
//!
//! What is proposed is a commit that the member's own git makes and signs; layers go ahead of it
//! with the member's own git-lfs. Pointers stand in the work tree as such and their objects in the
//! directory of git-lfs: to git both are clean, with and without git-lfs.
//!
//! **Invariants**: only the folders that are named are committed, whatever else is staged.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use gdo_core::id::ObjectId;
use gdo_core::path::RepoPath;
use gdo_core::pointer::Pointer;
use gdo_runtime::image::ObjectDir;

use crate::clone::{GitClone, no_git};
use crate::command::note::{SIGNING_HINT, refusal};
use crate::error::CommandError;
use crate::place::{self, Place};

/// Pointers are written as such, so there is nothing to filter; git-lfs may be missing.
const UNFILTERED: [&str; 6] = [
    "-c",
    "filter.lfs.process=",
    "-c",
    "filter.lfs.clean=cat",
    "-c",
    "filter.lfs.required=false",
];

/// What happens after the work tree was changed.
#[derive(Args, Debug, Clone, Copy)]
pub(super) struct Ending {
    /// Commit, and propose it later with: git push origin HEAD:refs/for/main
    #[arg(long, visible_alias = "no-propose")]
    no_push: bool,
}

/// What came of a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The commit; `None` if there was nothing to change.
    pub(super) commit: Option<ObjectId>,
    /// Whether it was pushed and taken as a proposal.
    pub(super) proposed: bool,
    /// Why the proposal was refused.
    pub(super) reason: Option<String>,
}

/// A clone with its work tree.
pub(super) struct Desk {
    pub(super) clone: GitClone,
    pub(super) root: PathBuf,
    pub(super) objects: ObjectDir,
}

impl Desk {
    /// Finds the clone to work in.
    pub(super) fn open(dir: Option<&Path>) -> Result<Self, CommandError> {
        let clone = match place::find(dir)? {
            Place::Clone(clone) => clone,
            Place::Node(_) => {
                let message = "images are changed in a clone, and this is a node directory";
                return Err(CommandError::usage(message)
                    .hint("make one with git clone; 'gdo status' shows the node's address"));
            }
        };
        let Some(root) = clone.work_tree()? else {
            return Err(CommandError::usage("the clone has no work tree")
                .hint("clone it without --bare and --mirror"));
        };
        let objects = ObjectDir::new(&clone.lfs_objects()?);
        Ok(Self {
            clone,
            root,
            objects,
        })
    }

    /// Whether what is committed could be pushed, before anything is done.
    pub(super) fn check(&self, ending: Ending) -> Result<(), CommandError> {
        if ending.no_push {
            return Ok(());
        }
        if self.clone.remote().is_none() {
            return Err(CommandError::usage("the clone has no remote to propose to")
                .hint("git remote add origin URL, or --no-push"));
        }
        let found = self
            .clone
            .git()
            .args(["lfs", "version"])
            .stderr(Stdio::null())
            .output();
        if found.map_err(no_git)?.status.success() {
            return Ok(());
        }
        Err(
            CommandError::usage("git-lfs is not installed, and it is what pushes layers")
                .hint("apt-get install git-lfs; or commit alone, with --no-push"),
        )
    }

    /// A temporary directory on the disk of the clone, outside of the work tree.
    pub(super) fn scratch(&self) -> Result<tempfile::TempDir, CommandError> {
        let common = self.clone.common();
        Ok(tempfile::Builder::new()
            .prefix("gdo-image-")
            .tempdir_in(common)?)
    }

    /// Puts a directory into the work tree, in the place of what is there.
    pub(super) fn put(
        &self,
        made: &Path,
        folder: &RepoPath,
        scratch: &Path,
    ) -> Result<(), CommandError> {
        let home = self.root.join(folder.as_str());
        let named = |path: &Path, error: std::io::Error| {
            CommandError::unknown(format!("cannot write {}: {error}", path.display()))
        };
        let parent = home.parent().expect("a folder of the tree has a parent");
        std::fs::create_dir_all(parent).map_err(|error| named(parent, error))?;
        if home.exists() {
            std::fs::rename(&home, scratch.join("before")).map_err(|error| named(&home, error))?;
        }
        std::fs::rename(made, &home).map_err(|error| named(&home, error))
    }

    /// Commits what stands in `folders` now, and proposes it with the objects of `layers`.
    pub(super) fn finish(
        &self,
        folders: &[&str],
        message: &str,
        layers: &[Pointer],
        ending: Ending,
    ) -> Result<Outcome, CommandError> {
        let mut outcome = Outcome {
            commit: self.commit(folders, message)?,
            ..Outcome::default()
        };
        if ending.no_push || outcome.commit.is_none() {
            return Ok(outcome);
        }
        self.push_layers(layers)?;
        outcome.reason = self.propose()?;
        outcome.proposed = outcome.reason.is_none();
        Ok(outcome)
    }

    fn commit(&self, folders: &[&str], message: &str) -> Result<Option<ObjectId>, CommandError> {
        let mut add = self.at_root(&UNFILTERED);
        run(
            add.args(["add", "--all", "--"]).args(folders),
            "stage the image",
        )?;
        let mut diff = self.at_root(&["diff", "--cached", "--quiet", "HEAD", "--"]);
        let same = diff.args(folders).status().map_err(no_git)?;
        if same.success() {
            return Ok(None);
        }
        let mut commit = self.at_root(&UNFILTERED);
        commit.args(["commit", "--quiet", "-S", "-m", message, "--"]);
        run(commit.args(folders), "make the signed commit")
            .map_err(|error| error.hint(SIGNING_HINT))?;
        let head = self
            .at_root(&["rev-parse", "HEAD"])
            .output()
            .map_err(no_git)?;
        let head = String::from_utf8_lossy(&head.stdout).trim().parse();
        Ok(Some(head.map_err(CommandError::unknown)?))
    }

    /// Pushes objects with git-lfs: ahead of the commit, since a node takes no pointer to nothing,
    /// and by name, since its hook may not be set up in this clone.
    fn push_layers(&self, layers: &[Pointer]) -> Result<(), CommandError> {
        let here: Vec<String> = layers
            .iter()
            .filter(|layer| self.objects.contains(layer))
            .map(|layer| layer.oid.to_string())
            .collect();
        if here.is_empty() {
            return Ok(());
        }
        let mut push = self.at_root(&["lfs", "push", "--object-id", self.remote()]);
        // What it prints is talk; standard output is for data.
        push.args(&here).stdout(Stdio::null());
        run(&mut push, "push the layers").map_err(|error| {
            error.hint("the image is committed: try again with 'git lfs push' and 'git push'")
        })
    }

    fn propose(&self) -> Result<Option<String>, CommandError> {
        let output = self
            .at_root(&["push", "--porcelain", self.remote()])
            .arg(format!("HEAD:refs/for/{}", self.clone.branch()))
            .stderr(Stdio::inherit())
            .output()
            .map_err(no_git)?;
        refusal(&output, "proposal")
    }

    fn remote(&self) -> &str {
        self.clone.remote().unwrap_or("origin")
    }

    /// The member's git, run at the root of the work tree.
    pub(super) fn at_root<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.root)
            .stdin(Stdio::null())
            .args(args);
        command
    }
}

impl Outcome {
    /// The end of a command: refused is no.
    pub(super) fn end(self) -> Result<std::process::ExitCode, CommandError> {
        match self.reason {
            None => Ok(std::process::ExitCode::SUCCESS),
            Some(reason) => Err(CommandError::no(format!(
                "the proposal was refused: {reason}"
            ))),
        }
    }

    /// What happened, for people.
    pub(super) fn told(&self) -> String {
        match (&self.commit, self.proposed) {
            (None, _) => "unchanged: this is what the ledger has".to_owned(),
            (Some(commit), true) => format!("proposed  {commit}"),
            (Some(commit), false) => format!("committed {commit}"),
        }
    }
}

fn run(command: &mut Command, what: &str) -> Result<(), CommandError> {
    let status = command.status().map_err(no_git)?;
    if status.success() {
        return Ok(());
    }
    Err(CommandError::unknown(format!(
        "git could not {what} ({status})"
    )))
}
