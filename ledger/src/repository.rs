//! The repository of a ledger: made, opened, configured.
//!
//! **Invariants**: bare, `files` refs, one hash; its configuration is written again at every start,
//! so that a node directory can be moved.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gdo_core::id::ObjectId;

use crate::error::LedgerError;
use crate::git;
use crate::sync;

/// The hash of a repository's objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectFormat {
    /// For ledgers that must mirror to hosts without SHA-256.
    Sha1,
    /// What new ledgers use (P-1).
    Sha256,
}

impl ObjectFormat {
    /// The name that git has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// The length of an id in bytes.
    #[must_use]
    pub fn id_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    pub(crate) fn to_gix(self) -> gix::hash::Kind {
        match self {
            Self::Sha1 => gix::hash::Kind::Sha1,
            Self::Sha256 => gix::hash::Kind::Sha256,
        }
    }
}

/// What a node writes into the configuration of its repository.
#[derive(Clone, Debug)]
pub struct ConfigInput {
    /// The folder of the hooks, absolute.
    pub hooks_path: PathBuf,
    /// The `allowed_signers` file that the roster is exported to, absolute (P-4).
    pub allowed_signers_path: PathBuf,
    /// The largest pack that a push may send, in bytes.
    pub max_input_bytes: u64,
}

/// The git repository that holds a ledger.
///
/// It may be shared between threads.
pub struct Ledger {
    dir: PathBuf,
    format: ObjectFormat,
    store: Arc<gix::odb::Store>,
    refs: gix::refs::file::Store,
    unsynced: Mutex<BTreeSet<ObjectId>>,
    flushing: Mutex<()>,
    packs_freshened: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Makes an empty bare repository at `dir`, which must not hold one yet.
    ///
    /// # Errors
    /// There is a repository already, git is missing or failed, or the disk did.
    pub fn create(dir: &Path, format: ObjectFormat) -> Result<Self, LedgerError> {
        if dir.join("HEAD").exists() {
            return Err(LedgerError::Exists {
                dir: dir.to_owned(),
            });
        }
        let hash = format!("--object-format={}", format.as_str());
        let mut args = vec!["init", "--quiet", "--bare", "-b", "main", &hash];
        if git::version()? >= (2, 45, 0) {
            args.push("--ref-format=files");
        }
        // No template: sample hooks are nobody's, and a template may bring its own configuration.
        args.push("--template=");
        let path = dir.to_str().ok_or_else(|| LedgerError::NotARepository {
            dir: dir.to_owned(),
            reason: "its path is not UTF-8".to_owned(),
        })?;
        args.push(path);
        git::run_bare(&args)?;
        Self::open(dir)
    }

