//! From an OCI image layout in the ledger's tree to a root file system that validators share.
//!
//! An image is untrusted input: whoever proposed it chose every byte. What is checked is `layout`'s
//! matter (every blob against its digest and size, from `index.json` down), what may be written
//! where is `unpack`'s. The result is kept under the digest of `index.json` (P-23), which covers
//! everything below it, so that an image is unpacked once per machine and never looked at again.
//!
//! **Invariants.** A directory `<cache>/rootfs/<digest>` is complete and was synced to disk before
//! it got that name: half an image could hold an empty script, and an empty script passes. It is
//! never written again.

pub mod describe;
pub mod export;
mod hashed;
pub mod import;
mod layout;
mod names;
mod objects;
mod packing;
mod tape;
mod unpack;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use gdo_core::id::Digest;
use serde::{Deserialize, Serialize};

use crate::error::ImageError;
use layout::Layout;
pub use objects::{LayerSource, NewObject, NoLayers, ObjectDir};

/// An image that is ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// sha256 of the layout's `index.json`: the image's name in P-23.
    pub digest: Digest,
    /// The unpacked root file system; to be mounted read-only, never to be written.
    pub rootfs: PathBuf,
    /// The image's entrypoint and arguments; empty when it has none.
    pub command: Vec<String>,
    /// The image's environment, `NAME=value` each.
    pub env: Vec<String>,
    /// The image's working directory, `/` when it has none.
    pub working_dir: String,
}

/// What an image may cost, in bytes and entries; beyond that it is refused.
#[derive(Debug, Clone, Copy)]
pub struct ImageCaps {
    /// Sum of the sizes of the unpacked files.
    pub unpacked_bytes_max: u64,
    /// Number of files, directories and links over all layers.
    pub entries_max: u64,
}

impl Default for ImageCaps {
    fn default() -> Self {
        ImageCaps {
            unpacked_bytes_max: 2 << 30,
            entries_max: 200_000,
        }
    }
}

/// The parts of an image's configuration that hold inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Settings {
    command: Vec<String>,
    env: Vec<String>,
    working_dir: String,
}

/// Prepared images below a directory that may be deleted at any time.
#[derive(Debug, Clone)]
pub struct ImageCache {
    root: PathBuf,
    caps: ImageCaps,
}

impl ImageCache {
    /// The cache `<cache>/rootfs`, made when the first image is prepared.
    #[must_use]
    pub fn new(cache: &Path) -> ImageCache {
        ImageCache {
            root: cache.join("rootfs"),
            caps: ImageCaps::default(),
        }
    }

    /// The same cache with other caps.
    #[must_use]
    pub fn with_caps(mut self, caps: ImageCaps) -> ImageCache {
        self.caps = caps;
        self
    }

    /// The digest of the image in the layout directory `layout`, without unpacking it.
    ///
    /// # Errors
    /// [`ImageError`] when the directory has no readable `index.json`.
    pub fn digest(layout: &Path) -> Result<Digest, ImageError> {
        Ok(Layout::open(layout, &NoLayers)?.digest())
    }

    /// Makes the image in the layout directory `layout` ready to run on this machine.
    ///
    /// # Errors
    /// [`ImageError::NoPlatform`] when the image has no variant for this machine, which is no fault
    /// of the image; every other [`ImageError`] names what is wrong with it or with the disk.
    pub fn prepare(&self, layout: &Path) -> Result<Image, ImageError> {
        self.prepare_from(layout, &NoLayers)
    }

