//! Books that several people and machines write at once, and that stock `ledger` and `hledger` open.
//!
//! No stock tool refuses a double spend: two branches that each spend 40 of 50 merge cleanly, and both
//! tools pass at -30. This validator folds every transaction into exact balances in ledger
//! order and refuses the one that breaks a floor. `README.md` is the format.
//!
//! **Invariants**: amounts are integers of a commodity's smallest unit, never floating point; the
//! balances are a sum, so they do not depend on the order; only what a new transaction
//! *lowers* is judged, in the order of the blocks. Work is linear in the number of files.

pub mod amount;
pub mod book;
pub mod close;
pub mod date;
pub mod defs;
pub mod fault;
pub mod include;
pub mod journal;
mod judge;
pub mod pattern;
pub mod rules;
pub mod source;
pub mod validate;
