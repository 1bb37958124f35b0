//! `gdo-helper`: what git's hook scripts and the sandbox call; not for people.
//!
//! It starts in about a millisecond and with one thread: no parser of arguments, no async runtime, no
//! database. `gdo` looks for it beside itself.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("hook") => hook(&words[1..]),
        Some("sandbox") => gdo_runtime::sandbox_main(),
        Some("--version") => {
            println!("gdo-helper {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => wrong("hook, sandbox or --version; gdo starts this by itself"),
    }
}

/// Relays a hook to the daemon: `pre-receive|proc-receive --socket PATH --dir DIR`.
fn hook(words: &[OsString]) -> ExitCode {
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).map(PathBuf::from)
    };
    let (Some(socket), Some(node)) = (value("--socket"), value("--dir")) else {
        return wrong("--socket PATH and --dir DIR; 'gdo node run' writes the hook scripts");
    };
    match words.first().and_then(|word| word.to_str()) {
        Some("pre-receive") => gdo_hooks::pre_receive_main(&socket, &node),
        Some("proc-receive") => gdo_hooks::proc_receive_main(&socket, &node),
        _ => wrong("pre-receive or proc-receive"),
    }
}

fn wrong(expected: &str) -> ExitCode {
    eprintln!("gdo-helper: expected {expected}");
    ExitCode::from(2)
}
