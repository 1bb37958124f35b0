//! maximal(applied) and maximal(aside ∪ pending), kept as blocks change sides (step 7).
//!
//! A block is *marked* for a side if it or a descendant is on that side; a block on a side is
//! maximal if none of its children is marked. A mark spreads upwards only to blocks that did not
//! have it, so keeping it costs a constant per block over the life of a window.
//!
//! **Invariants**: `marked_children` counts, for each side, the children that are marked.

use std::collections::BTreeSet;

use gdo_core::id::ObjectId;

/// Where the head puts a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Applied = 0,
    Anchored = 1,
}

#[derive(Clone, Debug, Default)]
struct Mark {
    id: Option<ObjectId>,
    side: Option<Side>,
    parents: Vec<u32>,
    marked_children: [u32; 2],
}

impl Mark {
    fn is_marked(&self, side: Side) -> bool {
        self.side == Some(side) || self.marked_children[side as usize] > 0
    }
}

/// The maximal blocks of both sides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tips {
    marks: Vec<Mark>,
    maximal: [BTreeSet<ObjectId>; 2],
}

impl Tips {
    /// Adds a block that is on no side yet; its parents are known.
    pub(crate) fn add(&mut self, slot: u32, id: ObjectId, parents: Vec<u32>) {
        let slot = slot as usize;
        if self.marks.len() <= slot {
            self.marks.resize(slot + 1, Mark::default());
        }
        self.marks[slot] = Mark {
            id: Some(id),
            side: None,
            parents,
            marked_children: [0; 2],
        };
    }

    /// Puts a block on another side.
    pub(crate) fn put(&mut self, slot: u32, side: Option<Side>) {
        let sides = [Side::Applied, Side::Anchored];
        let mark = &mut self.marks[slot as usize];
        let before = sides.map(|side| mark.is_marked(side));
        mark.side = side;
        let after = sides.map(|side| mark.is_marked(side));
        for side in sides {
            self.refresh(slot, side);
            if before[side as usize] != after[side as usize] {
                self.spread(slot, side, after[side as usize]);
            }
        }
    }

    /// The maximal blocks of a side, sorted.
    pub(crate) fn maximal(&self, side: Side) -> &BTreeSet<ObjectId> {
        &self.maximal[side as usize]
    }

    fn spread(&mut self, slot: u32, side: Side, marked: bool) {
        let mut work = vec![slot];
        while let Some(slot) = work.pop() {
            for at in 0..self.marks[slot as usize].parents.len() {
                let parent = self.marks[slot as usize].parents[at];
                let mark = &mut self.marks[parent as usize];
                let before = mark.is_marked(side);
                let count = &mut mark.marked_children[side as usize];
                *count = if marked { *count + 1 } else { *count - 1 };
                if mark.is_marked(side) != before {
                    work.push(parent);
                }
                self.refresh(parent, side);
            }
        }
    }

    fn refresh(&mut self, slot: u32, side: Side) {
        let mark = &self.marks[slot as usize];
        let Some(id) = mark.id else { return };
        let is_maximal = mark.side == Some(side) && mark.marked_children[side as usize] == 0;
        if is_maximal {
            self.maximal[side as usize].insert(id);
        } else {
            self.maximal[side as usize].remove(&id);
        }
    }
}
