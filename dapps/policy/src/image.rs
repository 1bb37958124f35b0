//! Whether an OCI image layout is complete: a validator whose image lacks a layer never passes again.
//!
//! Everything that `index.json` leads to must be there with the size and the SHA-256 that names
//! it. What the layers hold is the runtime's matter.

use gdo_core::id::Digest;
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::tree::Tree;
use serde::Deserialize;

use crate::rules;

/// The largest index or manifest.
const JSON_BYTES_MAX: u64 = 1 << 20;

/// The largest layer: the kernel's cap on a plain blob.
const BLOB_BYTES_MAX: u64 = 64 << 20;

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
        let Some((path, bytes)) = blob(
            candidate,
            dir,
            descriptor,
            &index_path,
            JSON_BYTES_MAX,
            report,
        ) else {
            continue;
        };
        let Some(manifest) = parse::<ImageManifest>(&path, &bytes, report) else {
            continue;
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
            blob(candidate, dir, layer, &path, BLOB_BYTES_MAX, report);
        }
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
