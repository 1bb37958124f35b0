//! The accounting validator on whole trees: rejects, ledger order, floats, closings, stock tools.

#[path = "suite/closings.rs"]
mod closings;
#[path = "suite/interop.rs"]
mod interop;
#[path = "suite/orders.rs"]
mod orders;
#[path = "suite/rejects.rs"]
mod rejects;
#[path = "suite/support.rs"]
mod support;
