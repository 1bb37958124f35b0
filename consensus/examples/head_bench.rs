//! Measures the head rule: one JSON line per figure `{name, value, unit, against, ratio}`.
//!
//! `cargo run --release --example head_bench`; an argument `quick` leaves the largest window out.

#![allow(
    unreachable_pub,
    reason = "the kit is shared between tests and benches"
)]
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Instant;

use gdo_consensus::cut::{Content, Cut, Rulings};
use gdo_consensus::facts::{Base, BlockFacts, FinalPlace, History, PathFacts, Standing};
use gdo_consensus::window::Window;
use gdo_core::block::{Block, BlockInPast, CheckpointRef, Clock, Trailers};
use gdo_core::delta::Operation;
use gdo_core::id::{Digest, Height, MemberName, ObjectId, Seq};
use gdo_core::key::PublicKey;
use gdo_core::policy::{Lane, Policy};
use gdo_core::roster::{Member, Roster};

#[path = "../tests/kit/kit.rs"]
mod kit;

use kit::{Random, file, id, path};

/// So many authors that no budget is reached at 100,000 blocks.
const AUTHORS: usize = 40;

/// The aim for one operation, in microseconds.
const AIM_US: f64 = 20.0;

struct Author {
    name: MemberName,
    key: PublicKey,
    seq: u64,
    last: Option<ObjectId>,
}

/// Makes blocks over a base whose tree is empty but for what checkpoints put there.
struct Maker {
    random: Random,
    authors: Vec<Author>,
    base: Base,
    made: u64,
}

/// How blocks meet.
#[derive(Clone, Copy)]
enum Load {
    /// Each author appends its own records.
    Records,
    /// One change in ten swaps a file that others also write.
    Mixed,
    /// Every block swaps the same file.
    Contended,
}

impl Maker {
    fn new() -> Self {
        let names: Vec<String> = (0..AUTHORS).map(|at| format!("m{at}")).collect();
        let policy = Policy::parse(&kit::policy_text("cas", &["m0"], "")).expect("a policy");
        let member = |text: &String| {
            let key = kit::key(text).public();
            let file = format!("kind = \"node\"\nkeys = [\"{key}\"]\nstatus = \"active\"\n");
            (
                kit::name(text),
                Member::parse("bench", &file).expect("a member"),
            )
        };
        let base = Base {
            ledger: kit::ledger(),
            checkpoint: CheckpointRef {
                height: Height(0),
                id: kit::ledger().0,
            },
            record: kit::genesis_record(&policy),
            roster: Roster::new(names.iter().map(member).collect()).expect("keys differ"),
            policy,
            dapps: BTreeMap::new(),
        };
        let author = |text: &String| Author {
            name: kit::name(text),
            key: kit::key(text).public(),
            seq: 0,
            last: None,
        };
        let authors = names.iter().map(author).collect();
        Self {
            random: Random(7),
            authors,
            base,
            made: 0,
        }
    }

    /// One block of one operation; `group` halves the authors, who then do not see each other.
    fn block(&mut self, load: Load, group: Option<usize>) -> BlockFacts {
        let half = AUTHORS / 2;
        let who = match group {
            Some(group) => group * half + self.random.below(half),
            None => self.random.below(AUTHORS),
        };
        let other = match group {
            Some(group) => group * half + self.random.below(half),
            None => self.random.below(AUTHORS),
        };
        self.made += 1;
        let made = self.made;
        let own = id(&format!("block {made}"));
        let seen = [who, other]
            .into_iter()
            .filter_map(|at| self.authors[at].last);
        let mut ancestors: Vec<ObjectId> = seen.collect();
        ancestors.sort_unstable();
        ancestors.dedup();
        let author = &mut self.authors[who];
        let at = match load {
            Load::Contended => "cas/one".to_owned(),
            Load::Mixed if made.is_multiple_of(10) => format!("cas/{}", made / 10 % 50),
            _ => format!(
                "log/{}/2026/{}/{}",
                author.name,
                author.seq / 100,
                author.seq
            ),
        };
        let new = Some(file(&format!("content {made}")));
        let block = Block {
            id: own,
            author: author.name.clone(),
            key: author.key.clone(),
            payload: Digest::of(own.as_bytes()),
            claimed_time: 0,
            tree: own,
            parents: vec![self.base.checkpoint.id],
            subject: String::new(),
            trailers: Trailers {
                ledger: self.base.ledger,
                seq: Seq(author.seq),
                prev: author.last,
                final_checkpoint: self.base.checkpoint,
                lane: Lane::Cas,
                proposal: None,
                depends: vec![],
                clock: Clock {
                    boot: String::new(),
                    mono_ms: 0,
                    uncertainty_ms: None,
                },
            },
        };
        author.seq += 1;
        author.last = Some(own);
        let old = None;
        let operations = vec![Operation {
            path: path(&at),
            old,
            new,
        }];
        let facts = PathFacts {
            at: Standing::Nothing,
            file_above: None,
            case_siblings: vec![],
        };
        BlockFacts {
            block: BlockInPast {
                principal: block.author.clone(),
                block,
                signers: vec![],
                operations,
                notes: vec![],
            },
            ancestors,
            history: History {
                as_of: self.base.checkpoint.id,
                final_place: FinalPlace::OnChain,
                ended: BTreeMap::new(),
                depends_included: std::collections::BTreeSet::new(),
                paths: vec![facts],
            },
        }
    }

