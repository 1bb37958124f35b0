//! `gdo image import`: from another tool's image to a proposal.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use gdo_core::id::{DappName, Digest, ObjectId};
use gdo_core::path::RepoPath;
use gdo_core::pointer::Pointer;
use gdo_runtime::ImageError;
use gdo_runtime::image::import::{self, Imported, Options, Platform, Process, Source};
use serde::Serialize;

use super::desk::{Desk, Ending, Outcome};
use super::name;
use crate::error::CommandError;
use crate::output;
use crate::progress::Bytes;

/// What to import, and where it is to stand.
#[derive(Args, Debug)]
pub struct Import {
    /// The image's name: it goes to .gdo/images/NAME; left out with --dapp or --path
    #[arg(value_name = "NAME", required_unless_present_any = ["dapp", "path"])]
    name: Option<String>,
    /// oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], rootfs:DIR or rootfs:TAR
    #[arg(value_name = "SOURCE", required_unless_present_any = ["dapp", "path"])]
    source: Option<String>,
    /// Of a rootfs: the command, a word each time
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// Of a rootfs: the command's arguments, a word each time
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// Of a rootfs: a variable of the environment (more than once)
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Of a rootfs: the directory that the command runs in
    #[arg(long, value_name = "DIR")]
    workdir: Option<String>,
    #[command(flatten)]
    taking: Taking,
}

/// How an image is taken, wherever it comes from.
#[derive(Args, Debug)]
pub(super) struct Taking {
    /// The image of this dapp instead: it goes to .gdo/dapps/DAPP/image
    #[arg(long, value_name = "DAPP", conflicts_with = "path")]
    pub(super) dapp: Option<DappName>,
    /// Into this folder of the tree instead
    #[arg(long, value_name = "FOLDER")]
    pub(super) path: Option<String>,
    /// The image's name in its index [default: the source's own, else latest]
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Keep this platform of an image for several; of a rootfs, what it is for (more than once)
    #[arg(long, value_name = "OS/ARCH")]
    platform: Vec<Platform>,
    /// Keep compressed layers, and with them the manifest's digest and signatures
    #[arg(long)]
    keep_original: bool,
    /// Keep set-id bits; validators run without them
    #[arg(long)]
    allow_setid: bool,
    /// What the commit says [default: what was imported]
    #[arg(long, short = 'm', value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    ending: Ending,
}

#[derive(Serialize)]
struct Told<'a> {
    path: &'a str,
    digest: Digest,
    variants: Vec<ToldVariant<'a>>,
    notes: &'a [String],
    commit: Option<ObjectId>,
    proposed: bool,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ToldVariant<'a> {
    platform: String,
    manifest: String,
    original: Option<String>,
    config: String,
    layers: &'a [Pointer],
}

impl Import {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let words = [self.name.as_deref(), self.source.as_deref()];
        let (dapp, path) = (self.taking.dapp.as_ref(), self.taking.path.as_deref());
        let (folder, source) = name::pair(words, dapp, path)?;
        let source: Source = source.parse().map_err(CommandError::usage)?;
        let desk = Desk::open(dir)?;
        let process = Process {
            entrypoint: self.entrypoint,
            cmd: self.cmd,
            env: self.env,
            working_dir: self.workdir,
        };
        self.taking.check(&desk)?;
        self.taking.take(&desk, &folder, &source, process, json)
    }
}

impl Taking {
    /// Whether what is taken could be pushed, before anything is done.
    pub(super) fn check(&self, desk: &Desk) -> Result<(), CommandError> {
        desk.check(self.ending)
    }

    /// Imports, commits and proposes.
    pub(super) fn take(
        self,
        desk: &Desk,
        folder: &RepoPath,
        source: &Source,
        process: Process,
        json: bool,
    ) -> Result<ExitCode, CommandError> {
        let options = Options {
            tag: self.tag,
            platforms: self.platform,
            keep_original: self.keep_original,
            allow_set_id: self.allow_setid,
            process,
            caps: import::Caps::default(),
        };
        let scratch = desk.scratch()?;
        let made = scratch.path().join("image");
        let mut bar = Bytes::new("importing");
        let imported = import::import(source, &made, &desk.objects, &options, &mut |now| {
            bar.tell(now.done_bytes, now.total_bytes);
        });
        drop(bar);
        let imported = imported.map_err(failed)?;
        for note in &imported.notes {
            eprintln!("gdo: {note}");
        }
        desk.put(&made, folder, scratch.path())?;
        let variants = imported.variants.iter();
        let layers: Vec<Pointer> = variants.flat_map(|one| one.layers.clone()).collect();
        let message = self
            .message
            .unwrap_or_else(|| message(folder, source, &imported));
        let outcome = desk.finish(&[folder.as_str()], &message, &layers, self.ending)?;
        if json {
            output::json(&told(folder, &imported, &outcome))?;
        } else {
            print(folder, &imported, &outcome)?;
        }
        outcome.end()
    }
}

/// The image's fault or the disk's.
pub(super) fn failed(error: ImageError) -> CommandError {
    match error {
        ImageError::Io { .. } => CommandError::unknown(error),
        _ => CommandError::usage(error),
    }
}

fn message(folder: &RepoPath, source: &Source, imported: &Imported) -> String {
    let kind = source.to_string();
    let kind = kind.split(':').next().unwrap_or_default();
    let short = imported.digest.short(12);
    let platforms: Vec<String> = imported
        .variants
        .iter()
        .map(|variant| format!("{} {}", variant.platform, variant.config))
        .collect();
    format!(
        "Import image {short} into {folder}\n\nOf a source of kind {kind}.\n\n{}\n",
        platforms.join("\n")
    )
}

fn told<'a>(folder: &'a RepoPath, imported: &'a Imported, outcome: &'a Outcome) -> Told<'a> {
    let named = |digest: Digest| format!("sha256:{digest}");
    Told {
        path: folder.as_str(),
        digest: imported.digest,
        variants: imported
            .variants
            .iter()
            .map(|variant| ToldVariant {
                platform: variant.platform.to_string(),
                manifest: named(variant.manifest),
                original: variant.original.map(named),
                config: named(variant.config),
                layers: &variant.layers,
            })
            .collect(),
        notes: &imported.notes,
        commit: outcome.commit,
        proposed: outcome.proposed,
        reason: outcome.reason.as_deref(),
    }
}

fn print(folder: &RepoPath, imported: &Imported, outcome: &Outcome) -> Result<(), CommandError> {
    output::line(&format!("image     {folder} {}", imported.digest))?;
    for variant in &imported.variants {
        let bytes: u64 = variant.layers.iter().map(|layer| layer.size).sum();
        output::line(&format!(
            "variant   {} with {} layers of {bytes} bytes",
            variant.platform,
            variant.layers.len()
        ))?;
    }
    output::line(&outcome.told())
}
