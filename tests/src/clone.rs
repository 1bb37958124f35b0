//! A member's clone, driven by stock git.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::program::Environment;
use crate::seen::Seen;

/// The place of proposals.
pub const PROPOSE: &str = "HEAD:refs/for/main";

/// A clone of the ledger.
#[derive(Clone, Debug)]
pub struct Clone {
    environment: Environment,
    path: PathBuf,
}

impl Clone {
    /// Clones `url` for the person whose public key is `key`.
    ///
    /// # Panics
    /// git cannot.
    #[must_use]
    #[track_caller]
    pub fn new(environment: &Environment, url: &str, path: PathBuf, key: &Path) -> Self {
        let mut command = environment.command("git");
        let _ = Seen::of(command.args(["clone", "-q", url]).arg(&path)).accepted();
        Self::at(environment, path, key)
    }

    /// Takes a clone that was made before, and signs with this key in it.
    ///
    /// # Panics
    /// git fails.
    #[must_use]
    #[track_caller]
    pub fn at(environment: &Environment, path: PathBuf, key: &Path) -> Self {
        let clone = Self {
            environment: environment.clone(),
            path,
        };
        clone.sign_with(key);
        clone
    }

    /// Signs with this key from now on.
    #[track_caller]
    pub fn sign_with(&self, key: &Path) {
        let name = key
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.run(&["config", "user.name", &name]);
        self.run(&["config", "user.email", &format!("{name}@example.org")]);
        self.run(&["config", "user.signingkey", &key.to_string_lossy()]);
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A git command in the clone, not run yet.
    #[must_use]
    pub fn git(&self, arguments: &[&str]) -> Command {
        self.environment.git(&self.path, arguments)
    }

    /// A gdo command in the clone, run to its end.
    #[must_use]
    pub fn gdo(&self, arguments: &[&str]) -> Seen {
        Seen::of(self.environment.gdo(arguments).current_dir(&self.path))
    }

    /// Runs git, which must succeed; gives what it printed, trimmed.
    ///
    /// # Panics
    /// git fails.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let seen = Seen::of(&mut self.git(arguments)).accepted();
        seen.text.trim().to_owned()
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.path.join(path);
        std::fs::create_dir_all(file.parent().expect("it lies in the clone"))
            .expect("the clone is ours");
        std::fs::write(file, content).expect("the clone is ours");
    }

    /// Reads a file.
    ///
    /// # Panics
    /// There is no such file of text.
    #[must_use]
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        let file = self.path.join(path);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Replaces a text that must be there in a file.
    ///
    /// # Panics
    /// It is not there.
    #[track_caller]
    pub fn replace(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "{path} has no '{old}':\n{text}");
        self.write(path, text.replace(old, new));
    }

    /// Commits whatever changed, signed; gives the id.
    #[track_caller]
    pub fn commit_all(&self, message: &str) -> String {
        self.run(&["add", "-A"]);
        self.run(&["commit", "-q", "--allow-empty", "-m", message]);
        self.tip()
    }

    /// Writes and commits files; gives the id.
    #[track_caller]
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            self.write(path, content);
        }
        self.commit_all(&format!("Write {}", files[0].0))
    }

    /// The commit that is checked out.
    #[must_use]
    #[track_caller]
    pub fn tip(&self) -> String {
        self.run(&["rev-parse", "HEAD"])
    }

    /// Pushes what is checked out as a proposal.
    #[must_use]
    pub fn propose(&self, options: &[&str]) -> Seen {
        Seen::of(&mut self.push_command(options))
    }

    /// The push of a proposal, not started yet.
    #[must_use]
    pub fn push_command(&self, options: &[&str]) -> Command {
        let mut command = self.git(&["push"]);
        for option in options {
            command.args(["-o", option]);
        }
        command.args(["origin", PROPOSE]);
        command
    }

    /// Starts the push of a proposal with its output piped.
    ///
    /// # Panics
    /// git is missing.
    #[must_use]
    pub fn start_push(&self, options: &[&str]) -> Child {
        let mut command = self.push_command(options);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("git must be installed")
    }

    /// Takes over what main became.
    #[track_caller]
    pub fn pull(&self) {
        self.run(&["pull", "-q", "--ff-only"]);
    }
}
