//! Tries a dapp on two trees, with no daemon: what `gdo dapp run` and `gdo dapp test` share.
//!
//! Directories become trees in a temporary repository, and from there on everything is the daemon's
//! own path: the same projection, the same container, the same judgement.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gdo_core::checkpoint::LEDGER_FILE;
use gdo_core::context::{Context, ContextBlock, ContextMember};
use gdo_core::dapp::{DAPPS_DIR, Manifest, Uses};
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::id::{Digest, LedgerId, LedgerTime, MemberName, ObjectId, Weight};
use gdo_core::path::RepoPath;
use gdo_core::pointer::Pointer;
use gdo_core::policy::Lane;
use gdo_core::roster::{Kind, Status};
use gdo_core::verdict::VerdictKey;
use gdo_ledger::Ledger;
use gdo_node::config::Isolation;
use gdo_node::helper::Helper;
use gdo_node::judge::{Job, Judge, Judged, Layers};
use gdo_runtime::image::LayerSource;

use crate::error::CommandError;
use crate::scratch::Scratch;

/// The largest file of a case or an image.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Larger layers are read where they lie.
const LAYER_COPY_BYTES_MAX: u64 = 8 << 20;
/// Where the blobs of a layout lie.
const BLOBS_DIR: &str = "blobs/sha256";

/// A dapp with its image, ready to be tried.
#[derive(Debug)]
pub struct Dapp {
    /// Its manifest.
    pub manifest: Manifest,
    /// The digest of its image.
    pub image: Digest,
    /// The tree that holds the image in its place below `.gdo/`.
    pub tree: ObjectId,
}

/// What a dapp is tried on.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// The tree before.
    pub base: ObjectId,
    /// The tree after.
    pub candidate: ObjectId,
    /// Who makes the change.
    pub member: &'a MemberName,
    /// The ledger, if there is one.
    pub ledger: Option<LedgerId>,
}

/// A place to try dapps in.
#[derive(Debug)]
pub struct Trial {
    scratch: Scratch,
    judge: Judge,
    layers: Arc<TrialLayers>,
}

/// Layers in directories of this machine, where git-lfs may have put the bytes in the place of their
/// pointers, and wherever else there are some.
struct TrialLayers {
    layouts: Mutex<Vec<PathBuf>>,
    other: Layers,
}

impl std::fmt::Debug for TrialLayers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("TrialLayers").field(&self.layouts).finish()
    }
}

impl LayerSource for TrialLayers {
    fn open(&self, pointer: &Pointer) -> io::Result<Option<Box<dyn Read + '_>>> {
        let layouts = self.layouts.lock().expect("nobody panics while it is held");
        for layout in layouts.iter() {
            let file = layout.join(BLOBS_DIR).join(pointer.oid.to_string());
            let meta = fs::symlink_metadata(&file);
            if meta.is_ok_and(|meta| meta.is_file() && meta.len() == pointer.size) {
                return Ok(Some(Box::new(fs::File::open(file)?)));
            }
        }
        drop(layouts);
        self.other.open(pointer)
    }

    fn hint(&self) -> String {
        self.other.hint()
    }
}

impl Trial {
    /// A place that sees the objects of `over`, if there is one.
    ///
    /// # Errors
    /// The temporary directory cannot be written, or this machine cannot isolate validators.
    pub fn new(
        over: Option<&Ledger>,
        degraded: bool,
        layers: Layers,
    ) -> Result<Self, CommandError> {
        let scratch = Scratch::new(over)?;
        let isolation = if degraded {
            Isolation::Degraded
        } else {
            Isolation::Full
        };
        let ledger = Arc::clone(scratch.ledger());
        let judge = Judge::new(&scratch.node_dir()?, isolation, ledger, Helper::find()?)?;
        let layers = Arc::new(TrialLayers {
            layouts: Mutex::default(),
            other: layers,
        });
        let judge = judge.with_layers(Arc::clone(&layers) as Layers);
        Ok(Self {
            scratch,
            judge,
            layers,
        })
    }

    /// Where layers are found that are pointers.
    #[must_use]
    pub fn layers(&self) -> &dyn LayerSource {
        &*self.layers
    }

