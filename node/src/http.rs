//! What the daemon serves over HTTP, one module per kind of client.
//!
//! Nothing here asks who a client is: whatever changes the ledger comes signed.
//!
//! **Invariants**: each module gives a router of its own routes only, so that they can be merged
//! in any order; no request is held in memory as a whole.

mod cgi;
pub mod git;
pub mod host;
pub mod lfs;
mod range;
pub mod registry;
pub mod service;
pub mod transfer;
