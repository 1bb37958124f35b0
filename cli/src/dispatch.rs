//! From the command line to the command that does it.

use std::process::ExitCode;

use clap::CommandFactory as _;
use gdo_core::proposal::NoteVerb;

use crate::arguments::{Arguments, Command};
use crate::command::{doctor, reference, ssh, status};
use crate::error::CommandError;

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
        Command::Image(image) => image.run(dir, json),
        Command::Chunks(chunks) => chunks.run(dir, json),
        Command::Doctor => doctor::run(dir, json),
        Command::ServeSsh => ssh::run(dir),
        Command::HelpReference => reference::run(Arguments::command()),
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
