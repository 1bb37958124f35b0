//! The names of a ledger's refs (P-42): all carry the branch.

use gdo_core::id::{MemberName, ObjectId};
use gdo_core::key::KeyId;

/// The newest checkpoint, K.
#[must_use]
pub fn main(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// Everything but the branch itself.
#[must_use]
pub fn all(branch: &str) -> String {
    format!("refs/gdo/{branch}/")
}

/// The candidate head, F(S).
#[must_use]
pub fn head(branch: &str) -> String {
    format!("refs/gdo/{branch}/head")
}

/// The newest certificate.
#[must_use]
pub fn certificate(branch: &str) -> String {
    format!("refs/gdo/{branch}/cert")
}

/// The tips of all block chains.
#[must_use]
pub fn all_blocks(branch: &str) -> String {
    format!("refs/gdo/{branch}/blocks/")
}

/// The tip of the block chain of one key.
#[must_use]
pub fn blocks(branch: &str, member: &MemberName, key: &KeyId) -> String {
    format!("refs/gdo/{branch}/blocks/{member}/{key}")
}

/// All proposals that are not disposed of.
#[must_use]
pub fn all_proposals(branch: &str) -> String {
    format!("refs/gdo/{branch}/proposals/")
}

/// A proposal that is not disposed of.
#[must_use]
pub fn proposal(branch: &str, proposal: &ObjectId) -> String {
    format!("refs/gdo/{branch}/proposals/{proposal}")
}

/// A block that is set aside.
#[must_use]
pub fn aside(branch: &str, block: &ObjectId) -> String {
    format!("refs/gdo/{branch}/aside/{block}")
}

/// All attestations.
#[must_use]
pub fn all_attestations(branch: &str) -> String {
    format!("refs/gdo/{branch}/att/")
}

/// The attestations of one runner.
#[must_use]
pub fn attestations(branch: &str, member: &MemberName) -> String {
    format!("refs/gdo/{branch}/att/{member}")
}
