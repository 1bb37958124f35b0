//! Property tests that every dapp gets: merge orders, immutability, fuzzed input.
//!
//! These run a validator in process on trees that are written to a temporary directory. All
//! randomness comes from a seed that the failure message names.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use gdo_core::context::Context;

use crate::contract::{EXIT_FAIL, EXIT_PASS, EXIT_UNDECIDED, Input, empty_context};
use crate::error::Undecided;
use crate::report::Report;
use crate::tree::Tree;

/// The files of a tree: path to bytes.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A validator, as [`crate::contract::run`] takes it.
pub type Validate = fn(&Input, &mut Report) -> Result<(), Undecided>;

/// A small generator of pseudo-random numbers (splitmix64): the same numbers for the same seed.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            0
        } else {
            (self.bits() % bound as u64) as usize
        }
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A directory that is removed with the value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty directory.
    ///
    /// # Panics
    /// When the temporary directory is not writable.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Property tests write thousands of small files: memory spares the disk.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let path = parent.join(format!("gdo-dapp-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a tree below `name` and loads it.
    ///
    /// # Panics
    /// When the temporary directory is not writable.
    #[must_use]
    pub fn tree(&self, name: &str, files: &Files) -> Tree {
        let root = self.0.join(name);
        fs::create_dir_all(&root).expect("the temporary directory is writable");
        write_files(&root, files);
        Tree::load(&root).expect("a tree that was just written can be read")
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a validator on two trees without blocks.
///
/// # Errors
/// As the validator.
pub fn judge(base: &Files, candidate: &Files, validate: Validate) -> Result<Report, Undecided> {
    judge_in_order(base, candidate, empty_context(), validate)
}

/// Runs a validator on two trees with the blocks of `context` between them.
///
/// # Errors
/// As the validator.
pub fn judge_in_order(
    base: &Files,
    candidate: &Files,
    context: Context,
    validate: Validate,
) -> Result<Report, Undecided> {
    let scratch = Scratch::new();
    let base = scratch.tree("base", base);
    let candidate = scratch.tree("candidate", candidate);
    let mut report = Report::default();
    validate(
        &Input {
            base,
            candidate,
            context,
        },
        &mut report,
    )?;
    Ok(report)
}

/// Asserts that `fold` sees one state however `events` are spread over branches and merged.
///
/// # Panics
/// When two orders give two states.
pub fn any_merge_order_gives_one_fold<T: PartialEq + Debug>(
    seed: u64,
    rounds: usize,
    events: &Files,
    mut fold: impl FnMut(&Files) -> T,
) {
    let expected = fold(events);
    let mut rng = Rng::new(seed);
    for round in 0..rounds {
        let mut branches: Vec<Files> = vec![Files::new(); 1 + rng.below(5)];
        let mut order: Vec<_> = events.iter().collect();
        rng.shuffle(&mut order);
        for (path, bytes) in order {
            let branch = rng.below(branches.len());
            branches[branch].insert(path.clone(), bytes.clone());
        }
        rng.shuffle(&mut branches);
        let mut merged = Files::new();
        for branch in branches {
            merged.extend(branch);
        }
        assert_eq!(fold(&merged), expected, "seed {seed}, round {round}");
    }
}

/// What [`records_cannot_be_touched`] does to a file.
const TOUCHES: [&str; 6] = [
    "delete",
    "append",
    "truncate",
    "flip",
    "make executable",
    "link",
];

/// Asserts that whatever is done to a file that `is_record` names (deleted, edited, made executable,
/// replaced by a symlink to its old content) is reported with its path and one of `rules`.
///
/// # Panics
/// When a change is not reported.
pub fn records_cannot_be_touched(
    files: &Files,
    is_record: impl Fn(&str) -> bool,
    rules: &[&str],
    validate: Validate,
) {
    let records: Vec<&String> = files.keys().filter(|path| is_record(path)).collect();
    assert!(!records.is_empty(), "no record to touch");
    let scratch = Scratch::new();
    let base = scratch.tree("base", files);
    let _ = scratch.tree("candidate", files);
    for path in records {
        for change in TOUCHES {
            let candidate = touch(&scratch, path, &files[path], change);
            let mut report = Report::default();
            let context = empty_context();
            let input = Input {
                base: base.clone(),
                candidate,
                context,
            };
            validate(&input, &mut report).expect("decided");
            let mut problems = report.problems().iter();
            assert!(
                problems.any(|p| p.path == *path && rules.contains(&p.rule.as_str())),
                "{change} {path} was not refused by one of {rules:?}: {report}"
            );
        }
        write_anew(&scratch.path().join("candidate").join(path), &files[path]);
    }
}

/// Changes one file of the candidate in the way that `change` names, and loads the tree.
fn touch(scratch: &Scratch, path: &str, original: &[u8], change: &str) -> Tree {
    let root = scratch.path().join("candidate");
    let target = root.join(path);
    let mut bytes = original.to_vec();
    match change {
        "append" => bytes.push(b'\n'),
        "truncate" => drop(bytes.pop()),
        "flip" => bytes[0] ^= 1,
        _ => {}
    }
    write_anew(&target, &bytes);
    match change {
        "make executable" => {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&target, mode).expect("the file is ours");
        }
        "delete" => fs::remove_file(&target).expect("the file is ours"),
        "link" => {
            fs::remove_file(&target).expect("the file is ours");
            symlink(scratch.path().join("base").join(path), &target).expect("writable");
        }
        _ => {}
    }
    Tree::load(&root).expect("a tree that was just written can be read")
}

