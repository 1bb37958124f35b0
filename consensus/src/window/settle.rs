//! Bringing statuses up to date after blocks have entered (P-21).
//!
//! Blocks are judged in canonical order, each at most once per settling: a change of one marks
//! only later ones, and only those that can see it. They see it up to the next applied write of
//! the same path, which hides it from the rest.

use std::collections::BTreeSet;

use gdo_core::delta::Entry;

use super::Window;
use super::order::Key;
use super::paths::Write;
use super::paths::{NodeId, View};
use super::slot::Status;

/// The state just before a place in the canonical order.
pub(super) struct Before<'a> {
    pub(super) window: &'a Window,
    pub(super) key: &'a Key,
}

impl View for Before<'_> {
    fn at(&self, node: NodeId) -> Option<Entry> {
        self.window.paths.before(node, self.key, &self.window.keys)
    }
}

impl Window {
    /// Judges again whatever may have changed.
    pub(crate) fn settle(&mut self) {
        while let Some((_, at)) = self.dirty.pop_first() {
            let status = self.judge(at);
            self.put(at, status);
        }
    }

    /// Judges a block that was not judged before, when none of those after it was.
    pub(super) fn settle_first(&mut self, at: u32) {
        let status = self.judge(at);
        self.slot_mut(at).status = status;
        self.tips.put(at, status.side());
        if status == Status::Applied {
            self.write(at, true);
        }
    }

    fn put(&mut self, at: u32, status: Status) {
        let before = std::mem::replace(&mut self.slot_mut(at).status, status);
        if before == status {
            return;
        }
        self.tips.put(at, status.side());
        let (was, is) = (before == Status::Applied, status == Status::Applied);
        if was != is {
            self.write(at, is);
            self.mark_later(at);
        }
    }

    /// Adds the writes of a block to its paths, or takes them out.
    fn write(&mut self, at: u32, add: bool) {
        let slot = self.slots[at as usize]
            .as_ref()
            .expect("listed slots are taken");
        let key = &self.keys[at as usize];
        for op in &slot.ops {
            let writes = &mut self.paths.node_mut(op.node).writes;
            let place = writes.partition_point(|write| self.keys[write.slot as usize] < *key);
            if add {
                writes.insert(
                    place,
                    Write {
                        slot: at,
                        new: op.new,
                    },
                );
            } else {
                writes.remove(place);
            }
            if writes.is_empty() {
                self.written.remove(&op.node);
            } else {
                self.written.insert(op.node);
            }
        }
    }

    /// Marks the later blocks that can see whether this one is applied.
    fn mark_later(&mut self, at: u32) {
        let slot = self.slots[at as usize]
            .as_ref()
            .expect("listed slots are taken");
        let key = self.keys[at as usize];
        for op in &slot.ops {
            let node = self.paths.node(op.node);
            let next = node
                .writes
                .partition_point(|write| self.keys[write.slot as usize] <= key);
            let until = node
                .writes
                .get(next)
                .map(|write| self.keys[write.slot as usize]);
            let seen = Seen { after: key, until };
            seen.mark(&node.touch, &self.keys, &mut self.dirty);
            let above = self.paths.above(op.node);
            let related = above.chain(self.paths.below(op.node));
            for other in related.chain(self.paths.case_siblings(op.node)) {
                seen.mark(&self.paths.node(other).touch, &self.keys, &mut self.dirty);
            }
        }
        let embedding = slot
            .proposal
            .and_then(|proposal| self.proposals.get(&proposal));
        let depending = self.dependents.get(&slot.id).into_iter().flatten().copied();
        let others = embedding.into_iter().flatten().copied();
        for other in others.chain(depending) {
            let place = self.keys[other as usize];
            if place > key {
                self.dirty.insert((place, other));
            }
        }
    }
}

/// The part of the canonical order that sees a change.
struct Seen {
    after: Key,
    until: Option<Key>,
}

impl Seen {
    fn mark(&self, touch: &[u32], keys: &[Key], dirty: &mut BTreeSet<(Key, u32)>) {
        let from = touch.partition_point(|&at| keys[at as usize] <= self.after);
        for &at in &touch[from..] {
            let key = keys[at as usize];
            if self.until.is_some_and(|until| key > until) {
                break;
            }
            dirty.insert((key, at));
        }
    }
}
