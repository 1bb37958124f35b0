//! A history of a test: blocks of many authors with partial views, and the checkpoints they saw.
//!
//! Sets of blocks are bits of a `u64`, so a history has at most 64 blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gdo_consensus::cut::{Content, Cut};
use gdo_consensus::facts::{Base, BlockFacts, FinalPlace, History, ProposalEnd};
use gdo_consensus::window::Window;
use gdo_core::block::{Block, BlockInPast, CheckpointRef, Clock, Trailers};
use gdo_core::checkpoint::Reason;
use gdo_core::delta::{Delta, Operation};
use gdo_core::id::{Digest, MemberName, ObjectId, Seq};
use gdo_core::proposal::Note;

use super::kit::{
    Random, Rules, Tree, apply, base, genesis_tree, id, ledger, name, path_facts, public_key,
};

/// What a test wants to be written.
#[derive(Clone, Default)]
pub struct Draft {
    pub author: usize,
    pub principal: Option<String>,
    pub proposal: Option<ObjectId>,
    pub notes: Vec<Note>,
    pub operations: Delta,
    pub depends: Vec<ObjectId>,
}

/// A block of the history.
pub struct Made {
    pub block: BlockInPast,
    /// All blocks of its past.
    pub past: u64,
    /// The checkpoint that it builds on.
    pub on: usize,
}

/// A checkpoint of the history; 0 is genesis.
pub struct Checkpoint {
    pub base: Base,
    pub tree: Tree,
    /// From the tree of the checkpoint before.
    pub delta: Delta,
    /// All blocks that checkpoints up to this one disposed of, and of those the included ones.
    pub done: u64,
    pub included: u64,
    pub ended: BTreeMap<ObjectId, ProposalEnd>,
    /// The blocks that must be known before it is adopted (section 7, step 2).
    pub needs: u64,
}

/// One author: what it knows, and the chain of its key.
#[derive(Clone, Default)]
pub struct Author {
    pub known: u64,
    pub on: usize,
    pub seq: u64,
    pub prev: Option<usize>,
}

pub struct World {
    pub random: Random,
    pub rules: Arc<Rules>,
    pub blocks: Vec<Made>,
    pub checkpoints: Vec<Checkpoint>,
    pub authors: Vec<Author>,
    pub by_id: BTreeMap<ObjectId, usize>,
    /// Authors whose roster entries or evidence may have put their blocks aside.
    pub doubtful: BTreeSet<MemberName>,
}

impl World {
    pub fn new(seed: u64, rules: Arc<Rules>) -> Self {
        let tree = genesis_tree();
        let at = CheckpointRef {
            height: gdo_core::id::Height(0),
            id: ledger().0,
        };
        let base = base(&rules, &tree, at, rules.genesis.clone());
        let genesis = Checkpoint {
            base,
            tree,
            delta: Delta::new(),
            done: 0,
            included: 0,
            ended: BTreeMap::new(),
            needs: 0,
        };
        Self {
            random: Random(seed),
            rules,
            blocks: Vec::new(),
            checkpoints: vec![genesis],
            authors: vec![Author::default(); super::kit::NODES.len()],
            by_id: BTreeMap::new(),
            doubtful: BTreeSet::new(),
        }
    }