/// Puts a plain file where anything may stand.
fn write_anew(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).expect("the temporary directory is writable");
}

/// Runs the validator on mutations of `files`: it must come to an end, with any verdict.
///
/// The base stays as it is, so that every check is reached. Returns how many mutants were refused.
///
/// # Panics
/// When the validator panics; the message has the seed of the round.
pub fn fuzzed_input_never_panics(
    seed: u64,
    rounds: usize,
    base: &Files,
    files: &Files,
    validate: Validate,
) -> usize {
    let paths: Vec<&String> = files.keys().collect();
    let scratch = Scratch::new();
    let base = scratch.tree("base", base);
    let _ = scratch.tree("candidate", files);
    let root = scratch.path().join("candidate");
    let mut refused = 0;
    for round in 0..rounds {
        let round_seed = seed.wrapping_add(round as u64);
        let mut rng = Rng::new(round_seed);
        let mut mutants = Files::new();
        for _ in 0..=rng.below(3) {
            let path = paths[rng.below(paths.len())];
            let bytes = mutants
                .entry(path.clone())
                .or_insert_with(|| files[path].clone());
            mutate(&mut rng, bytes);
        }
        write_files(&root, &mutants);
        let candidate = Tree::load(&root).expect("a tree that was just written can be read");
        let input = Input {
            base: base.clone(),
            candidate,
            context: empty_context(),
        };
        let attempt = std::panic::catch_unwind(|| {
            let mut report = Report::default();
            validate(&input, &mut report).map(|()| report)
        });
        match attempt {
            Ok(Ok(report)) if report.is_clean() => {}
            Ok(_) => refused += 1,
            Err(_) => panic!("the validator panicked with seed {round_seed}"),
        }
        let originals = mutants
            .keys()
            .map(|path| (path.clone(), files[path].clone()));
        write_files(&root, &originals.collect());
    }
    refused
}

/// Writes files below `root`, over what stands there.
fn write_files(root: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = root.join(path);
        let parent = path.parent().expect("a path below the root has a parent");
        fs::create_dir_all(parent).expect("the temporary directory is writable");
        fs::write(&path, bytes).expect("the temporary directory is writable");
    }
}

/// Changes some bytes: flips, cuts, doubles, inserts what parsers stumble over.
pub fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    const NASTY: [&[u8]; 12] = [
        b"\0",
        b"\r\n",
        b"\xff\xfe",
        b"9999999999999999999999999999",
        b"-",
        b"\n\n",
        b"    ",
        b"{{{{[[[[",
        "\u{202e}é".as_bytes(),
        b"\"\"\"",
        b"= ",
        b"..",
    ];
    let at = rng.below(bytes.len() + 1);
    match rng.below(6) {
        0 if !bytes.is_empty() => {
            let at = at.min(bytes.len() - 1);
            bytes[at] ^= 1 << rng.below(8);
        }
        1 => bytes.truncate(at),
        2 => {
            let piece = NASTY[rng.below(NASTY.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        3 => {
            let end = (at + rng.below(40)).min(bytes.len());
            bytes.drain(at..end);
        }
        4 => {
            let end = (at + rng.below(200)).min(bytes.len());
            let piece: Vec<u8> = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            let byte = rng.bits() as u8;
            bytes.insert(at, byte);
        }
    }
}

/// Runs every case below `cases` through `command`, which gets the case's directory as its last argument.
///
/// A case holds `base/`, `candidate/`, perhaps `context.json`, and `expect`: on its first line `pass`,
/// `fail` or `inconclusive`, on each further line a text that the validator prints. Returns how many
/// cases there were.
///
/// # Panics
/// When a case comes out otherwise.
pub fn run_cases(cases: &Path, command: &[&str]) -> usize {
    let listed = fs::read_dir(cases).expect("the cases are in the checkout");
    let mut dirs: Vec<PathBuf> = listed
        .map(|entry| entry.expect("readable").path())
        .collect();
    dirs.sort();
    for dir in &dirs {
        let name = dir.display();
        let expect = fs::read_to_string(dir.join("expect"))
            .unwrap_or_else(|error| panic!("{name}/expect: {error}"));
        let mut expect = expect.lines();
        let code = match expect.next() {
            Some("pass") => EXIT_PASS,
            Some("fail") => EXIT_FAIL,
            Some("inconclusive") => EXIT_UNDECIDED,
            other => panic!("{name}/expect: expected pass, fail or inconclusive, got {other:?}"),
        };
        let output = Command::new(command[0])
            .args(&command[1..])
            .arg(dir)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", command[0]));
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(i32::from(code)),
            "{name}: {printed}"
        );
        for text in expect {
            assert!(
                printed.contains(text),
                "{name}: expected '{text}', got:\n{printed}"
            );
        }
    }
    dirs.len()
}
