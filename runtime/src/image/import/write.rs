//! Writes the layout that stands in a ledger.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use serde_json::{Value, json};

use super::document::{CONFIG, DOCKER_INDEX, INDEX, LAYER, MANIFEST, NAME, ORIGINAL, bytes};
use super::{Document, Imported, Prepared, Variant};
use crate::error::ImageError;

/// What git and git-lfs are told of a layout: its bytes are its bytes, and layers are pointers.
pub const ATTRIBUTES_FILE: &str = ".gitattributes";

/// Writes the layout of an image whose layers are objects.
pub(super) fn layout(
    out: &Path,
    prepared: Vec<Prepared>,
    index: Option<Document>,
    tag: &str,
    mut notes: Vec<String>,
) -> Result<Imported, ImageError> {
    let writer = Writer::new(out)?;
    let mut variants = Vec::new();
    let mut descriptors = Vec::new();
    for one in prepared {
        let (variant, descriptor) = writer.image(&one)?;
        if let Some(original) = variant.original {
            notes.push(format!(
                "manifest {} ({}) became {}: digests pinned as @sha256 and signatures of the \
                 original do not hold for it; --keep-original keeps them",
                original.short(12),
                variant.platform,
                variant.manifest.short(12)
            ));
        }
        variants.push(variant);
        descriptors.push(descriptor);
    }
    let mut top = match descriptors.as_slice() {
        [one] => one.clone(),
        _ => writer.nested(index, &descriptors)?,
    };
    top["annotations"] = json!({ NAME: tag });
    let text = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [top],
    }));
    writer.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    writer.file("index.json", &text)?;
    let layers: BTreeSet<Pointer> = variants
        .iter()
        .flat_map(|variant| variant.layers.iter().copied())
        .collect();
    writer.file(ATTRIBUTES_FILE, attributes(&layers).as_bytes())?;
    Ok(Imported {
        digest: Digest::of(&text),
        variants,
        notes,
    })
}

/// The text of the attributes of a layout with these layers.
#[must_use]
pub fn attributes(layers: &BTreeSet<Pointer>) -> String {
    let mut text = "* -text\n".to_owned();
    for layer in layers {
        let oid = layer.oid;
        text.push_str(&format!(
            "blobs/sha256/{oid} filter=lfs diff=lfs merge=lfs -text\n"
        ));
    }
    text
}

struct Writer {
    out: PathBuf,
}

impl Writer {
    fn new(out: &Path) -> Result<Writer, ImageError> {
        let blobs = out.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(ImageError::io("make", blobs))?;
        Ok(Writer {
            out: out.to_path_buf(),
        })
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
        let path = self.out.join(name);
        fs::write(&path, bytes).map_err(ImageError::io("write", path))
    }

    /// Writes a blob; gives its descriptor.
    fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<(Digest, Value), ImageError> {
        let digest = Digest::of(bytes);
        self.file(&format!("blobs/sha256/{digest}"), bytes)?;
        let descriptor = json!({
            "mediaType": media_type,
            "digest": format!("sha256:{digest}"),
            "size": bytes.len(),
        });
        Ok((digest, descriptor))
    }

    fn image(&self, prepared: &Prepared) -> Result<(Variant, Value), ImageError> {
        let Prepared { image, layers } = prepared;
        let (config, config_descriptor) = self.blob(CONFIG, &image.config)?;
        for layer in layers {
            let name = format!("blobs/sha256/{}", layer.oid);
            self.file(&name, layer.to_text().as_bytes())?;
        }
        if let Some(earlier) = &image.provenance {
            self.blob("", earlier)?;
        }
        let kept =
            image.layers.iter().zip(layers).all(|(blob, layer)| {
                blob.digest.as_deref() == Some(&format!("sha256:{}", layer.oid))
            });
        let is_packed = image
            .layers
            .iter()
            .any(|blob| blob.packing != super::Packing::Plain);
        let original = image
            .manifest
            .as_ref()
            .filter(|manifest| kept && (is_packed || manifest.media_type == MANIFEST));
        let (manifest, mut descriptor, changed) = match (original, &image.manifest) {
            (Some(manifest), _) => {
                let (digest, descriptor) = self.blob(&manifest.media_type, &manifest.bytes)?;
                (digest, descriptor, None)
            }
            (None, Some(manifest)) => {
                let (before, _) = self.blob("", &manifest.bytes)?;
                let value = rewritten(manifest.value.clone(), before, config_descriptor, layers);
                let (digest, descriptor) = self.blob(MANIFEST, &bytes(&value))?;
                (digest, descriptor, Some(before))
            }
            (None, None) => {
                let value = json!({
                    "schemaVersion": 2,
                    "mediaType": MANIFEST,
                    "config": config_descriptor,
                    "layers": layers.iter().map(described).collect::<Vec<_>>(),
                });
                let (digest, descriptor) = self.blob(MANIFEST, &bytes(&value))?;
                (digest, descriptor, None)
            }
        };
        descriptor["platform"] = json!(image.platform);
        let variant = Variant {
            platform: image.platform.clone(),
            manifest,
            original: changed,
            config,
            layers: layers.clone(),
        };
        Ok((variant, descriptor))
    }

    /// Writes the index that names the platforms; the original one stays if it still fits.
    fn nested(&self, index: Option<Document>, now: &[Value]) -> Result<Value, ImageError> {
        let mut value = json!({"schemaVersion": 2});
        if let Some(index) = index {
            let same = |one: &Value| {
                let before = index.value["manifests"].as_array().into_iter().flatten();
                before.filter(|old| old["digest"] == one["digest"]).count() == 1
            };
            let count = index.value["manifests"].as_array().map_or(0, Vec::len);
            let fits = count == now.len() && now.iter().all(same);
            if fits && index.media_type != DOCKER_INDEX {
                return Ok(self.blob(INDEX, &index.bytes)?.1);
            }
            let (before, _) = self.blob("", &index.bytes)?;
            value["annotations"] = index.value["annotations"].clone();
            value["annotations"][ORIGINAL] = json!(format!("sha256:{before}"));
        }
        value["mediaType"] = json!(INDEX);
        value["manifests"] = json!(now);
        Ok(self.blob(INDEX, &bytes(&value))?.1)
    }
}

/// A manifest whose layers are uncompressed, with a word of what it was before.
fn rewritten(mut value: Value, before: Digest, config: Value, layers: &[Pointer]) -> Value {
    value["mediaType"] = json!(MANIFEST);
    value["config"] = config;
    let old = value["layers"].take();
    let layer = |(at, pointer): (usize, &Pointer)| {
        let mut now = described(pointer);
        if let Some(annotations) = old[at]["annotations"].as_object() {
            now["annotations"] = json!(annotations);
        }
        now
    };
    value["layers"] = layers.iter().enumerate().map(layer).collect();
    if !value["annotations"].is_object() {
        value["annotations"] = json!({});
    }
    value["annotations"][ORIGINAL] = json!(format!("sha256:{before}"));
    value
}

fn described(layer: &Pointer) -> Value {
    json!({
        "mediaType": LAYER,
        "digest": format!("sha256:{}", layer.oid),
        "size": layer.size,
    })
}
