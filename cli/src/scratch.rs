//! A temporary repository over the objects of a ledger, for what must be computed and not kept.
//!
//! Projections and trees are objects; a command that only reads must not leave any in the ledger.

use std::path::Path;
use std::sync::Arc;

use gdo_ledger::{Ledger, ObjectFormat};
use gdo_node::dir::NodeDir;

use crate::error::CommandError;

/// A temporary directory with a repository in it; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: tempfile::TempDir,
    ledger: Arc<Ledger>,
}

impl Scratch {
    /// A repository that sees the objects of `over`, if there is one.
    ///
    /// # Errors
    /// The temporary directory cannot be written.
    pub fn new(over: Option<&Ledger>) -> Result<Self, CommandError> {
        let dir = tempfile::Builder::new().prefix("gdo-").tempdir()?;
        let home = dir.path().join("ledger.git");
        let format = over.map_or(ObjectFormat::Sha256, Ledger::format);
        let mut ledger = Ledger::create(&home, format)?;
        if let Some(over) = over {
            let mut objects = over.dir().join("objects").into_os_string();
            objects.push("\n");
            let alternates = home.join("objects/info/alternates");
            std::fs::create_dir_all(home.join("objects/info"))?;
            std::fs::write(&alternates, objects.as_encoded_bytes())?;
            ledger = Ledger::open_clone(&home)?;
        }
        Ok(Self {
            dir,
            ledger: Arc::new(ledger),
        })
    }

    /// The repository.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The directory around it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The directory as that of a node, whose cache a judge works in.
    ///
    /// # Errors
    /// Never for a temporary directory, whose path is absolute.
    pub fn node_dir(&self) -> Result<NodeDir, CommandError> {
        Ok(NodeDir::at(self.dir.path())?)
    }
}
