//! Whether a checkpoint disposes of its blocks as the head rule does (section 7, P-30, P-32).
//!
//! The same code that made the cut makes it again, from the blocks that the record lists. A leader
//! may leave a block open (nobody could judge it, or its run failed), so what the record leaves open
//! is left out here too; everything else must come out as the record says: which blocks are
//! included, in which order, which are aside and why, which approvals counted, and the time.

use std::collections::BTreeSet;

use gdo_consensus::cut::{Cut, Prefix, Rulings};
use gdo_consensus::window::Window;
use gdo_core::checkpoint::{CheckpointRecord, Reason};
use gdo_core::id::ObjectId;
use gdo_ledger::audit::AuditedCheckpoint;

use super::{VerifyError, Walk};
use crate::facts;

impl Walk<'_> {
    /// Makes the cut again; `failed` are the candidates whose fail the record proves.
    pub(super) fn cut(
        &self,
        found: &AuditedCheckpoint,
        base: &AuditedCheckpoint,
        failed: &BTreeSet<Prefix>,
    ) -> Result<(), VerifyError> {
        let mut window = self.window(base)?;
        let record = &found.record;
        let open: BTreeSet<ObjectId> = record.open.iter().map(|open| open.block).collect();
        let unsound = record
            .aside
            .iter()
            .filter(|aside| aside.reason == Reason::Policy);
        let mut rulings = Rulings {
            failed: failed.clone(),
            unsound: unsound.map(|aside| aside.block).collect(),
            ..Rulings::default()
        };
        // A block that the rulings need not leave out is not left out: its descendants may go on.
        let cut = loop {
            let cut = Cut::of(&mut window, &rulings);
            let taken = cut.included.iter().map(|found| found.block);
            let taken = taken.chain(cut.aside.iter().map(|found| found.block));
            let wrongly: Vec<ObjectId> = taken
                .filter(|id| open.contains(id) && !rulings.left_out.contains(id))
                .collect();
            if wrongly.is_empty() {
                break cut;
            }
            rulings.left_out.extend(wrongly);
        };
        match difference(&cut, record) {
            None => Ok(()),
            Some(reason) => Err(VerifyError::Cut {
                height: found.checkpoint.height,
                reason,
            }),
        }
    }

    /// The unfinished blocks over `base`, as far as the record lists them.
    fn window(&self, base: &AuditedCheckpoint) -> Result<Window, VerifyError> {
        let in_force = facts::base_of(self.id, base.checkpoint, &base.record, &base.rules);
        let mut window = Window::new(in_force.map_err(VerifyError::Stuck)?);
        let is_open = |id: &ObjectId| self.open.contains_key(id);
        let mut blocks: Vec<_> = self.open.values().collect();
        blocks.sort_by_key(|block| (block.block.trailers.seq, block.block.id));
        for block in blocks {
            let facts = facts::gather(
                self.subject.ledger,
                &self.chain,
                base.checkpoint,
                base.tree,
                &is_open,
                block.clone(),
            )?;
            window
                .insert(facts)
                .map_err(|error| VerifyError::Stuck(error.to_string()))?;
        }
        Ok(window)
    }
}

/// The first thing in which a record is not what the cut makes.
fn difference(cut: &Cut, record: &CheckpointRecord) -> Option<String> {
    for (at, listed) in record.included.iter().enumerate() {
        match cut.included.get(at) {
            Some(made) if made == listed => {}
            _ => {
                let block = listed.block;
                let why = match cut.reason_of(&block) {
                    Some(reason) => format!("the rules set it aside: {reason}"),
                    None if cut.includes(&block) => "the rules give it another place".to_owned(),
                    None => "the rules leave it open".to_owned(),
                };
                return Some(format!("it includes block {block}, but {why}"));
            }
        }
    }
    if let Some(more) = cut.included.get(record.included.len()) {
        return Some(format!(
            "it does not include block {}, as the rules do",
            more.block
        ));
    }
    for listed in &record.aside {
        let made = cut.reason_of(&listed.block);
        if made != Some(listed.reason) {
            let made = made.map_or_else(|| "do not".to_owned(), |reason| format!("say {reason}"));
            return Some(format!(
                "it sets block {} aside ({}), but the rules {made}",
                listed.block, listed.reason
            ));
        }
    }
    if cut.aside != record.aside {
        return Some(
            "its list of blocks that are aside is not the one that the rules make".to_owned(),
        );
    }
    if cut.approvals != record.approvals {
        return Some("it does not count the approvals that the rules count".to_owned());
    }
    if cut.ledger_time != record.ledger_time || cut.claims != record.claims {
        return Some(format!(
            "its time is {}, expected {} by the validators' claims",
            record.ledger_time, cut.ledger_time
        ));
    }
    None
}
