//! `gdo image show`: what an image is made of.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{name, shelf};
use crate::error::CommandError;
use crate::output;
use crate::source::{Reading, Source};

/// Which image.
#[derive(Args, Debug)]
pub struct Show {
    #[command(flatten)]
    which: name::Which,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Serialize)]
struct Shown {
    path: String,
    digest: String,
    tag: Option<String>,
    variants: Vec<Variant>,
}

#[derive(Serialize)]
struct Variant {
    platform: String,
    manifest: String,
    original: Option<String>,
    config: String,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    digest: String,
    size: u64,
    media_type: String,
}

impl Show {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let folder = self.which.folder()?;
        let source = Source::open(dir, self.reading)?;
        let known = shelf::folders(&source.ledger, &source.tree)?;
        if !known.contains(&folder) {
            return Err(shelf::absent(&folder, &known));
        }
        let image = shelf::description(&source.ledger, &source.tree, &folder);
        let image = image.map_err(CommandError::no)?;
        let shown = Shown {
            path: folder.as_str().to_owned(),
            digest: image.digest.to_string(),
            tag: image.tag,
            variants: image.variants.into_iter().map(variant).collect(),
        };
        if json {
            output::json(&shown)?;
        } else {
            shown.print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn variant(found: gdo_runtime::image::describe::DescribedVariant) -> Variant {
    let layer = |layer: gdo_runtime::image::describe::DescribedLayer| Layer {
        digest: layer.digest,
        size: layer.size,
        media_type: layer.media_type,
    };
    Variant {
        platform: found.platform.to_string(),
        manifest: found.manifest,
        original: found.original,
        config: found.config,
        layers: found.layers.into_iter().map(layer).collect(),
    }
}

impl Shown {
    fn print(&self) -> Result<(), CommandError> {
        output::line(&format!("image     {}", self.path))?;
        output::line(&format!("digest    sha256:{}", self.digest))?;
        if let Some(tag) = &self.tag {
            output::line(&format!("tag       {tag}"))?;
        }
        for variant in &self.variants {
            output::line(&format!("platform  {}", variant.platform))?;
            output::line(&format!("manifest  {}", variant.manifest))?;
            if let Some(original) = &variant.original {
                output::line(&format!("original  {original}"))?;
            }
            output::line(&format!("config    {}", variant.config))?;
            for layer in &variant.layers {
                output::line(&format!("layer     {} {} bytes", layer.digest, layer.size))?;
            }
        }
        Ok(())
    }
}
