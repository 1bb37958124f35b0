//! A node that can be told at which step to die: `gdo node run` with the fault points armed.
//!
//! The crash test starts it with `GDO_FAULT_AT=<n>`. It is a program of its own so that the `gdo`
//! that is installed has no fault points.

use std::process::ExitCode;

use gdo_node::dir::NodeDir;
use gdo_node::error::NodeError;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(first) = words.next() else {
        eprintln!("usage: gdo-fault-node NODE_DIR");
        return ExitCode::from(2);
    };
    match NodeDir::open(&first).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gdo-fault-node: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(dir: NodeDir) -> Result<(), NodeError> {
    gdo_node::daemon::run(&dir, |urls| println!("ready {}", urls.join(" ")))
}
