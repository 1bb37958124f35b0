//! What a validator is told besides the two trees: `context.json` of the runtime contract.
//!
//! It is part of the input that a verdict is keyed by, so the daemon, which asks the validator, and
//! the audit, which asks whether it was asked, make it here.

use std::collections::BTreeMap;

use gdo_core::block::BlockInPast;
use gdo_core::context::{Context, ContextBlock, ContextMember};
use gdo_core::dapp::{Uses, Validator};
use gdo_core::delta::Operation;
use gdo_core::id::{LedgerId, LedgerTime};
use gdo_core::roster::Roster;

/// Tells a validator of the blocks that it judges, as far as it sees their paths.
pub fn of<'a>(
    ledger: LedgerId,
    validator: &Validator,
    time: LedgerTime,
    roster: &Roster,
    judged: impl IntoIterator<Item = &'a BlockInPast>,
) -> Context {
    let mut context = Context {
        version: 1,
        scope: validator.scope,
        ledger,
        time: validator.uses.contains(&Uses::Time).then_some(time),
        blocks: Vec::new(),
        roster: BTreeMap::new(),
    };
    for block in judged {
        let sees = |operation: &&Operation| validator.sees(&operation.path);
        let operations: Vec<_> = block.operations.iter().filter(sees).cloned().collect();
        if operations.is_empty() {
            continue;
        }
        if let Some(member) = roster.get(&block.principal) {
            let member = ContextMember {
                kind: member.kind,
                roles: member.roles.clone(),
                status: member.status,
                weight: member.weight,
            };
            context.roster.insert(block.principal.clone(), member);
        }
        context.blocks.push(ContextBlock {
            member: block.block.author.clone(),
            principal: block.principal.clone(),
            lane: block.block.trailers.lane,
            proposal: block.block.trailers.proposal,
            operations,
        });
    }
    context
}
