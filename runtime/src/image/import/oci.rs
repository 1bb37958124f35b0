//! Reads an OCI image layout that another tool wrote.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::layout::LAYERS_MAX;
use super::super::packing::Packing;
use super::document::{
    Configuration, DOCKER_MANIFEST, Descriptor, INDEX, Index, MANIFEST, Manifest, NAME, ORIGINAL,
    parse,
};
use super::place::Place;
use super::{Blob, Document, Found, FoundImage, Options, Source};
use crate::error::ImageError;

/// No image is built for so many platforms.
const PLATFORMS_MAX: usize = 64;

#[derive(Deserialize)]
struct Marker {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

/// Finds the image that is meant, with all its platforms or those that are asked for.
pub(super) fn read(
    place: &Place<'_>,
    source: &Source,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Found, ImageError> {
    let marker: Marker = parse("oci-layout", &place.document("oci-layout")?)?;
    if !marker.version.starts_with("1.") {
        let version = marker.version;
        return Err(place.wrong(format!("its layout has version {version}, expected 1.0.0")));
    }
    let top: Index = parse("index.json", &place.document("index.json")?)?;
    let (tag, chosen) = choose(place, source, top.manifests)?;
    let mut index = None;
    let mut manifests = Vec::new();
    for descriptor in chosen {
        if descriptor.is_index() {
            let nested = document(place, &descriptor, INDEX)?;
            let inner: Index = parse(&descriptor.digest, &nested.bytes)?;
            manifests.extend(inner.manifests);
            index = Some(nested);
        } else {
            manifests.push(descriptor);
        }
    }
    let mut seen = BTreeSet::new();
    let mut images = Vec::new();
    let mut left_out = Vec::new();
    for descriptor in manifests {
        if descriptor.is_attestation() {
            notes.push(format!(
                "left out {}, which is about the image and not an image (an attestation)",
                descriptor.digest
            ));
            continue;
        }
        if !seen.insert(descriptor.digest.clone()) {
            continue;
        }
        if seen.len() > PLATFORMS_MAX {
            return Err(place.wrong(format!("it is for more than {PLATFORMS_MAX} platforms")));
        }
        let image = image(place, &descriptor)?;
        let wanted = &options.platforms;
        if wanted.is_empty() || wanted.iter().any(|one| image.platform.is_asked_for_by(one)) {
            images.push(image);
        } else {
            left_out.push(image.platform.to_string());
        }
    }
    if images.is_empty() {
        let has = if left_out.is_empty() {
            "no image".to_owned()
        } else {
            left_out.join(", ")
        };
        return Err(place.wrong(format!("it has {has}, not the platform that was asked for")));
    }
    Ok(Found { tag, index, images })
}

/// The descriptors of the image that is meant, and its name.
fn choose(
    place: &Place<'_>,
    source: &Source,
    all: Vec<Descriptor>,
) -> Result<(Option<String>, Vec<Descriptor>), ImageError> {
    let name = |descriptor: &Descriptor| descriptor.annotations.get(NAME).cloned();
    let names: BTreeSet<Option<String>> = all.iter().map(name).collect();
    let known: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
    let known = known.join(", ");
    let wanted = match source.tag() {
        Some(tag) => Some(tag.to_owned()),
        None if names.len() > 1 => {
            return Err(place.wrong(format!(
                "it holds several images ({known}): name one behind a colon, as in {source}:TAG"
            )));
        }
        None => names.iter().next().cloned().flatten(),
    };
    let mut chosen = all;
    chosen.retain(|descriptor| name(descriptor) == wanted);
    if chosen.is_empty() {
        let wanted = wanted.unwrap_or_default();
        return Err(place.wrong(format!("it has no image '{wanted}', only: {known}")));
    }
    Ok((wanted, chosen))
}

fn image(place: &Place<'_>, descriptor: &Descriptor) -> Result<FoundImage, ImageError> {
    let manifest = document(place, descriptor, MANIFEST)?;
    if !matches!(manifest.media_type.as_str(), MANIFEST | DOCKER_MANIFEST) {
        let found = &manifest.media_type;
        return Err(place.wrong(format!(
            "{} is of type {found}, expected an image manifest",
            descriptor.digest
        )));
    }
    let read: Manifest = parse(&descriptor.digest, &manifest.bytes)?;
    let config = document(place, &read.config, "")?.bytes;
    let configuration: Configuration = parse(&read.config.digest, &config)?;
    let diff_ids = configuration.rootfs.diff_ids;
    let (layers, ids) = (read.layers.len(), diff_ids.len());
    if layers != ids || layers > LAYERS_MAX {
        return Err(ImageError::Damaged {
            digest: descriptor.digest.clone(),
            problem: format!(
                "it has {layers} layers and {ids} diff_ids, at most {LAYERS_MAX} each"
            ),
        });
    }
    let mut blobs = Vec::new();
    for layer in &read.layers {
        let packing =
            Packing::of_media_type(&layer.media_type).ok_or_else(|| ImageError::Unsupported {
                what: format!("layers of type {:?}", layer.media_type),
                hint: "import an image with layers that are tar, plain or with gzip or zstd",
            })?;
        blobs.push(Blob {
            name: place.blob(&layer.digest)?,
            digest: Some(layer.digest.clone()),
            size: layer.size,
            packing,
        });
    }
    let earlier = manifest.value["annotations"][ORIGINAL].as_str();
    // Other tools copy what they know of, and that is not this.
    let provenance = earlier
        .filter(|digest| place.blob(digest).is_ok_and(|name| place.has(&name)))
        .map(|digest| blob(place, digest, None))
        .transpose()?;
    Ok(FoundImage {
        platform: configuration.platform,
        config,
        diff_ids,
        layers: blobs,
        manifest: Some(manifest),
        provenance,
    })
}

/// Reads a document through its digest and its size.
fn document(
    place: &Place<'_>,
    descriptor: &Descriptor,
    usual_type: &str,
) -> Result<Document, ImageError> {
    let bytes = blob(place, &descriptor.digest, Some(descriptor.size))?;
    let value: serde_json::Value = parse(&descriptor.digest, &bytes)?;
    let own = value["mediaType"].as_str();
    let media_type = match (descriptor.media_type.as_str(), own) {
        ("", None) => usual_type,
        ("", Some(own)) => own,
        (said, _) => said,
    };
    Ok(Document {
        media_type: media_type.to_owned(),
        bytes,
        value,
    })
}

fn blob(place: &Place<'_>, digest: &str, size: Option<u64>) -> Result<Vec<u8>, ImageError> {
    let bytes = place.document(&place.blob(digest)?)?;
    let found = format!("sha256:{}", gdo_core::id::Digest::of(&bytes));
    let length = bytes.len() as u64;
    if found != digest || size.is_some_and(|size| size != length) {
        let expected = size.map_or_else(String::new, |size| format!(" of {size} bytes"));
        return Err(ImageError::Damaged {
            digest: digest.to_owned(),
            problem: format!("it holds {found} of {length} bytes, expected {digest}{expected}"),
        });
    }
    Ok(bytes)
}
