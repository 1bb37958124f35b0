//! `gdo hook`: what git's hook scripts call; not for people.

use std::path::PathBuf;
use std::process::ExitCode;

/// Relays a hook to the daemon: `gdo hook pre-receive|proc-receive --socket PATH --dir DIR`.
pub fn run() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(2).collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).map(PathBuf::from)
    };
    let (Some(socket), Some(node)) = (value("--socket"), value("--dir")) else {
        eprintln!(
            "gdo: hook: expected --socket PATH and --dir DIR; 'gdo node run' writes the hook scripts"
        );
        return ExitCode::from(2);
    };
    match words.first().and_then(|word| word.to_str()) {
        Some("pre-receive") => gdo_hooks::pre_receive_main(&socket, &node),
        Some("proc-receive") => gdo_hooks::proc_receive_main(&socket, &node),
        _ => {
            eprintln!("gdo: hook: expected pre-receive or proc-receive");
            ExitCode::from(2)
        }
    }
}
