//! `gdo init`: makes an organisation on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gdo_core::id::MemberName;
use gdo_node::init::{InitRequest, init};

use crate::error::CommandError;
use crate::output;

/// What a new organisation starts with.
#[derive(Args, Debug)]
pub struct Init {
    /// The new node directory
    #[arg(value_name = "NEW_DIR")]
    target: PathBuf,
    /// Your name as a member: [a-z0-9][a-z0-9-]*
    #[arg(long, value_name = "NAME")]
    member: MemberName,
    /// Your public key; ssh-keygen signs the ledger's first commit with its private half
    #[arg(long, value_name = "FILE.pub")]
    key: PathBuf,
    /// This node's name as a member
    #[arg(long, value_name = "NAME", default_value = "hub")]
    node: MemberName,
    /// The ledger's name, in clone URLs [default: the directory's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What the ledger starts with: blank or books
    #[arg(long, value_name = "TEMPLATE", default_value = "blank")]
    template: String,
    /// Where git and the web API listen
    #[arg(long, value_name = "ADDRESS", default_values = ["127.0.0.1:7420", "[::1]:7420"])]
    listen: Vec<std::net::SocketAddr>,
    /// The hash of the repository: sha256, or sha1 for hosts without it
    #[arg(long, value_name = "HASH", default_value = "sha256")]
    object_format: String,
}

impl Init {
    /// Makes the organisation.
    ///
    /// # Errors
    /// What is wrong with the request; nothing is left behind then.
    pub fn run(self, json: bool) -> Result<ExitCode, CommandError> {
        let made = init(&InitRequest {
            target: self.target,
            member: self.member,
            key: self.key,
            node: self.node,
            name: self.name,
            template: self.template,
            listen: self.listen,
            object_format: self.object_format,
            share: share_dir()?,
        })?;
        if json {
            output::json(&made)?;
        } else {
            eprintln!(
                "gdo: made ledger {} ({}) in {}",
                made.name,
                &made.ledger[..12],
                made.dir
            );
            eprintln!("gdo: start it with: gdo node run {}", made.dir);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Where the dapps and templates that ship with gdo lie: `GDO_SHARE`, else beside the binary.
fn share_dir() -> Result<PathBuf, CommandError> {
    if let Some(dir) = std::env::var_os("GDO_SHARE").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let binary = std::env::current_exe()?;
    let candidates = binary
        .ancestors()
        .skip(1)
        .take(3)
        .map(|dir| dir.join("share/gdo"));
    let found = candidates.clone().find(|dir| dir.join("dapps").is_dir());
    found.ok_or_else(|| {
        let looked: Vec<String> = candidates.map(|dir| dir.display().to_string()).collect();
        CommandError::usage(format!(
            "the dapps that ship with gdo are not in {}",
            looked.join(" or ")
        ))
        .hint("set GDO_SHARE to the folder that holds dapps/ and templates/")
    })
}
