//! One checkpoint, held to the one before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gdo_core::block::{BlockInPast, CheckpointRef};
use gdo_core::canonical;
use gdo_core::checkpoint::{
    CHECKPOINT_FILE, CheckpointKind, CheckpointRecord, EVIDENCE_DIR, checkpoint_commit,
    genesis_commit, validators_digest,
};
use gdo_core::commit::{Commit, SignedText};
use gdo_core::delta::{Entry, Mode};
use gdo_core::id::{MemberName, ObjectId};
use gdo_core::path::RepoPath;
use gdo_core::roster::{Member, Status, file_of};

use super::{Audit, AuditError, AuditedCheckpoint};
use crate::error::{LedgerError, TreeError};
use crate::head;
use crate::signature;
use crate::state::Rules;
use crate::tree::{Standing, diff};

impl Audit<'_> {
    pub(super) fn checkpoint(
        &mut self,
        at: CheckpointRef,
    ) -> Result<AuditedCheckpoint, AuditError> {
        let wrong = |reason: String| AuditError::Checkpoint {
            height: at.height,
            id: at.id,
            reason,
        };
        let (raw, commit) = self.exact(at)?;
        let record = self.ledger.read_record(&commit.tree)?;
        if record.height != at.height {
            return Err(wrong(format!("its record is of height {}", record.height)));
        }
        let rules = self.rules_after(&commit.tree)?;
        if record.validators != validators_digest(&rules.policy.finality) {
            return Err(wrong(
                "its record names another set of validators".to_owned(),
            ));
        }
        let blocks = if at.height.0 == 0 {
            self.genesis(at, &raw, &commit, &record, &rules)?;
            Vec::new()
        } else {
            let listed = self.listed(at, &record)?;
            let blocks = self.new_blocks(at.height, &listed)?;
            self.replay(at, &commit, &record, &blocks)?;
            let expected =
                checkpoint_commit(self.id, &record, commit.tree, self.parents(at, &record)?);
            if expected.encode() != raw {
                return Err(wrong(
                    "its commit is not the one that its record makes".to_owned(),
                ));
            }
            blocks
        };
        self.settle(at.id, &record, &blocks);
        self.rules.push(Arc::clone(&rules));
        Ok(AuditedCheckpoint {
            checkpoint: at,
            tree: commit.tree,
            record,
            blocks,
            rules,
        })
    }

    /// The rules after a checkpoint; read again only where something under `.gdo/` changed.
    fn rules_after(&mut self, tree: &ObjectId) -> Result<Arc<Rules>, AuditError> {
        let mut key = Vec::new();
        if let Some(dir) = self.ledger.subtree(tree, ".gdo")? {
            let kernel = |name: &str| {
                let path = format!(".gdo/{name}");
                path == CHECKPOINT_FILE || path == EVIDENCE_DIR
            };
            let items = crate::tree::read(&self.objects, &dir)?.into_iter();
            key.extend(
                items
                    .filter(|item| !kernel(&item.name))
                    .map(|item| (item.name, item.id)),
            );
        }
        match self.rules.last() {
            Some(rules) if key == self.rules_key => Ok(Arc::clone(rules)),
            _ => {
                let rules = Arc::new(self.ledger.read_rules(tree)?);
                self.rules_key = key;
                Ok(rules)
            }
        }
    }

    /// Genesis is signed by its founder, an active member of its own roster (P-1).
    fn genesis(
        &self,
        at: CheckpointRef,
        raw: &[u8],
        commit: &Commit,
        record: &CheckpointRecord,
        rules: &Rules,
    ) -> Result<(), AuditError> {
        let wrong = |reason: String| AuditError::Checkpoint {
            height: at.height,
            id: at.id,
            reason,
        };
        let text = SignedText::split(raw).map_err(|error| wrong(error.to_string()))?;
        let signer = signature::verify(&at.id, raw, &text)
            .and_then(|key| signature::member_in_force(&rules.roster, &key))
            .map_err(|error| wrong(format!("it {error}")))?;
        let founder: MemberName = commit
            .author
            .name
            .parse()
            .map_err(|error| wrong(format!("author: {error}")))?;
        if signer != founder {
            return Err(wrong(format!(
                "signed by {signer}, expected its author {founder}"
            )));
        }
        if record.kind != CheckpointKind::Genesis || record.disposed().next().is_some() {
            return Err(wrong("its record is not that of a genesis".to_owned()));
        }
        let mut expected = genesis_commit(record, commit.tree, &founder);
        expected.signature.clone_from(&commit.signature);
        if expected != *commit {
            return Err(wrong(
                "its commit is not the one that its record makes".to_owned(),
            ));
        }
        // Everything else in it is hashed once: later checkpoints only hash what they bring.
        let files = self.ledger.files_below(&commit.tree, "", usize::MAX)?;
        for (_, entry) in files {
            self.objects.blob(&entry.id, u64::MAX)?;
        }
        Ok(())
    }

    /// The blocks that a record is the first to list, after a look at the lists themselves.
    fn listed(
        &self,
        at: CheckpointRef,
        record: &CheckpointRecord,
    ) -> Result<Vec<ObjectId>, AuditError> {
        let wrong = |reason: String| AuditError::Checkpoint {
            height: at.height,
            id: at.id,
            reason,
        };
        let previous = self
            .last
            .as_ref()
            .map(|last| (last.checkpoint.id, last.record.ledger_time));
        let (previous, time) = previous.ok_or_else(|| wrong("nothing before it".to_owned()))?;
        if record.prev != Some(previous) || record.kind == CheckpointKind::Genesis {
            return Err(wrong(format!("its record does not follow {previous}")));
        }
        if record.ledger_time < time {
            return Err(wrong(format!(
                "its time {} is before {time}",
                record.ledger_time
            )));
        }
        let mut seen = BTreeSet::new();
        let open = record.open.iter().map(|open| open.block);
        for id in record.disposed().chain(open) {
            if self.disposed.contains(&id) || !seen.insert(id) {
                return Err(wrong(format!("it lists block {id} a second time")));
            }
        }
        if let Some(lost) = self.open.keys().find(|id| !seen.contains(*id)) {
            return Err(wrong(format!("it drops block {lost}, which was open")));
        }
        let open = record.open.iter().map(|open| open.block);
        let listed = record.disposed().chain(open);
        Ok(listed.filter(|id| !self.open.contains_key(id)).collect())
    }

    /// The included blocks' operations, in their order, make the tree of the one before it.
    fn replay(
        &self,
        at: CheckpointRef,
        commit: &Commit,
        record: &CheckpointRecord,
        new: &[BlockInPast],
    ) -> Result<(), AuditError> {
        let wrong = |reason: String| AuditError::Checkpoint {
            height: at.height,
            id: at.id,
            reason,
        };
        let new: BTreeMap<_, _> = new.iter().map(|block| (block.block.id, block)).collect();
        let find = |id: &ObjectId| new.get(id).copied().or_else(|| self.open.get(id));
        let mut expected: BTreeMap<&RepoPath, Option<Entry>> = BTreeMap::new();
        let asides = record
            .aside
            .iter()
            .map(|aside| (aside.block, aside.proposal, false));
        let included = record
            .included
            .iter()
            .map(|block| (block.block, block.proposal, true));
        for (id, proposal, applies) in included.chain(asides) {
            let block = find(&id).ok_or_else(|| wrong(format!("block {id} is not known")))?;
            if block.block.trailers.proposal != proposal {
                return Err(wrong(format!("it names another proposal for block {id}")));
            }
            if applies {
                let operations = block.operations.iter();
                expected.extend(operations.map(|operation| (&operation.path, operation.new)));
            }
        }
        let last = self
            .last
            .as_ref()
            .ok_or_else(|| wrong("nothing before it".to_owned()))?;
        let guilty = equivocators(self.open.values().chain(new.values().copied()));
        let own = self.own_changes(&last.rules, record, &commit.tree, &guilty)?;
        expected.extend(own.iter().map(|(path, entry)| (path, Some(*entry))));
        let record_file = |path: &RepoPath| path.as_str() == CHECKPOINT_FILE;
        let empty = self.ledger.empty_tree();
        let objects = &self.objects;
        let found = diff::mismatch(
            objects,
            &last.tree,
            &commit.tree,
            &expected,
            &record_file,
            empty,
        )?;
        match found {
            None => Ok(()),
            Some(path) => Err(wrong(format!("{path}: not what its included blocks make"))),
        }
    }

    /// What a checkpoint changes by itself: it files the evidence of its record (P-33), and may
    /// suspend whoever wrote two blocks of one place, if the roster file becomes exactly that.
    fn own_changes(
        &self,
        rules: &Rules,
        record: &CheckpointRecord,
        tree: &ObjectId,
        guilty: &BTreeSet<MemberName>,
    ) -> Result<Vec<(RepoPath, Entry)>, AuditError> {
        let mut own = Vec::new();
        let path_of = |path: String| path.parse::<RepoPath>().map_err(TreeError::Path);
        for evidence in &record.evidence {
            let text = canonical::to_string(evidence) + "\n";
            let id = self.ledger.blob_id(text.as_bytes());
            let path = path_of(format!("{EVIDENCE_DIR}/{id}.json")).map_err(LedgerError::from)?;
            own.push((
                path,
                Entry {
                    mode: Mode::File,
                    id,
                },
            ));
        }
        for name in guilty {
            let Some(member) = rules.roster.get(name).filter(|member| member.is_active()) else {
                continue;
            };
            let suspended = Member {
                status: Status::Suspended,
                ..member.clone()
            };
            let id = self.ledger.blob_id(suspended.to_toml().as_bytes());
            let entry = Entry {
                mode: Mode::File,
                id,
            };
            let path = path_of(file_of(name)).map_err(LedgerError::from)?;
            if self.ledger.entry(tree, &path)? == Standing::File(entry) {
                own.push((path, entry));
            }
        }
        Ok(own)
    }

    /// The parents that its record makes (P-30).
    fn parents(
        &self,
        at: CheckpointRef,
        record: &CheckpointRecord,
    ) -> Result<Vec<ObjectId>, AuditError> {
        let included = record
            .included
            .iter()
            .map(|included| included.block)
            .collect();
        let aside = record.aside.iter().map(|aside| aside.block);
        let open = record.open.iter().map(|open| open.block);
        let tips = self.maximal(&included)?;
        let anchored = self.maximal(&aside.chain(open).collect())?;
        let previous = record.prev.unwrap_or(at.id);
        let empty = self.ledger.empty_tree();
        let id_of = |commit: &Commit| Ok(self.ledger.commit_id(&commit.encode()));
        let time = record.ledger_time;
        Ok(head::parents(
            previous, &tips, &anchored, empty, time, &id_of,
        )?)
    }

    /// Takes note of what the checkpoint disposed of and left open.
    fn settle(&mut self, id: ObjectId, record: &CheckpointRecord, blocks: &[BlockInPast]) {
        let new = blocks.iter().map(|block| (block.block.id, block.clone()));
        self.open.extend(new);
        for id in record.disposed() {
            self.open.remove(&id);
            self.disposed.insert(id);
        }
        if !record.open.is_empty() {
            let open = record.open.iter().map(|open| open.block).collect();
            self.open_lists.insert(id, open);
        }
    }
}

/// The authors of two blocks with one number in the chain of one key (P-16).
fn equivocators<'a>(blocks: impl Iterator<Item = &'a BlockInPast>) -> BTreeSet<MemberName> {
    let mut places = BTreeMap::new();
    let mut guilty = BTreeSet::new();
    for BlockInPast { block, .. } in blocks {
        let place = (block.key.clone(), block.trailers.seq);
        if *places.entry(place).or_insert(block.payload) != block.payload {
            guilty.insert(block.author.clone());
        }
    }
    guilty
}
