//! Proof of merge, pure: which unfinished blocks make the head, which the next checkpoint takes,
//! what proves it and what makes it final.
//!
//! Everything here is a function of its inputs: no git, no file, no clock, no randomness, so that
//! the same code runs in the daemon, in the simulator and in the audit.
//!
//! **Invariants**: equal inputs give equal outputs on every machine; nothing iterates over a hash
//! map; nothing is logged.

pub mod cut;
pub mod error;
pub mod facts;
pub mod finality;
pub mod machine;
pub mod plan;
pub mod verdicts;
pub mod window;
