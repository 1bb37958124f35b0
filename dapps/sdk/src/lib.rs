//! What the validators of gdo share: the contract, the two trees, the report, three shapes of record.
//!
//! A validator is a program that reads two directories and answers with its exit code; nothing here is
//! a condition for writing one (`dapps/shell-example` is a few lines of shell). What is here are the
//! parts that every validator would otherwise get wrong in its own way: a candidate is hostile input.
//!
//! - [`contract`]: `main` of a validator, from the input to the exit code;
//! - [`tree`]: the two trees, without ever following a symlink;
//! - [`report`]: problems with path, line and rule;
//! - [`record`], [`log`], [`singleton`]: the shapes R, W and S, over [`immutable`] files;
//! - [`testing`]: property tests that every dapp gets for its own validator.
//!
//! **Invariants**: no network, no clock, no randomness; whatever a candidate holds ends in a verdict
//! or in "could not tell", never in a panic.

pub mod contract;
pub mod error;
pub mod header;
pub mod immutable;
pub mod log;
pub mod record;
pub mod report;
pub mod singleton;
pub mod testing;
pub mod tree;
pub mod ulid;
