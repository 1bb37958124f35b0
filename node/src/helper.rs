//! The small program beside `gdo`: git runs it as a hook, and containers are made by it.
//!
//! `gdo` carries a daemon and a database, and whoever starts it pays for the set-up of both. A push
//! starts two hooks, so they and the helper of the sandbox are a program without any of that
//! (`docs/adr/0005-two-programs.md`).
//!
//! **Invariants**: it is of this program's version; containers are made by the file that was found,
//! whatever has taken its place on the disk since.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gdo_runtime::HelperCommand;

use crate::error::NodeError;

/// Its name.
pub const PROGRAM: &str = "gdo-helper";

/// The helper, held open.
#[derive(Debug)]
pub struct Helper {
    path: PathBuf,
    file: File,
}

impl Helper {
    /// Finds it beside this program.
    ///
    /// # Errors
    /// It is not there, cannot be run, or is of another version.
    pub fn find() -> Result<Self, NodeError> {
        let own = std::env::current_exe()
            .map_err(|source| NodeError::io("find", Path::new("this program"), source))?;
        let path = own.with_file_name(PROGRAM);
        let refuse = |reason: String| {
            let path = path.display();
            NodeError::Refused(format!("{path}: {reason}; install gdo again, all of it"))
        };
        let file = File::open(&path).map_err(|error| refuse(error.to_string()))?;
        let helper = Self {
            path: path.clone(),
            file,
        };
        let said = Command::new(helper.opened()).arg("--version").output();
        let said = said.map_err(|error| refuse(format!("it cannot be run: {error}")))?;
        let said = String::from_utf8_lossy(&said.stdout);
        let said = said.lines().next().unwrap_or_default();
        let expected = format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION"));
        if said == expected {
            Ok(helper)
        } else {
            Err(refuse(format!("it is '{said}', expected '{expected}'")))
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The command that makes containers, for as long as this is held.
    #[must_use]
    pub fn sandbox(&self) -> HelperCommand {
        HelperCommand {
            program: self.opened(),
            args: vec!["sandbox".into(), "run".into()],
        }
    }

    /// The file that is open, as a child of this process names it.
    fn opened(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}
