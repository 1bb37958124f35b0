//! The chunk store: large files and container images, cut by content and each piece kept once.
//!
//! An **object** is a whole file, known outside by its SHA-256 and size. It is cut into **chunks**;
//! its **manifest** lists them. Chunks are gathered into **frames**, which are compressed as one, and
//! frames are appended to **packs**. An index says where each chunk lies, and can always be made anew
//! from the packs. The formats are described in `docs/formats/pack.md`.
//!
//! **Invariants**: an object that was acknowledged survives a crash at any point; every byte that is
//! read was checked against the hash that names it; memory is bounded whatever comes in. The crate
//! reads no clock: times come in as values.

pub mod cut;
pub mod error;
pub mod hash;
pub mod manifest;

mod compress;
mod disk;
mod fault;
mod frame;
mod gc;
mod index;
mod ingest;
mod lease;
mod log;
mod marks;
mod near;
mod read;
mod record;
mod recover;
mod reindex;
mod scan;
mod stat;
mod store;
mod verify;

#[cfg(test)]
mod tests;

pub use compress::Profile;
pub use error::{Damage, StoreError};
pub use gc::{GcOptions, GcReport};
pub use ingest::{Ingest, Ingested};
pub use read::ObjectReader;
pub use reindex::ReindexReport;
pub use stat::{ObjectStat, Totals};
pub use store::{Options, Progress, Store};
pub use verify::VerifyReport;
