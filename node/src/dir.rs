//! The node directory: what lies where, which version of the layout it has, and who holds it.
//!
//! The directory may be moved: nothing in it names its own path for good. What must (hook scripts,
//! the repository's configuration) is written again at every start.
//!
//! **Invariants**: one daemon at a time holds `run/lock`; a layout newer than this program's is
//! never touched.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gdo_core::key::NodeKey;

use crate::error::NodeError;
use crate::fault;

/// The version of the layout that this program writes.
pub const FORMAT: u64 = 1;

/// A node directory.
#[derive(Clone, Debug)]
pub struct NodeDir {
    root: PathBuf,
}

impl NodeDir {
    /// Names a directory without looking at it.
    ///
    /// # Errors
    /// The working directory cannot be told, where `root` is relative.
    pub fn at(root: impl AsRef<Path>) -> Result<Self, NodeError> {
        let root = std::path::absolute(root.as_ref())
            .map_err(|source| NodeError::io("find", root.as_ref(), source))?;
        Ok(Self { root })
    }

    /// Finds the node directory that holds `start`, going upwards.
    #[must_use]
    pub fn find(start: &Path) -> Option<Self> {
        let start = std::path::absolute(start).ok()?;
        let root = start
            .ancestors()
            .find(|dir| dir.join("format").is_file() && dir.join("ledger.git").is_dir())?;
        Some(Self {
            root: root.to_owned(),
        })
    }

    /// Opens an existing node directory and checks the version of its layout.
    ///
    /// # Errors
    /// It is none, or was written by a newer version.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, NodeError> {
        let dir = Self::at(root)?;
        let file = dir.root.join("format");
        let text = fs::read_to_string(&file).map_err(|_| NodeError::NotANode {
            dir: dir.root.clone(),
        })?;
        match text.trim().parse::<u64>() {
            Ok(FORMAT) => Ok(dir),
            Ok(version) if version > FORMAT => Err(NodeError::NewerFormat {
                dir: dir.root,
                version,
                known: FORMAT,
            }),
            _ => Err(NodeError::NotANode { dir: dir.root }),
        }
    }

    /// Makes the folders of a new node.
    ///
    /// # Errors
    /// The directory holds something already, or cannot be written.
    pub fn create(root: impl AsRef<Path>) -> Result<Self, NodeError> {
        let dir = Self::at(root)?;
        let taken = fs::read_dir(&dir.root).is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            return Err(NodeError::NotEmpty { dir: dir.root });
        }
        for folder in [
            dir.root.clone(),
            dir.hooks(),
            dir.wal(),
            dir.run(),
            dir.cache(),
        ] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&folder)
                .map_err(|source| NodeError::io("create", &folder, source))?;
        }
        Ok(dir)
    }

    /// Marks a new node as complete; before this, nothing opens it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn seal(&self) -> Result<(), NodeError> {
        write_durably(
            &self.root.join("format"),
            format!("{FORMAT}\n").as_bytes(),
            0o644,
        )
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The bare repository.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger.git")
    }

    /// The hook scripts that git runs.
    #[must_use]
    pub fn hooks(&self) -> PathBuf {
        self.root.join("hooks")
    }

    /// The write-ahead logs.
    #[must_use]
    pub fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }

    /// Sockets and locks.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// What can be deleted.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// The chunk store; it may not be there yet.
    #[must_use]
    pub fn chunks(&self) -> PathBuf {
        self.root.join("chunks")
    }

    /// The records of images that were pushed and not proposed.
    #[must_use]
    pub fn staged_images(&self) -> PathBuf {
        self.root.join("staged").join("images")
    }

    /// What the operator has pinned.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.root.join("staged").join("pins")
    }

    /// The socket of the control API.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// The socket that hooks speak to.
    #[must_use]
    pub fn hook_socket(&self) -> PathBuf {
        self.run().join("hook.sock")
    }

    /// The keys of all members, for stock git.
    #[must_use]
    pub fn allowed_signers(&self) -> PathBuf {
        self.root.join("allowed_signers")
    }

    /// This machine's configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.root.join("node.toml")
    }

    /// The node's private key.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.root.join("key")
    }

    /// Reads the node's private key.
    ///
    /// # Errors
    /// It is missing, or no OpenSSH ed25519 key.
    pub fn read_key(&self) -> Result<NodeKey, NodeError> {
        let file = self.key_file();
        let text =
            fs::read_to_string(&file).map_err(|source| NodeError::io("read", &file, source))?;
        NodeKey::from_openssh(&text).map_err(|source| NodeError::File {
            file,
            message: source.to_string(),
        })
    }

    /// Takes the directory for this process; released when the file is dropped or the process ends.
    ///
    /// # Errors
    /// Another process holds it.
    pub fn lock(&self) -> Result<File, NodeError> {
        let mut file = self.lock_file()?;
        let path = self.run().join("lock");
        let deadline = Instant::now() + ORPHAN_WAIT;
        while file.try_lock().is_err() {
            // A daemon that is killed while it starts another program leaves the lock to that one,
            // for the moment until it has become its program.
            if !is_named_holder_gone(&path) || Instant::now() >= deadline {
                return Err(NodeError::Locked {
                    dir: self.root.clone(),
                });
            }
            std::thread::park_timeout(ORPHAN_POLL);
        }
        file.set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(|source| NodeError::io("write", &path, source))?;
        Ok(file)
    }

    /// The process that holds the directory, if one does.
    ///
    /// # Errors
    /// The lock cannot be read.
    pub fn holder(&self) -> Result<Option<i32>, NodeError> {
        let path = self.run().join("lock");
        if self.lock_file()?.try_lock().is_ok() {
            return Ok(None);
        }
        let text =
            fs::read_to_string(&path).map_err(|source| NodeError::io("read", &path, source))?;
        Ok(text.trim().parse().ok())
    }

    /// Waits until no process holds the directory.
    ///
    /// # Errors
    /// The lock cannot be waited for.
    pub fn wait_until_free(&self) -> Result<(), NodeError> {
        let path = self.run().join("lock");
        self.lock_file()?
            .lock()
            .map_err(|source| NodeError::io("wait for", &path, source))
    }

    fn lock_file(&self) -> Result<File, NodeError> {
        let path = self.run().join("lock");
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| NodeError::io("open", &path, source))
    }
}