    /// The temporary repository.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        self.scratch.ledger()
    }

    /// The temporary directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Reads the dapp in a directory of this machine.
    ///
    /// # Errors
    /// The manifest or the image is missing or wrong.
    pub fn dapp_in(&self, dir: &Path) -> Result<Dapp, CommandError> {
        let manifest = manifest_in(dir)?;
        let layout = dir.join(manifest.validator.image.as_str());
        let index = layout.join("index.json");
        let text = fs::read(&index).map_err(|error| {
            CommandError::usage(format!(
                "the image of '{}' is not there: cannot read {}: {error}",
                manifest.name,
                index.display()
            ))
            .hint(format!(
                "make it, with {} if there is one",
                dir.join("image.sh").display()
            ))
        })?;
        let mut layouts = self.layers.layouts.lock();
        if let Ok(layouts) = &mut layouts {
            layouts.push(layout.clone());
        }
        drop(layouts);
        let tree = self.tree_of(&layout, Some(&manifest.image_dir()))?;
        Ok(Dapp {
            manifest,
            image: Digest::of(&text),
            tree,
        })
    }

    /// Writes a directory of this machine as a tree; `below` is where it stands in it.
    ///
    /// # Errors
    /// A file that a ledger could not hold, or that cannot be read.
    pub fn tree_of(&self, dir: &Path, below: Option<&str>) -> Result<ObjectId, CommandError> {
        let mut delta = Vec::new();
        self.collect(dir, below.unwrap_or_default(), &mut delta)?;
        delta.sort();
        let ledger = self.ledger();
        Ok(ledger.apply(&ledger.empty_tree(), &delta)?)
    }

    fn collect(
        &self,
        dir: &Path,
        below: &str,
        delta: &mut Vec<Operation>,
    ) -> Result<(), CommandError> {
        let cannot = |path: &Path, error: &dyn std::fmt::Display| {
            CommandError::usage(format!("cannot read {}: {error}", path.display()))
        };
        for entry in fs::read_dir(dir).map_err(|error| cannot(dir, &error))? {
            let path = entry.map_err(|error| cannot(dir, &error))?.path();
            let name = path.file_name().unwrap_or_default();
            if name == ".git" && below.is_empty() {
                continue;
            }
            let name = name
                .to_str()
                .ok_or_else(|| cannot(&path, &"its name is not UTF-8"))?;
            let inner = if below.is_empty() {
                name.to_owned()
            } else {
                format!("{below}/{name}")
            };
            let meta = fs::symlink_metadata(&path).map_err(|error| cannot(&path, &error))?;
            if meta.is_dir() {
                self.collect(&path, &inner, delta)?;
                continue;
            }
            let (mode, data) = if meta.is_symlink() {
                let target = fs::read_link(&path).map_err(|error| cannot(&path, &error))?;
                (Mode::Symlink, target.as_os_str().as_bytes().to_vec())
            } else if let Some(pointer) = large_layer(&path, &meta) {
                (Mode::File, pointer.to_text().into_bytes())
            } else if meta.is_file() && meta.len() <= FILE_BYTES_MAX {
                let data = fs::read(&path).map_err(|error| cannot(&path, &error))?;
                let runs = meta.permissions().mode() & 0o100 != 0;
                (if runs { Mode::Executable } else { Mode::File }, data)
            } else {
                return Err(cannot(&path, &"expected a file of at most 64 MiB"));
            };
            let inner: RepoPath = inner.parse().map_err(|error| cannot(&path, &error))?;
            let entry = Entry {
                mode,
                id: self.ledger().write_blob(&data)?,
            };
            delta.push(Operation {
                path: inner,
                old: None,
                new: Some(entry),
            });
        }
        Ok(())
    }

    /// Writes the input of a dapp; its verdict would be about that.
    ///
    /// # Errors
    /// The trees cannot be projected.
    pub fn input(
        &self,
        dapp: &Dapp,
        candidate: &Candidate<'_>,
    ) -> Result<VerdictKey, CommandError> {
        Ok(self.prepare(dapp, candidate)?.0)
    }

    /// Runs a dapp on a candidate; gives its verdict's key, too.
    ///
    /// # Errors
    /// The trees cannot be projected, or no container can be run.
    pub fn run(
        &self,
        dapp: &Dapp,
        candidate: &Candidate<'_>,
    ) -> Result<(VerdictKey, Judged), CommandError> {
        let (key, job) = self.prepare(dapp, candidate)?;
        let judged = self.judge.run(&job, key).map_err(|reason| {
            let name = &dapp.manifest.name;
            CommandError::unknown(format!("dapp '{name}' could not be run: {reason}"))
        })?;
        Ok((key, judged))
    }

    fn prepare(
        &self,
        dapp: &Dapp,
        candidate: &Candidate<'_>,
    ) -> Result<(VerdictKey, Job), CommandError> {
        let context = self.context(dapp, candidate)?;
        let reads = &dapp.manifest.validator.reads;
        let (base, after) = (candidate.base, candidate.candidate);
        let input = self
            .ledger()
            .input_tree(&base, &after, reads, &context.to_json())?;
        let dapp_digest = dapp.manifest.validator.digest(dapp.image);
        let job = Job {
            manifest: dapp.manifest.clone(),
            dapp_digest,
            image_tree: dapp.tree,
            base,
            candidate: after,
            context,
        };
        Ok((VerdictKey { dapp_digest, input }, job))
    }

    /// What the dapp is told: one block that makes the whole change.
    fn context(&self, dapp: &Dapp, candidate: &Candidate<'_>) -> Result<Context, CommandError> {
        let ledger = self.ledger();
        let validator = &dapp.manifest.validator;
        let delta = ledger.diff(&candidate.base, &candidate.candidate, usize::MAX)?;
        let operations: Vec<_> = delta
            .into_iter()
            .filter(|operation| validator.sees(&operation.path))
            .collect();
        // Trees of a ledger have rules, those of a test case often have none.
        let rules = ledger
            .read_text(&candidate.base, LEDGER_FILE, FILE_BYTES_MAX)
            .is_ok();
        let rules = if rules {
            Some(ledger.read_rules(&candidate.base)?)
        } else {
            None
        };
        let paths = operations.iter().map(|operation| &operation.path);
        let lane = rules
            .as_ref()
            .map_or(Lane::Cas, |rules| rules.policy.lane_of(paths));
        let known = rules
            .as_ref()
            .and_then(|rules| rules.roster.get(candidate.member));
        let member = known.map_or_else(
            || ContextMember {
                kind: Kind::Person,
                roles: Vec::new(),
                status: Status::Active,
                weight: Weight(1),
            },
            |member| ContextMember {
                kind: member.kind,
                roles: member.roles.clone(),
                status: member.status,
                weight: member.weight,
            },
        );
        let name = candidate.member.clone();
        let mut context = Context {
            version: 1,
            scope: validator.scope,
            ledger: candidate.ledger.unwrap_or(LedgerId(ledger.empty_tree())),
            time: validator
                .uses
                .contains(&Uses::Time)
                .then_some(LedgerTime(0)),
            blocks: Vec::new(),
            roster: std::collections::BTreeMap::new(),
        };
        if !operations.is_empty() {
            context.roster.insert(name.clone(), member);
            context.blocks.push(ContextBlock {
                member: name.clone(),
                principal: name,
                lane,
                proposal: None,
                operations,
            });
        }
        Ok(context)
    }
}

