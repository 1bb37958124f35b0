//! The published vectors of how objects are cut, named and listed, held against this implementation.

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use gdo_chunkstore::cut::{Cutter, Limits};
use gdo_chunkstore::hash::{ChunkId, ManifestId};
use gdo_chunkstore::manifest::ManifestBuilder;
use gdo_core::error::FormatError;
use serde_json::Value;

#[path = "cut/archive.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of the cutter, which use more of it"
)]
mod archive;

fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/vectors/chunks.json");
    let text = fs::read_to_string(&path).expect("the vectors are in the checkout");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("{key}: expected a list"))
}

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key}: expected a number"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key}: expected a text"))
}

/// Joins the parts that an input is described by.
fn input(parts: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        if part.get("noise").is_some() {
            let len = number(part, "bytes") as usize;
            bytes.extend(archive::noise(number(part, "noise"), len));
        } else if part.get("zeroes").is_some() {
            bytes.resize(bytes.len() + number(part, "zeroes") as usize, 0);
        } else {
            bytes.extend(hex::decode(text(part, "hex")).expect("hex digits"));
        }
    }
    bytes
}

fn limits(value: &Value) -> Limits {
    let get = |key| number(value, key) as u32;
    Limits {
        min: get("min"),
        avg: get("avg"),
        max: get("max"),
        member: get("member"),
    }
}

#[test]
fn objects_are_cut_and_listed_as_published() {
    let vectors = vectors();
    let mut cases = 0;
    for case in list(&vectors, "objects") {
        let name = text(case, "name");
        let limits = limits(&case["limits"]);
        let mut cutter = Cutter::new(&limits).expect("published limits are good");
        let mut chunks = Vec::new();
        let mut keep = |chunk: &[u8]| {
            chunks.push((ChunkId::of(chunk), chunk.len()));
            Ok::<(), Infallible>(())
        };
        let Ok(()) = cutter.push(&input(list(case, "input")), &mut keep);
        let Ok(()) = cutter.finish(&mut keep);
        let lengths: Vec<usize> = chunks.iter().map(|(_, len)| *len).collect();
        let expected: Vec<usize> = list(case, "chunks")
            .iter()
            .map(|len| len.as_u64().expect("a length") as usize)
            .collect();
        assert_eq!(lengths, expected, "{name}");
        let mut builder = ManifestBuilder::new(&limits);
        let mut root = Vec::new();
        let mut keep = |_: ManifestId, bytes: &[u8]| {
            root = bytes.to_vec();
            Ok::<(), FormatError>(())
        };
        for (chunk, len) in chunks {
            let pushed = builder.push(chunk, len as u32, &mut keep);
            pushed.expect("the chunks are within their limits");
        }
        let id = builder.finish(&mut keep).expect("the manifest is small");
        assert_eq!(id.to_string(), text(case, "manifest"), "{name}");
        assert_eq!(id, ManifestId::of(&root));
        if let Some(bytes) = case.get("leaf") {
            assert_eq!(Some(hex::encode(root).as_str()), bytes.as_str(), "{name}");
        }
        cases += 1;
    }
    assert_eq!(cases, 22);
}

#[test]
fn names_are_those_that_are_published() {
    let vectors = vectors();
    for case in list(&vectors, "names") {
        let bytes = input(list(case, "input"));
        assert_eq!(ChunkId::of(&bytes).to_string(), text(case, "chunk"));
        assert_eq!(ManifestId::of(&bytes).to_string(), text(case, "node"));
    }
    assert_eq!(list(&vectors, "names").len(), 3);
}

#[test]
fn a_large_manifest_has_the_published_nodes() {
    let vectors = vectors();
    let case = &vectors["tree"];
    let mut nodes: Vec<(String, usize)> = Vec::new();
    let mut keep = |id: ManifestId, bytes: &[u8]| {
        nodes.push((id.to_string(), bytes.len()));
        Ok::<(), FormatError>(())
    };
    let mut builder = ManifestBuilder::new(&Limits::default());
    for number in 0..number(case, "chunks") {
        let chunk = ChunkId::of(&number.to_le_bytes());
        let pushed = builder.push(chunk, 1 + number as u32, &mut keep);
        pushed.expect("the lengths are within the limits");
    }
    let root = builder.finish(&mut keep).expect("the manifest is small");
    let expected: Vec<(String, usize)> = list(case, "nodes")
        .iter()
        .map(|node| {
            (
                text(node, "name").to_owned(),
                number(node, "bytes") as usize,
            )
        })
        .collect();
    assert_eq!(nodes, expected);
    assert_eq!(
        nodes.last().map(|node| node.0.clone()),
        Some(root.to_string())
    );
}
