//! `gdo image pin`: an image that somebody pushed to the node stays for longer than a day.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::name;
use crate::error::CommandError;
use crate::output;
use crate::place;
use crate::web::Web;

/// Which image.
#[derive(Args, Debug)]
pub struct Pin {
    /// The image as the node named it: NAME@sha256:DIGEST
    #[arg(value_name = "NAME@DIGEST")]
    image: String,
    /// Have it go a day after it was pushed, again
    #[arg(long)]
    remove: bool,
}

impl Pin {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let (name, digest) = name::pushed(&self.image)?;
        let web = Web::Socket(place::node(dir)?.control_socket());
        let path = format!("/v1/pins/{name}@{digest}");
        let answer = if self.remove {
            web.delete(&path)
        } else {
            web.put(&path, 0, &mut io::empty())
        };
        let answer = answer.map_err(|error| {
            CommandError::unknown(format!("the node does not answer: {error}"))
                .hint("is it running? 'gdo node start' in its directory")
        })?;
        match answer.code {
            204 => {}
            404 => return Err(CommandError::no(answer.text())),
            _ => return Err(CommandError::unknown(answer.reason())),
        }
        let pinned = !self.remove;
        if json {
            output::json(&json!({ "image": self.image, "pinned": pinned }))?;
        } else {
            let what = if pinned { "pinned" } else { "unpinned" };
            output::line(&format!("{what:<9} {}", self.image))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
