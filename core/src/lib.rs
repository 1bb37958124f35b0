//! The vocabulary of gdo: everything that crates speak about with each other.
//!
//! Ids, keys and signatures, canonical JSON, the roster, the policy with its lanes, proposals,
//! blocks, verdicts, votes, checkpoints, dapp manifests, and the messages of hooks and control.
//!
//! **Invariants**: no IO, no clock, no async, no git library. Values are well formed once they
//! exist; parsing and verifying are the only ways in. Nothing iterates over a hash map.

pub mod block;
pub mod canonical;
pub mod checkpoint;
pub mod commit;
pub mod context;
pub mod dapp;
pub mod delta;
pub mod error;
pub mod guard;
pub mod hook;
pub mod id;
pub mod key;
pub mod ledger;
pub mod path;
pub mod pointer;
pub mod policy;
pub mod proposal;
pub mod roster;
pub mod verdict;
pub mod vote;