    /// Writes a block on what the author knows; `fork` leaves the author's chain where it was.
    pub fn write(&mut self, draft: Draft, fork: bool) -> usize {
        let at = self.blocks.len();
        let author = self.authors[draft.author].clone();
        let text = super::kit::NODES[draft.author];
        let own = id(&format!("block {at} {}", self.random.0));
        let base = &self.checkpoints[author.on].base;
        let past = author.known
            | author
                .prev
                .map_or(0, |prev| self.blocks[prev].past | 1 << prev);
        let lanes = draft.operations.iter().map(|operation| &operation.path);
        let block = Block {
            id: own,
            author: name(text),
            key: public_key(text),
            payload: Digest::of(own.as_bytes()),
            claimed_time: 1_000 + at as i64,
            tree: own,
            parents: vec![base.checkpoint.id],
            subject: "test".to_owned(),
            trailers: Trailers {
                ledger: ledger(),
                seq: Seq(author.seq),
                prev: author.prev.map(|prev| self.blocks[prev].block.block.id),
                final_checkpoint: base.checkpoint,
                lane: base.policy.lane_of(lanes),
                proposal: draft.proposal,
                depends: draft.depends,
                clock: Clock {
                    boot: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
                    mono_ms: at as u64,
                    uncertainty_ms: Some(5),
                },
            },
        };
        let principal = draft
            .principal
            .map_or_else(|| name(text), |text| name(&text));
        let signers = draft
            .proposal
            .map(|_| principal.clone())
            .into_iter()
            .collect();
        let mut operations = draft.operations;
        operations.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let block = BlockInPast {
            block,
            principal,
            signers,
            operations,
            notes: draft.notes,
        };
        self.blocks.push(Made {
            block,
            past,
            on: author.on,
        });
        self.by_id.insert(own, at);
        let author = &mut self.authors[draft.author];
        if !fork {
            author.seq += 1;
            author.prev = Some(at);
            author.known |= past | 1 << at;
        }
        at
    }

    /// The facts of a block as of a checkpoint.
    pub fn facts(&mut self, at: usize, on: usize) -> BlockFacts {
        let checkpoint = &self.checkpoints[on];
        let made = &self.blocks[at];
        let open = made.past & !checkpoint.done;
        let maximal = self.maximal(open);
        // Nearest ancestors need not be maximal: the walk may find more.
        let extra = open & self.random.next();
        let tree = &checkpoint.tree;
        let named = made.block.block.trailers.proposal.into_iter();
        let named = named.chain(made.block.notes.iter().map(|note| note.proposal));
        let ended = named.filter_map(|id| Some((id, *checkpoint.ended.get(&id)?)));
        let included = |id: &&ObjectId| {
            self.by_id
                .get(id)
                .is_some_and(|at| checkpoint.included >> at & 1 == 1)
        };
        let depends = made.block.block.trailers.depends.iter();
        let touched = made
            .block
            .operations
            .iter()
            .map(|operation| &operation.path);
        BlockFacts {
            ancestors: self.ids(maximal | extra),
            history: History {
                as_of: checkpoint.base.checkpoint.id,
                final_place: FinalPlace::OnChain,
                ended: ended.collect(),
                depends_included: depends.filter(included).copied().collect(),
                paths: touched.map(|path| path_facts(tree, path)).collect(),
            },
            block: made.block.clone(),
        }
    }

    /// The blocks of a set that are in no other one's past.
    pub fn maximal(&self, set: u64) -> u64 {
        let covered = bits(set).fold(0, |covered, at| covered | self.blocks[at].past);
        set & !covered
    }

    /// The set with everything in its past.
    pub fn closed(&self, set: u64) -> u64 {
        bits(set).fold(set, |closed, at| closed | self.blocks[at].past)
    }

    pub fn ids(&self, set: u64) -> Vec<ObjectId> {
        let mut ids: Vec<ObjectId> = bits(set).map(|at| self.blocks[at].block.block.id).collect();
        ids.sort_unstable();
        ids
    }

