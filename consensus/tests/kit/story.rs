//! Random histories: partitions, conflicts, equivocation, all lanes, proposals and notes.

use std::sync::Arc;

use gdo_core::delta::{Delta, Operation};
use gdo_core::id::ObjectId;
use gdo_core::policy::Lane;
use gdo_core::proposal::{Note, NoteVerb};

use super::kit::{NODES, PERSONS, Rules, file, id, path, roster_file};
use super::world::{Draft, World, bits};

/// A proposal that somebody pushed.
#[derive(Clone)]
pub struct Pushed {
    pub id: ObjectId,
    pub principal: String,
    pub operations: Delta,
    pub notes: Vec<Note>,
}

/// The author that lies: it equivocates and writes where it must not.
pub const LIAR: usize = 4;

/// A history in the making.
pub struct Story {
    pub world: World,
    pub pushed: Vec<Pushed>,
    groups: Vec<usize>,
}

impl Story {
    pub fn new(seed: u64, rules: &Arc<Rules>) -> Self {
        let world = World::new(seed, Arc::clone(rules));
        Self {
            world,
            pushed: Vec::new(),
            groups: vec![0; NODES.len()],
        }
    }

    /// One step of somebody; gives the blocks that were written.
    pub fn step(&mut self) -> Vec<usize> {
        let random = &mut self.world.random;
        if random.percent(12) {
            let parts = if random.percent(70) { 3 } else { 1 };
            self.groups = (0..NODES.len()).map(|_| random.below(parts)).collect();
        }
        let random = &mut self.world.random;
        match random.below(100) {
            0..45 => self.record(),
            45..72 => self.push(),
            72..76 => self.replay(),
            _ => {
                let (to, from) = (random.below(NODES.len()), random.below(NODES.len()));
                if to != from && self.groups[to] == self.groups[from] {
                    self.gossip(to, from);
                }
                Vec::new()
            }
        }
    }

    /// `to` learns some of what `from` knows, and what the past of that needs.
    pub fn gossip(&mut self, to: usize, from: usize) {
        let world = &mut self.world;
        let part = match world.random.below(3) {
            0 => u64::MAX,
            1 => world.random.next() | world.random.next(),
            _ => world.random.next(),
        };
        let learned = world.closed(world.authors[from].known & part);
        world.authors[to].known |= learned;
        if world.random.percent(60) {
            self.adopt(to);
        }
    }

    /// An author follows the checkpoints as far as it knows what they name.
    pub fn adopt(&mut self, who: usize) {
        let author = &mut self.world.authors[who];
        while let Some(next) = self.world.checkpoints.get(author.on + 1)
            && next.needs & !author.known == 0
        {
            author.on += 1;
        }
    }

    /// What an author most likely sees at a path: the last write that it knows of.
    fn seen(&self, who: usize, at: &str) -> Option<gdo_core::delta::Entry> {
        let at = path(at);
        let author = &self.world.authors[who];
        let checkpoint = &self.world.checkpoints[author.on];
        let open = author.known & !checkpoint.done;
        let last = bits(open).filter_map(|block| {
            let mut operations = self.world.blocks[block].block.operations.iter();
            operations
                .find(|operation| operation.path == at)
                .map(|operation| operation.new)
        });
        last.last()
            .unwrap_or_else(|| checkpoint.tree.get(&at).copied())
    }

    fn operation(&mut self, who: usize, at: &str, content: Option<&str>) -> Operation {
        let old = match self.world.random.below(10) {
            0 => None,
            1 => Some(file("never")),
            _ => self.seen(who, at),
        };
        Operation {
            path: path(at),
            old,
            new: content.map(file),
        }
    }

    /// A node writes of its own accord.
    fn record(&mut self) -> Vec<usize> {
        let who = self.world.random.below(NODES.len());
        let now = self.world.blocks.len();
        if who == LIAR && self.world.random.percent(50) {
            return self.lie(now);
        }
        let me = NODES[who];
        let seq = self.world.authors[who].seq;
        let content = format!("v{now}");
        let delta = match self.world.random.below(10) {
            0..3 => vec![self.operation(who, &format!("log/{me}/{seq}"), Some(&content))],
            3..5 => vec![self.operation(who, &format!("own/{me}/x"), Some(&content))],
            5 => {
                // Records of both freer lanes may share a block (P-14).
                let record = self.operation(who, &format!("log/{me}/{seq}"), Some(&content));
                vec![
                    record,
                    self.operation(who, &format!("own/{me}/y"), Some(&content)),
                ]
            }
            6 => vec![self.operation(who, "sw/0", Some(&content))],
            _ => self.contended(who, &content),
        };
        let lane = self.world.checkpoints[self.world.authors[who].on]
            .base
            .policy
            .lane_of(delta.iter().map(|operation| &operation.path));
        let known: Vec<usize> = bits(self.world.authors[who].known).collect();
        let depends = if lane >= Lane::Cas && !known.is_empty() && self.world.random.percent(25) {
            let named = *self.world.random.pick(&known);
            vec![self.world.blocks[named].block.block.id]
        } else {
            Vec::new()
        };
        vec![self.world.write(
            Draft {
                author: who,
                operations: delta,
                depends,
                ..Draft::default()
            },
            false,
        )]
    }

