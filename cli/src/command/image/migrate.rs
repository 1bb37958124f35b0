//! `gdo image migrate`: from layers in the tree to pointers.
//!
//! A ledger from before there was a store has its layers as plain files. Each becomes an object of
//! the same bytes and a pointer in its place, in one commit; manifests and indexes stay as they are,
//! and with them the digests that name dapps. What is in the history stays there, too.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use gdo_core::id::{Digest, ObjectId};
use gdo_core::path::RepoPath;
use gdo_core::pointer::Pointer;
use gdo_ledger::{Ledger, Standing};
use gdo_runtime::image::import::{ATTRIBUTES_FILE, attributes};
use serde::Serialize;

use super::desk::{Desk, Ending};
use super::shelf;
use crate::clone::no_git;
use crate::error::CommandError;
use crate::output;
use crate::progress::Bytes;

/// Larger files are in no ledger.
const LAYER_BYTES_MAX: u64 = 1 << 30;

/// What to do with the commit.
#[derive(Args, Debug)]
pub struct Migrate {
    #[command(flatten)]
    ending: Ending,
}

#[derive(Serialize)]
struct Migrated {
    images: Vec<String>,
    layers: Vec<Pointer>,
    commit: Option<ObjectId>,
    proposed: bool,
    reason: Option<String>,
}

/// An image whose layers, some of them at least, stand in the tree.
struct Plain {
    folder: RepoPath,
    /// All its layers.
    all: BTreeSet<Pointer>,
    /// Those that stand in the tree, with their blobs.
    plain: Vec<(Pointer, ObjectId)>,
}

impl Migrate {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let desk = Desk::open(dir)?;
        desk.check(self.ending)?;
        let ledger = desk.clone.open()?;
        let tree = head_tree(&desk)?;
        let images = plain_images(&ledger, &tree)?;
        let layers = store(&desk, &ledger, &images)?;
        for image in &images {
            let home = desk.root.join(image.folder.as_str());
            for (pointer, _) in &image.plain {
                let file = home.join(format!("blobs/sha256/{}", pointer.oid));
                std::fs::write(file, pointer.to_text())?;
            }
            std::fs::write(home.join(ATTRIBUTES_FILE), attributes(&image.all))?;
        }
        let folders: Vec<&str> = images.iter().map(|image| image.folder.as_str()).collect();
        let outcome = if folders.is_empty() {
            super::desk::Outcome::default()
        } else {
            let message = format!(
                "Turn the layers of images into pointers\n\n{}\n",
                folders.join("\n")
            );
            desk.finish(&folders, &message, &layers, self.ending)?
        };
        if json {
            output::json(&Migrated {
                images: folders.iter().map(|folder| (*folder).to_owned()).collect(),
                layers,
                commit: outcome.commit,
                proposed: outcome.proposed,
                reason: outcome.reason.clone(),
            })?;
        } else {
            for folder in &folders {
                output::line(&format!("image     {folder}"))?;
            }
            output::line(&outcome.told())?;
        }
        outcome.end().map_err(|refused| {
            refused.hint(
                "a policy dapp from before pointers refuses this: propose the one that comes with this gdo first",
            )
        })
    }
}

fn head_tree(desk: &Desk) -> Result<ObjectId, CommandError> {
    let found = desk
        .at_root(&["rev-parse", "HEAD^{tree}"])
        .output()
        .map_err(no_git)?;
    String::from_utf8_lossy(&found.stdout)
        .trim()
        .parse()
        .map_err(|_| CommandError::usage("the clone has no commit that is checked out"))
}

fn plain_images(ledger: &Ledger, tree: &ObjectId) -> Result<Vec<Plain>, CommandError> {
    let mut images = Vec::new();
    for folder in shelf::folders(ledger, tree)? {
        let image = shelf::description(ledger, tree, &folder).map_err(CommandError::no)?;
        let mut found = Plain {
            folder: folder.clone(),
            all: BTreeSet::new(),
            plain: Vec::new(),
        };
        for layer in image.variants.iter().flat_map(|variant| &variant.layers) {
            let hex = layer
                .digest
                .strip_prefix("sha256:")
                .unwrap_or(&layer.digest);
            let oid: Digest = hex.parse().map_err(CommandError::no)?;
            let size = layer.size;
            let pointer = Pointer { oid, size };
            if !found.all.insert(pointer) {
                continue;
            }
            let path: RepoPath = format!("{folder}/blobs/sha256/{oid}")
                .parse()
                .map_err(CommandError::unknown)?;
            let Standing::File(entry) = ledger.entry(tree, &path)? else {
                let message = format!("{path} is missing, and the image needs it");
                return Err(CommandError::no(message));
            };
            let blob_bytes = ledger.blob_bytes(&entry.id)?;
            let is_pointer = blob_bytes == pointer.to_text().len() as u64
                && ledger.read_blob(&entry.id, blob_bytes)? == pointer.to_text().as_bytes();
            if !is_pointer {
                found.plain.push((pointer, entry.id));
            }
        }
        if !found.plain.is_empty() {
            images.push(found);
        }
    }
    Ok(images)
}

/// Makes objects of all layers; gives their pointers.
fn store(desk: &Desk, ledger: &Ledger, images: &[Plain]) -> Result<Vec<Pointer>, CommandError> {
    let plain = || images.iter().flat_map(|image| &image.plain);
    let total = plain().map(|(pointer, _)| pointer.size).sum();
    let mut bar = Bytes::new("storing");
    let mut done = 0;
    let mut layers = BTreeSet::new();
    for (pointer, blob) in plain() {
        let bytes = ledger.read_blob(blob, LAYER_BYTES_MAX)?;
        let stored = desk.objects.store(&mut bytes.as_slice());
        let stored = stored.map_err(super::import::failed)?;
        if stored != *pointer {
            let message = format!("a layer holds {stored}, expected {pointer}");
            return Err(CommandError::no(message));
        }
        layers.insert(stored);
        done += stored.size;
        bar.tell(done, total);
    }
    Ok(layers.into_iter().collect())
}
