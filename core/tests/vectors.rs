//! The published test vectors, held against this implementation.
//!
//! `docs/formats/vectors/*.json` let others write a second implementation. Here every value in them
//! is computed again from its inputs and must come out the same; OpenSSH, which knows nothing of us,
//! checks the signatures. The files are fixed: whoever must change one changes the protocol.
//!
//! **Invariants**: a vector file holds nothing that is not recomputed.

#[path = "vectors/commits.rs"]
mod commits;
#[path = "vectors/files.rs"]
mod files;
#[path = "vectors/signed.rs"]
mod signed;

use std::path::PathBuf;

use gdo_core::id::{Digest, LedgerId, ObjectId};
use gdo_core::key::NodeKey;
use serde_json::Value;

/// A vector file and what computes it.
type Vector = (&'static str, fn() -> Value);

/// Every vector file.
const VECTORS: [Vector; 12] = [
    ("block.json", commits::block),
    ("canonical-json.json", files::canonical_json),
    ("checkpoint.json", commits::checkpoint),
    ("context.json", files::context),
    ("dapp.json", files::dapp),
    ("head.json", commits::head),
    ("policy.json", files::policy),
    ("roster.json", files::roster),
    ("signature.json", signed::signature),
    ("verdict.json", signed::verdict),
    ("vote.json", signed::vote),
    ("wal.json", signed::wal),
];

/// Vector files of the chunk store, whose own tests compute them.
const OF_THE_CHUNK_STORE: [&str; 2] = ["chunks.json", "pack.json"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/vectors")
}

/// The key of the 32-byte seed that holds `byte` everywhere.
fn key(byte: u8) -> NodeKey {
    NodeKey::from_seed([byte; 32])
}

/// The object id that holds `byte` everywhere.
fn id(byte: u8) -> ObjectId {
    ObjectId::from_bytes(&[byte; 32]).expect("32 bytes are an id")
}

fn ledger() -> LedgerId {
    LedgerId(id(0xaa))
}

/// The id that git gives a commit in a SHA-256 repository.
fn commit_id(raw: &[u8]) -> String {
    let mut object = format!("commit {}\0", raw.len()).into_bytes();
    object.extend_from_slice(raw);
    Digest::of(&object).to_string()
}

fn text(raw: Vec<u8>) -> String {
    String::from_utf8(raw).expect("the vectors are text")
}

#[test]
fn every_published_vector_is_computed_again() {
    let mut named: Vec<String> = std::fs::read_dir(folder())
        .expect("the vectors are in docs/formats/vectors")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    named.retain(|name| !OF_THE_CHUNK_STORE.contains(&name.as_str()));
    named.sort();
    assert_eq!(
        named,
        VECTORS.map(|(name, _)| name),
        "the files and the table differ"
    );
    for (name, compute) in VECTORS {
        let stored =
            std::fs::read_to_string(folder().join(name)).expect("a vector file is readable");
        let stored: Value = serde_json::from_str(&stored).expect("a vector file is JSON");
        assert_eq!(compute(), stored, "{name}");
    }
}

#[test]
#[ignore = "writes the vectors anew; only for a change of the protocol"]
fn write_vectors() {
    for (name, compute) in VECTORS {
        let pretty = serde_json::to_string_pretty(&compute()).expect("a value is JSON");
        std::fs::write(folder().join(name), pretty + "\n").expect("the folder is writable");
    }
}
