//! A node directory as the hooks see it: a bare repository configured as a ledger, the installed
//! scripts and the place of the socket.

use std::fs;
use std::path::{Path, PathBuf};

use gdo_hooks::install::{HookPaths, install};
use tempfile::TempDir;

use crate::client::{Clone, git, run};

/// The program that the hooks start.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_gdo-hooks-test");

/// A node directory and room for clones; deleted at the end.
pub(crate) struct Node {
    temp: TempDir,
    pub(crate) dir: PathBuf,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::under("")
    }

    /// A node directory at a path below the temporary one.
    pub(crate) fn under(below: &str) -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let dir = temp.path().join(below).join("node");
        fs::create_dir_all(dir.join("run")).expect("a new directory");
        let node = Self { temp, dir };
        node.init();
        node
    }

    fn init(&self) {
        run(
            &self.dir,
            &[
                "init",
                "-q",
                "--bare",
                "-b",
                "main",
                "--object-format=sha256",
                "ledger.git",
            ],
        );
        for (name, value) in [
            ("receive.advertisePushOptions", "true"),
            ("receive.advertiseAtomic", "true"),
            ("receive.procReceiveRefs", "refs/for"),
            ("receive.procReceiveRefs", "amd:refs/heads"),
            ("receive.procReceiveRefs", "amd:refs/tags"),
            ("receive.hideRefs", "refs/gdo"),
            ("receive.fsckObjects", "true"),
            ("receive.maxInputSize", "1m"),
            ("receive.keepAlive", "5"),
            ("receive.autogc", "false"),
            ("receive.denyDeletes", "true"),
            ("receive.denyNonFastForwards", "true"),
            ("core.hooksPath", "../hooks"),
            ("gc.auto", "0"),
            ("http.receivepack", "true"),
        ] {
            run(&self.ledger(), &["config", "--add", name, value]);
        }
        install(&HookPaths {
            hooks_dir: self.dir.join("hooks"),
            helper: PathBuf::from(PROGRAM),
            socket: self.socket(),
            node_dir: self.dir.clone(),
        })
        .expect("the directory is ours");
        let tree = run(&self.ledger(), &["mktree"]);
        let genesis = run(&self.ledger(), &["commit-tree", "-m", "genesis", &tree]);
        run(&self.ledger(), &["update-ref", "refs/heads/main", &genesis]);
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.dir.join("ledger.git")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("run/hook.sock")
    }

    pub(crate) fn temp(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn clone(&self, name: &str) -> Clone {
        Clone::of(
            &self.ledger().to_string_lossy(),
            self.temp.path().join(name),
        )
    }

    /// The id that a reference of the ledger holds.
    pub(crate) fn reference(&self, name: &str) -> Option<String> {
        let output = git(&self.ledger())
            .args(["rev-parse", "--verify", "-q", name])
            .output()
            .expect("git must be installed");
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(id)
    }

    /// All references of the ledger.
    pub(crate) fn references(&self) -> String {
        run(
            &self.ledger(),
            &["for-each-ref", "--format=%(refname) %(objectname)"],
        )
    }
}
