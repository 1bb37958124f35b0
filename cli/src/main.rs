//! `gdo`: the command line and the daemon (`gdo node run`).
//!
//! What git runs as a hook, and what makes containers, is the small program `gdo-helper` beside it.
//!
//! **Invariants**: standard output is data, standard error is talk; exit codes are 0 yes, 1 no,
//! 2 wrong use, 3 could not tell.

mod arguments;
mod clone;
mod command;
mod detail;
mod dispatch;
mod error;
mod export;
mod find;
mod lfs;
mod lint;
mod output;
mod place;
mod progress;
mod revision;
mod scratch;
mod source;
mod time;
mod trial;
mod web;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // A closed pipe is no reason to fail.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match dispatch::run(arguments) {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}
