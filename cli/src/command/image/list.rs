//! `gdo image list`: the images of the ledger.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use gdo_node::control;
use gdo_node::dir::NodeDir;
use serde::{Deserialize, Serialize};

use super::shelf;
use crate::error::CommandError;
use crate::output;
use crate::place::Place;
use crate::source::{Reading, Source};

/// How to read the ledger.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    reading: Reading,
}

#[derive(Serialize)]
struct Listed {
    path: String,
    digest: Option<String>,
    tag: Option<String>,
    platforms: Vec<String>,
    /// Sum of the sizes of all layers, each counted once.
    bytes: u64,
    /// Why the image cannot be read.
    problem: Option<String>,
    /// Of an image that was pushed and not proposed yet: how it is proposed.
    propose: Option<String>,
    /// Likewise: when the node forgets it, in seconds since 1970-01-01 UTC; never while it is pinned.
    expires_at: Option<i64>,
}

/// What a node tells of its images.
#[derive(Deserialize)]
struct Answer {
    images: Vec<Known>,
}

#[derive(Deserialize)]
struct Known {
    name: String,
    source: String,
    digest: String,
    bytes: u64,
    tags: Vec<String>,
    expires_at: Option<i64>,
}

impl List {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let source = Source::open(dir, self.reading)?;
        let mut listed = Vec::new();
        for folder in shelf::folders(&source.ledger, &source.tree)? {
            let found = shelf::description(&source.ledger, &source.tree, &folder);
            let path = folder.as_str().to_owned();
            listed.push(match found {
                Ok(image) => {
                    let layers = image.variants.iter().flat_map(|variant| &variant.layers);
                    let layers: std::collections::BTreeMap<_, _> =
                        layers.map(|layer| (&layer.digest, layer.size)).collect();
                    Listed {
                        path,
                        digest: Some(image.digest.to_string()),
                        tag: image.tag.clone(),
                        platforms: image
                            .variants
                            .iter()
                            .map(|variant| variant.platform.to_string())
                            .collect(),
                        bytes: layers.values().sum(),
                        problem: None,
                        propose: None,
                        expires_at: None,
                    }
                }
                Err(error) => Listed {
                    path,
                    digest: None,
                    tag: None,
                    platforms: Vec::new(),
                    bytes: 0,
                    problem: Some(error.to_string()),
                    propose: None,
                    expires_at: None,
                },
            });
        }
        if let Place::Node(node) = &source.place {
            listed.extend(staged(node)?);
        }
        if json {
            output::json(&listed)?;
        } else {
            listed.iter().try_for_each(Listed::print)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The images that were pushed and not proposed yet; a node that does not run has none to tell.
fn staged(node: &NodeDir) -> Result<Vec<Listed>, CommandError> {
    let Ok(answer) = control::ask(&node.control_socket(), "/v1/images") else {
        return Ok(Vec::new());
    };
    let answer: Answer = serde_json::from_str(&answer).map_err(CommandError::unknown)?;
    let staged = answer
        .images
        .into_iter()
        .filter(|known| known.source == "staged");
    let listed = |known: Known| Listed {
        propose: Some(format!("gdo image propose {}@{}", known.name, known.digest)),
        path: known.name,
        digest: None,
        tag: known.tags.into_iter().next(),
        platforms: Vec::new(),
        bytes: known.bytes,
        problem: None,
        expires_at: known.expires_at,
    };
    Ok(staged.map(listed).collect())
}

impl Listed {
    fn print(&self) -> Result<(), CommandError> {
        if let Some(propose) = &self.propose {
            let state = match self.expires_at {
                Some(_) => "staged",
                None => "pinned",
            };
            return output::line(&format!("{state:<12} {} {propose}", self.path));
        }
        let digest = self.digest.as_deref().unwrap_or("-");
        let short: String = digest.chars().take(12).collect();
        let rest = match &self.problem {
            Some(problem) => problem.clone(),
            None => format!("{} {} bytes", self.platforms.join(" "), self.bytes),
        };
        output::line(&format!("{short:<12} {} {rest}", self.path))
    }
}