/// How long a lock is waited for whose holder is dead.
const ORPHAN_WAIT: Duration = Duration::from_secs(5);
/// How often it is tried meanwhile.
const ORPHAN_POLL: Duration = Duration::from_millis(2);

/// Whether the process that the lock names does not exist any more.
fn is_named_holder_gone(lock: &Path) -> bool {
    let named = fs::read_to_string(lock).ok();
    let named = named.and_then(|text| text.trim().parse().ok());
    named.is_some_and(|pid| {
        let found = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None);
        found == Err(nix::errno::Errno::ESRCH)
    })
}

/// Writes a file so that it is whole or absent after a crash: temporary file, sync, rename, sync.
///
/// # Errors
/// Any of these steps fails; the old file is left as it was.
pub fn write_durably(path: &Path, content: &[u8], mode: u32) -> Result<(), NodeError> {
    let fail = |source| NodeError::io("write", path, source);
    let parent = path.parent().unwrap_or(Path::new("."));
    // One name: whoever holds the directory writes alone, and what a kill left is written over.
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .map_err(fail)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(fail)?;
    fault::point("file written");
    fs::rename(&temporary, path).map_err(fail)?;
    fault::point("file renamed");
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_node_only_once_it_is_sealed() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let root = temp.path().join("node");
        let dir = NodeDir::create(&root).expect("new");
        assert!(matches!(
            NodeDir::open(&root),
            Err(NodeError::NotANode { .. })
        ));
        dir.seal().expect("sealed");
        NodeDir::open(&root).expect("a node");
        assert!(matches!(
            NodeDir::create(&root),
            Err(NodeError::NotEmpty { .. })
        ));
    }

    #[test]
    fn a_newer_layout_is_refused_and_left_alone() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = NodeDir::create(temp.path().join("node")).expect("new");
        fs::write(dir.root().join("format"), "99\n").expect("written");
        let error = NodeDir::open(dir.root()).expect_err("newer").to_string();
        assert!(error.contains("99") && error.contains("upgrade"), "{error}");
    }

    /// A daemon that was killed while it started git could not be started again: for a moment git had
    /// its lock.
    #[test]
    fn a_lock_that_a_dead_daemon_left_to_its_child_is_waited_for() {
        use std::process::{Command, Stdio};
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = NodeDir::create(temp.path().join("node")).expect("new");
        let held = dir.lock().expect("free");
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(held) // which hands the lock over
            .spawn()
            .expect("cat is everywhere");
        let input = child.stdin.take().expect("it is piped");
        assert!(matches!(dir.lock(), Err(NodeError::Locked { .. })));
        let mut gone = Command::new("true").spawn().expect("true is everywhere");
        gone.wait().expect("it is our child");
        fs::write(dir.run().join("lock"), gone.id().to_string()).expect("written");
        let other = dir.clone();
        let waiting = std::thread::spawn(move || other.lock());
        drop(input);
        child.wait().expect("it is our child");
        let locked = waiting.join().expect("it does not panic");
        locked.expect("the lock is free once the child has ended");
    }

    #[test]
    fn two_processes_cannot_hold_one_directory() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = NodeDir::create(temp.path().join("node")).expect("new");
        let held = dir.lock().expect("free");
        assert!(matches!(dir.lock(), Err(NodeError::Locked { .. })));
        drop(held);
        dir.lock().expect("free again");
    }
}
