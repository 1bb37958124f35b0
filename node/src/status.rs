//! What a node says of itself: the answer of the control API's `/v1/status`.

use serde::{Deserialize, Serialize};

/// What a node is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This node's member name.
    pub node: String,
    /// The ledger's id.
    pub ledger: String,
    /// The ledger's name.
    pub name: String,
    /// The branch.
    pub branch: String,
    /// The newest checkpoint.
    pub main: String,
    /// Its height.
    pub height: u64,
    /// The candidate head.
    pub head: String,
    /// Open proposals and records: not decided yet.
    pub pending: Vec<PendingItem>,
    /// Blocks that the head does not hold for now, with the reason.
    pub set_aside: Vec<AsideItem>,
    /// Where git finds the ledger.
    pub clone_urls: Vec<String>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// A block that waits for a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingItem {
    /// The block.
    pub block: String,
    /// The proposal that it embeds.
    pub proposal: Option<String>,
    /// Who is answerable for it.
    pub principal: String,
    /// Its lane.
    pub lane: String,
    /// Its first line.
    pub subject: String,
    /// What it waits for.
    pub waits_for: String,
}

/// A block that is set aside for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideItem {
    /// The block.
    pub block: String,
    /// The proposal that it embeds.
    pub proposal: Option<String>,
    /// Why.
    pub reason: String,
}
