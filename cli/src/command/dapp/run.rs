//! `gdo dapp run`: runs a dapp on two trees, as a node would.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use gdo_core::id::{LedgerId, MemberName, ObjectId};
use gdo_core::verdict::{Outcome, Problem};
use gdo_ledger::CheckoutCaps;
use gdo_node::judge::Judged;
use gdo_runtime::ImageCache;
use serde::Serialize;

use super::{said, word};
use crate::error::CommandError;
use crate::lfs;
use crate::output;
use crate::revision;
use crate::source::{Reading, Source};
use crate::trial::{self, Candidate, Dapp, Trial};

/// What to run on what.
#[derive(Args, Debug)]
pub struct Run {
    /// A dapp of the ledger, or a directory with a dapp.toml
    #[arg(value_name = "NAME|DIR")]
    dapp: String,
    /// The tree before: a directory, or a revision of the ledger
    #[arg(long, value_name = "REV|DIR")]
    base: String,
    /// The tree after
    #[arg(long, value_name = "REV|DIR")]
    candidate: String,
    /// Who makes the change, in the dapp's context.json
    #[arg(long = "as", value_name = "MEMBER", default_value = "author")]
    member: MemberName,
    /// Leave the dapp's input in a directory and print its path
    #[arg(long)]
    keep: bool,
    /// Open a shell in the dapp's image, with the input at /gdo, instead of running the dapp
    #[arg(long)]
    shell: bool,
    /// Run even where this machine cannot isolate the dapp fully
    #[arg(long)]
    degraded: bool,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Serialize)]
struct Ran<'a> {
    dapp: &'a str,
    result: &'static str,
    reason: Option<&'a str>,
    problems: &'a [Problem],
    output: &'a str,
    wall_ms: u64,
    exit: Option<i32>,
    degraded: &'a [String],
    dapp_digest: gdo_core::id::Digest,
    input: ObjectId,
}

impl Run {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let in_ledger = [&self.dapp, &self.base, &self.candidate];
        let source = if in_ledger.iter().all(|what| Path::new(what).is_dir()) {
            None
        } else {
            Some(Source::open(dir, self.reading)?)
        };
        let dapp = Path::new(&self.dapp);
        let layers = lfs::around(if dapp.is_dir() { Some(dapp) } else { dir });
        let over = source.as_ref().map(|source| &source.ledger);
        let trial = Trial::new(over, self.degraded, layers)?;
        let base = tree(&trial, source.as_ref(), &self.base)?;
        let after = tree(&trial, source.as_ref(), &self.candidate)?;
        let dapp = match &source {
            Some(source) if !Path::new(&self.dapp).is_dir() => {
                // The rules in force for a candidate are those of its base.
                let holder = if trial.ledger().read_rules(&base).is_ok() {
                    base
                } else {
                    source.tree
                };
                trial::dapp_of(trial.ledger(), holder, &self.dapp)?
            }
            _ => trial.dapp_in(Path::new(&self.dapp))?,
        };
        let ledger = source.as_ref().map(ledger_id).transpose()?;
        let candidate = Candidate {
            base,
            candidate: after,
            member: &self.member,
            ledger,
        };
        if self.shell {
            return shell(&trial, &dapp, &candidate);
        }
        let (key, judged) = trial.run(&dapp, &candidate)?;
        if self.keep {
            let kept = tempfile::Builder::new()
                .prefix("gdo-input-")
                .tempdir()?
                .keep();
            trial
                .ledger()
                .checkout_projection(&key.input, &kept, CheckoutCaps::default())?;
            eprintln!("gdo: the input is in {}", kept.display());
        }
        if json {
            output::json(&Ran {
                dapp: dapp.manifest.name.as_str(),
                result: word(&judged.result),
                reason: judged.result.as_ref().err().map(String::as_str),
                problems: &judged.problems,
                output: &judged.output,
                wall_ms: judged.wall_ms,
                exit: judged.run.as_ref().and_then(|run| run.exit),
                degraded: &judged.degraded,
                dapp_digest: key.dapp_digest,
                input: key.input,
            })?;
        } else {
            print(&dapp, &judged)?;
        }
        Ok(match judged.result {
            Ok(Outcome::Pass) => ExitCode::SUCCESS,
            Ok(Outcome::Fail) => ExitCode::from(1),
            Err(_) => ExitCode::from(3),
        })
    }
}

