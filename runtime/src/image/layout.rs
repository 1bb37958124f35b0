//! Reads an OCI image layout: index, manifest, configuration, layers.
//!
//! Only what the specification of image layouts (version 1.0.0) says, and of that only what a
//! validator's image needs. Every blob is read through its digest and its size.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use gdo_core::id::Digest;
use nix::libc;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::Settings;
use super::unpack::Tree;
use crate::error::ImageError;

/// No index, manifest or configuration is that long.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
const LAYERS_MAX: usize = 128;
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// The image layout in a directory.
pub(super) struct Layout {
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

impl Layout {
    /// Reads `index.json` of the layout in `directory`.
    pub(super) fn open(directory: &Path) -> Result<Layout, ImageError> {
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
        blob.verify(descriptor)?;
        parse(&text, || {
            damaged("it is not the document its place asks for".into())
        })
    }

    /// Unpacks one layer onto what is below it, checking both of its digests.
    pub(super) fn unpack_layer(&self, layer: &Layer, tree: &mut Tree) -> Result<(), ImageError> {
        let mut blob = self.blob(&layer.blob)?;
        let kind = layer.blob.media_type.as_deref().unwrap_or_default();
        match kind.rsplit_once(".tar").map(|(_, compression)| compression) {
            Some("") => apply(tree, layer, &mut blob)?,
            Some("+gzip" | ".gzip") => apply(tree, layer, MultiGzDecoder::new(&mut blob))?,
            _ => {
                return Err(ImageError::Unsupported {
                    what: format!("layers of type {kind:?}"),
                    hint: "build it with uncompressed or gzip layers",
                });
            }
        }
        blob.verify(&layer.blob)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Hashed<File>, ImageError> {
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
        let file = open(&path).map_err(ImageError::io("open", path))?;
        Ok(Hashed::new(file, descriptor.size))
    }
}

fn apply(tree: &mut Tree, layer: &Layer, plain: impl Read) -> Result<(), ImageError> {
    // A stream that goes on for ever is cut off here and then fails its digest.
    let mut plain = Hashed::new(plain, tree.stream_bytes_max());
    tree.apply(&layer.blob.digest, &mut plain)?;
    plain.verify_diff(layer)
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

fn is_sha256(hex: &str) -> bool {
    hex.len() == 64
        && hex
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Opens a file of the layout; the layout comes from a proposal and may hold links and pipes.
fn open(path: &Path) -> io::Result<File> {
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

fn read_capped(file: File, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it is longer than {max} bytes")));
    }
    Ok(bytes)
}

/// A reader that hashes and counts what passes, and ends after `size` bytes at the latest.
struct Hashed<R> {
    source: R,
    hash: Sha256,
    left: u64,
    over: bool,
}

impl<R: Read> Hashed<R> {
    fn new(source: R, size: u64) -> Hashed<R> {
        Hashed {
            source,
            hash: Sha256::new(),
            left: size,
            over: false,
        }
    }

    /// Reads the rest and compares digest and size with the descriptor.
    fn verify(mut self, descriptor: &Descriptor) -> Result<(), ImageError> {
        let damaged = |problem: String| ImageError::Damaged {
            digest: descriptor.digest.clone(),
            problem,
        };
        io::copy(&mut self, &mut io::sink()).map_err(|e| damaged(e.to_string()))?;
        self.over |= self
            .source
            .read(&mut [0])
            .map_err(|e| damaged(e.to_string()))?
            > 0;
        if self.over || self.left > 0 {
            return Err(damaged(format!(
                "its size is not {} bytes",
                descriptor.size
            )));
        }
        compare(self.hash, &descriptor.digest, &descriptor.digest)
    }

    /// Reads the rest and compares the digest of the uncompressed layer.
    fn verify_diff(mut self, layer: &Layer) -> Result<(), ImageError> {
        io::copy(&mut self, &mut io::sink()).map_err(|e| ImageError::Damaged {
            digest: layer.blob.digest.clone(),
            problem: e.to_string(),
        })?;
        compare(self.hash, &layer.diff_id, &layer.blob.digest)
    }
}

fn compare(hash: Sha256, expected: &str, blob: &str) -> Result<(), ImageError> {
    let found = format!("sha256:{}", hex::encode(hash.finalize()));
    if found == expected {
        return Ok(());
    }
    let problem = format!("it holds {found}, expected {expected}");
    Err(ImageError::Damaged {
        digest: blob.to_owned(),
        problem,
    })
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..room])?;
        self.hash.update(&buffer[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}