    /// Changes that others also make: of few files, of directories, of names that differ by case.
    fn contended(&mut self, who: usize, content: &str) -> Delta {
        let few = [
            "cas/0",
            "cas/1",
            "cas/A",
            "cas/a",
            "cas/0/x",
            "cas/dir/1",
            "cas/dir/2",
            "cas/dir",
        ];
        let first = *self.world.random.pick(&few);
        let put = (!self.world.random.percent(20)).then_some(content);
        let mut delta = vec![self.operation(who, first, put)];
        if self.world.random.percent(25) {
            let second = *self.world.random.pick(&few);
            if second != first {
                let put = self.world.random.percent(50).then_some(content);
                delta.push(self.operation(who, second, put));
            }
        }
        delta.retain(|operation| operation.old.is_some() || operation.new.is_some());
        if delta.is_empty() {
            vec![self.operation(who, first, Some(content))]
        } else {
            delta
        }
    }

    /// What the liar does: two blocks of one number, others' paths, files in the way of records.
    fn lie(&mut self, now: usize) -> Vec<usize> {
        let mut made = Vec::new();
        let content = format!("evil{now}");
        if self.world.random.percent(50) {
            let other = self.operation(LIAR, &format!("log/n4/{}", now % 3), Some(&content));
            let forked = self.world.write(
                Draft {
                    author: LIAR,
                    operations: vec![other],
                    ..Draft::default()
                },
                true,
            );
            let victim = self.world.random.below(LIAR);
            self.world.authors[victim].known |= self.world.blocks[forked].past | 1 << forked;
            made.push(forked);
        }
        let places = [
            "log/n0/0",
            "log/n1",
            "log",
            "own/n2",
            "log/n4/0",
            "log/n4/0/x",
            ".gdo/checkpoint.json",
        ];
        let place = *self.world.random.pick(&places);
        let evil = self.operation(LIAR, place, Some(&content));
        made.push(self.world.write(
            Draft {
                author: LIAR,
                operations: vec![evil],
                ..Draft::default()
            },
            false,
        ));
        made
    }

    /// A person pushes a proposal or a note to some nodes.
    fn push(&mut self) -> Vec<usize> {
        let who = self.world.random.below(NODES.len());
        let person = *self.world.random.pick(&PERSONS);
        let now = self.world.blocks.len();
        let content = format!("p{now}");
        let mut notes = Vec::new();
        let delta = match self.world.random.below(12) {
            0 => vec![self.operation(who, &format!("log/{person}/{now}"), Some(&content))],
            1 => self.contended(who, &content),
            2 | 3 => vec![self.operation(who, "fin/0", Some(&content))],
            4 => {
                let first = self.operation(who, "fin/1", Some(&content));
                vec![
                    first,
                    self.operation(who, &format!("log/{person}/{now}"), Some(&content)),
                ]
            }
            5 => {
                let lane = if self.world.random.percent(50) {
                    "cas"
                } else {
                    "final"
                };
                vec![self.operation(who, ".gdo/policy.toml", Some(lane))]
            }
            6 => {
                let member = *self.world.random.pick(&NODES[1..]);
                let status = if self.world.random.percent(50) {
                    "active"
                } else {
                    "suspended"
                };
                vec![self.operation(who, roster_file(member).as_str(), Some(status))]
            }
            _ => {
                let Some(about) = self
                    .pushed
                    .iter()
                    .rev()
                    .find(|pushed| pushed.notes.is_empty())
                else {
                    return Vec::new();
                };
                let verb = match self.world.random.below(8) {
                    0 => NoteVerb::Reject,
                    1 => NoteVerb::Withdraw,
                    _ => NoteVerb::Approve,
                };
                notes.push(Note {
                    verb,
                    proposal: about.id,
                });
                Vec::new()
            }
        };
        let id = id(&format!("proposal {now} {}", self.world.random.0));
        let pushed = Pushed {
            id,
            principal: person.to_owned(),
            operations: delta,
            notes,
        };
        self.pushed.push(pushed.clone());
        let mut made = vec![self.embed(who, pushed.clone())];
        if self.world.random.percent(25) {
            let second = self.world.random.below(NODES.len());
            made.push(self.embed(second, pushed));
        }
        made
    }

    /// A node embeds again what was pushed long ago.
    fn replay(&mut self) -> Vec<usize> {
        if self.pushed.is_empty() {
            return Vec::new();
        }
        let old = self.world.random.pick(&self.pushed.clone()).clone();
        let who = self.world.random.below(NODES.len());
        vec![self.embed(who, old)]
    }

    fn embed(&mut self, who: usize, pushed: Pushed) -> usize {
        let draft = Draft {
            author: who,
            principal: Some(pushed.principal),
            proposal: Some(pushed.id),
            notes: pushed.notes,
            operations: pushed.operations,
            depends: Vec::new(),
        };
        self.world.write(draft, false)
    }
}