    pub fn set<'a>(&self, ids: impl IntoIterator<Item = &'a ObjectId>) -> u64 {
        ids.into_iter().fold(0, |set, id| set | 1 << self.by_id[id])
    }

    /// The window of somebody who knows `known` and has adopted `on`, filled in random order.
    pub fn window(&mut self, known: u64, on: usize) -> Window {
        let mut window = Window::new(self.checkpoints[on].base.clone());
        let mut order: Vec<usize> = bits(known & !self.checkpoints[on].done).collect();
        self.random.shuffle(&mut order);
        for at in order {
            let facts = self.facts(at, on);
            window.insert(facts).expect("facts are fresh");
            if self.random.percent(15) {
                window.refresh();
            }
        }
        window
    }

    /// Adds the checkpoint that a cut of the newest one makes; gives its place.
    pub fn add_checkpoint(&mut self, window: &Window, cut: &Cut, known: u64) -> usize {
        let at = self.add_content(Content::new(window, cut, vec![], vec![], None));
        let needs = self.checkpoints[at].needs;
        assert!(
            needs & !known == 0,
            "a checkpoint names blocks that its maker does not know"
        );
        at
    }

    /// Adds a checkpoint after the newest one; gives its place.
    pub fn add_content(&mut self, content: Content) -> usize {
        let before = self.checkpoints.last().expect("genesis is there");
        let mut tree = before.tree.clone();
        apply(&mut tree, &content.delta);
        let mut delta = content.delta.clone();
        for suspension in &content.suspend {
            let path = super::kit::roster_file(suspension.member.as_str());
            let new = Some(super::kit::file("suspended"));
            let old = tree.insert(path.clone(), super::kit::file("suspended"));
            match delta.iter_mut().find(|operation| operation.path == path) {
                Some(operation) => operation.new = new,
                None => delta.push(Operation { path, old, new }),
            }
            self.doubtful.insert(suspension.member.clone());
        }
        let record = content.record;
        let included: Vec<ObjectId> = record.included.iter().map(|block| block.block).collect();
        let aside: Vec<ObjectId> = record.aside.iter().map(|block| block.block).collect();
        let open: Vec<ObjectId> = record.open.iter().map(|block| block.block).collect();
        let mut ended = before.ended.clone();
        ended.extend(
            record
                .withdrawn
                .iter()
                .map(|id| (*id, ProposalEnd::Withdrawn)),
        );
        let proposals = record.included.iter().filter_map(|block| block.proposal);
        ended.extend(proposals.map(|id| (id, ProposalEnd::Included)));
        let height = record.height;
        let at = CheckpointRef {
            height,
            id: id(&format!("checkpoint {height} {}", self.random.0)),
        };
        let mut base = base(&self.rules, &tree, at, record);
        base.dapps.clone_from(&before.base.dapps);
        let next = Checkpoint {
            done: before.done | self.set(&included) | self.set(&aside),
            included: before.included | self.set(&included),
            ended,
            needs: self.closed(self.set(&included) | self.set(&aside) | self.set(&open)),
            base,
            tree,
            delta,
        };
        self.checkpoints.push(next);
        self.checkpoints.len() - 1
    }
}

/// The places of the bits of a set, from the lowest.
pub fn bits(set: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |at| set >> at & 1 == 1)
}

/// Counts how often each reason for setting aside came up.
#[derive(Default)]
pub struct Count(pub BTreeMap<&'static str, u64>);

impl Count {
    pub fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn reason(&mut self, reason: Reason, permanent: bool) {
        self.add(match (reason, permanent) {
            (Reason::Quarantine, _) => "head quarantine",
            (Reason::Duplicate, false) => "head duplicate",
            (Reason::Policy, false) => "head policy",
            (Reason::Depends, false) => "head depends",
            (Reason::Exists, false) => "head exists",
            (Reason::Conflict, false) => "head conflict",
            (Reason::Shape, false) => "head shape",
            (Reason::Case, false) => "head case",
            (Reason::Duplicate, true) => "cut duplicate",
            (Reason::Policy, true) => "cut policy",
            (Reason::Depends, true) => "cut depends",
            (Reason::Exists, true) => "cut exists",
            (Reason::Conflict, true) => "cut conflict",
            (Reason::Shape, true) => "cut shape",
            (Reason::Case, true) => "cut case",
            (Reason::Dapp, _) => "cut dapp",
            (Reason::Expired, _) => "cut expired",
            (Reason::Withdrawn, _) => "cut withdrawn",
        });
    }
}
