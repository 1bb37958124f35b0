//! Reads an OCI image layout: index, manifest, configuration, layers.
//!
//! Only what the specification of image layouts (version 1.0.0) says, and of that only what a
//! validator's image needs. Every blob is read through its digest and its size.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use gdo_core::id::Digest;
use gdo_core::pointer::{POINTER_BYTES_MAX, Pointer};
use nix::libc;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Settings;
use super::hashed::Hashed;
use super::objects::LayerSource;
use super::packing::Packing;
use super::unpack::Tree;
use crate::error::ImageError;

/// No index, manifest or configuration is that long.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
pub(super) const LAYERS_MAX: usize = 128;
pub(super) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// The image layout in a directory.
pub(super) struct Layout<'a> {
    layers: &'a dyn LayerSource,
    directory: PathBuf,
    digest: Digest,
    index: Index,
}

/// The variant of an image for this machine.
pub(super) struct Variant {
    pub(super) settings: Settings,
    pub(super) layers: Vec<Layer>,
}

/// One layer, and the digest of what it holds when it is not compressed.
pub(super) struct Layer {
    blob: Descriptor,
    diff_id: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    config: Option<Process>,
    rootfs: RootFs,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

impl Platform {
    /// This machine, in the names that images use.
    fn here() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Platform {
            architecture: architecture.to_owned(),
            os: std::env::consts::OS.to_owned(),
        }
    }

    fn text(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }
}

impl Layout<'_> {
    /// Reads `index.json` of the layout in `directory`.
    pub(super) fn open<'a>(
        directory: &Path,
        layers: &'a dyn LayerSource,
    ) -> Result<Layout<'a>, ImageError> {
        let file = directory.join("index.json");
        let text = open(&file)
            .and_then(|file| read_capped(file, DOCUMENT_BYTES_MAX))
            .map_err(|problem| match problem.kind() {
                io::ErrorKind::NotFound => not_a_layout(directory, "it has no index.json"),
                _ => ImageError::io("read", file)(problem),
            })?;
        let index = parse(&text, || {
            not_a_layout(directory, "index.json is not an image index")
        })?;
        Ok(Layout {
            layers,
            directory: directory.to_path_buf(),
            digest: Digest::of(&text),
            index,
        })
    }

    /// sha256 of `index.json`.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// The variant for this machine.
    pub(super) fn variant(&self) -> Result<Variant, ImageError> {
        let here = Platform::here();
        let mut found = Vec::new();
        for descriptor in self.manifests()? {
            // Tools that build for one platform leave it out here: the configuration knows.
            if descriptor
                .platform
                .as_ref()
                .is_some_and(|platform| *platform != here)
            {
                found.extend(descriptor.platform.as_ref().map(Platform::text));
                continue;
            }
            let manifest: Manifest = self.document(&descriptor)?;
            let configuration: Configuration = self.document(&manifest.config)?;
            if configuration.platform == here {
                return variant(manifest, configuration);
            }
            found.push(configuration.platform.text());
        }
        let found = if found.is_empty() {
            "nothing".to_owned()
        } else {
            found.join(", ")
        };
        Err(ImageError::NoPlatform {
            wanted: here.text(),
            found,
        })
    }

    /// The manifests of the index, and of indexes in it, one level deep.
    fn manifests(&self) -> Result<Vec<Descriptor>, ImageError> {
        let mut all = Vec::new();
        for descriptor in &self.index.manifests {
            if descriptor.media_type.as_deref() == Some(INDEX_TYPE) {
                all.extend(self.document::<Index>(descriptor)?.manifests);
            } else {
                all.push(descriptor.clone());
            }
        }
        Ok(all)
    }

    fn document<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T, ImageError> {
        let damaged = |problem: String| ImageError::Damaged {
            digest: descriptor.digest.clone(),
            problem,
        };
        if descriptor.size > DOCUMENT_BYTES_MAX {
            return Err(ImageError::TooLarge {
                what: "a manifest",
                max: DOCUMENT_BYTES_MAX,
            });
        }
        let mut text = Vec::new();
        let mut blob = self.blob(descriptor)?;
        blob.read_to_end(&mut text)
            .map_err(|e| damaged(e.to_string()))?;
        blob.verify(&descriptor.digest)?;
        parse(&text, || {
            damaged("it is not the document its place asks for".into())
        })
    }

    /// Unpacks one layer onto what is below it, checking both of its digests.
    pub(super) fn unpack_layer(&self, layer: &Layer, tree: &mut Tree) -> Result<(), ImageError> {
        let mut blob = self.blob(&layer.blob)?;
        let kind = layer.blob.media_type.as_deref().unwrap_or_default();
        let Some(packing) = Packing::of_media_type(kind) else {
            return Err(ImageError::Unsupported {
                what: format!("layers of type {kind:?}"),
                hint: "build it with layers that are tar, plain or with gzip or zstd",
            });
        };
        let plain = packing.reader(&mut blob);
        let plain = plain.map_err(|problem| ImageError::Damaged {
            digest: layer.blob.digest.clone(),
            problem: problem.to_string(),
        })?;
        apply(tree, layer, plain)?;
        blob.verify(&layer.blob.digest)
    }

    /// Opens a blob: the file, or the object that its pointer names.
    fn blob(&self, descriptor: &Descriptor) -> Result<Hashed<Box<dyn Read + '_>>, ImageError> {
        let name = descriptor
            .digest
            .strip_prefix("sha256:")
            .filter(|hex| is_sha256(hex));
        let Some(name) = name else {
            return Err(ImageError::Unsupported {
                what: format!("the digest {:?}", descriptor.digest),
                hint: "name blobs by sha256 and 64 lower-case hexadecimal digits",
            });
        };
        let path = self.directory.join("blobs").join("sha256").join(name);
        let mut file = open(&path).map_err(ImageError::io("open", &path))?;
        let pointer = read_pointer(&mut file).map_err(ImageError::io("read", &path))?;
        let Some(pointer) = pointer else {
            return Ok(Hashed::new(Box::new(file), descriptor.size));
        };
        if pointer.oid.to_string() != name || pointer.size != descriptor.size {
            let problem = format!("it is a pointer to another object: {pointer}");
            let digest = descriptor.digest.clone();
            return Err(ImageError::Damaged { digest, problem });
        }
        match self.layers.open(&pointer) {
            Ok(Some(object)) => Ok(Hashed::new(object, descriptor.size)),
            Ok(None) => Err(ImageError::Missing {
                pointer,
                hint: self.layers.hint(),
            }),
            Err(problem) => Err(ImageError::Damaged {
                digest: descriptor.digest.clone(),
                problem: problem.to_string(),
            }),
        }
    }
}