    /// The same for an image whose layers stand in the layout as pointers.
    ///
    /// # Errors
    /// As [`ImageCache::prepare`]; [`ImageError::Missing`] names a layer that `layers` does not have.
    pub fn prepare_from(
        &self,
        layout: &Path,
        layers: &dyn LayerSource,
    ) -> Result<Image, ImageError> {
        let layout = Layout::open(layout, layers)?;
        let digest = layout.digest();
        let home = self.root.join(digest.to_string());
        if let Some(settings) = read_settings(&home)? {
            return image(digest, &home, settings);
        }
        fs::create_dir_all(&self.root).map_err(ImageError::io("make", &self.root))?;
        let half = self.root.join(unfinished_name());
        let made = self.make(&layout, &half).and_then(|settings| {
            publish(&half, &home)?;
            Ok(settings)
        });
        if made.is_err() {
            // The reason for the failure is worth more than a failure to clear up.
            let _ = fs::remove_dir_all(&half);
        }
        image(digest, &home, made?)
    }

    /// Removes what earlier processes began to unpack and did not finish.
    ///
    /// For the start of a node: nobody else may be preparing images in this cache meanwhile.
    ///
    /// # Errors
    /// [`ImageError::Io`] naming what could not be removed; a cache that is not there is fine.
    pub fn sweep(&self) -> Result<(), ImageError> {
        let entries = match fs::read_dir(&self.root) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(ImageError::io("list", &self.root))?,
        };
        for entry in entries {
            let path = entry.map_err(ImageError::io("list", &self.root))?.path();
            let name = path
                .file_name()
                .map(OsStr::as_encoded_bytes)
                .unwrap_or_default();
            if name.starts_with(UNFINISHED.as_bytes()) {
                fs::remove_dir_all(&path).map_err(ImageError::io("remove", path))?;
            }
        }
        Ok(())
    }

    fn make(&self, layout: &Layout<'_>, half: &Path) -> Result<Settings, ImageError> {
        let variant = layout.variant()?;
        let rootfs = half.join("rootfs");
        // Below a node's cache of mode 0700 it is only reached through the helper's bind.
        for directory in [half, rootfs.as_path()] {
            fs::DirBuilder::new()
                .mode(0o755)
                .create(directory)
                .and_then(|()| fs::set_permissions(directory, PermissionsExt::from_mode(0o755)))
                .map_err(ImageError::io("make", directory))?;
        }
        let mut tree = unpack::Tree::new(&rootfs, self.caps)?;
        for layer in &variant.layers {
            layout.unpack_layer(layer, &mut tree)?;
        }
        tree.finish()?;
        let text = serde_json::to_vec(&variant.settings)
            .map_err(|e| ImageError::io("write", half)(io::Error::other(e)))?;
        let file = half.join("image.json");
        fs::write(&file, text).map_err(ImageError::io("write", file))?;
        Ok(variant.settings)
    }
}

fn image(digest: Digest, home: &Path, settings: Settings) -> Result<Image, ImageError> {
    let rootfs = home.join("rootfs");
    let rootfs = rootfs
        .canonicalize()
        .map_err(ImageError::io("open", rootfs))?;
    let Settings {
        command,
        env,
        working_dir,
    } = settings;
    Ok(Image {
        digest,
        rootfs,
        command,
        env,
        working_dir,
    })
}

/// Gives a finished image its name, unless somebody else was faster.
fn publish(half: &Path, home: &Path) -> Result<(), ImageError> {
    let directory = File::open(half).map_err(ImageError::io("open", half))?;
    nix::unistd::syncfs(&directory).map_err(|errno| ImageError::io("sync", half)(errno.into()))?;
    match fs::rename(half, home) {
        Ok(()) => Ok(()),
        Err(_) if home.join("image.json").is_file() => {
            fs::remove_dir_all(half).map_err(ImageError::io("remove", half))
        }
        Err(problem) => Err(ImageError::io("rename to", home)(problem)),
    }
}

fn read_settings(home: &Path) -> Result<Option<Settings>, ImageError> {
    let file = home.join("image.json");
    match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| ImageError::io("read", file)(io::Error::other(e))),
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(problem) => Err(ImageError::io("read", file)(problem)),
    }
}

/// How the names of half-unpacked images begin.
const UNFINISHED: &str = "unfinished-";

/// A name that no other thread or process of this machine uses at the moment.
fn unfinished_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!(
        "{UNFINISHED}{}-{}",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    )
}
