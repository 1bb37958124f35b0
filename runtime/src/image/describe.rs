//! What an image is made of, told from its documents alone.
//!
//! For lists and for checks: nothing is unpacked, no layer is read, and where the documents lie (a
//! work tree, a tree of the ledger, a store) is the caller's matter.

use gdo_core::id::Digest;

use super::import::Platform;
use super::import::document::{Configuration, Descriptor, Index, Manifest, NAME, ORIGINAL, parse};
use crate::error::ImageError;

/// An image as its documents describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// sha256 of `index.json`: the image's name (P-23).
    pub digest: Digest,
    /// Its name in the index.
    pub tag: Option<String>,
    /// The image for each platform.
    pub variants: Vec<DescribedVariant>,
}

/// The image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedVariant {
    /// What it runs on.
    pub platform: Platform,
    /// The digest of its manifest, `sha256:…`.
    pub manifest: String,
    /// The digest of the manifest that it was made of, if it was rewritten.
    pub original: Option<String>,
    /// The digest of its configuration: what docker calls the image's id.
    pub config: String,
    /// Its layers, the lowest first.
    pub layers: Vec<DescribedLayer>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedLayer {
    /// `sha256:…`.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// How it is packed.
    pub media_type: String,
}

/// Gives a document by its name within the layout; `None` if it is not there.
pub type Read<'a> = dyn Fn(&str) -> Result<Option<Vec<u8>>, ImageError> + 'a;

/// Describes the image whose documents `read` gives, by their names within the layout.
///
/// # Errors
/// A document is missing, damaged or not what its place asks for.
pub fn describe(read: &Read<'_>) -> Result<Description, ImageError> {
    let file = |name: &str| -> Result<Vec<u8>, ImageError> {
        read(name)?.ok_or_else(|| ImageError::Damaged {
            digest: name.to_owned(),
            problem: "it is not there".to_owned(),
        })
    };
    let text = file("index.json")?;
    let top: Index = parse("index.json", &text)?;
    let blob = |descriptor: &Descriptor| -> Result<Vec<u8>, ImageError> {
        let digest = &descriptor.digest;
        let text = file(&format!("blobs/{}", digest.replacen(':', "/", 1)))?;
        if format!("sha256:{}", Digest::of(&text)) == *digest {
            return Ok(text);
        }
        Err(ImageError::Damaged {
            digest: digest.clone(),
            problem: "it does not hold what its name says".to_owned(),
        })
    };
    let mut tag = None;
    let mut manifests = Vec::new();
    for descriptor in top.manifests {
        tag = tag.or_else(|| descriptor.annotations.get(NAME).cloned());
        if descriptor.is_index() {
            manifests.extend(parse::<Index>(&descriptor.digest, &blob(&descriptor)?)?.manifests);
        } else {
            manifests.push(descriptor);
        }
    }
    let mut variants = Vec::new();
    for descriptor in manifests {
        let manifest = blob(&descriptor)?;
        let manifest: Manifest = parse(&descriptor.digest, &manifest)?;
        let config: Configuration = parse(&manifest.config.digest, &blob(&manifest.config)?)?;
        let layer = |layer: Descriptor| DescribedLayer {
            digest: layer.digest,
            size: layer.size,
            media_type: layer.media_type,
        };
        variants.push(DescribedVariant {
            platform: config.platform,
            manifest: descriptor.digest,
            original: manifest.annotations.get(ORIGINAL).cloned(),
            config: manifest.config.digest,
            layers: manifest.layers.into_iter().map(layer).collect(),
        });
    }
    Ok(Description {
        digest: Digest::of(&text),
        tag,
        variants,
    })
}
