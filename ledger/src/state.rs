//! What a checkpoint says: its record, and the rules in force after it (P-5, P-7, P-30).

use std::collections::BTreeMap;

use gdo_core::checkpoint::{CHECKPOINT_FILE, CheckpointRecord, LEDGER_FILE};
use gdo_core::dapp::{DAPPS_DIR, Manifest};
use gdo_core::error::FileError;
use gdo_core::id::{DappName, Digest, ObjectId};
use gdo_core::ledger::LedgerFile;
use gdo_core::policy::{POLICY_FILE, Policy};
use gdo_core::roster::{ROSTER_DIR, Roster};

use crate::error::LedgerError;
use crate::repository::Ledger;
use crate::tree::Standing;

/// The largest file of rules that is read.
const RULES_BYTES_MAX: u64 = 1 << 20;
/// The largest record of a checkpoint that is read: 4096 blocks with their verdicts.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// A dapp, as the tree of a checkpoint has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dapp {
    /// Its manifest.
    pub manifest: Manifest,
    /// The SHA-256 of its image's `index.json`; `None` if the image is missing.
    pub image: Option<Digest>,
}

impl Dapp {
    /// The digest that names its validator (P-23); `None` if the image is missing.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.image
            .map(|image| self.manifest.validator.digest(image))
    }
}

/// The rules that a tree holds: who, where, and what must pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The ledger's own file.
    pub ledger: LedgerFile,
    /// The members.
    pub roster: Roster,
    /// The policy.
    pub policy: Policy,
    /// The dapps by name.
    pub dapps: BTreeMap<DappName, Dapp>,
}

/// A checkpoint, read from its commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Its commit.
    pub id: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, the checkpoint before first.
    pub parents: Vec<ObjectId>,
    /// Its record.
    pub record: CheckpointRecord,
    /// The rules in force after it.
    pub rules: Rules,
}

impl Ledger {
    /// Reads a checkpoint and the rules in force after it; genesis likewise.
    ///
    /// Whether the checkpoint is final is the certificate's question, not this one's.
    ///
    /// # Errors
    /// The commit is missing, or a file under `.gdo/` is: then the error names it.
    pub fn read_checkpoint(&self, id: &ObjectId) -> Result<Checkpoint, LedgerError> {
        let commit = self.read_commit(id)?;
        Ok(Checkpoint {
            id: *id,
            tree: commit.tree,
            parents: commit.parents,
            record: self.read_record(&commit.tree)?,
            rules: self.read_rules(&commit.tree)?,
        })
    }

    /// Reads the record alone of a checkpoint.
    ///
    /// # Errors
    /// The commit or the file is missing, or the file has another form.
    pub fn read_checkpoint_record(&self, id: &ObjectId) -> Result<CheckpointRecord, LedgerError> {
        self.read_record(&self.read_commit(id)?.tree)
    }

    /// Reads the record that a tree holds.
    ///
    /// # Errors
    /// The file is missing or has another form.
    pub fn read_record(&self, tree: &ObjectId) -> Result<CheckpointRecord, LedgerError> {
        let text = self.read_text(tree, CHECKPOINT_FILE, RECORD_BYTES_MAX)?;
        let record = CheckpointRecord::parse(&text);
        Ok(record.map_err(|error| FileError::new(CHECKPOINT_FILE, error))?)
    }

    /// Reads the rules that a tree holds.
    ///
    /// # Errors
    /// A file under `.gdo/` is missing or wrong: the error names it, the line and the key.
    pub fn read_rules(&self, tree: &ObjectId) -> Result<Rules, LedgerError> {
        Ok(Rules {
            ledger: LedgerFile::parse(&self.read_text(tree, LEDGER_FILE, RULES_BYTES_MAX)?)?,
            roster: self.read_roster(tree)?,
            policy: Policy::parse(&self.read_text(tree, POLICY_FILE, RULES_BYTES_MAX)?)?,
            dapps: self.read_dapps(tree)?,
        })
    }

    /// Reads a text file of a tree, of at most `max` bytes.
    ///
    /// # Errors
    /// No file stands there, it is larger, or it is not UTF-8.
    pub fn read_text(&self, tree: &ObjectId, path: &str, max: u64) -> Result<String, LedgerError> {
        let entry =
            match crate::tree::lookup::entry_in(&self.objects(), tree, path, self.empty_tree())? {
                Standing::File(entry) => entry,
                Standing::Directory => {
                    return Err(FileError::new(path, "expected a file, got a directory").into());
                }
                Standing::Absent => {
                    return Err(FileError::new(path, "missing from the ledger").into());
                }
            };
        let raw = self.read_blob(&entry.id, max)?;
        let text = String::from_utf8(raw);
        Ok(text.map_err(|_| FileError::new(path, "expected UTF-8 text"))?)
    }

    fn read_roster(&self, tree: &ObjectId) -> Result<Roster, LedgerError> {
        let mut files = Vec::new();
        for (name, _) in self.list(tree, ROSTER_DIR)? {
            let path = format!("{ROSTER_DIR}/{name}");
            let text = self.read_text(tree, &path, RULES_BYTES_MAX)?;
            files.push((path, text));
        }
        let files = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        Ok(Roster::parse(files)?)
    }

    fn read_dapps(&self, tree: &ObjectId) -> Result<BTreeMap<DappName, Dapp>, LedgerError> {
        let mut dapps = BTreeMap::new();
        for (folder, _) in self.list(tree, DAPPS_DIR)? {
            let path = format!("{DAPPS_DIR}/{folder}");
            let name: DappName = folder
                .parse()
                .map_err(|error| FileError::new(path, error))?;
            let file = Manifest::file_of(&name);
            let text = self.read_text(tree, &file, RULES_BYTES_MAX)?;
            let manifest = Manifest::parse(&file, &text)?;
            if manifest.name != name {
                let message = format!(
                    "name: expected '{name}', the folder's, got '{}'",
                    manifest.name
                );
                return Err(FileError::new(file, message).into());
            }
            let index = format!("{}/index.json", manifest.image_dir());
            let image = match self.read_text(tree, &index, RULES_BYTES_MAX) {
                Ok(text) => Some(Digest::of(text.as_bytes())),
                Err(LedgerError::File(_)) => None,
                Err(error) => return Err(error),
            };
            dapps.insert(name, Dapp { manifest, image });
        }
        Ok(dapps)
    }
}
