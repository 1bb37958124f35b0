//! Which commits stand below which: the base of a proposal, its range, the past of a block.
//!
//! History grows without end, so no walk follows it to genesis: a walk ends at ledger commits where
//! it can, and at checkpoints that are too old to hold what it looks for.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::commit::{Commit, SignedText};
use gdo_core::id::{Height, ObjectId};

use crate::error::LedgerError;
use crate::objects::Objects;
use crate::repository::Ledger;

/// What a ledger commit is (P-9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LedgerCommit {
    /// A certified checkpoint of this height.
    Checkpoint(Height),
    /// A structurally valid block whose `Gdo-Final` has this height.
    Block(Height),
    /// A synthetic head over the checkpoint of this height, recomputed (P-20).
    Head(Height),
}

impl LedgerCommit {
    fn height(self) -> Height {
        match self {
            Self::Checkpoint(height) | Self::Block(height) | Self::Head(height) => height,
        }
    }
}

/// Tells what a commit is to the ledger; `None` is a commit of a person, or an unknown one.
pub type View<'a> = &'a dyn Fn(&ObjectId) -> Option<LedgerCommit>;

/// A commit of a range, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct RangeCommit {
    pub(crate) id: ObjectId,
    pub(crate) text: SignedText,
    pub(crate) commit: Commit,
    pub(crate) raw: Vec<u8>,
}

/// What stands between a tip and the ledger.
pub(crate) struct Range {
    /// The commits that are not the ledger's, the tip first.
    pub(crate) commits: Vec<RangeCommit>,
    /// The ledger commits that they build on.
    pub(crate) bases: BTreeMap<ObjectId, LedgerCommit>,
    /// More commits than allowed: the walk was given up.
    pub(crate) too_many: bool,
}

/// Walks from `tip` down to the first ledger commits, over at most `max` other commits.
pub(crate) fn range(
    objects: &Objects,
    view: View<'_>,
    tip: &ObjectId,
    max: usize,
) -> Result<Range, LedgerError> {
    let mut range = Range {
        commits: Vec::new(),
        bases: BTreeMap::new(),
        too_many: false,
    };
    let mut seen = BTreeSet::from([*tip]);
    let mut open = vec![*tip];
    while let Some(id) = open.pop() {
        if let Some(known) = view(&id) {
            range.bases.insert(id, known);
            continue;
        }
        if range.commits.len() == max {
            range.too_many = true;
            return Ok(range);
        }
        let raw = objects.commit(&id)?;
        let wrong = |source| LedgerError::Commit { id, source };
        let text = SignedText::split(&raw).map_err(wrong)?;
        let commit = text.parse().map_err(wrong)?;
        open.extend(commit.parents.iter().filter(|parent| seen.insert(**parent)));
        range.commits.push(RangeCommit {
            id,
            text,
            commit,
            raw,
        });
    }
    Ok(range)
}

/// The maximal ones among ledger commits: those that are not in the past of another one.
pub(crate) fn maximal(
    objects: &Objects,
    view: View<'_>,
    bases: &BTreeMap<ObjectId, LedgerCommit>,
) -> Result<Vec<ObjectId>, LedgerError> {
    // Certified checkpoints form a chain: only the highest can be maximal.
    let checkpoint = |(id, known): (&ObjectId, &LedgerCommit)| match known {
        LedgerCommit::Checkpoint(height) => Some((*height, *id)),
        _ => None,
    };
    let highest = bases.iter().filter_map(checkpoint).max();
    let stands = |(id, known): &(&ObjectId, &LedgerCommit)| {
        !matches!(known, LedgerCommit::Checkpoint(_))
            || highest.is_some_and(|(_, high)| high == **id)
    };
    let left: BTreeMap<_, _> = bases
        .iter()
        .filter(stands)
        .map(|(id, known)| (*id, *known))
        .collect();
    let mut below = BTreeSet::new();
    for id in left.keys() {
        let others: BTreeMap<_, _> = left
            .iter()
            .filter(|(other, _)| *other != id)
            .map(|(id, known)| (*id, *known))
            .collect();
        below.extend(among_past(objects, view, id, &others)?);
    }
    Ok(left.into_keys().filter(|id| !below.contains(id)).collect())
}

/// Which of the ledger commits `wanted` stand in the past of `of`, itself not counted.
pub(crate) fn among_past(
    objects: &Objects,
    view: View<'_>,
    of: &ObjectId,
    wanted: &BTreeMap<ObjectId, LedgerCommit>,
) -> Result<BTreeSet<ObjectId>, LedgerError> {
    let mut found = BTreeSet::new();
    let Some(lowest) = wanted.values().map(|known| known.height()).min() else {
        return Ok(found);
    };
    walk_past(objects, view, of, lowest, |id| {
        if wanted.contains_key(id) {
            found.insert(*id);
        }
        found.len() < wanted.len()
    })?;
    Ok(found)
}

/// Visits the past of `of` down to checkpoints of height `lowest`, these included, until told to
/// stop. A block or head over height h is in the past of no checkpoint of height h or less.
pub(crate) fn walk_past(
    objects: &Objects,
    view: View<'_>,
    of: &ObjectId,
    lowest: Height,
    mut visit: impl FnMut(&ObjectId) -> bool,
) -> Result<(), LedgerError> {
    let mut seen = BTreeSet::new();
    let mut open = objects.parsed(of)?.1.parents;
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        if !visit(&id) {
            return Ok(());
        }
        let ends = matches!(view(&id), Some(LedgerCommit::Checkpoint(height)) if height <= lowest);
        if !ends {
            open.extend(objects.parsed(&id)?.1.parents);
        }
    }
    Ok(())
}

impl Ledger {
    /// Whether the commit `wanted` is `of` or stands in its past; `view` tells which commits are the
    /// ledger's, and the walk ends at checkpoints that are too old to hold `wanted`.
    ///
    /// # Errors
    /// A commit of the past is missing or of another form.
    pub fn is_in_past(
        &self,
        of: &ObjectId,
        wanted: &ObjectId,
        view: View<'_>,
    ) -> Result<bool, LedgerError> {
        stands_below(&self.objects(), view, of, wanted)
    }
}

/// Whether the commit `wanted` is `of` or stands in its past.
pub(crate) fn stands_below(
    objects: &Objects,
    view: View<'_>,
    of: &ObjectId,
    wanted: &ObjectId,
) -> Result<bool, LedgerError> {
    if of == wanted {
        return Ok(true);
    }
    // A commit that is not the ledger's own has no height; then the walk goes down to genesis.
    let known = view(wanted).unwrap_or(LedgerCommit::Block(Height(0)));
    let found = among_past(objects, view, of, &BTreeMap::from([(*wanted, known)]))?;
    Ok(!found.is_empty())
}
