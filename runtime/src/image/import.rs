//! From images as other tools write them to the layout that stands in a ledger.
//!
//! An image comes as an OCI layout, as what `docker save` writes, or as the files of a root file
//! system. It becomes an OCI image layout whose manifests and configurations are ordinary files and
//! whose layers are pointers (P-40) to objects, uncompressed, so that a store that cuts by content
//! sees what two versions of an image share. The configuration's bytes stay, and with them the
//! image's id and every diff_id; a manifest that had to change keeps the original beside it.
//!
//! **Invariants**: a layer becomes an object only when its digests are right and its entries are
//! harmless; memory is bounded whatever comes; the same source gives the same bytes.

use std::path::Path;

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;

use super::objects::ObjectDir;
use super::packing::Packing;
use crate::error::ImageError;

mod docker;
pub(super) mod document;
mod layer;
mod oci;
mod place;
mod rootfs;
mod source;
mod write;

pub use document::Platform;
pub use source::Source;
pub use write::{ATTRIBUTES_FILE, attributes};

/// What an import may cost; beyond that it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Sum of the sizes of the uncompressed layers.
    pub total_bytes_max: u64,
    /// How many times larger than itself a compressed layer may become; 64 MiB are always free.
    pub ratio_max: u64,
    /// Number of entries over all layers of one platform.
    pub entries_max: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Caps {
            total_bytes_max: 64 << 30,
            ratio_max: 200,
            entries_max: 500_000,
        }
    }
}

/// How to import.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The name of the image in its index; without one the source's own, or `latest`.
    pub tag: Option<String>,
    /// The platforms to keep, all if there is none; of a root file system the one that it is for.
    pub platforms: Vec<Platform>,
    /// Keep compressed layers and with them the manifest's digest.
    pub keep_original: bool,
    /// Let files with set-id bits stand.
    pub allow_set_id: bool,
    /// Of a root file system: what its configuration says.
    pub process: Process,
    /// What the import may cost.
    pub caps: Caps,
}

/// What the configuration of an image made of a root file system says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// The command that is run.
    pub entrypoint: Vec<String>,
    /// Its default arguments.
    pub cmd: Vec<String>,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// Where it is run.
    pub working_dir: Option<String>,
}

impl Process {
    fn is_empty(&self) -> bool {
        *self == Process::default()
    }
}

/// How far an import is, in bytes of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Read so far.
    pub done_bytes: u64,
    /// To be read; 0 where it is not known.
    pub total_bytes: u64,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// sha256 of `index.json`: the image's name (P-23).
    pub digest: Digest,
    /// The image for each platform.
    pub variants: Vec<Variant>,
    /// What is worth telling: what was left out or changed.
    pub notes: Vec<String>,
}

/// The image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What it runs on.
    pub platform: Platform,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// The digest that the manifest had in the source, if it had another one.
    pub original: Option<Digest>,
    /// The digest of its configuration: what docker calls the image's id.
    pub config: Digest,
    /// Its layers, the lowest first.
    pub layers: Vec<Pointer>,
}

/// Imports an image: its layout into the new directory `out`, its layers into `objects`.
///
/// # Errors
/// [`ImageError`] names what is wrong with the source, or with the disk. `out` is then incomplete
/// and to be removed; objects that were finished before stay.
pub fn import(
    source: &Source,
    out: &Path,
    objects: &ObjectDir,
    options: &Options,
    tell: &mut dyn FnMut(Progress),
) -> Result<Imported, ImageError> {
    let wrong = |problem: &str| ImageError::Source {
        place: source.to_string(),
        problem: problem.to_owned(),
    };
    let is_rootfs = matches!(source, Source::RootfsDir(_) | Source::RootfsTar(_));
    if !is_rootfs && !options.process.is_empty() {
        return Err(wrong(
            "entrypoint, cmd, env and the working directory are the image's own; they can be given for rootfs: alone",
        ));
    }
    let mut notes = Vec::new();
    let mut reading = layer::Reading {
        objects,
        options,
        meter: layer::Meter::new(tell),
        left: options.caps.total_bytes_max,
    };
    let (tag, index, prepared) = if is_rootfs {
        if options.keep_original {
            return Err(wrong("a root file system has no compressed layers to keep"));
        }
        let made = rootfs::make(source, &mut reading, &mut notes)?;
        (None, None, vec![made])
    } else {
        let place = place::Place::open(source, objects)?;
        let found = match source {
            Source::DockerArchive(..) => docker::read(&place, source, options)?,
            _ => oci::read(&place, source, options, &mut notes)?,
        };
        let prepared = reading.take(&place, found.images)?;
        (found.tag, found.index, prepared)
    };
    let tag = options.tag.clone().or(tag);
    let tag = tag.unwrap_or_else(|| "latest".to_owned());
    write::layout(out, prepared, index, &tag, notes)
}

/// What a source holds.
struct Found {
    /// The name of the image in the source.
    tag: Option<String>,
    /// The index that names the platforms, where there is one.
    index: Option<Document>,
    images: Vec<FoundImage>,
}

/// The image for one platform, as it stands in the source.
struct FoundImage {
    platform: Platform,
    config: Vec<u8>,
    /// What each layer holds, uncompressed: `sha256:…`.
    diff_ids: Vec<String>,
    layers: Vec<Blob>,
    /// Its manifest, where the source has one.
    manifest: Option<Document>,
    /// An earlier manifest that the source keeps as provenance.
    provenance: Option<Vec<u8>>,
}

/// A manifest or an index.
struct Document {
    media_type: String,
    bytes: Vec<u8>,
    value: serde_json::Value,
}

/// A layer in the source.
struct Blob {
    /// Its file in the source.
    name: String,
    /// Its digest, where the source names one.
    digest: Option<String>,
    size: u64,
    packing: Packing,
}

/// An image whose layers are objects.
struct Prepared {
    image: FoundImage,
    layers: Vec<Pointer>,
}
