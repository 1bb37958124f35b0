//! `gdo status`: what the node is doing.

use std::path::Path;
use std::process::ExitCode;

use gdo_node::control;
use gdo_node::status::Status;

use crate::error::CommandError;
use crate::{output, place};

/// Asks the node and prints its answer.
///
/// # Errors
/// The node is down.
pub fn run(dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
    let node = place::node(dir)?;
    let answer = control::ask(&node.control_socket(), "/v1/status").map_err(|error| {
        CommandError::unknown(format!(
            "the node at {} does not answer: {error}",
            node.root().display()
        ))
        .hint(format!(
            "start it with: gdo node run {}",
            node.root().display()
        ))
    })?;
    let status: Status = serde_json::from_str(&answer).map_err(CommandError::unknown)?;
    if json {
        output::json(&status)?;
    } else {
        print(&status)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(status: &Status) -> Result<(), CommandError> {
    let short = |id: &str| id.chars().take(12).collect::<String>();
    output::line(&format!(
        "ledger   {} ({})",
        status.name,
        short(&status.ledger)
    ))?;
    output::line(&format!("node     {}", status.node))?;
    output::line(&format!(
        "{:<8} {} at height {}",
        status.branch,
        short(&status.main),
        status.height
    ))?;
    output::line(&format!("head     {}", short(&status.head)))?;
    for url in &status.clone_urls {
        output::line(&format!("clone    git clone {url}"))?;
    }
    for item in &status.pending {
        let what = item.proposal.as_deref().unwrap_or(&item.block);
        output::line(&format!(
            "pending  {} by {}: {} ({})",
            short(what),
            item.principal,
            item.subject,
            item.waits_for
        ))?;
    }
    for item in &status.set_aside {
        output::line(&format!("aside    {}: {}", short(&item.block), item.reason))?;
    }
    for warning in &status.warnings {
        output::line(&format!("warning  {warning}"))?;
    }
    Ok(())
}
