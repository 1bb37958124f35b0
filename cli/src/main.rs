//! `gdo`: the one binary of the ledger.
//!
//! Command line, daemon (`gdo node run`), hook relay (`gdo hook …`) and container helper
//! (`gdo sandbox …`). The last two start in a few milliseconds and single-threaded: they branch off
//! before anything else is set up.
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
    let words: Vec<_> = std::env::args_os().skip(1).take(2).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("sandbox") => return gdo_runtime::sandbox_main(),
        Some("hook") => return command::hook::run(),
        _ => {}
    }
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
