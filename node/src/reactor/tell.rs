//! Telling pushers what became of their proposals.

use std::collections::BTreeMap;

use gdo_consensus::machine::Fate;
use gdo_core::block::BlockInPast;
use gdo_core::checkpoint::Reason;
use gdo_core::hook::CommandOutcome;
use gdo_core::id::{DappName, ObjectId};
use gdo_core::verdict::Outcome;

use super::news;
use super::state::State;
use crate::chain::BlockEnd;
use crate::error::NodeError;
use crate::judge::Judged;

impl State {
    /// Tells the pusher of a candidate's last block that nothing was decided: it is the one that is
    /// left out.
    pub(super) fn tell_inconclusive(
        &mut self,
        dapp: &DappName,
        blocks: &[ObjectId],
        judged: &Judged,
    ) {
        // The last block is the one that is left out if the candidate stays undecided.
        let Some(proposal) = blocks.last().and_then(|block| self.proposal_of(block)) else {
            return;
        };
        for line in news::dapp_lines(dapp, judged) {
            self.watchers.line(proposal, &line);
        }
        self.watchers.line(
            proposal,
            "gdo: not decided, which is not your fault: the proposal stays open and is judged again",
        );
        let report = Some(news::report(self.known.refs(), proposal));
        self.watchers
            .decide(proposal, &CommandOutcome::Accepted { report });
    }

    /// Tells those who wait for blocks that a checkpoint has just disposed of.
    pub(super) fn tell_disposed(&mut self, disposed: &[ObjectId]) {
        let height = self.checkpoint.record.height;
        for block in disposed {
            let Some(proposal) = self.proposal_of(block) else {
                continue;
            };
            let end = self.known.read(|commits| commits.chain.block_end(*block));
            let outcome = match end {
                Some(BlockEnd::Aside(_, reason)) => self.tell_aside(*block, proposal, reason),
                _ => {
                    for line in self.passes_of(*block) {
                        self.watchers.line(proposal, &line);
                    }
                    let branch = self.known.branch();
                    let line = format!(
                        "gdo: {branch} is now {} (checkpoint {height}); 'git pull' brings it",
                        self.checkpoint.id.short(12)
                    );
                    self.watchers.line(proposal, &line);
                    CommandOutcome::Accepted {
                        report: Some(news::report(self.known.refs(), proposal)),
                    }
                }
            };
            self.watchers.decide(proposal, &outcome);
        }
    }

    /// The newest passing lines of each dapp that judged a candidate with the block.
    fn passes_of(&self, block: ObjectId) -> Vec<String> {
        let mut newest = BTreeMap::new();
        for asked in self.asked.values() {
            if let Some(judged) = &asked.judged
                && judged.result == Ok(Outcome::Pass)
                && asked.blocks.contains(&block)
            {
                newest.insert(&asked.dapp, judged);
            }
        }
        newest
            .into_iter()
            .flat_map(|(dapp, judged)| news::dapp_lines(dapp, judged))
            .collect()
    }

    fn tell_aside(
        &mut self,
        block: ObjectId,
        proposal: ObjectId,
        reason: Reason,
    ) -> CommandOutcome {
        let mut refused = format!("set aside: {reason}");
        if reason == Reason::Dapp {
            let mut lines = Vec::new();
            for asked in self.asked.values() {
                let Some(judged) = &asked.judged else {
                    continue;
                };
                let is_last = asked.blocks.last() == Some(&block);
                if judged.result == Ok(Outcome::Fail) && is_last {
                    refused = news::failure(&asked.dapp, judged);
                    lines.extend(news::dapp_lines(&asked.dapp, judged));
                }
            }
            lines
                .into_iter()
                .for_each(|line| self.watchers.line(proposal, &line));
        } else {
            self.watchers
                .line(proposal, &format!("gdo: {}", explain(reason)));
        }
        CommandOutcome::Refused { reason: refused }
    }

    /// Tells those who push a proposal that waits for others, and lets them go.
    pub(super) fn tell_if_waiting(&mut self, block: ObjectId) {
        let Some(proposal) = self.proposal_of(&block) else {
            return;
        };
        if !self.watchers.has(proposal) {
            return;
        }
        if self.machine.fate(&block) != Fate::Open || self.lets_in(&block) {
            return;
        }
        let what = self.waits_for(&block);
        self.watchers
            .line(proposal, &format!("gdo: recorded; it waits for {what}"));
        if self
            .blocks
            .get(&block)
            .is_some_and(|found| found.notes.is_empty())
        {
            self.watchers.line(
                proposal,
                &format!("gdo:   gdo approve {}", proposal.short(12)),
            );
        }
        let report = Some(news::report(self.known.refs(), proposal));
        self.watchers
            .decide(proposal, &CommandOutcome::Accepted { report });
    }

    /// Whether a block is a note on a proposal that comes in now, if its dapps pass it: its pusher
    /// hears of the checkpoint.
    fn lets_in(&mut self, block: &ObjectId) -> bool {
        let Some(found) = self.blocks.get(block) else {
            return false;
        };
        let named: Vec<ObjectId> = found.notes.iter().map(|note| note.proposal).collect();
        let is_named = |other: &&BlockInPast| {
            let proposal = other.block.trailers.proposal;
            proposal.is_some_and(|proposal| named.contains(&proposal))
        };
        let blocks = self.blocks.values().filter(is_named);
        let blocks: Vec<ObjectId> = blocks.map(|other| other.block.id).collect();
        blocks
            .iter()
            .any(|block| self.machine.fate(block) == Fate::Included)
    }

    /// Tells everybody who waits that the node stops on an error of its own.
    pub(crate) fn last_words(&mut self, error: &NodeError) {
        let reason = format!("the node has stopped: {error}; push again once it runs");
        self.watchers
            .decide_all(&CommandOutcome::Refused { reason });
    }

    /// Tells everybody whose proposal is still open after a checkpoint why.
    pub(super) fn tell_waiting(&mut self) {
        let blocks: Vec<ObjectId> = self.blocks.keys().copied().collect();
        blocks
            .into_iter()
            .for_each(|block| self.tell_if_waiting(block));
    }

    /// What an open block waits for, in words.
    pub(super) fn waits_for(&self, block: &ObjectId) -> String {
        let Some(found) = self.blocks.get(block) else {
            return "nothing".to_owned();
        };
        if !found.notes.is_empty() {
            return "the proposals that it names".to_owned();
        }
        let policy = &self.checkpoint.rules.policy;
        let rules = found
            .operations
            .iter()
            .map(|operation| policy.rule_for(&operation.path).rule);
        let mut needs: Vec<String> = rules
            .filter_map(|rule| rule.approve.as_ref())
            .map(ToString::to_string)
            .collect();
        needs.sort();
        needs.dedup();
        if needs.is_empty() {
            "its turn".to_owned()
        } else {
            format!("approval by {}", needs.join(" and "))
        }
    }
}

/// A reason for setting aside, in words.
pub(super) fn explain(reason: Reason) -> &'static str {
    match reason {
        Reason::Quarantine => "its author or base is not in force",
        Reason::Duplicate => "the proposal is in the ledger already, or was withdrawn",
        Reason::Policy => "the policy does not let its author write there",
        Reason::Depends => "something that it depends on was not applied",
        Reason::Exists => "a record of that name exists; records are never changed",
        Reason::Conflict => "somebody changed the same path first",
        Reason::Shape => "a file would stand where a directory is, or the reverse",
        Reason::Case => "a path differs from another one by case alone",
        Reason::Dapp => "a validator failed it",
        Reason::Expired => "it was open too long",
        Reason::Withdrawn => "its author withdrew it",
    }
}
