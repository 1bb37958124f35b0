//! The commands, one file each.

use std::process::ExitCode;

use clap::CommandFactory as _;
use gdo_core::proposal::NoteVerb;

use crate::arguments::{Arguments, Command};
use crate::error::CommandError;

pub mod dapp;
pub mod doctor;
pub mod hook;
pub mod init;
pub mod log;
pub mod node;
pub mod note;
pub mod policy;
pub mod proposals;
pub mod reference;
pub mod roster;
pub mod show;
pub mod ssh;
pub mod status;
pub mod verify;

/// Does what was asked for.
///
/// # Errors
/// What went wrong, with the exit code that says of which kind it is.
pub fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let Arguments { dir, json, command } = arguments;
    let dir = dir.as_deref();
    match command {
        Command::Init(init) => init.run(json),
        Command::Node(node) => node.run(dir),
        Command::Status => status::run(dir, json),
        Command::Log(log) => log.run(dir, json),
        Command::Show(show) => show.run(dir, json),
        Command::Proposals(proposals) => proposals.run(dir, json),
        Command::Roster(roster) => roster.run(dir, json),
        Command::Approve(note) => note.run(NoteVerb::Approve, dir, json),
        Command::Reject(note) => note.run(NoteVerb::Reject, dir, json),
        Command::Withdraw(note) => note.run(NoteVerb::Withdraw, dir, json),
        Command::Policy(policy) => policy.run(dir, json),
        Command::Verify(verify) => verify.run(dir, json),
        Command::Dapp(dapp) => dapp.run(dir, json),
        Command::Doctor => doctor::run(dir, json),
        Command::ServeSsh => ssh::run(dir),
        Command::HelpReference => reference::run(),
        Command::Completions(completions) => {
            let mut command = Arguments::command();
            clap_complete::generate(
                completions.shell,
                &mut command,
                "gdo",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}
