//! `gdo serve-ssh-command`: the forced command of an SSH login.

use std::path::Path;
use std::process::ExitCode;

use gdo_hooks::ssh::SshService;
use gdo_node::config::Config;

use crate::error::CommandError;
use crate::place;
use crate::source::{Reading, Source};

/// Serves what `sshd` left in `SSH_ORIGINAL_COMMAND`.
///
/// # Errors
/// There is no node, or its ledger cannot be read.
pub fn run(dir: Option<&Path>) -> Result<ExitCode, CommandError> {
    let node = place::node(dir)?;
    let config = Config::read(&node.config_file())?;
    let source = Source::open(Some(node.root()), Reading::default())?;
    let name = source.rules()?.ledger.name;
    let address = config
        .http_listen
        .iter()
        .find(|address| address.port() != 0);
    let http_url = address.map(|address| format!("http://{address}/{name}.git"));
    let service = SshService {
        name,
        ledger: node.ledger(),
        http_url,
    };
    Ok(service.serve_main())
}
