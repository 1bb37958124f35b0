//! The guard of `.gdo/`: nobody locks the organisation out of its own ledger.
//!
//! A roster, a policy and a dapp may each be well formed and together leave nobody who could ever
//! change them again. This validator judges what a candidate's `.gdo/` would be once it is in force,
//! by the guard rails of the protocol (P-5, P-6, P-27, P-35) and by what only the tree can show:
//! images whose layers are there, files that nothing reads, members that vanished.
//!
//! **Invariants**: it judges the candidate as a whole, so order and authors do not matter; what it
//! accepts can be changed again by somebody.

pub mod dapps;
pub mod faults;
pub mod image;
pub mod rules;
pub mod validate;
