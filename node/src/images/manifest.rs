//! Manifests of images: what kind they are and which blobs they need.
//!
//! Sources: the image specification of OCI (manifest, index), and the schema 2 of Docker's registry,
//! which has the same shape.

use std::collections::BTreeMap;

use gdo_core::id::Digest;
use serde::{Deserialize, Serialize};

use super::name::parse_digest;
use crate::error::ImagesError;

/// The largest manifest: what registries take.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The most blobs that one manifest names.
const BLOBS_MAX: usize = 4096;

/// The kinds of manifests that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaType {
    /// OCI's manifest of one image.
    #[serde(rename = "application/vnd.oci.image.manifest.v1+json")]
    OciManifest,
    /// OCI's list of manifests.
    #[serde(rename = "application/vnd.oci.image.index.v1+json")]
    OciIndex,
    /// Docker's manifest of one image.
    #[serde(rename = "application/vnd.docker.distribution.manifest.v2+json")]
    DockerManifest,
    /// Docker's list of manifests.
    #[serde(rename = "application/vnd.docker.distribution.manifest.list.v2+json")]
    DockerList,
}

impl MediaType {
    const ALL: [Self; 4] = [
        Self::OciManifest,
        Self::OciIndex,
        Self::DockerManifest,
        Self::DockerList,
    ];

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// The kind of this name; what stands behind a semicolon is of no account.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let name = text.split(';').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Whether it lists manifests, not layers.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The SHA-256 of its text.
    pub digest: Digest,
    /// What it is.
    pub media_type: MediaType,
    /// Its bytes, as they were pushed.
    pub text: Vec<u8>,
}

/// What a manifest says of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its media type.
    #[serde(rename(deserialize = "mediaType"))]
    pub media_type: String,
    /// Its digest, with the algorithm.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// What else is said of it.
    #[serde(default, skip_serializing)]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// The digest, which is a SHA-256.
    ///
    /// # Errors
    /// It is of another form.
    pub fn sha256(&self) -> Result<Digest, ImagesError> {
        parse_digest(&self.digest).map_err(|error| ImagesError::Manifest {
            reason: error.to_string(),
        })
    }
}

#[derive(Deserialize)]
struct RawManifest {
    #[serde(rename = "schemaVersion")]
    schema_version: u64,
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Manifest {
    /// The blobs that this manifest needs; of a list, its manifests.
    ///
    /// # Errors
    /// It is not of the form that its media type says.
    pub fn needs(&self) -> Result<Vec<Descriptor>, ImagesError> {
        let wrong = |reason: String| ImagesError::Manifest { reason };
        let raw: RawManifest =
            serde_json::from_slice(&self.text).map_err(|error| wrong(error.to_string()))?;
        if raw.schema_version != 2 {
            let got = raw.schema_version;
            return Err(wrong(format!("schemaVersion {got}, expected 2")));
        }
        let said = raw.media_type.as_deref();
        if said.is_some_and(|said| said != self.media_type.as_str()) {
            let (said, came) = (said.unwrap_or_default(), self.media_type.as_str());
            return Err(wrong(format!(
                "mediaType '{said}', but it was pushed as '{came}'"
            )));
        }
        let needs = if self.media_type.is_list() {
            let absent = raw.config.is_none() && raw.layers.is_none();
            raw.manifests.filter(|_| absent)
        } else {
            let absent = raw.manifests.is_none();
            let both = raw.config.zip(raw.layers).filter(|_| absent);
            both.map(|(config, layers)| std::iter::once(config).chain(layers).collect())
        };
        let needs = needs.ok_or_else(|| {
            wrong("expected 'manifests' in a list, 'config' and 'layers' in an image".to_owned())
        })?;
        if needs.len() > BLOBS_MAX {
            let got = needs.len();
            return Err(wrong(format!("{got} blobs, expected at most {BLOBS_MAX}")));
        }
        for descriptor in &needs {
            descriptor.sha256()?;
        }
        Ok(needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(media_type: MediaType, text: &str) -> Manifest {
        Manifest {
            digest: Digest::of(text.as_bytes()),
            media_type,
            text: text.as_bytes().to_vec(),
        }
    }

    fn descriptor(content: &str) -> String {
        let digest = Digest::of(content.as_bytes());
        let size = content.len();
        format!(r#"{{"mediaType":"x/y","digest":"sha256:{digest}","size":{size}}}"#)
    }

    #[test]
    fn an_image_needs_its_config_and_layers_and_a_list_its_manifests() {
        let (a, b) = (descriptor("a"), descriptor("b"));
        let text = format!(r#"{{"schemaVersion":2,"config":{a},"layers":[{b}],"x":1}}"#);
        let needs = manifest(MediaType::OciManifest, &text)
            .needs()
            .expect("good");
        let names: Vec<u64> = needs.iter().map(|blob| blob.size).collect();
        assert_eq!(names, [1, 1]);
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{a},{b}]}}"#);
        let needs = manifest(MediaType::DockerList, &text)
            .needs()
            .expect("good");
        assert_eq!(needs.len(), 2);
    }

    #[test]
    fn other_forms_are_refused() {
        let a = descriptor("a");
        let type_of = MediaType::OciIndex.as_str();
        for text in [
            "".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            format!(r#"{{"schemaVersion":1,"config":{a},"layers":[]}}"#),
            format!(r#"{{"schemaVersion":2,"layers":[{a}]}}"#),
            format!(r#"{{"schemaVersion":2,"config":{a},"layers":[],"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":2,"mediaType":"{type_of}","config":{a},"layers":[]}}"#),
            format!(
                r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#,
                a.replace("sha256:", "sha512:")
            ),
            format!(
                r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#,
                a.replace("\"size\":1", "\"size\":-1")
            ),
            "[".repeat(100_000),
        ] {
            let error = manifest(MediaType::OciManifest, &text).needs();
            assert!(
                matches!(error, Err(ImagesError::Manifest { .. })),
                "{text:.80}"
            );
        }
    }

    #[test]
    fn media_types_are_known_by_their_names() {
        for kind in MediaType::ALL {
            let text = format!("{}; charset=utf-8", kind.as_str());
            assert_eq!(MediaType::of(&text), Some(kind));
            let json = serde_json::to_string(&kind).expect("it is a name");
            assert_eq!(json, format!("\"{}\"", kind.as_str()));
        }
        assert_eq!(MediaType::of("application/json"), None);
    }
}