/// The pointer of a layer that is too large to be copied: its bytes are read where they lie.
fn large_layer(path: &Path, meta: &fs::Metadata) -> Option<Pointer> {
    let is_blob = path
        .parent()
        .is_some_and(|parent| parent.ends_with(BLOBS_DIR));
    let oid = path.file_name()?.to_str()?.parse().ok()?;
    let size = meta.len();
    (is_blob && meta.is_file() && size > LAYER_COPY_BYTES_MAX).then_some(Pointer { oid, size })
}

/// Reads the manifest in a dapp's directory.
///
/// # Errors
/// It is missing or wrong: the error names line and key.
pub fn manifest_in(dir: &Path) -> Result<Manifest, CommandError> {
    let file: PathBuf = dir.join("dapp.toml");
    let text = fs::read_to_string(&file).map_err(|error| {
        CommandError::usage(format!(
            "{} is no dapp: cannot read {}: {error}",
            dir.display(),
            file.display()
        ))
        .hint("make a dapp with 'gdo dapp new NAME'")
    })?;
    Manifest::parse(&file.display().to_string(), &text).map_err(CommandError::usage)
}

/// Reads a dapp of a ledger's tree.
///
/// # Errors
/// The tree has no such dapp, or its image is missing.
pub fn dapp_of(ledger: &Ledger, tree: ObjectId, name: &str) -> Result<Dapp, CommandError> {
    let rules = ledger.read_rules(&tree)?;
    let found = rules.dapps.iter().find(|(known, _)| known.as_str() == name);
    let (_, dapp) = found.ok_or_else(|| {
        let names: Vec<&str> = rules
            .dapps
            .keys()
            .map(gdo_core::id::DappName::as_str)
            .collect();
        CommandError::usage(format!(
            "'{name}' is neither a directory nor a dapp of the ledger"
        ))
        .hint(format!("its dapps are: {}", names.join(", ")))
    })?;
    let image = dapp.image.ok_or_else(|| {
        CommandError::usage(format!("{DAPPS_DIR}/{name} has no image in the ledger"))
    })?;
    Ok(Dapp {
        manifest: dapp.manifest.clone(),
        image,
        tree,
    })
}
