//! What the node says of itself.

use gdo_core::id::ObjectId;

use super::state::State;
use crate::error::NodeError;
use crate::status::{AsideItem, PendingItem, Status};

impl State {
    /// What the node is doing.
    pub(crate) fn status(&mut self) -> Result<Status, NodeError> {
        let head = self.head()?;
        let plan = self.machine.plan();
        let mut pending = Vec::new();
        for block in plan.applied.iter().chain(&plan.pending) {
            pending.push(self.pending_item(block));
        }
        let set_aside = plan.aside.iter().map(|(block, reason)| AsideItem {
            block: block.to_string(),
            proposal: self.proposal_of(block).map(|id| id.to_string()),
            reason: reason.to_string(),
        });
        Ok(Status {
            node: self.signer.member().to_string(),
            ledger: self.ledger_id.to_string(),
            name: self.checkpoint.rules.ledger.name.clone(),
            branch: self.known.branch().to_owned(),
            main: self.checkpoint.id.to_string(),
            height: self.checkpoint.record.height.0,
            head: head.to_string(),
            pending,
            set_aside: set_aside.collect(),
            clone_urls: self.urls.clone(),
            warnings: self.all_warnings(),
        })
    }

    fn pending_item(&self, block: &ObjectId) -> PendingItem {
        let found = self.blocks.get(block);
        PendingItem {
            block: block.to_string(),
            proposal: self.proposal_of(block).map(|id| id.to_string()),
            principal: found
                .map(|found| found.principal.to_string())
                .unwrap_or_default(),
            lane: found
                .map(|found| found.block.trailers.lane.to_string())
                .unwrap_or_default(),
            subject: found
                .map(|found| found.block.subject.clone())
                .unwrap_or_default(),
            waits_for: self.waits_for(block),
        }
    }

    fn all_warnings(&self) -> Vec<String> {
        let rules = &self.checkpoint.rules;
        let mut warnings = self.warnings.clone();
        for missing in self.judges.missing() {
            warnings.push(format!("validators are not isolated fully: {missing}"));
        }
        for rule in rules
            .policy
            .rules()
            .iter()
            .filter(|rule| rule.self_approval)
        {
            warnings.push(format!(
                "rule \"{}\" has self_approval = true: one person alone may change what it protects",
                rule.path.as_str()
            ));
        }
        if rules.policy.recovery.is_none() {
            warnings.push(
                "the policy has no [recovery] keys: a lost validator key cannot be mended"
                    .to_owned(),
            );
        }
        warnings
    }
}
