//! The git repository under a ledger: objects, trees, refs, and the forms of protocol in them.
//!
//! The only crate that knows gix and the git binary. Git itself stays the server side of the wire;
//! this crate reads what git received, judges its structure (P-9 to P-16), and writes what the head
//! rule and the checkpoints decided, byte for byte the same on every node (P-19, P-30).
//!
//! **Invariants**: no type of gix in a public signature; no work tree, filter or hook is ever involved
//! in reading; nothing is named by a ref before it is on the disk.

pub mod ancestry;
pub mod attestation;
pub mod audit;
pub mod block;
pub mod checkout;
pub mod error;
pub mod fault;
mod freshen;
pub mod git;
pub mod head;
mod ids;
pub mod maintenance;
pub mod objects;
pub mod pointers;
pub mod projection;
pub mod proposal;
pub mod refs;
pub mod repository;
pub mod signature;
pub mod state;
mod sync;
pub mod tree;

pub use ancestry::{LedgerCommit, View};
pub use attestation::Attestation;
pub use audit::{Audit, AuditError, AuditedCheckpoint};
pub use block::{BlockError, BlockInput, BlockRules, subject_of};
pub use checkout::{CheckedOut, CheckoutCaps};
pub use error::{LedgerError, RefError, TreeError};
pub use head::{CheckpointPlan, HeadPlan};
pub use maintenance::{Maintained, MaintenanceInput};
pub use pointers::PointerFile;
pub use proposal::{ProposalError, ProposalRules, Refusal};
pub use refs::{Expected, RefEdit};
pub use repository::{ConfigInput, Ledger, ObjectFormat};
pub use signature::SignerError;
pub use state::{Checkpoint, Dapp, Rules};
pub use tree::Standing;
pub use tree::lookup::PathFacts;