    fn blocks(&mut self, count: usize, load: Load, group: Option<usize>) -> Vec<BlockFacts> {
        (0..count).map(|_| self.block(load, group)).collect()
    }
}

fn say(name: &str, value: f64, unit: &str, against: Option<(&str, f64)>) {
    let (against, ratio) = match against {
        Some((what, of)) => (format!("\"{what}\""), format!("{:.3}", value / of)),
        None => ("null".to_owned(), "null".to_owned()),
    };
    println!(
        "{{\"name\":\"{name}\",\"value\":{value:.3},\"unit\":\"{unit}\",\"against\":{against},\"ratio\":{ratio}}}"
    );
}

/// A moment of this thread's processor time, so that a busy machine does not count.
struct Moment(f64);

impl Moment {
    fn now() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanos = text
            .split(' ')
            .next()
            .and_then(|nanos| nanos.parse::<f64>().ok());
        Self(nanos.map_or_else(
            || START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e6,
            |nanos| nanos / 1e3,
        ))
    }

    fn elapsed_us(&self) -> f64 {
        Self::now().0 - self.0
    }
}

fn resident_kib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4.0
}

/// Fills a window; each block is judged as it comes.
fn fill(window: &mut Window, blocks: Vec<BlockFacts>) {
    for facts in blocks {
        window.insert(facts).expect("fresh facts");
        window.refresh();
    }
}

/// Figures that several rounds add to: a name, the time in microseconds, and the operations.
#[derive(Default)]
struct Figures(Vec<(String, f64, usize)>);

impl Figures {
    fn add(&mut self, name: String, time_us: f64, operations: usize) {
        match self.0.iter_mut().find(|(known, _, _)| *known == name) {
            Some((_, total, count)) => {
                *total += time_us;
                *count += operations;
            }
            None => self.0.push((name, time_us, operations)),
        }
    }

    fn print(&self) {
        for (name, total, count) in &self.0 {
            say(
                name,
                total / *count as f64,
                "us/op",
                Some(("aim 20 us", AIM_US)),
            );
        }
    }
}

const LOADS: [(&str, Load); 3] = [
    ("records", Load::Records),
    ("mixed", Load::Mixed),
    ("one file", Load::Contended),
];

fn measure(count: usize) {
    let mut figures = Figures::default();
    // Processor time is told in steps of a tick, so small windows are measured many times.
    for _ in 0..(100_000 / count).clamp(1, 50) {
        for (what, load) in LOADS {
            one_load(count, what, load, &mut figures);
        }
        two_partitions(count, &mut figures);
    }
    figures.print();
}

fn one_load(count: usize, what: &str, load: Load, figures: &mut Figures) {
    let mut maker = Maker::new();
    let blocks = maker.blocks(count, load, None);
    let mut window = Window::new(maker.base.clone());
    let mut add = |name: &str, start: Moment, operations: usize| {
        let name = format!("head rule, {count} unfinished, {what}: {name}");
        figures.add(name, start.elapsed_us(), operations);
    };
    let start = Moment::now();
    fill(&mut window, blocks);
    add("growing to it", start, count);
    let tail = maker.blocks(1000, load, None);
    let start = Moment::now();
    fill(&mut window, tail);
    add("each one more", start, 1000);
    let start = Moment::now();
    let plan = window.plan();
    add("writing the plan", start, plan.order.len());
    let base = window.base().clone();
    let start = Moment::now();
    window.advance(base, &vec![]);
    window.refresh();
    add("replaying all", start, plan.order.len());
}

