//! `gdo image`: container images, as OCI layouts in the ledger with layers beside it.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use crate::error::CommandError;

mod desk;
mod export;
mod import;
mod list;
mod migrate;
mod name;
mod pin;
mod propose;
mod remove;
mod shelf;
mod show;

/// The commands on images.
#[derive(Subcommand, Debug)]
pub enum Image {
    /// Import an image that another tool wrote, and propose it
    Import(import::Import),
    /// List the images of the ledger
    List(list::List),
    /// Show what an image is made of
    Show(show::Show),
    /// Write an image for other tools, with its layers in it
    Export(export::Export),
    /// Propose an image that somebody pushed to the node
    Propose(propose::Propose),
    /// Keep an image that somebody pushed to the node for longer than a day
    Pin(pin::Pin),
    /// Remove an image from the ledger: commit that, and propose it
    Rm(remove::Remove),
    /// Turn the layers that stand in the tree into pointers to objects, and propose that
    Migrate(migrate::Migrate),
}

impl Image {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, with the exit code that says of which kind it is.
    pub fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        match self {
            Self::Import(import) => import.run(dir, json),
            Self::List(list) => list.run(dir, json),
            Self::Show(show) => show.run(dir, json),
            Self::Export(export) => export.run(dir, json),
            Self::Propose(propose) => propose.run(dir, json),
            Self::Pin(pin) => pin.run(dir, json),
            Self::Rm(remove) => remove.run(dir, json),
            Self::Migrate(migrate) => migrate.run(dir, json),
        }
    }
}
