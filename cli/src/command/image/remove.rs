//! `gdo image rm`: takes an image out of the ledger.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use gdo_core::id::ObjectId;
use serde::Serialize;

use super::desk::{Desk, Ending};
use super::name;
use crate::error::CommandError;
use crate::output;

/// Which image.
#[derive(Args, Debug)]
pub struct Remove {
    #[command(flatten)]
    which: name::Which,
    #[command(flatten)]
    ending: Ending,
}

#[derive(Serialize)]
struct Removed {
    path: String,
    commit: Option<ObjectId>,
    proposed: bool,
    reason: Option<String>,
}

impl Remove {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let folder = self.which.folder()?;
        let desk = Desk::open(dir)?;
        let home = desk.root.join(folder.as_str());
        if !home.join("oci-layout").is_file() {
            let message = format!("there is no image in {folder} of the work tree");
            return Err(CommandError::usage(message).hint("'gdo image list' shows the ledger's"));
        }
        std::fs::remove_dir_all(&home)?;
        let message = format!("Remove image {folder}");
        let outcome = desk.finish(&[folder.as_str()], &message, &[], self.ending)?;
        if json {
            output::json(&Removed {
                path: folder.as_str().to_owned(),
                commit: outcome.commit,
                proposed: outcome.proposed,
                reason: outcome.reason.clone(),
            })?;
        } else {
            output::line(&outcome.told())?;
        }
        outcome.end()
    }
}
