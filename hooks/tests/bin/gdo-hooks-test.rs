//! The crate as a program, for tests: what `gdo-helper hook …` and `gdo serve-ssh-command` call.
//!
//! `gdo-hooks-test hook <pre-receive|proc-receive> --socket <path> --dir <path>`
//! `gdo-hooks-test serve-ssh-command <name> <ledger> [<http url>]`
//! `gdo-hooks-test listen-and-exit <socket>`: a daemon that was killed

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gdo_hooks::socket;
use gdo_hooks::ssh::SshService;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["hook", "pre-receive", "--socket", socket, "--dir", dir] => {
            gdo_hooks::pre_receive_main(Path::new(socket), Path::new(dir))
        }
        ["hook", "proc-receive", "--socket", socket, "--dir", dir] => {
            gdo_hooks::proc_receive_main(Path::new(socket), Path::new(dir))
        }
        ["serve-ssh-command", name, ledger, ref rest @ ..] => SshService {
            name: name.to_owned(),
            ledger: PathBuf::from(ledger),
            http_url: rest.first().map(|&url| url.to_owned()),
        }
        .serve_main(),
        ["listen-and-exit", path] => match socket::listen(Path::new(path)) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("gdo-hooks-test: cannot listen at {path}: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("gdo-hooks-test: unknown arguments {words:?}");
            ExitCode::from(2)
        }
    }
}
