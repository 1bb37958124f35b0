//! Heads and checkpoints: plans turned into objects, byte for byte the same everywhere
//! (section 7 steps 6 and 7, P-19, P-30).

use gdo_core::block::CheckpointRef;
use gdo_core::checkpoint::{
    CHECKPOINT_FILE, CheckpointRecord, anchor_commit, bundle_commit, checkpoint_commit, head_commit,
};
use gdo_core::commit::{Commit, trailers};
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::id::{Digest, LedgerId, LedgerTime, ObjectId};

use crate::error::LedgerError;
use crate::repository::Ledger;

/// The most commits that one commit of the head rule joins (section 7, step 7).
const FOLD: usize = 64;

/// What the head rule decided, as far as objects are concerned.
#[derive(Clone, Copy, Debug)]
pub struct HeadPlan<'a> {
    /// The ledger.
    pub ledger: LedgerId,
    /// K.
    pub base: CheckpointRef,
    /// The head's tree as changes of tree(K).
    pub delta: &'a [Operation],
    /// maximal(applied), sorted.
    pub tips: &'a [ObjectId],
    /// maximal(aside ∪ pending), sorted.
    pub anchored: &'a [ObjectId],
    /// `Gdo-Set`.
    pub set: Digest,
    /// The time that the commits carry.
    pub time: LedgerTime,
    /// The block that is the head if its tree is the one that `delta` makes (step 6).
    pub shortcut: Option<ObjectId>,
}

/// What a checkpoint is made of.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointPlan<'a> {
    /// The ledger.
    pub ledger: LedgerId,
    /// The checkpoint before.
    pub previous: ObjectId,
    /// What the included blocks make of the tree of the checkpoint before.
    pub delta: &'a [Operation],
    /// The record.
    pub record: &'a CheckpointRecord,
    /// maximal(included), sorted.
    pub tips: &'a [ObjectId],
    /// maximal(aside ∪ open), sorted.
    pub anchored: &'a [ObjectId],
}

impl Ledger {
    /// Writes the head that a plan describes and gives its id: K itself, a block, or a synthetic head.
    ///
    /// # Errors
    /// The delta does not fit the tree of K, or the ledger cannot be read or written.
    pub fn write_head(&self, plan: &HeadPlan<'_>) -> Result<ObjectId, LedgerError> {
        if plan.tips.is_empty() && plan.anchored.is_empty() {
            return Ok(plan.base.id);
        }
        let tree = self.apply(&self.read_commit(&plan.base.id)?.tree, plan.delta)?;
        if let Some(block) = plan.shortcut
            && self.read_commit(&block)?.tree == tree
        {
            return Ok(block);
        }
        let parents = self.write_parents(plan.base.id, plan.tips, plan.anchored, plan.time)?;
        let head = head_commit(plan.ledger, plan.base, plan.set, plan.time.0, tree, parents);
        self.write_commit(&head.encode())
    }

    /// What a commit builds on that has the form of a synthetic head of this ledger; `None` if it
    /// has another form.
    ///
    /// # Errors
    /// The commit is missing or cannot be read.
    pub fn read_head_base(
        &self,
        id: &ObjectId,
        ledger: LedgerId,
    ) -> Result<Option<CheckpointRef>, LedgerError> {
        Ok(head_base(&self.read_commit_raw(id)?, ledger))
    }

    /// Writes a checkpoint and gives its id; no ref is touched.
    ///
    /// # Errors
    /// The delta does not fit the tree of the checkpoint before, or the ledger cannot be read or
    /// written.
    pub fn write_checkpoint(&self, plan: &CheckpointPlan<'_>) -> Result<ObjectId, LedgerError> {
        let time = plan.record.ledger_time;
        let tree = self.apply(&self.read_commit(&plan.previous)?.tree, plan.delta)?;
        let tree = self.apply(&tree, &[self.record_operation(plan.record)?])?;
        let parents = self.write_parents(plan.previous, plan.tips, plan.anchored, time)?;
        let commit = checkpoint_commit(plan.ledger, plan.record, tree, parents);
        self.write_commit(&commit.encode())
    }

    /// Writes the record's blob; gives the operation that puts it in its place.
    ///
    /// # Errors
    /// The disk fails.
    ///
    /// # Panics
    /// Never: the path of the record is a valid one.
    pub fn record_operation(&self, record: &CheckpointRecord) -> Result<Operation, LedgerError> {
        let id = self.write_blob(record.to_json().as_bytes())?;
        Ok(Operation {
            path: CHECKPOINT_FILE
                .parse()
                .expect("the path of the record is valid"),
            old: None,
            new: Some(Entry {
                mode: Mode::File,
                id,
            }),
        })
    }

    /// The parents of a head or checkpoint, with the commits that fold and anchor written.
    fn write_parents(
        &self,
        base: ObjectId,
        tips: &[ObjectId],
        anchored: &[ObjectId],
        time: LedgerTime,
    ) -> Result<Vec<ObjectId>, LedgerError> {
        let empty = self.write_tree(&[])?;
        parents(base, tips, anchored, empty, time, &|commit| {
            self.write_commit(&commit.encode())
        })
    }
}

/// The parents of a head or checkpoint: what it builds on, what it holds, what it anchors; `put`
/// takes the commits that fold and anchor, and gives their ids.
pub(crate) fn parents(
    base: ObjectId,
    tips: &[ObjectId],
    anchored: &[ObjectId],
    empty: ObjectId,
    time: LedgerTime,
    put: &dyn Fn(&Commit) -> Result<ObjectId, LedgerError>,
) -> Result<Vec<ObjectId>, LedgerError> {
    let mut parents = vec![base];
    parents.extend(fold(tips, empty, time, put)?);
    if !anchored.is_empty() {
        let folded = fold(anchored, empty, time, put)?;
        parents.push(put(&anchor_commit(empty, folded, time.0))?);
    }
    Ok(parents)
}

/// Folds more than 64 commits into bundles of 64, in their order, until at most 64 are left.
fn fold(
    commits: &[ObjectId],
    empty: ObjectId,
    time: LedgerTime,
    put: &dyn Fn(&Commit) -> Result<ObjectId, LedgerError>,
) -> Result<Vec<ObjectId>, LedgerError> {
    let mut left = commits.to_vec();
    while left.len() > FOLD {
        let bundle = |chunk: &[ObjectId]| put(&bundle_commit(empty, chunk.to_vec(), time.0));
        left = left.chunks(FOLD).map(bundle).collect::<Result<_, _>>()?;
    }
    Ok(left)
}

/// What a commit that has the form of a synthetic head builds on; `None` if it has another form.
///
/// Whether the head rule gives this commit (P-20) is another question.
pub(crate) fn head_base(raw: &[u8], ledger: LedgerId) -> Option<CheckpointRef> {
    let commit = Commit::parse_exact(raw).ok()?;
    let mut found = trailers(&commit.message).into_iter();
    let mut value = |key: &str| {
        found
            .by_ref()
            .find(|(name, _)| *name == key)
            .map(|(_, v)| v)
    };
    let (height, id) = value("Gdo-Final")?.split_once(' ')?;
    let base = CheckpointRef {
        height: height.parse().ok()?,
        id: id.parse().ok()?,
    };
    let set = value("Gdo-Set")?.parse().ok()?;
    let time = commit.author.time;
    let own = head_commit(ledger, base, set, time, commit.tree, commit.parents.clone());
    (own == commit && commit.parents.first() == Some(&base.id)).then_some(base)
}
