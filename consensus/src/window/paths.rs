//! The paths that unfinished blocks touch, with tree(K) around them and who writes them.
//!
//! The head's tree is never materialised: what stands at a path just before a block is the last
//! applied write that precedes the block in canonical order, or else what tree(K) holds. So a new
//! block costs what it shares with others, not the size of the window (P-21).
//!
//! **Invariants**: there is a node for every touched path, for each of its proper prefixes and for
//! each case sibling that tree(K) holds; `writes` and `touch` follow the canonical order.

use std::collections::BTreeMap;
use std::ops::Bound;

use gdo_core::checkpoint::is_kernel_managed;
use gdo_core::delta::{Delta, Entry};
use gdo_core::path::RepoPath;
use gdo_core::policy::{Lane, Policy};

use super::order::Key;
use crate::facts::{PathFacts, Standing};

/// The place of a node in [`Paths`].
pub(crate) type NodeId = u32;

/// What the policy says of a path.
#[derive(Clone, Debug)]
pub(crate) struct PathRule {
    /// The place of the rule in the policy.
    pub(crate) rule: usize,
    pub(crate) lane: Lane,
    /// The member named by the path.
    pub(crate) owner: Option<Box<str>>,
    /// Whether a file here would stand in the way of records.
    pub(crate) blocks_records: bool,
    /// Whether only checkpoints write here.
    pub(crate) kernel: bool,
}

/// An applied write: which block, and what it puts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) slot: u32,
    pub(crate) new: Option<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) path: RepoPath,
    /// The path with case folded away, where that differs.
    folded: Option<Box<str>>,
    parent: Option<NodeId>,
    children: u32,
    references: u32,
    siblings: Vec<NodeId>,
    /// The file that tree(K) holds here.
    pub(crate) in_base: Option<Entry>,
    /// The files below this path in tree(K); known for touched paths.
    files_below: Option<u64>,
    /// `None` for prefixes and siblings that no block touches.
    pub(crate) rule: Option<PathRule>,
    /// The participating blocks that touch the path.
    pub(crate) touch: Vec<u32>,
    /// The applied ones among them.
    pub(crate) writes: Vec<Write>,
}

/// What stands at paths at one moment of a replay.
pub(crate) trait View {
    /// The file at the node's path.
    fn at(&self, node: NodeId) -> Option<Entry>;
}

/// The nodes by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    nodes: Vec<Option<Node>>,
    free: Vec<NodeId>,
    by_path: BTreeMap<Box<str>, NodeId>,
    by_folded: BTreeMap<Box<str>, Vec<NodeId>>,
}

