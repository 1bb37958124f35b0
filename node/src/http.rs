//! What the daemon serves over HTTP, one module per kind of client.
//!
//! [`git`] serves the ledger, [`lfs`] large files and [`registry`] images; [`service`] and [`transfer`]
//! move what is too large to be held for the last two, and [`serve`] accepts the connections. Nothing here asks who a client is: whatever
//! changes the ledger comes signed, and what comes unsigned is bounded and removed after a day.
//!
//! **Invariants**: each kind of client has a router of its own routes only, so that they can be merged
//! in any order; no request is held in memory as a whole.

mod cgi;
pub mod git;
pub mod host;
pub mod lfs;
mod range;
pub mod registry;
pub mod serve;
pub mod service;
pub mod transfer;
