//! `gdo image export`: from the ledger to other tools.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use gdo_core::id::DappName;
use gdo_ledger::CheckoutCaps;
use gdo_runtime::image::export::{Target, export};
use serde::Serialize;

use super::{name, shelf};
use crate::error::CommandError;
use crate::lfs;
use crate::output;
use crate::progress::Bytes;
use crate::source::{Reading, Source};

/// Which image, and where to.
#[derive(Args, Debug)]
pub struct Export {
    /// The image: it stands in .gdo/images/NAME; left out with --dapp or --path
    #[arg(value_name = "NAME", required_unless_present_any = ["dapp", "path"])]
    name: Option<String>,
    /// oci:DIR or oci-archive:FILE, which must not exist
    #[arg(value_name = "TARGET", required_unless_present_any = ["dapp", "path"])]
    target: Option<String>,
    /// The image of this dapp instead
    #[arg(long, value_name = "DAPP", conflicts_with = "path")]
    dapp: Option<DappName>,
    /// The image in this folder of the tree instead
    #[arg(long, value_name = "FOLDER")]
    path: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Serialize)]
struct Exported {
    path: String,
    digest: String,
    target: String,
}

impl Export {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let words = [self.name.as_deref(), self.target.as_deref()];
        let (folder, target) = name::pair(words, self.dapp.as_ref(), self.path.as_deref())?;
        let target_text = target.to_owned();
        let target: Target = target.parse().map_err(CommandError::usage)?;
        let source = Source::open(dir, self.reading)?;
        let known = shelf::folders(&source.ledger, &source.tree)?;
        let tree = source.ledger.subtree(&source.tree, folder.as_str())?;
        let Some(tree) = tree.filter(|_| known.contains(&folder)) else {
            return Err(shelf::absent(&folder, &known));
        };
        let image = shelf::description(&source.ledger, &source.tree, &folder);
        let image = image.map_err(CommandError::no)?;
        let scratch = tempfile::tempdir()?;
        let layout = scratch.path().join("image");
        let caps = CheckoutCaps::default();
        source.ledger.checkout_tree(&tree, &layout, caps)?;
        let layers = lfs::of(source.place)?;
        let mut bar = Bytes::new("exporting");
        let exported = export(&layout, &*layers, &target, &mut |now| {
            bar.tell(now.done_bytes, now.total_bytes);
        });
        drop(bar);
        exported.map_err(super::import::failed)?;
        let exported = Exported {
            path: folder.as_str().to_owned(),
            digest: image.digest.to_string(),
            target: target_text,
        };
        if json {
            output::json(&exported)?;
        } else {
            output::line(&format!(
                "exported  {} to {}",
                exported.path, exported.target
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
