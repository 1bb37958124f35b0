//! `context.json`: what a validator is told besides the two trees.
//!
//! Only what concerns the paths that the dapp reads, and neither heights nor the ids of unrelated
//! blocks nor times (but with `uses = ["time"]`): all of it is part of the verdict's key, so whatever
//! stands here in vain defeats the verdict cache.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::dapp::Scope;
use crate::delta::Operation;
use crate::error::FormatError;
use crate::id::{LedgerId, LedgerTime, MemberName, ObjectId, Weight};
use crate::policy::Lane;
use crate::roster::{Kind, Status};

/// The content of `/gdo/context.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The version of this form: 1.
    pub version: u64,
    /// Whether a whole candidate or one block is judged.
    pub scope: Scope,
    /// The ledger.
    pub ledger: LedgerId,
    /// The ledger's time in seconds, for dapps that use it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<LedgerTime>,
    /// The included blocks that touch what the dapp reads, in ledger order.
    pub blocks: Vec<ContextBlock>,
    /// The principals of those blocks.
    pub roster: BTreeMap<MemberName, ContextMember>,
}

/// A block that touches what the dapp reads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextBlock {
    /// The block's author.
    pub member: MemberName,
    /// Who is answerable for the change.
    pub principal: MemberName,
    /// The block's lane.
    pub lane: Lane,
    /// The proposal; `None` for a node's own records.
    pub proposal: Option<ObjectId>,
    /// The operations on paths that the dapp reads.
    pub operations: Vec<Operation>,
}

/// A principal, as the roster of the base has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextMember {
    /// What it is.
    pub kind: Kind,
    /// Its roles.
    pub roles: Vec<String>,
    /// Whether it takes part.
    pub status: Status,
    /// Its weight in approvals.
    pub weight: Weight,
}

impl Context {
    /// The text of the file: canonical JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        canonical::to_string(self)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Text of another form or version.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let context: Self = canonical::from_str("context.json", text)?;
        if context.version == 1 {
            Ok(context)
        } else {
            Err(FormatError::new("context.json version", 1, context.version))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_form_is_what_is_written() {
        let id = "ab".repeat(32);
        let text = format!(
            "{{\"blocks\":[{{\"lane\":\"final\",\"member\":\"hub\",\"operations\":[{{\"new\":{{\"id\":\"{id}\",\
             \"mode\":\"100644\"}},\"old\":null,\"path\":\"acct/x\"}}],\"principal\":\"alice\",\"proposal\":null}}],\
             \"ledger\":\"{id}\",\"roster\":{{\"alice\":{{\"kind\":\"person\",\"roles\":[\"board\"],\
             \"status\":\"active\",\"weight\":1}}}},\"scope\":\"checkpoint\",\"version\":1}}"
        );
        let context = Context::parse(&text).expect("documented form");
        assert_eq!(context.to_json(), text);
        assert!(Context::parse(&text.replace("\"version\":1", "\"version\":2")).is_err());
    }
}
