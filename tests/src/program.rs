//! Where the program under test lies, and the environment that it and git run in.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::seen::Seen;

/// The `gdo` under test: `GDO_BIN`, else the one that was built beside this test.
///
/// # Panics
/// There is none.
#[must_use]
pub fn gdo() -> PathBuf {
    if let Some(binary) = std::env::var_os("GDO_BIN") {
        return PathBuf::from(binary);
    }
    let binary = profile_dir().join("gdo");
    assert!(
        binary.is_file(),
        "{} is missing; build it with 'cargo build -p gdo', or set GDO_BIN",
        binary.display()
    );
    binary
}

/// The folder with the dapps and templates: `GDO_SHARE`, else `share/gdo` in the target directory.
///
/// # Panics
/// There is none.
#[must_use]
pub fn share() -> PathBuf {
    if let Some(share) = std::env::var_os("GDO_SHARE") {
        return PathBuf::from(share);
    }
    let target = profile_dir();
    let share = target.parent().unwrap_or(&target).join("share/gdo");
    assert!(
        share.join("dapps").is_dir(),
        "{0} is missing; build it with 'dapps/build.sh {0}', or set GDO_SHARE",
        share.display()
    );
    share
}

/// `target/<profile>`: this test is `target/<profile>/deps/<name>-<hash>`.
fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("the system tells which program runs");
    let dir = test.ancestors().nth(2).map(Path::to_owned);
    dir.expect("a test lies in target/<profile>/deps")
}

/// Bytes that do not compress, the same every time.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// The environment of one person's commands: nothing of the machine's user gets in.
#[derive(Clone, Debug)]
pub struct Environment {
    home: PathBuf,
}

impl Environment {
    /// An environment with a new home directory, and git set up to sign with SSH keys.
    ///
    /// # Panics
    /// The directory cannot be made.
    #[must_use]
    pub fn new(home: PathBuf) -> Self {
        std::fs::create_dir(&home).expect("a new directory");
        let config = "[gpg]\n\tformat = ssh\n[commit]\n\tgpgsign = true\n\
                      [advice]\n\tdetachedHead = false\n";
        std::fs::write(home.join("gitconfig"), config).expect("the directory is ours");
        Self { home }
    }

    /// The home directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A command in this environment.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["GIT_", "GDO_", "SSH_"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        command
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.home.join("gitconfig"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GDO_SHARE", share())
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// `gdo` with arguments.
    #[must_use]
    pub fn gdo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(gdo());
        command.args(arguments);
        command
    }

    /// `git` with arguments, in a directory.
    #[must_use]
    pub fn git(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command("git");
        command.current_dir(directory).args(arguments);
        command
    }

    /// Makes an SSH key in the home directory; gives the public half.
    ///
    /// # Panics
    /// ssh-keygen is missing or fails.
    #[must_use]
    pub fn make_key(&self, name: &str) -> PathBuf {
        let key = self.home.join(name);
        let mut command = self.command("ssh-keygen");
        command
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&key);
        let _ = Seen::of(&mut command).accepted();
        key.with_extension("pub")
    }
}