fn two_partitions(count: usize, figures: &mut Figures) {
    let mut maker = Maker::new();
    let mine = maker.blocks(count / 2, Load::Mixed, Some(0));
    let theirs = maker.blocks(count / 2, Load::Mixed, Some(1));
    let mut window = Window::new(maker.base.clone());
    fill(&mut window, mine);
    let start = Moment::now();
    fill(&mut window, theirs);
    let name = format!("head rule, two partitions of {} meet", count / 2);
    figures.add(name, start.elapsed_us(), count / 2);
    let start = Moment::now();
    let mut checkpoints = 0;
    while !window.is_empty() {
        take(&mut window, checkpoints);
        checkpoints += 1;
    }
    let name = format!("cuts, {checkpoints} checkpoints take a window of {count} down");
    figures.add(name, start.elapsed_us(), count);
}

/// What a window keeps, measured before anything else has used memory.
fn memory(counts: &[usize]) {
    let mut maker = Maker::new();
    let before = resident_kib();
    for &count in counts {
        let mut window = Window::new(maker.base.clone());
        for _ in 0..count {
            let facts = maker.block(Load::Mixed, None);
            let known = |id: &ObjectId| window.contains(id);
            let ancestors = facts.ancestors.iter().copied().filter(known).collect();
            window
                .insert(BlockFacts { ancestors, ..facts })
                .expect("fresh facts");
        }
        window.refresh();
        let used = (resident_kib() - before) * 1024.0 / window.len() as f64;
        say(
            &format!("window, {count} unfinished: memory"),
            used,
            "bytes/op",
            None,
        );
    }
}

/// Makes the next checkpoint of a window.
fn take(window: &mut Window, number: u64) {
    let cut = Cut::of(window, &Rulings::default());
    let content = Content::new(window, &cut, vec![], vec![], None);
    let height = content.record.height;
    let checkpoint = CheckpointRef {
        height,
        id: id(&format!("checkpoint {number}")),
    };
    let base = Base {
        checkpoint,
        record: content.record,
        ..window.base().clone()
    };
    window.advance(base, &content.delta);
    window.refresh();
}

/// The cost of a checkpoint of 10 blocks after a history of so many.
fn history(lengths: &[usize]) {
    let mut maker = Maker::new();
    let mut window = Window::new(maker.base.clone());
    let (mut number, mut made) = (0, 0);
    let mut first = None;
    for &length in lengths {
        let mut last = Vec::new();
        while made < length {
            let mut blocks = maker.blocks(10, Load::Mixed, None);
            // What earlier rounds disposed of is no longer in the window.
            let new: Vec<ObjectId> = blocks.iter().map(BlockFacts::id).collect();
            for facts in &mut blocks {
                facts.ancestors.retain(|id| new.contains(id));
            }
            // A median of wall time: whoever interrupts now and then does not count.
            let start = Instant::now();
            for facts in blocks {
                window.insert(facts).expect("fresh facts");
            }
            take(&mut window, number);
            last.push(start.elapsed().as_secs_f64() * 1e6);
            number += 1;
            made += 10;
            maker.base = window.base().clone();
        }
        last.sort_unstable_by(f64::total_cmp);
        let median = last[last.len() / 2];
        let against = first.map(|first| ("history of 1000", first));
        say(
            &format!("checkpoint of 10 blocks after {length}"),
            median,
            "us",
            against,
        );
        first.get_or_insert(median);
    }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    memory(if quick {
        &[1_000, 10_000]
    } else {
        &[1_000, 10_000, 100_000]
    });
    for count in [1_000, 10_000, 100_000] {
        if !quick || count < 100_000 {
            measure(count);
        }
    }
    history(if quick {
        &[1_000, 10_000]
    } else {
        &[1_000, 10_000, 100_000]
    });
}