    /// Opens the repository at `dir`.
    ///
    /// # Errors
    /// There is no bare repository, its refs are not `files`, or it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        Self::open_any(dir, true)
    }

    /// Opens the repository of anybody's clone to read the ledger in it: with or without a work
    /// tree, and nothing of it is touched. `dir` is its git directory (of linked work trees the
    /// common one).
    ///
    /// # Errors
    /// There is no repository, its refs are not `files`, or it cannot be read.
    pub fn open_clone(dir: &Path) -> Result<Self, LedgerError> {
        Self::open_any(dir, false)
    }

    fn open_any(dir: &Path, must_be_bare: bool) -> Result<Self, LedgerError> {
        let wrong = |reason: &str| LedgerError::NotARepository {
            dir: dir.to_owned(),
            reason: reason.to_owned(),
        };
        let dir = dir
            .canonicalize()
            .map_err(|error| wrong(&error.to_string()))?;
        for part in ["HEAD", "config", "objects", "refs"] {
            if !dir.join(part).exists() {
                return Err(wrong(&format!("{part} is missing")));
            }
        }
        let format = read_format(&dir, must_be_bare)?;
        let objects = dir.join("objects");
        let handle =
            gix::odb::at(&objects, format.to_gix()).map_err(LedgerError::io("open", &objects))?;
        let options = gix::refs::store::init::Options {
            write_reflog: gix::refs::store::WriteReflog::Always,
            ..Default::default()
        };
        let refs = gix::refs::file::Store::at_opts(dir.clone(), format.to_gix(), options);
        Ok(Self {
            dir,
            format,
            store: handle.store(),
            refs,
            unsynced: Mutex::default(),
            flushing: Mutex::default(),
            packs_freshened: Mutex::default(),
        })
    }

    /// The directory of the repository, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The hash of the repository's objects.
    #[must_use]
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// The tree without entries.
    #[must_use]
    pub fn empty_tree(&self) -> ObjectId {
        crate::ids::from_gix(&gix::ObjectId::empty_tree(self.format.to_gix()))
    }

    /// Writes the configuration that a ledger's repository has; running it again changes nothing.
    ///
    /// # Errors
    /// A path that is not UTF-8, or the disk fails.
    pub fn write_config(&self, input: &ConfigInput) -> Result<(), LedgerError> {
        let text = config_text(self.format, &self.seen_by_hooks(&input.hooks_path), input)?;
        let path = self.dir.join("config");
        if fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
            return Ok(());
        }
        let new = self.dir.join("config.new");
        let write = || {
            fs::write(&new, &text)?;
            File::open(&new)?.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(LedgerError::io("write", &path))?;
        sync::one(&self.dir)
    }

    /// A path as hooks see it, which git runs in the repository: what stands beside it is named
    /// relative to it, so that a push after a move still finds its hooks.
    fn seen_by_hooks(&self, path: &Path) -> PathBuf {
        let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
        match path.file_name() {
            Some(name) if parent.as_deref() == self.dir.parent() => Path::new("..").join(name),
            _ => path.to_owned(),
        }
    }

    pub(crate) fn handle(&self) -> gix::odb::Handle {
        self.store.to_cache()
    }

    pub(crate) fn refs(&self) -> &gix::refs::file::Store {
        &self.refs
    }

    /// Held while objects are synced: whoever comes next must not go on before they are.
    pub(crate) fn flushing(&self) -> MutexGuard<'_, ()> {
        self.flushing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the packs were last made young.
    pub(crate) fn packs_freshened(&self) -> MutexGuard<'_, Option<Instant>> {
        self.packs_freshened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects that this process wrote and has not synced yet.
    pub(crate) fn unsynced(&self) -> MutexGuard<'_, BTreeSet<ObjectId>> {
        // A set of ids is whole whatever its holder did when it panicked.
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads hash and ref format from the repository's own configuration, as git understands it.
fn read_format(dir: &Path, must_be_bare: bool) -> Result<ObjectFormat, LedgerError> {
    let listed = git::run(dir, &["config", "--local", "--list", "-z"])?;
    let value = |key: &str| {
        let last = listed.split('\0').rfind(|entry| {
            entry
                .strip_prefix(key)
                .is_some_and(|rest| rest.starts_with('\n') || rest.is_empty())
        });
        last.map(|entry| entry.get(key.len() + 1..).unwrap_or("true").to_owned())
    };
    if must_be_bare && value("core.bare").as_deref() != Some("true") {
        return Err(LedgerError::NotARepository {
            dir: dir.to_owned(),
            reason: "it has a work tree".to_owned(),
        });
    }
    match value("extensions.refstorage").as_deref() {
        None | Some("files") => {}
        Some(found) => {
            return Err(LedgerError::RefFormat {
                dir: dir.to_owned(),
                found: found.to_owned(),
            });
        }
    }
    match value("extensions.objectformat").as_deref() {
        None | Some("sha1") => Ok(ObjectFormat::Sha1),
        Some("sha256") => Ok(ObjectFormat::Sha256),
        Some(other) => Err(LedgerError::NotARepository {
            dir: dir.to_owned(),
            reason: format!("expected object format sha1 or sha256, got '{other}'"),
        }),
    }
}

/// The whole configuration file of a ledger's repository.
fn config_text(
    format: ObjectFormat,
    hooks: &Path,
    input: &ConfigInput,
) -> Result<String, LedgerError> {
    let hooks = quoted(hooks)?;
    let signers = quoted(&input.allowed_signers_path)?;
    let bytes = input.max_input_bytes;
    let (version, extension) = match format {
        ObjectFormat::Sha1 => (0, ""),
        ObjectFormat::Sha256 => (1, "[extensions]\n\tobjectFormat = sha256\n"),
    };
    Ok(format!(
        "# written by gdo at every start; changes are lost\n\
         [core]\n\
         \trepositoryformatversion = {version}\n\
         \tfilemode = true\n\
         \tbare = true\n\
         \thooksPath = {hooks}\n\
         \tlogAllRefUpdates = always\n\
         \tfsync = all\n\
         {extension}\
         [gc]\n\
         \tauto = 0\n\
         [receive]\n\
         \tadvertisePushOptions = true\n\
         \tadvertiseAtomic = true\n\
         \tprocReceiveRefs = refs/for\n\
         \tprocReceiveRefs = amd:refs/heads\n\
         \tprocReceiveRefs = amd:refs/tags\n\
         \thideRefs = refs/gdo\n\
         \tfsckObjects = true\n\
         \tmaxInputSize = {bytes}\n\
         \tunpackLimit = 1000\n\
         \tkeepAlive = 5\n\
         \tautogc = false\n\
         \tdenyDeletes = true\n\
         \tdenyNonFastForwards = true\n\
         [uploadpack]\n\
         \tallowFilter = true\n\
         [http]\n\
         \treceivepack = true\n\
         [gpg]\n\
         \tformat = ssh\n\
         [gpg \"ssh\"]\n\
         \tallowedSignersFile = {signers}\n"
    ))
}

/// A path as a quoted value of a git configuration file.
fn quoted(path: &Path) -> Result<String, LedgerError> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\0']));
    let text = text.ok_or_else(|| LedgerError::NotARepository {
        dir: path.to_owned(),
        reason: "its path is not UTF-8 on one line".to_owned(),
    })?;
    Ok(format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}
