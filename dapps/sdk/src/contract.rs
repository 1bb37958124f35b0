//! The validator's contract: two directories in, an exit code out.
//!
//! `/gdo/base` and `/gdo/candidate` are read-only trees that hold the paths of the manifest's
//! `reads`, `/gdo/context.json` says which blocks lie between them, and `/gdo/out` takes
//! `report.json`. The exit code is the verdict: 0 pass, 1 fail, anything else "could not tell" (P-26).
//!
//! **Invariants**: a program under [`run`] ends with 0 or 1 only when its checks came to an end;
//! whatever it could not read, decide or write ends in [`EXIT_UNDECIDED`], a panic included.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gdo_core::context::Context;
use gdo_core::dapp::Scope;
use gdo_core::id::{LedgerId, ObjectId};

use crate::error::Undecided;
use crate::report::Report;
use crate::tree::Tree;

/// The candidate keeps every rule.
pub const EXIT_PASS: u8 = 0;
/// The candidate breaks at least one rule.
pub const EXIT_FAIL: u8 = 1;
/// The command line is wrong.
pub const EXIT_USAGE: u8 = 64;
/// No answer: the runner tries again, and nobody is blamed.
pub const EXIT_UNDECIDED: u8 = 70;

/// The largest `context.json` that is read: 4096 blocks of 1024 paths stay below it.
const CONTEXT_BYTES_MAX: u64 = 1 << 30;

/// Where the input lies and the report goes.
#[derive(Debug, Clone)]
pub struct Roots {
    /// The tree of the last checkpoint.
    pub base: PathBuf,
    /// The tree to judge.
    pub candidate: PathBuf,
    /// The blocks between them.
    pub context: PathBuf,
    /// A writable directory for `report.json`.
    pub out: PathBuf,
}

impl Roots {
    /// The roots below `dir`, which is `/gdo` in a container.
    #[must_use]
    pub fn below(dir: &Path) -> Self {
        Self {
            base: dir.join("base"),
            candidate: dir.join("candidate"),
            context: dir.join("context.json"),
            out: dir.join("out"),
        }
    }
}

/// What a validator judges.
#[derive(Debug, Clone)]
pub struct Input {
    /// The tree of the last checkpoint.
    pub base: Tree,
    /// The tree to judge.
    pub candidate: Tree,
    /// The blocks between them; without blocks when a dapp is tried on two plain directories, or on the
    /// ledger as it stands (then base and candidate are the same).
    pub context: Context,
}

impl Input {
    /// Loads both trees and the context.
    ///
    /// # Errors
    /// Undecided when something cannot be read or is not what the contract promises. A context that
    /// does not exist is one without blocks.
    pub fn load(roots: &Roots) -> Result<Self, Undecided> {
        if !roots.candidate.is_dir() {
            return Err(Undecided::Io {
                path: roots.candidate.clone(),
                source: ErrorKind::NotFound.into(),
            });
        }
        Ok(Self {
            base: Tree::load(&roots.base)?,
            candidate: Tree::load(&roots.candidate)?,
            context: load_context(&roots.context)?,
        })
    }
}

/// The `main` of a validator: `<program> [validate] [--root DIR]`.
///
/// Prints every problem on stdout, writes `report.json` if there is a directory for it, and turns the
/// result into the exit code. `--root` names another directory than `/gdo`, for trying it by hand.
pub fn run(validate: fn(&Input, &mut Report) -> Result<(), Undecided>) -> ExitCode {
    let mut root = PathBuf::from("/gdo");
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.to_str(), argument == "--root") {
            (Some("validate"), _) => {}
            (_, true) => match arguments.next() {
                Some(dir) => root = dir.into(),
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    judge(&Roots::below(&root), validate)
}

/// Runs `validate` over the input at `roots` and reports: what [`run`] does after the command line.
pub fn judge(
    roots: &Roots,
    validate: fn(&Input, &mut Report) -> Result<(), Undecided>,
) -> ExitCode {
    let attempt = panic::catch_unwind(AssertUnwindSafe(|| {
        let input = Input::load(roots)?;
        let mut report = Report::default();
        validate(&input, &mut report)?;
        Ok::<Report, Undecided>(report)
    }));
    let report = match attempt {
        Ok(Ok(report)) => report,
        Ok(Err(undecided)) => return could_not_tell(&undecided.to_string()),
        Err(_) => return could_not_tell("the validator panicked, which is a bug in it"),
    };
    if let Err(error) = publish(roots, &report) {
        return could_not_tell(&format!("cannot write the report: {error}"));
    }
    ExitCode::from(if report.is_clean() {
        EXIT_PASS
    } else {
        EXIT_FAIL
    })
}

fn publish(roots: &Roots, report: &Report) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(report.to_string().as_bytes())?;
    stdout.flush()?;
    if roots.out.is_dir() {
        fs::write(roots.out.join("report.json"), report.to_json())?;
    }
    Ok(())
}

fn load_context(path: &Path) -> Result<Context, Undecided> {
    let io = |source| Undecided::Io {
        path: path.to_owned(),
        source,
    };
    let text = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(empty_context()),
        Err(error) => return Err(io(error)),
        Ok(meta) if meta.len() > CONTEXT_BYTES_MAX => {
            return Err(Undecided::Context(format!("{} bytes", meta.len())));
        }
        Ok(_) => fs::read_to_string(path).map_err(io)?,
    };
    Context::parse(&text).map_err(|error| Undecided::Context(error.to_string()))
}

/// A context without blocks, for two plain directories.
#[must_use]
pub fn empty_context() -> Context {
    let zeros = ObjectId::from_bytes(&[0; 32]).expect("32 bytes are an object id");
    Context {
        version: 1,
        scope: Scope::Checkpoint,
        ledger: LedgerId(zeros),
        time: None,
        blocks: Vec::new(),
        roster: BTreeMap::new(),
    }
}

fn could_not_tell(reason: &str) -> ExitCode {
    eprintln!("could not tell: {reason}");
    ExitCode::from(EXIT_UNDECIDED)
}

fn usage() -> ExitCode {
    eprintln!("usage: <validator> [validate] [--root DIR]   (default: /gdo)");
    ExitCode::from(EXIT_USAGE)
}
