//! `gdo serve-ssh-command`: the forced command of an SSH login.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use gdo_hooks::ssh::{SshService, http_address, is_about_large_files};
use gdo_node::config::Config;
use gdo_node::control;
use gdo_node::dir::NodeDir;

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
    let http_url = is_about_large_files()
        .then(|| http_url(&node, &config, &name))
        .flatten();
    let service = SshService {
        name,
        ledger: node.ledger(),
        http_url,
    };
    Ok(service.serve_main())
}

/// Where the node serves large files, as the login's client should know it.
fn http_url(node: &NodeDir, config: &Config, name: &str) -> Option<String> {
    let listen = bound(node, name).unwrap_or_else(|| config.http_listen.clone());
    let connection = std::env::var("SSH_CONNECTION").ok();
    let address = http_address(&listen, connection.as_deref())?;
    Some(format!("http://{address}/{name}.git"))
}

/// Where the daemon listens, if it runs: the configuration may leave the port to the system.
fn bound(node: &NodeDir, name: &str) -> Option<Vec<SocketAddr>> {
    let status = control::ask(&node.control_socket(), "/v1/status").ok()?;
    let status: serde_json::Value = serde_json::from_str(&status).ok()?;
    let urls = status.get("clone_urls")?.as_array()?.iter();
    let address = |url: &str| {
        let rest = url.strip_prefix("http://")?;
        let address = rest.strip_suffix(&format!("/{name}.git"))?;
        address.parse().ok()
    };
    Some(urls.filter_map(|url| address(url.as_str()?)).collect())
}
