//! Which block a dapp does not pass: the search in a candidate, by halves (P-28).
//!
//! A candidate that fails is cut in half until the shortest failing beginning is found; its last
//! block goes aside, proven by the verdict on exactly that beginning.
//!
//! **Invariants**: a block is found only with a bad answer for "included before it, plus it".

use std::collections::BTreeSet;

use gdo_core::dapp::Scope;
use gdo_core::id::{DappName, ObjectId};
use gdo_core::verdict::VerdictKey;

use super::{Book, Known};
use crate::cut::{Cut, Prefix};
use crate::window::Window;

/// What the book says of a cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Every dapp passes; these verdicts prove it (with `true` for a pass).
    Proven(BTreeSet<(DappName, VerdictKey, bool)>),
    /// These candidates must be judged first: dapp, scope, number of blocks.
    Ask(Vec<(DappName, Scope, usize)>),
    /// Answers are on their way.
    Wait,
    /// A dapp fails the candidate that ends with this block.
    Fails {
        /// The dapp.
        dapp: DappName,
        /// The block.
        block: ObjectId,
        /// The candidate.
        candidate: Prefix,
        /// The verdict.
        key: VerdictKey,
    },
    /// A dapp decides nothing on the candidate that ends with this block.
    Inconclusive {
        /// The dapp.
        dapp: DappName,
        /// The block.
        block: ObjectId,
    },
}

/// The state of the proof of a cut.
pub(crate) fn find(book: &Book, window: &Window, cut: &Cut) -> Finding {
    let mut asks = Vec::new();
    let mut used = BTreeSet::new();
    let mut waiting = false;
    for dapp in &cut.dapps {
        let scope = window
            .base()
            .dapps
            .get(dapp)
            .map(|found| found.manifest.validator.scope);
        let step = match scope {
            // A rule names a dapp that is not there: nobody can judge what falls under it.
            None => first_under(window, cut, dapp).map_or(Step::Wait, |at| Step::Bad(at, None)),
            Some(Scope::Checkpoint) => whole(book, window, cut, dapp),
            Some(Scope::Block) => each(book, window, cut, dapp, &mut used),
        };
        match step {
            Step::Passed(key) => {
                used.extend(key.map(|key| (dapp.clone(), key, true)));
            }
            Step::Ask(scope, blocks) => {
                asks.extend(
                    blocks
                        .into_iter()
                        .map(|blocks| (dapp.clone(), scope, blocks)),
                );
            }
            Step::Wait => waiting = true,
            Step::Bad(blocks, key) => return found(cut, dapp, blocks, key),
        }
    }
    match (asks.is_empty(), waiting) {
        (false, _) => Finding::Ask(asks),
        (true, true) => Finding::Wait,
        (true, false) => Finding::Proven(used),
    }
}

enum Step {
    Passed(Option<VerdictKey>),
    Ask(Scope, Vec<usize>),
    Wait,
    /// The candidate of so many blocks is the shortest bad one; no key is inconclusive.
    Bad(usize, Option<VerdictKey>),
}

fn found(cut: &Cut, dapp: &DappName, blocks: usize, key: Option<VerdictKey>) -> Finding {
    let block = cut.included[blocks - 1].block;
    let dapp = dapp.clone();
    match key {
        Some(key) => Finding::Fails {
            dapp,
            block,
            candidate: cut.prefix(blocks),
            key,
        },
        None => Finding::Inconclusive { dapp, block },
    }
}

/// Scope `checkpoint`: the whole candidate, and on a bad answer its beginnings.
fn whole(book: &Book, window: &Window, cut: &Cut, dapp: &DappName) -> Step {
    let scope = Scope::Checkpoint;
    let known = |blocks| book.known(window.base(), dapp, scope, cut.prefix(blocks));
    let (mut good, mut bad) = (0, cut.included.len());
    match known(bad) {
        Known::Passed(key) => return Step::Passed(Some(key)),
        Known::No => return Step::Ask(scope, vec![bad]),
        Known::Asked => return Step::Wait,
        Known::Failed(_) | Known::Inconclusive => {}
    }
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        match known(middle) {
            Known::Passed(_) => good = middle,
            Known::No => return Step::Ask(scope, vec![middle]),
            Known::Asked => return Step::Wait,
            Known::Failed(_) | Known::Inconclusive => bad = middle,
        }
    }
    let key = match known(bad) {
        Known::Failed(key) => Some(key),
        _ => None,
    };
    Step::Bad(bad, key)
}

/// Scope `block`: each block that falls under a rule of the dapp.
fn each(
    book: &Book,
    window: &Window,
    cut: &Cut,
    dapp: &DappName,
    used: &mut BTreeSet<(DappName, VerdictKey, bool)>,
) -> Step {
    let mut asks = Vec::new();
    let mut waiting = false;
    for blocks in 1..=cut.included.len() {
        if !window.falls_under(&cut.included[blocks - 1].block, dapp) {
            continue;
        }
        match book.known(window.base(), dapp, Scope::Block, cut.prefix(blocks)) {
            Known::Passed(key) => {
                used.insert((dapp.clone(), key, true));
            }
            Known::No => asks.push(blocks),
            Known::Asked => waiting = true,
            Known::Failed(key) => return Step::Bad(blocks, Some(key)),
            Known::Inconclusive => return Step::Bad(blocks, None),
        }
    }
    match (asks.is_empty(), waiting) {
        (false, _) => Step::Ask(Scope::Block, asks),
        (true, true) => Step::Wait,
        (true, false) => Step::Passed(None),
    }
}

/// The number of blocks up to the first that falls under a rule of the dapp.
fn first_under(window: &Window, cut: &Cut, dapp: &DappName) -> Option<usize> {
    let under = |block: &gdo_core::checkpoint::Included| window.falls_under(&block.block, dapp);
    cut.included.iter().position(under).map(|at| at + 1)
}
