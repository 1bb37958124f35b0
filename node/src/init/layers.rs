//! The layers of the dapps that a ledger starts with: objects of the new node's store.
//!
//! They come as files beside this program, and a ledger's history keeps for ever what once stood in
//! its tree; so what stands there from the first commit on is pointers (P-40).
//!
//! **Invariants**: `index.json`, the manifests and the configurations stay as they are, and with them
//! the digests that name the dapps.

use std::collections::BTreeSet;
use std::io::Write as _;

use gdo_chunkstore::{Options, Store};
use gdo_core::delta::Mode;
use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use gdo_runtime::image::describe::describe;
use gdo_runtime::image::import::{ATTRIBUTES_FILE, attributes};

use super::Files;
use crate::clock::wall_seconds;
use crate::dir::NodeDir;
use crate::error::NodeError;

/// What every image layout has at its root.
const MARKER: &str = "/oci-layout";

/// Puts pointers in the place of all layers; gives the layers.
pub(super) fn take(files: &mut Files) -> Vec<(Pointer, Vec<u8>)> {
    let folders = files.keys().filter_map(|path| path.strip_suffix(MARKER));
    let folders: Vec<String> = folders.map(str::to_owned).collect();
    let mut taken = Vec::new();
    for folder in folders {
        let read = |name: &str| {
            let found = files.get(&format!("{folder}/{name}"));
            Ok(found.map(|(_, content)| content.clone()))
        };
        // An image that cannot be read is no reason to make no ledger: its validator says so.
        let Ok(image) = describe(&read) else { continue };
        let mut pointers = BTreeSet::new();
        for layer in image.variants.iter().flat_map(|variant| &variant.layers) {
            let hex = layer.digest.strip_prefix("sha256:").unwrap_or_default();
            let Ok(oid) = hex.parse::<Digest>() else {
                continue;
            };
            let size = layer.size;
            let pointer = Pointer { oid, size };
            let Some((_, content)) = files.get_mut(&format!("{folder}/blobs/sha256/{oid}")) else {
                continue;
            };
            if Digest::of(content) != oid || content.len() as u64 != size {
                continue; // another variant's pointer, or damage that its validator names
            }
            let text = pointer.to_text().into_bytes();
            taken.push((pointer, std::mem::replace(content, text)));
            pointers.insert(pointer);
        }
        if !pointers.is_empty() {
            let text = attributes(&pointers).into_bytes();
            files.insert(format!("{folder}/{ATTRIBUTES_FILE}"), (Mode::File, text));
        }
    }
    taken
}

/// Stores layers as the first objects of a new node.
pub(super) fn store(dir: &NodeDir, layers: &[(Pointer, Vec<u8>)]) -> Result<(), NodeError> {
    let chunks = dir.chunks();
    let failed = |error: gdo_chunkstore::StoreError| {
        NodeError::io("store the dapps' layers in", &chunks, error.into_io())
    };
    if layers.is_empty() {
        return Ok(());
    }
    let store = Store::open(&chunks, &Options::default()).map_err(failed)?;
    for (pointer, content) in layers {
        let mut object = store.ingest(wall_seconds()).map_err(failed)?;
        object
            .write_all(content)
            .map_err(|error| NodeError::io("store the dapps' layers in", &chunks, error))?;
        object.finish_as(pointer).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_become_pointers_and_what_names_the_dapp_stays() {
        let mut files = Files::new();
        let mut put = |name: &str, text: &str| {
            let content = text.as_bytes().to_vec();
            files.insert(format!("d/image/{name}"), (Mode::File, content));
            let digest = Digest::of(text.as_bytes());
            format!("{{\"digest\":\"sha256:{digest}\",\"size\":{}}}", text.len())
        };
        let layer_path = format!("blobs/sha256/{}", Digest::of(b"a layer"));
        let layer = put(&layer_path, "a layer");
        let config = r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}}"#;
        let config = put(
            &format!("blobs/sha256/{}", Digest::of(config.as_bytes())),
            config,
        );
        // The same layer twice, as images have it that were made from an empty one.
        let manifest = format!("{{\"config\":{config},\"layers\":[{layer},{layer}]}}");
        let path = format!("blobs/sha256/{}", Digest::of(manifest.as_bytes()));
        let manifest = put(&path, &manifest);
        put("index.json", &format!("{{\"manifests\":[{manifest}]}}"));
        put("oci-layout", "{}");
        let before = files.clone();
        let taken = take(&mut files);
        let [(pointer, content)] = taken.as_slice() else {
            panic!("one layer, got {}", taken.len());
        };
        assert_eq!(
            (pointer.oid, content.as_slice()),
            (Digest::of(b"a layer"), &b"a layer"[..])
        );
        let stands = &files[&format!("d/image/{layer_path}")].1;
        assert_eq!(stands, pointer.to_text().as_bytes());
        assert!(files.contains_key("d/image/.gitattributes"));
        for (path, file) in before
            .iter()
            .filter(|(path, _)| !path.ends_with(&layer_path))
        {
            assert_eq!(files.get(path), Some(file), "{path} stays");
        }
        assert!(take(&mut files).is_empty(), "pointers are no layers");
    }
}
