//! Reads what `docker save` and `podman save` write: configurations and layers, no OCI manifest.

use serde::Deserialize;

use super::super::layout::LAYERS_MAX;
use super::document::{Configuration, parse};
use super::place::Place;
use super::{Blob, Found, FoundImage, Options, Source};
use crate::error::ImageError;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Finds the image that is meant.
pub(super) fn read(
    place: &Place<'_>,
    source: &Source,
    options: &Options,
) -> Result<Found, ImageError> {
    let all: Vec<Saved> = parse("manifest.json", &place.document("manifest.json")?)?;
    let (tag, saved) = choose(place, source, all)?;
    let config = place.document(&saved.config)?;
    let configuration: Configuration = parse(&saved.config, &config)?;
    let platform = configuration.platform;
    let wanted = &options.platforms;
    if !wanted.is_empty() && !wanted.iter().any(|one| platform.is_asked_for_by(one)) {
        return Err(place.wrong(format!(
            "it is for {platform}, not the platform that was asked for"
        )));
    }
    let diff_ids = configuration.rootfs.diff_ids;
    let (layers, ids) = (saved.layers.len(), diff_ids.len());
    if layers != ids || layers > LAYERS_MAX {
        return Err(ImageError::Damaged {
            digest: saved.config,
            problem: format!(
                "it has {layers} layers and {ids} diff_ids, at most {LAYERS_MAX} each"
            ),
        });
    }
    let mut blobs = Vec::new();
    for name in saved.layers {
        blobs.push(Blob {
            digest: None,
            size: place.file(&name)?.size,
            packing: place.packing(&name)?,
            name,
        });
    }
    let image = FoundImage {
        platform,
        config,
        diff_ids,
        layers: blobs,
        manifest: None,
        provenance: None,
    };
    Ok(Found {
        tag,
        index: None,
        images: vec![image],
    })
}

fn choose(
    place: &Place<'_>,
    source: &Source,
    all: Vec<Saved>,
) -> Result<(Option<String>, Saved), ImageError> {
    let tags: Vec<String> = all
        .iter()
        .flat_map(|saved| saved.repo_tags.clone())
        .flatten()
        .collect();
    let known = tags.join(", ");
    let mut all = all;
    if let Some(tag) = source.tag() {
        all.retain(|saved| saved.repo_tags.iter().flatten().any(|known| known == tag));
    }
    let mut found = all.into_iter();
    match (found.next(), found.next(), source.tag()) {
        (Some(saved), None, tag) => {
            let own = saved.repo_tags.iter().flatten().next();
            // A name in an index is what stands behind the repository's name.
            let own = tag.or(own.map(String::as_str));
            let own = own.map(|name| {
                name.rsplit_once(':')
                    .map_or(name, |(_, tag)| tag)
                    .to_owned()
            });
            Ok((own, saved))
        }
        (None, _, Some(tag)) => Err(place.wrong(format!("it has no image '{tag}', only: {known}"))),
        (None, ..) => Err(place.wrong("it holds no image")),
        (Some(_), Some(_), _) => Err(place.wrong(format!(
            "it holds several images ({known}): name one behind a colon, as in {source}:NAME:TAG"
        ))),
    }
}
