//! What the tests of the whole need: real organisations, with a real daemon and stock git.
//!
//! [`Org`] is an organisation in a temporary directory: made by `gdo init`, served by `gdo node run`,
//! stopped when it is dropped. [`Clone`] is a member's clone, driven by stock git. Nothing is
//! imitated: what a test sees is what a person sees.
//!
//! **Invariants**: no test shares anything with another one; nothing waits for time to pass, only
//! for what is expected (a line, a lock, the end of a process); a missing tool is named.

pub mod clone;
pub mod dapp;
pub mod disk;
pub mod lfs;
pub mod org;
pub mod program;
pub mod seen;
pub mod sshd;

pub use clone::Clone;
pub use org::Org;
pub use seen::Seen;
