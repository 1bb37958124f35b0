//! Runs the validators of dapps in containers and says what they said.
//!
//! The daemon hands this crate directories and numbers and gets an outcome back. It never hands it
//! git, the ledger or a clock: a validator sees two trees and a list of blocks, and nothing else
//! that could differ between two honest machines. The crate is the only one that knows
//! libcontainer; none of its types appear in a public signature here.
//!
//! The parts, in the order a run passes them:
//! - [`image`] checks an OCI image layout against its digests and unpacks it once, read-only;
//! - [`request`] says what to run and within which limits;
//! - [`sandbox`] is the caller's side: it keeps warm helper processes and hands them requests;
//! - [`helper`] is the other side: one single-threaded process that makes the containers;
//! - [`outcome`] is what one run left behind, and [`judge()`] turns it into pass, fail or
//!   inconclusive (P-26);
//! - [`probe`](mod@probe) says what this kernel and user can isolate, [`state`] and [`sweep`] clear
//!   up after a helper that was killed.
//!
//! **Invariants.** No container outlives its helper. Nothing outside of the run's own directories
//! is written. A run that was limited in any way that the contract does not promise is never
//! called a pass.

pub mod error;
pub mod helper;
pub mod image;
pub mod judge;
pub mod outcome;
pub mod probe;
pub mod request;
pub mod sandbox;
pub mod state;
pub mod sweep;

mod cgroup;
mod process;
mod seccomp;
mod spec;

pub use error::{ImageError, SandboxError};
pub use helper::sandbox_main;
pub use image::{Image, ImageCache};
pub use judge::{Judgement, Reason, judge};
pub use outcome::{Outcome, Resources, Stages};
pub use probe::{Check, Probe, probe};
pub use process::become_subreaper;
pub use request::{Isolation, Limits, RunRequest};
pub use sandbox::{HelperCommand, Sandbox, SandboxConfig};
pub use state::default_state_dir;
pub use sweep::Swept;
