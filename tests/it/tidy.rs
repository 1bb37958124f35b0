//! The house rules that a compiler does not check, as tests.
//!
//! `ARCHITECTURE.md` says which crate may know which, `CONTRIBUTING.md` how files look, and
//! `docs/protocol/` which clauses exist. All of it would rot without a test that reads the sources.
//! Each rule is a pure function from texts to faults, tried on a bad example beside it, and then on
//! the whole checkout.
//!
//! **Invariants**: a fault names the file, the line where there is one, and what to do.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/sources.rs"]
mod sources;

/// Fails with every fault on a line of its own.
fn assert_none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}\n  {}", faults.join("\n  "));
}
