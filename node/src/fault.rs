//! Fault points of the node: where the crash test kills it (feature `faults`).
//!
//! Between two points nothing happens that another process or the next start could see, so a kill at
//! each of them stands for a kill at any moment. The points are the ledger's, whose transactions have
//! some of their own; without the feature they are empty functions.

pub use gdo_ledger::fault::point;
