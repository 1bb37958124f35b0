//! `gdo dapp new`: starts a dapp.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use gdo_core::id::DappName;
use serde::Serialize;

use super::template::Language;
use crate::error::CommandError;
use crate::output;

/// Which dapp.
#[derive(Args, Debug)]
pub struct New {
    /// The name of the dapp: [a-z0-9][a-z0-9-]*; a new folder of that name is made
    #[arg(value_name = "NAME")]
    name: DappName,
    /// What it is written in
    #[arg(long, value_name = "LANGUAGE", default_value = "shell")]
    lang: Language,
}

#[derive(Serialize)]
struct Made {
    dapp: DappName,
    dir: PathBuf,
    files: Vec<String>,
}

impl New {
    pub(super) fn run(self, json: bool) -> Result<ExitCode, CommandError> {
        let dir = std::path::absolute(self.name.as_str())?;
        if dir.exists() {
            return Err(
                CommandError::usage(format!("{} is there already", dir.display()))
                    .hint("choose another name, or remove it"),
            );
        }
        let name = self.name.as_str();
        let fill = |text: &str| {
            text.replace("@NAME@", name)
                .replace("@PROGRAM@", self.lang.program())
        };
        let mut files = Vec::new();
        for (path, text, runs) in self.lang.files() {
            let path = fill(path);
            write(&dir.join(&path), &fill(text), runs)?;
            files.push(path);
        }
        if json {
            output::json(&Made {
                dapp: self.name.clone(),
                dir,
                files,
            })?;
        } else {
            eprintln!("gdo: made {}; next:", dir.display());
            eprintln!("  cd {name} && ./image.sh && gdo dapp test .");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write(file: &Path, text: &str, runs: bool) -> Result<(), CommandError> {
    let made = || {
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, text)?;
        fs::set_permissions(
            file,
            fs::Permissions::from_mode(if runs { 0o755 } else { 0o644 }),
        )
    };
    made().map_err(|error: std::io::Error| {
        CommandError::unknown(format!("cannot write {}: {error}", file.display()))
    })
}
