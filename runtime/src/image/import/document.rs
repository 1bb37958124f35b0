//! The documents of an image: index, manifest, configuration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ImageError;

pub(in crate::image) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(in crate::image) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(in crate::image) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(in crate::image) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(in crate::image) const DOCKER_INDEX: &str =
    "application/vnd.docker.distribution.manifest.list.v2+json";
pub(in crate::image) const DOCKER_MANIFEST: &str =
    "application/vnd.docker.distribution.manifest.v2+json";
/// The annotation of an image's name in an index.
pub(in crate::image) const NAME: &str = "org.opencontainers.image.ref.name";
/// Ours, on a manifest that had to change: the digest of the original one, which lies beside it.
pub(in crate::image) const ORIGINAL: &str = "gdo.original";

/// What an image runs on, in the names that images use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// For example `amd64` or `arm64`.
    pub architecture: String,
    /// For example `v7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// This machine.
    #[must_use]
    pub fn here() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Platform {
            os: std::env::consts::OS.to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }
    }

    /// Whether `wanted` asks for this platform; it may leave out the variant.
    #[must_use]
    pub fn is_asked_for_by(&self, wanted: &Platform) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [os, architecture, variant @ ..]
                if variant.len() <= 1 && parts.iter().all(|part| !part.is_empty()) =>
            {
                Ok(Platform {
                    os: (*os).to_owned(),
                    architecture: (*architecture).to_owned(),
                    variant: variant.first().map(|variant| (*variant).to_owned()),
                })
            }
            _ => Err(format!(
                "expected OS/ARCH[/VARIANT], for example linux/arm64, got '{text}'"
            )),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(out, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// How a document names a blob.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::image) struct Descriptor {
    #[serde(rename = "mediaType", default)]
    pub(in crate::image) media_type: String,
    pub(in crate::image) digest: String,
    pub(in crate::image) size: u64,
    pub(in crate::image) platform: Option<Platform>,
    #[serde(default)]
    pub(in crate::image) annotations: std::collections::BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether this is something about an image, not one (builders put their notes beside it).
    pub(in crate::image) fn is_attestation(&self) -> bool {
        let platform = self.platform.as_ref();
        platform.is_some_and(|platform| platform.os == "unknown")
            || self.annotations.contains_key("vnd.docker.reference.type")
    }

    pub(in crate::image) fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), INDEX | DOCKER_INDEX)
    }
}

#[derive(Deserialize)]
pub(in crate::image) struct Index {
    pub(in crate::image) manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
pub(in crate::image) struct Manifest {
    pub(in crate::image) config: Descriptor,
    pub(in crate::image) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(in crate::image) annotations: std::collections::BTreeMap<String, String>,
}

/// What matters of a configuration.
#[derive(Deserialize)]
pub(in crate::image) struct Configuration {
    #[serde(flatten)]
    pub(in crate::image) platform: Platform,
    pub(in crate::image) rootfs: RootFs,
}

#[derive(Deserialize)]
pub(in crate::image) struct RootFs {
    pub(in crate::image) diff_ids: Vec<String>,
}

/// Reads a document, which is named in the error.
pub(in crate::image) fn parse<'a, T: Deserialize<'a>>(
    name: &str,
    text: &'a [u8],
) -> Result<T, ImageError> {
    serde_json::from_slice(text).map_err(|error| ImageError::Damaged {
        digest: name.to_owned(),
        problem: format!("it is not the document that its place asks for: {error}"),
    })
}

/// Writes a document: keys sorted, no white space.
pub(in crate::image) fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
