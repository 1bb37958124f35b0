//! How the operations of one block meet a state (section 6).
//!
//! | lane | applies when | else |
//! |---|---|---|
//! | append | it creates, or puts the same again | `exists` |
//! | owned | always | |
//! | cas, final | the path holds what the author saw, or what it puts | `conflict` |
//!
//! A block is atomic. A put is also held against the state that the block would leave: a file below
//! or above another one is a `shape` conflict, in cas and final a path that differs from another
//! by case alone is a `case` conflict. So a block may turn a file into a directory, or change the
//! case of a name. If several operations fail, the first reason of this table counts, whatever the
//! order of the operations.

use gdo_core::checkpoint::Reason;
use gdo_core::delta::Entry;
use gdo_core::policy::Lane;

use super::paths::{NodeId, Paths, View};

/// One operation of a block in the window; those of a block are sorted by node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) node: NodeId,
    pub(crate) old: Option<Entry>,
    pub(crate) new: Option<Entry>,
}

/// The state that a block's operations would leave.
struct After<'a, V: View> {
    ops: &'a [Op],
    before: &'a V,
}

impl<V: View> View for After<'_, V> {
    fn at(&self, node: NodeId) -> Option<Entry> {
        match self.ops.binary_search_by_key(&node, |op| op.node) {
            Ok(own) => self.ops[own].new,
            Err(_) => self.before.at(node),
        }
    }
}

/// Why the operations do not apply to the state before, if they do not.
pub(crate) fn refusal(paths: &Paths, ops: &[Op], before: &impl View) -> Option<Reason> {
    let after = After { ops, before };
    ops.iter()
        .filter_map(|op| refusal_of(paths, op, before, &after))
        .min_by_key(rank)
}

/// The order in which reasons count when several operations fail.
fn rank(reason: &Reason) -> u8 {
    match reason {
        Reason::Exists => 0,
        Reason::Conflict => 1,
        Reason::Shape => 2,
        _ => 3,
    }
}

fn refusal_of(paths: &Paths, op: &Op, before: &impl View, after: &impl View) -> Option<Reason> {
    let rule = paths
        .node(op.node)
        .rule
        .as_ref()
        .expect("a touched path has a rule");
    let now = before.at(op.node);
    match rule.lane {
        Lane::Append if op.new.is_none() || (now.is_some() && now != op.new) => {
            return Some(Reason::Exists);
        }
        Lane::Cas | Lane::Final if now != op.old && now != op.new => {
            return Some(Reason::Conflict);
        }
        _ => {}
    }
    op.new?;
    if rule.blocks_records
        || paths.above(op.node).any(|above| after.at(above).is_some())
        || paths.is_directory(op.node, after)
    {
        return Some(Reason::Shape);
    }
    let has_sibling = || {
        paths
            .case_siblings(op.node)
            .any(|other| after.at(other).is_some())
    };
    (rule.lane >= Lane::Cas && has_sibling()).then_some(Reason::Case)
}
