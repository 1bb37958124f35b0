//! `gdo image propose`: from an image that somebody pushed to the node to a signed proposal.
//!
//! Whoever pushed it signed nothing, so nothing of it is believed: it is pulled like any other image,
//! checked and imported, and it is the member that runs this who proposes it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use gdo_core::id::Digest;
use gdo_runtime::image::import::{Process, Source};
use serde_json::{Value, json};

use super::desk::Desk;
use super::import::Taking;
use super::name;
use crate::error::CommandError;
use crate::progress::Bytes;
use crate::web::Web;

/// No manifest is larger.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// Which image.
#[derive(Args, Debug)]
pub struct Propose {
    /// The image as the node named it: NAME@sha256:DIGEST
    #[arg(value_name = "NAME@DIGEST")]
    image: String,
    #[command(flatten)]
    taking: Taking,
}

impl Propose {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let (name, digest) = name::pushed(&self.image)?;
        let own = name::folder(Some(name), None, None)?;
        let (dapp, path) = (self.taking.dapp.as_ref(), self.taking.path.as_deref());
        let folder = match (dapp, path) {
            (None, None) => own,
            (dapp, path) => name::folder(None, dapp, path)?,
        };
        let desk = Desk::open(dir)?;
        self.taking.check(&desk)?;
        let scratch = desk.scratch()?;
        let mut pull = Pull {
            web: web(&desk)?,
            name: name.to_owned(),
            layout: scratch.path().join("pulled"),
            seen: BTreeSet::new(),
            done: 0,
            total: 0,
            bar: Bytes::new("pulling"),
        };
        pull.image(digest)?;
        let source = Source::Oci(pull.layout.clone(), None);
        drop(pull);
        self.taking
            .take(&desk, &folder, &source, Process::default(), json)
    }
}

/// The node that the clone's remote is.
fn web(desk: &Desk) -> Result<Web, CommandError> {
    if let Some(node) = desk.clone.node_of_remote()? {
        return Ok(Web::Socket(node.control_socket()));
    }
    let url = desk.clone.remote_url()?.ok_or_else(|| {
        CommandError::usage("the clone has no remote to pull the image from")
            .hint("git remote add origin URL")
    })?;
    Web::of_url(&url).ok_or_else(|| {
        CommandError::usage(format!("images cannot be pulled from {url}, only from http:// and local nodes"))
            .hint("pull it with 'skopeo copy docker://HOST/NAME@DIGEST oci:DIR', then 'gdo image import NAME oci:DIR'")
    })
}

/// An image on its way from a node into a layout.
struct Pull {
    web: Web,
    name: String,
    layout: PathBuf,
    seen: BTreeSet<String>,
    done: u64,
    total: u64,
    bar: Bytes,
}

impl Pull {
    fn image(&mut self, digest: &str) -> Result<(), CommandError> {
        fs::create_dir_all(self.layout.join("blobs/sha256"))?;
        let manifest = self.manifest(digest, None)?;
        let media_type = manifest["mediaType"].as_str().unwrap_or_else(|| {
            // The older form of a manifest does not say what it is.
            if manifest["manifests"].is_array() {
                "application/vnd.oci.image.index.v1+json"
            } else {
                "application/vnd.oci.image.manifest.v1+json"
            }
        });
        let size = fs::metadata(self.file(digest)?)?.len();
        let top = json!({"mediaType": media_type, "digest": digest, "size": size});
        let index = json!({"schemaVersion": 2, "manifests": [top]});
        fs::write(self.layout.join("index.json"), index.to_string())?;
        fs::write(
            self.layout.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        let inner: Vec<Value> = manifest["manifests"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for descriptor in inner {
            let is_note = descriptor["platform"]["os"] == "unknown";
            if let (Some(digest), false) = (descriptor["digest"].as_str(), is_note) {
                let manifest = self.manifest(digest, descriptor["size"].as_u64())?;
                self.blobs(&manifest)?;
            }
        }
        self.blobs(&manifest)
    }

    fn manifest(&mut self, digest: &str, size: Option<u64>) -> Result<Value, CommandError> {
        let max = size.unwrap_or(MANIFEST_BYTES_MAX).min(MANIFEST_BYTES_MAX);
        self.get("manifests", digest, max)?;
        let text = fs::read(self.file(digest)?)?;
        serde_json::from_slice(&text)
            .map_err(|error| CommandError::no(format!("{digest} is no manifest: {error}")))
    }

    /// The configuration and the layers of a manifest.
    fn blobs(&mut self, manifest: &Value) -> Result<(), CommandError> {
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let wanted: Vec<(String, u64)> = std::iter::once(&manifest["config"])
            .chain(layers)
            .filter_map(|one| Some((one["digest"].as_str()?.to_owned(), one["size"].as_u64()?)))
            .collect();
        self.total += wanted.iter().map(|(_, size)| size).sum::<u64>();
        for (digest, size) in wanted {
            self.get("blobs", &digest, size)?;
        }
        Ok(())
    }

    /// Pulls what a digest names, of at most `max` bytes; whether it is that is seen at the import.
    fn get(&mut self, kind: &str, digest: &str, max: u64) -> Result<(), CommandError> {
        if !self.seen.insert(digest.to_owned()) {
            return Ok(());
        }
        let file = self.file(digest)?;
        let path = format!("/v2/{}/{kind}/{digest}", self.name);
        let down = |error: io::Error| {
            CommandError::unknown(format!("the node does not give {path}: {error}"))
                .hint("is it running? 'gdo node start' in its directory")
        };
        let answer = self.web.get(&path).map_err(down)?;
        match answer.code {
            200 => {}
            404 => {
                let message = format!("the node has no {path}");
                return Err(CommandError::no(message)
                    .hint("what is pushed is kept for a day; 'gdo image list' in the node directory shows it"));
            }
            code => {
                return Err(CommandError::unknown(format!(
                    "the node answered {code} to {path}"
                )));
            }
        }
        let mut out = fs::File::create(&file)?;
        let mut body = answer.body.take(max.saturating_add(1));
        let mut chunk = vec![0; 1 << 20];
        loop {
            let count = body.read(&mut chunk).map_err(down)?;
            if count == 0 {
                return Ok(());
            }
            io::Write::write_all(&mut out, &chunk[..count])?;
            self.done += count as u64;
            self.bar.tell(self.done, self.total);
        }
    }

    /// Where a blob goes; digests come from the node and become paths.
    fn file(&self, digest: &str) -> Result<PathBuf, CommandError> {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        let hex: Digest = hex.parse().map_err(|_| {
            CommandError::no(format!(
                "the image names a blob '{digest}', expected a sha256 digest"
            ))
        })?;
        Ok(self.layout.join(format!("blobs/sha256/{hex}")))
    }
}
