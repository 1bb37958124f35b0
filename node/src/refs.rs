//! The names of the refs of one branch (P-42).

use gdo_core::id::{MemberName, ObjectId};
use gdo_core::key::KeyId;

/// The refs of one branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refs {
    branch: String,
}

impl Refs {
    /// Those of `branch`.
    #[must_use]
    pub fn new(branch: impl Into<String>) -> Self {
        Self {
            branch: branch.into(),
        }
    }

    /// The branch.
    #[must_use]
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn main(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// The candidate head.
    #[must_use]
    pub fn head(&self) -> String {
        format!("refs/gdo/{}/head", self.branch)
    }

    /// The tip of a key's chain of blocks.
    #[must_use]
    pub fn block(&self, member: &MemberName, key: KeyId) -> String {
        format!("refs/gdo/{}/blocks/{member}/{key}", self.branch)
    }

    /// Below which the tips of all chains lie.
    #[must_use]
    pub fn blocks(&self) -> String {
        format!("refs/gdo/{}/blocks/", self.branch)
    }

    /// An open proposal.
    #[must_use]
    pub fn proposal(&self, id: ObjectId) -> String {
        format!("refs/gdo/{}/proposals/{id}", self.branch)
    }

    /// Below which all open proposals lie.
    #[must_use]
    pub fn proposals(&self) -> String {
        format!("refs/gdo/{}/proposals/", self.branch)
    }

    /// The attestations of a runner.
    #[must_use]
    pub fn attestations(&self, member: &MemberName) -> String {
        format!("refs/gdo/{}/att/{member}", self.branch)
    }

    /// The certificate of the newest checkpoint.
    #[must_use]
    pub fn certificate(&self) -> String {
        format!("refs/gdo/{}/cert", self.branch)
    }
}
