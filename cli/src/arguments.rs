//! The command line as it is typed; the doc comments are the help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command;

/// A git-native ledger for organisations: propose with git push, merge after validators pass.
#[derive(Parser, Debug)]
#[command(name = "gdo", version, arg_required_else_help = true)]
pub struct Arguments {
    /// The node directory or clone to work on [default: $GDO_DIR, else the working directory upwards]
    #[arg(long, global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make an organisation: a ledger, its first member and this node
    Init(command::init::Init),
    /// Run the node
    #[command(subcommand)]
    Node(command::node::Node),
    /// Show what the node is doing
    Status,
    /// Show the checkpoints, newest first: what each merged and what it set aside
    Log(command::log::Log),
    /// Show a checkpoint, block or proposal in full
    Show(command::show::Show),
    /// Show the open proposals and the approvals that they need
    Proposals(command::proposals::Proposals),
    /// Show the members, their keys and roles
    Roster(command::roster::Roster),
    /// Approve a proposal: sign a note that says so, and push it
    Approve(command::note::Note),
    /// Reject a proposal: sign a note that cancels your approval, and push it
    Reject(command::note::Note),
    /// Withdraw your own proposal: sign a note that says so, and push it
    Withdraw(command::note::Note),
    /// Audit the ledger from genesis: every signature, tree, verdict and certificate
    Verify(command::verify::Verify),
    /// Check rules before you propose them
    #[command(subcommand)]
    Policy(command::policy::Policy),
    /// Write and try validators
    #[command(subcommand)]
    Dapp(command::dapp::Dapp),
    /// Bring container images into the ledger, and get them out
    #[command(subcommand)]
    Image(command::image::Image),
    /// Look after the store of large objects of a node
    #[command(subcommand)]
    Chunks(command::chunks::Chunks),
    /// Check this machine and its node, and say what to do
    Doctor,
    /// Serve git to an SSH login, as the forced command of its key
    #[command(name = "serve-ssh-command")]
    ServeSsh,
    /// Print this help of all commands as one document
    #[command(hide = true)]
    HelpReference,
    /// Print shell completions
    Completions(Completions),
}

/// Which shell.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}
