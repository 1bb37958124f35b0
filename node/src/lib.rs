//! The daemon as a library: it joins the ledger, consensus, the runtime and git's hooks.
//!
//! A push comes in through [`hook_server`], is checked against what [`known`] says, and is taken by
//! the [`reactor`], which owns the pure machine, the [`signer`] and all refs. [`judge`]s run
//! validators; [`http`] and [`control`] serve clients; [`init`] makes a new node.
//!
//! **Invariants**: the reactor alone moves refs and signs; the log comes before every signature;
//! whatever changes the ledger comes signed.

pub mod audit;
pub mod chain;
pub mod chunks;
pub mod clock;
pub mod config;
mod context;
pub mod control;
pub mod daemon;
pub mod dir;
pub mod error;
pub mod facts;
pub mod fault;
pub mod helper;
pub mod hook_server;
pub mod http;
pub mod images;
pub mod init;
pub mod judge;
pub mod known;
pub mod objects;
pub mod push;
pub mod reactor;
pub mod refs;
pub mod signer;
pub mod soundness;
pub mod space;
pub mod stage;
pub mod status;
pub mod upkeep;
pub mod verdicts;
pub mod wal;