impl Paths {
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes[id as usize].as_ref().expect("held by reference")
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id as usize].as_mut().expect("held by reference")
    }

    /// Takes a reference to the node of a touched path; `facts` are relative to K.
    pub(crate) fn touch(&mut self, path: &RepoPath, facts: &PathFacts, policy: &Policy) -> NodeId {
        let id = self.obtain(path);
        if self.node(id).files_below.is_some() {
            return id;
        }
        let (file, files_below) = match facts.at {
            Standing::Nothing => (None, 0),
            Standing::File(entry) => (Some(entry), 0),
            Standing::Directory { files } => (None, files),
        };
        let node = self.node_mut(id);
        node.in_base = file;
        node.files_below = Some(files_below);
        node.rule = Some(rule_of(path, policy));
        if let Some((above, entry)) = &facts.file_above
            && let Some(&above) = self.by_path.get(above.as_str())
        {
            self.node_mut(above).in_base = Some(*entry);
        }
        for (sibling, entry) in &facts.case_siblings {
            let sibling = self.obtain(sibling);
            self.node_mut(sibling).in_base = Some(*entry);
            self.node_mut(id).siblings.push(sibling);
        }
        id
    }

    /// Takes a reference to a node, making it and those above it where there are none.
    fn obtain(&mut self, path: &RepoPath) -> NodeId {
        if let Some(&id) = self.by_path.get(path.as_str()) {
            self.node_mut(id).references += 1;
            return id;
        }
        let above = path.prefixes().last();
        let parent = above.map(|prefix| {
            let prefix = prefix.parse().expect("a prefix of a path is a path");
            self.obtain(&prefix)
        });
        if let Some(parent) = parent {
            self.node_mut(parent).children += 1;
        }
        let folded = path.case_folded();
        let folded = (folded != path.as_str()).then(|| folded.into_boxed_str());
        let node = Node {
            path: path.clone(),
            folded: folded.clone(),
            parent,
            children: 0,
            references: 1,
            siblings: Vec::new(),
            in_base: None,
            files_below: None,
            rule: None,
            touch: Vec::new(),
            writes: Vec::new(),
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            NodeId::try_from(self.nodes.len() - 1).expect("fewer than 2^32 paths")
        });
        self.nodes[id as usize] = Some(node);
        self.by_path.insert(path.as_str().into(), id);
        if let Some(folded) = folded {
            self.by_folded.entry(folded).or_default().push(id);
        }
        id
    }

    /// Gives a reference back; the node and what it holds go with the last one.
    pub(crate) fn release(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.references -= 1;
        if node.references > 0 {
            return;
        }
        let node = self.nodes[id as usize].take().expect("held until now");
        self.free.push(id);
        self.by_path.remove(node.path.as_str());
        if let Some(folded) = &node.folded
            && let Some(group) = self.by_folded.get_mut(folded)
        {
            group.retain(|&other| other != id);
            if group.is_empty() {
                self.by_folded.remove(folded);
            }
        }
        for sibling in node.siblings {
            self.release(sibling);
        }
        if let Some(parent) = node.parent {
            self.node_mut(parent).children -= 1;
            self.release(parent);
        }
    }

    /// What stands at the path just before the block with `key`.
    pub(crate) fn before(&self, id: NodeId, key: &Key, keys: &[Key]) -> Option<Entry> {
        let node = self.node(id);
        let earlier = node
            .writes
            .partition_point(|write| keys[write.slot as usize] < *key);
        match earlier.checked_sub(1) {
            Some(last) => node.writes[last].new,
            None => node.in_base,
        }
    }

    /// What stands at the path after all applied blocks.
    pub(crate) fn last(&self, id: NodeId) -> Option<Entry> {
        let node = self.node(id);
        node.writes.last().map_or(node.in_base, |write| write.new)
    }

    /// The nodes of the proper prefixes, from the longest to the shortest.
    pub(crate) fn above(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(self.node(id).parent, |&parent| self.node(parent).parent)
    }

    /// The nodes below a path.
    pub(crate) fn below(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let node = self.node(id);
        let prefix = if node.children > 0 {
            format!("{}/", node.path)
        } else {
            String::new()
        };
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let range = (node.children > 0).then(|| self.by_path.range::<str, _>(from));
        let ids: Vec<NodeId> = range
            .into_iter()
            .flatten()
            .take_while(|(path, _)| path.starts_with(&prefix))
            .map(|(_, &id)| id)
            .collect();
        ids.into_iter()
    }

    /// The other nodes whose paths differ from this one by case alone.
    pub(crate) fn case_siblings(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let node = self.node(id);
        let folded = node.folded.as_deref().unwrap_or(node.path.as_str());
        let plain = self.by_path.get(folded).filter(|_| node.folded.is_some());
        let others = self.by_folded.get(folded).into_iter().flatten();
        others
            .chain(plain)
            .copied()
            .filter(move |&other| other != id)
    }

    /// Whether any file stands below the path, seen through `view`.
    pub(crate) fn is_directory(&self, id: NodeId, view: &impl View) -> bool {
        let in_base = self.node(id).files_below.unwrap_or(0);
        let (mut come, mut gone) = (0, 0);
        for below in self.below(id) {
            match (self.node(below).in_base.is_some(), view.at(below).is_some()) {
                (false, true) => come += 1,
                (true, false) => gone += 1,
                _ => {}
            }
        }
        in_base + come > gone
    }

    /// Follows K over a checkpoint whose tree differs from the one before by `delta`.
    pub(crate) fn advance(&mut self, delta: &Delta) {
        for operation in delta {
            let path = &operation.path;
            let (before, after) = (operation.old.is_some(), operation.new.is_some());
            for prefix in path.prefixes() {
                if let Some(&id) = self.by_path.get(prefix)
                    && let Some(files) = &mut self.node_mut(id).files_below
                {
                    *files = *files + u64::from(after) - u64::from(before);
                }
            }
            if let Some(&id) = self.by_path.get(path.as_str()) {
                self.node_mut(id).in_base = operation.new;
            }
            if let Some(entry) = operation.new {
                self.add_case_sibling(path, entry);
            }
        }
    }

    /// Notes a file that is new in tree(K), if touched paths differ from it by case alone.
    fn add_case_sibling(&mut self, path: &RepoPath, entry: Entry) {
        let folded = path.case_folded();
        let plain = self.by_path.get(folded.as_str());
        let others = self.by_folded.get(folded.as_str()).into_iter().flatten();
        let group: Vec<NodeId> = others.chain(plain).copied().collect();
        for other in group {
            let node = self.node(other);
            let is_linked = |id: &NodeId| self.node(*id).path == *path;
            let is_new = node.path != *path && !node.siblings.iter().any(is_linked);
            // The file must stay known when the block that brought it is gone.
            if is_new && node.files_below.is_some() {
                let sibling = self.obtain(path);
                self.node_mut(sibling).in_base = Some(entry);
                self.node_mut(other).siblings.push(sibling);
            }
        }
    }

    /// Judges every touched path by another policy.
    pub(crate) fn apply_policy(&mut self, policy: &Policy) {
        for node in self.nodes.iter_mut().flatten() {
            if node.rule.is_some() {
                node.rule = Some(rule_of(&node.path, policy));
            }
        }
    }

    /// Forgets who touches and writes what.
    pub(crate) fn clear_blocks(&mut self) {
        for node in self.nodes.iter_mut().flatten() {
            node.touch.clear();
            node.writes.clear();
        }
    }
}

fn rule_of(path: &RepoPath, policy: &Policy) -> PathRule {
    let found = policy.rule_for(path);
    let rule = policy
        .rules()
        .iter()
        .position(|rule| std::ptr::eq(rule, found.rule))
        .expect("the rule is one of the policy's");
    PathRule {
        rule,
        lane: found.rule.lane,
        owner: found.owner.map(Into::into),
        blocks_records: found.rule.lane >= Lane::Cas && policy.blocks_records(path),
        kernel: is_kernel_managed(path),
    }
}
