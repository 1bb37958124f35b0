//! A world of its own for each test: a home, git's configuration, and the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a program said and how it ended.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().expect("no signal ended it"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Expects an exit code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.out, self.err
        );
        self
    }

    /// Expects a text on standard error.
    #[track_caller]
    pub fn talks(self, text: &str) -> Self {
        assert!(
            self.err.contains(text),
            "expected '{text}' in:\n{}",
            self.err
        );
        self
    }

    /// Expects a text on standard output.
    #[track_caller]
    pub fn tells(self, text: &str) -> Self {
        assert!(
            self.out.contains(text),
            "expected '{text}' in:\n{}",
            self.out
        );
        self
    }
}

/// A directory with a home in it, in which commands run.
pub struct World {
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        fs::create_dir(dir.path().join("home")).expect("a home can be made");
        Self { dir }
    }

    pub fn path(&self, inner: &str) -> PathBuf {
        self.dir.path().join(inner)
    }

    pub fn write(&self, inner: &str, text: &str) {
        let path = self.path(inner);
        let parent = path.parent().expect("the path has a parent");
        fs::create_dir_all(parent).expect("directories can be made");
        fs::write(path, text).expect("files can be written");
    }

    /// A program in this world.
    pub fn program(&self, program: &str, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_remove("GDO_DIR")
            .env_remove("GDO_SHARE")
            .env("HOME", self.path("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.path("home/.gitconfig"))
            .env("GDO_SHARE", self.path("share"))
            .current_dir(dir);
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "XDG_CONFIG_HOME",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// Runs gdo in a directory of this world.
    pub fn gdo(&self, dir: &str, args: &[&str]) -> Said {
        let mut command = self.program(env!("CARGO_BIN_EXE_gdo"), &self.path(dir));
        Said::of(&command.args(args).output().expect("gdo starts"))
    }

    /// Runs another program, which must succeed.
    #[track_caller]
    pub fn run(&self, dir: &str, program: &str, args: &[&str]) -> Said {
        let output = self
            .program(program, &self.path(dir))
            .args(args)
            .output()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}; is it installed?"));
        Said::of(&output).ends(0)
    }

    /// A dapp of the template of a language, with its image made.
    pub fn dapp(&self, name: &str, lang: &str) {
        self.gdo("", &["dapp", "new", name, "--lang", lang]).ends(0);
        self.run(name, "./image.sh", &[]);
    }

    /// A new key in `keys/`.
    pub fn key(&self, name: &str) {
        fs::create_dir_all(self.path("keys")).expect("directories can be made");
        let file = format!("keys/{name}");
        let args = ["-q", "-t", "ed25519", "-N", "", "-f", &file, "-C", name];
        self.run("", "ssh-keygen", &args);
    }

    /// A ledger in `node`: template blank, with a shell dapp in place of the shipped one.
    pub fn ledger(&self) {
        self.dapp("policy", "shell");
        let dapps = self.path("share/dapps");
        fs::create_dir_all(&dapps).expect("directories can be made");
        fs::rename(self.path("policy"), dapps.join("policy")).expect("the dapp can be moved");
        for extra in [
            "cases",
            "README.md",
            "image.sh",
            "oci-layout.sh",
            "validate.sh",
            ".gitignore",
        ] {
            let path = dapps.join("policy").join(extra);
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.expect("files can be removed");
        }
        // What the shipped dapp reads, so that the rules are sound.
        let manifest = dapps.join("policy/dapp.toml");
        let text = fs::read_to_string(&manifest).expect("the manifest is there");
        let text = text.replace("\"policy/**\"", "\".gdo/**\"");
        fs::write(&manifest, text).expect("files can be written");
        let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/../dapps/templates");
        let share = self.path("share");
        let share = share.to_str().expect("temporary paths are UTF-8");
        self.run("", "cp", &["-R", templates, share]);
        self.key("alice");
        self.gdo(
            "",
            &[
                "init",
                "node",
                "--member",
                "alice",
                "--key",
                "keys/alice.pub",
                "--name",
                "makers",
                "--listen",
                "127.0.0.1:0",
            ],
        )
        .ends(0);
    }
}
