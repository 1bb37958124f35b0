//! `gdo node`: the daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::error::CommandError;
use crate::place;

/// The daemon's commands.
#[derive(Subcommand, Debug)]
pub enum Node {
    /// Run the node in the foreground until SIGTERM or SIGINT
    Run(Run),
}

/// Which node.
#[derive(Args, Debug)]
pub struct Run {
    /// The node directory
    #[arg(value_name = "NODE_DIR")]
    node: Option<PathBuf>,
}

impl Node {
    /// Runs the command.
    ///
    /// # Errors
    /// The node cannot start, or stopped because its own state is damaged.
    pub fn run(self, dir: Option<&Path>) -> Result<ExitCode, CommandError> {
        let Self::Run(Run { node }) = self;
        let filter = tracing_subscriber::EnvFilter::try_from_env("GDO_LOG")
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        let found = place::node(node.as_deref().or(dir))?;
        gdo_node::daemon::run(&found)?;
        Ok(ExitCode::SUCCESS)
    }
}
