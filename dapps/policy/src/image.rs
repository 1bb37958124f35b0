//! Whether an OCI image layout is complete: a validator whose image lacks a layer never passes again.
//!
//! Everything that `index.json` leads to must be there with the size and the SHA-256 that names
//! it. A layer may stand there as a pointer (P-40): it must name the object that the manifest names,
//! and that the object itself is there was seen when it was pushed. What the layers hold is the
//! runtime's matter.

use gdo_core::id::Digest;
use gdo_core::pointer::{POINTER_BYTES_MAX, Pointer};
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::tree::Tree;
use serde::Deserialize;

use crate::rules;

/// The largest index or manifest.
const JSON_BYTES_MAX: u64 = 1 << 20;

/// The largest layer: the kernel's cap on a plain blob.
const BLOB_BYTES_MAX: u64 = 64 << 20;

/// An index that an index may lead to, one level deep: an image for several platforms.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct ImageManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
}

/// Checks the layout at `dir`.
pub fn check(candidate: &Tree, dir: &str, report: &mut Report) {
    let index_path = format!("{dir}/index.json");
    let Some(bytes) = read(candidate, &index_path, JSON_BYTES_MAX, report) else {
        return;
    };
    let Some(index) = parse::<Index>(&index_path, &bytes, report) else {
        return;
    };
    if index.manifests.is_empty() {
        return report.file(&index_path, rules::IMAGE, "expected at least one manifest");
    }
    read(
        candidate,
        &format!("{dir}/oci-layout"),
        JSON_BYTES_MAX,
        report,
    );
    for descriptor in &index.manifests {
        if descriptor.media_type != INDEX {
            check_manifest(candidate, dir, descriptor, &index_path, report);
            continue;
        }
        let nested = blob(
            candidate,
            dir,
            descriptor,
            &index_path,
            JSON_BYTES_MAX,
            report,
        );
        let Some((path, bytes)) = nested else {
            continue;
        };
        let Some(nested) = parse::<Index>(&path, &bytes, report) else {
            continue;
        };
        for descriptor in &nested.manifests {
            check_manifest(candidate, dir, descriptor, &path, report);
        }
    }
}

fn check_manifest(
    candidate: &Tree,
    dir: &str,
    descriptor: &Descriptor,
    named_by: &str,
    report: &mut Report,
) {
    let found = blob(candidate, dir, descriptor, named_by, JSON_BYTES_MAX, report);
    let Some((path, bytes)) = found else {
        return;
    };
    let Some(manifest) = parse::<ImageManifest>(&path, &bytes, report) else {
        return;
    };
    blob(
        candidate,
        dir,
        &manifest.config,
        &path,
        JSON_BYTES_MAX,
        report,
    );
    for layer in &manifest.layers {
        check_layer(candidate, dir, layer, &path, report);
    }
}

/// Holds a layer to its descriptor: the file, or what its pointer names.
fn check_layer(
    candidate: &Tree,
    dir: &str,
    layer: &Descriptor,
    named_by: &str,
    report: &mut Report,
) {
    let name = layer.digest.strip_prefix("sha256:").unwrap_or_default();
    let path = format!("{dir}/blobs/sha256/{name}");
    let text = candidate.read(&path, POINTER_BYTES_MAX).unwrap_or_default();
    if !Pointer::is_meant(&text) {
        blob(candidate, dir, layer, named_by, BLOB_BYTES_MAX, report);
        return;
    }
    match Pointer::parse(&text) {
        Ok(pointer) if pointer.oid.to_string() == name && pointer.size == layer.size => {}
        Ok(pointer) => {
            let size = layer.size;
            let message =
                format!("it points to {pointer}, expected {size} bytes of the digest in its name");
            report.file(&path, rules::IMAGE, message);
        }
        Err(error) => report.file(&path, rules::IMAGE, error),
    }
}

/// Reads the blob that a descriptor names and holds it to its size and digest.
fn blob(
    candidate: &Tree,
    dir: &str,
    descriptor: &Descriptor,
    named_by: &str,
    bytes_max: u64,
    report: &mut Report,
) -> Option<(String, Vec<u8>)> {
    let digest = descriptor.digest.strip_prefix("sha256:");
    let Some(Ok(digest)) = digest.map(str::parse::<Digest>) else {
        let message = format!(
            "digest: expected 'sha256:' and 64 hex digits, got '{}'",
            descriptor.digest
        );
        report.file(named_by, rules::IMAGE, message);
        return None;
    };
    let path = format!("{dir}/blobs/sha256/{digest}");
    let bytes = match candidate.read(&path, bytes_max) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.file(&path, rules::IMAGE, format!("{error}; {named_by} names it"));
            return None;
        }
    };
    if bytes.len() as u64 != descriptor.size || Digest::of(&bytes) != digest {
        let message = format!(
            "expected {} bytes of the digest in its name",
            descriptor.size
        );
        report.file(&path, rules::IMAGE, message);
        return None;
    }
    Some((path, bytes))
}

fn read(candidate: &Tree, path: &str, bytes_max: u64, report: &mut Report) -> Option<Vec<u8>> {
    candidate
        .read(path, bytes_max)
        .map_err(|error| report.file(path, rules::IMAGE, error))
        .ok()
}

fn parse<'a, T: Deserialize<'a>>(path: &str, bytes: &'a [u8], report: &mut Report) -> Option<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| report.line(path, error.line(), rules::IMAGE, error))
        .ok()
}