fn print(dapp: &Dapp, judged: &Judged) -> Result<(), CommandError> {
    let result = word(&judged.result);
    let shown = if result == "fail" { "FAIL" } else { result };
    output::line(&format!(
        "{:<12} {shown:<6} {} ms",
        dapp.manifest.name, judged.wall_ms
    ))?;
    if let Err(reason) = &judged.result {
        output::line(&format!("  {reason}"))?;
    }
    said(judged)
        .iter()
        .try_for_each(|line| output::line(&format!("  {line}")))?;
    for missing in &judged.degraded {
        eprintln!("gdo: not isolated: {missing}");
    }
    Ok(())
}

/// The tree of a directory, or of a revision of the ledger.
fn tree(trial: &Trial, source: Option<&Source>, what: &str) -> Result<ObjectId, CommandError> {
    let dir = Path::new(what);
    match source {
        _ if dir.is_dir() => trial.tree_of(dir, None),
        Some(source) => revision::tree(source, what),
        None => Err(CommandError::usage(format!("{what} is no directory"))),
    }
}

/// The ledger's id, as its newest checkpoint names it.
fn ledger_id(source: &Source) -> Result<LedgerId, CommandError> {
    let message = source.ledger.read_commit(&source.main)?.message;
    let named = gdo_core::commit::trailers(&message)
        .into_iter()
        .find(|(key, _)| *key == "Gdo-Ledger");
    match named {
        Some((_, id)) => id.parse().map_err(CommandError::unknown),
        None => Ok(LedgerId(source.main)), // genesis
    }
}

/// Opens a shell where the dapp would run: its image and its input, in namespaces of its own. The
/// dapp's limits and its system call filter are not there.
fn shell(trial: &Trial, dapp: &Dapp, candidate: &Candidate<'_>) -> Result<ExitCode, CommandError> {
    let layout = trial.path().join("layout");
    let ledger = trial.ledger();
    let image = ledger.subtree(&dapp.tree, &dapp.manifest.image_dir())?;
    let image = image.ok_or_else(|| CommandError::usage("the dapp has no image"))?;
    std::fs::create_dir(&layout)?;
    ledger.checkout_tree(&image, &layout, CheckoutCaps::default())?;
    let image = ImageCache::new(&trial.path().join("shell"))
        .prepare_from(&layout, trial.layers())
        .map_err(CommandError::usage)?;
    let input: PathBuf = trial.path().join("input");
    std::fs::create_dir(&input)?;
    let key = trial.input(dapp, candidate)?;
    ledger.checkout_projection(&key.input, &input, CheckoutCaps::default())?;
    std::fs::create_dir(input.join("out"))?;
    eprintln!("gdo: the image's own shell; /gdo is the input, 'exit' ends it");
    let status = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--net",
            "--ipc",
            "--uts",
        ])
        .args(["sh", "-c", SHELL, "sh"])
        .arg(&image.rootfs)
        .arg(&input)
        .status()
        .map_err(|error| {
            CommandError::unknown(format!("cannot run unshare: {error}"))
                .hint("apt install util-linux")
        })?;
    Ok(ExitCode::from(
        u8::try_from(status.code().unwrap_or(3)).unwrap_or(3),
    ))
}

/// Puts image and input together and changes into them.
const SHELL: &str = r#"set -e
mount --make-rprivate /
mount --rbind "$1" "$1"
mount --rbind "$2" "$1/gdo"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/tmp"
cd "$1"
exec env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/tmp LC_ALL=C TZ=UTC "$(command -v chroot)" "$1" /bin/sh
"#;
