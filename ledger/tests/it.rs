//! Ledgers against stock git: what is made here, git accepts; what git makes, is judged here.

#![allow(missing_docs)]

#[path = "it/support.rs"]
mod support;

#[path = "it/audit.rs"]
mod audit;
#[path = "it/blocks.rs"]
mod blocks;
#[path = "it/objects.rs"]
mod objects;
#[path = "it/proposals.rs"]
mod proposals;
#[path = "it/refs.rs"]
mod refs;
#[path = "it/trees.rs"]
mod trees;
#[path = "it/upkeep.rs"]
mod upkeep;