fn apply(tree: &mut Tree, layer: &Layer, plain: impl Read) -> Result<(), ImageError> {
    // A stream that goes on for ever is cut off here and then fails its digest.
    let mut plain = Hashed::new(plain, tree.stream_bytes_max());
    tree.apply(&layer.blob.digest, &mut plain)?;
    plain.verify_content(&layer.diff_id, &layer.blob.digest)
}

fn variant(manifest: Manifest, configuration: Configuration) -> Result<Variant, ImageError> {
    let diff_ids = configuration.rootfs.diff_ids;
    if manifest.layers.len() != diff_ids.len() {
        return Err(ImageError::Damaged {
            digest: manifest.config.digest,
            problem: format!(
                "{} layers and {} diff_ids",
                manifest.layers.len(),
                diff_ids.len()
            ),
        });
    }
    if manifest.layers.len() > LAYERS_MAX {
        return Err(ImageError::TooLarge {
            what: "number of layers",
            max: LAYERS_MAX as u64,
        });
    }
    let layers = manifest.layers.into_iter().zip(diff_ids);
    let process = configuration.config.unwrap_or_default();
    let mut command = process.entrypoint.unwrap_or_default();
    command.extend(process.cmd.unwrap_or_default());
    let working_dir = process.working_dir.filter(|dir| dir.starts_with('/'));
    Ok(Variant {
        settings: Settings {
            command,
            env: process.env.unwrap_or_default(),
            working_dir: working_dir.unwrap_or_else(|| "/".into()),
        },
        layers: layers
            .map(|(blob, diff_id)| Layer { blob, diff_id })
            .collect(),
    })
}

fn not_a_layout(directory: &Path, problem: &str) -> ImageError {
    ImageError::NotALayout {
        path: directory.to_path_buf(),
        problem: problem.to_owned(),
    }
}

fn parse<T: DeserializeOwned>(text: &[u8], fail: impl Fn() -> ImageError) -> Result<T, ImageError> {
    serde_json::from_slice(text).map_err(|reason| match fail() {
        ImageError::NotALayout { path, problem } => ImageError::NotALayout {
            path,
            problem: format!("{problem}: {reason}"),
        },
        ImageError::Damaged { digest, problem } => ImageError::Damaged {
            digest,
            problem: format!("{problem}: {reason}"),
        },
        other => other,
    })
}

pub(super) fn is_sha256(hex: &str) -> bool {
    hex.len() == 64
        && hex
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Opens a file of the layout; the layout comes from a proposal and may hold links and pipes.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// The pointer that a file holds; of any other file nothing was read.
pub(super) fn read_pointer(file: &mut File) -> io::Result<Option<Pointer>> {
    if file.metadata()?.len() > POINTER_BYTES_MAX {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(POINTER_BYTES_MAX).read_to_end(&mut text)?;
    file.rewind()?;
    Ok(Pointer::parse(&text).ok())
}

pub(super) fn read_capped(file: File, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it is longer than {max} bytes")));
    }
    Ok(bytes)
}
