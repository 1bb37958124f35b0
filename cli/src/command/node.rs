//! `gdo node`: the daemon, in the foreground or started and stopped from a script.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::{Args, Subcommand};
use gdo_node::dir::NodeDir;

use crate::error::CommandError;
use crate::{output, place};

/// The daemon's commands.
#[derive(Subcommand, Debug)]
pub enum Node {
    /// Run the node in the foreground until SIGTERM or SIGINT; prints 'ready URL' once it serves
    Run(Run),
    /// Start the node in the background and wait until it serves; its log is run/node.log
    Start(Which),
    /// Stop the node and wait until it has ended
    Stop(Which),
}

/// Which node.
#[derive(Args, Debug)]
pub struct Which {
    /// The node directory
    #[arg(value_name = "NODE_DIR")]
    node: Option<PathBuf>,
}

/// Which node, and how.
#[derive(Args, Debug)]
pub struct Run {
    /// The node directory
    #[arg(value_name = "NODE_DIR")]
    node: Option<PathBuf>,
    /// Leave the terminal's session (what 'gdo node start' does)
    #[arg(long, hide = true)]
    detach: bool,
}

impl Node {
    /// Runs the command.
    ///
    /// # Errors
    /// The node cannot start, or stopped because its own state is damaged.
    pub fn run(self, dir: Option<&Path>) -> Result<ExitCode, CommandError> {
        match self {
            Self::Run(run) => {
                let node = place::node(run.node.as_deref().or(dir))?;
                serve(&node, run.detach)?;
            }
            Self::Start(which) => start(&place::node(which.node.as_deref().or(dir))?)?,
            Self::Stop(which) => stop(&place::node(which.node.as_deref().or(dir))?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn serve(node: &NodeDir, detach: bool) -> Result<(), CommandError> {
    if detach {
        nix::unistd::setsid().map_err(CommandError::unknown)?;
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("GDO_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    gdo_node::daemon::run(node, |urls| {
        let ready = output::line(&format!("ready {}", urls.join(" ")));
        if let Err(error) = ready {
            tracing::debug!(?error, "nobody waits for the node");
        }
    })?;
    Ok(())
}

fn start(node: &NodeDir) -> Result<(), CommandError> {
    drop(node.lock()?); // a clear error now instead of one in a log
    let log_file = node.run().join("node.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_file)?;
    let begin = log.metadata()?.len();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["node", "run", "--detach"])
        .arg(node.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().expect("standard output is piped");
    BufReader::new(stdout).read_line(&mut line)?;
    if let Some(urls) = line.strip_prefix("ready ") {
        eprintln!(
            "gdo: the node runs (process {}, log {})",
            child.id(),
            log_file.display()
        );
        return output::line(urls.trim_end());
    }
    let status = child.wait()?;
    let mut said = String::new();
    let mut file = File::open(&log_file)?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(begin))?;
    file.read_to_string(&mut said)?;
    Err(CommandError::unknown(format!(
        "the node did not start ({status}):\n{}",
        said.trim_end()
    )))
}

fn stop(node: &NodeDir) -> Result<(), CommandError> {
    let Some(pid) = node.holder()? else {
        eprintln!("gdo: no node runs on {}", node.root().display());
        return Ok(());
    };
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGTERM,
    )
    .map_err(|error| CommandError::unknown(format!("cannot stop process {pid}: {error}")))?;
    node.wait_until_free()?;
    eprintln!("gdo: the node has stopped");
    Ok(())
}
