//! Layers that stand in trees as pointers, from wherever this command can get them.
//!
//! A clone has them in the directory of git-lfs, or fetches them with git-lfs; a node has them in its
//! chunk store, which the daemon holds while it runs, so it is asked over the control socket.

use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use gdo_core::pointer::Pointer;
use gdo_ledger::Ledger;
use gdo_node::config::Config;
use gdo_node::dir::NodeDir;
use gdo_node::judge::{Layers, StoredLayers};
use gdo_node::objects::Objects;
use gdo_runtime::image::{LayerSource, NoLayers, ObjectDir};

use crate::clone::GitClone;
use crate::error::CommandError;
use crate::place::{self, Place};
use crate::web::Web;

/// The layers that can be had from where `start` is; none if that is neither a node nor a clone.
#[must_use]
pub fn around(start: Option<&Path>) -> Layers {
    let found = place::find(start).and_then(of);
    found.unwrap_or_else(|_| Arc::new(NoLayers))
}

/// The layers of a place.
///
/// # Errors
/// Git is missing, or the node's configuration cannot be read.
pub fn of(place: Place) -> Result<Layers, CommandError> {
    match place {
        Place::Clone(clone) => {
            let objects = ObjectDir::new(&clone.lfs_objects()?);
            let node = clone.node_of_remote()?.map(NodeLayers::new).transpose()?;
            Ok(Arc::new(ClonedLayers {
                clone,
                objects,
                node,
            }))
        }
        Place::Node(node) => Ok(Arc::new(NodeLayers::new(node)?)),
    }
}

/// The ledger's name, as it stands in URLs.
fn ledger_name(ledger: &Ledger) -> Result<String, CommandError> {
    let main = ledger
        .read_ref("refs/heads/main")
        .map_err(CommandError::unknown)?;
    let main = main.ok_or_else(|| CommandError::unknown("the node has no checkpoint"))?;
    let tree = ledger.read_commit(&main)?.tree;
    Ok(ledger.read_rules(&tree)?.ledger.name.to_string())
}

/// The layers of a clone.
struct ClonedLayers {
    clone: GitClone,
    objects: ObjectDir,
    /// The node, where the remote is one on this machine: git-lfs knows nothing of its store.
    node: Option<NodeLayers>,
}

impl ClonedLayers {
    /// Asks git-lfs for an object; it keeps what it got, and says why it got nothing.
    fn fetch(&self, pointer: &Pointer) -> io::Result<()> {
        let is_watched = io::stderr().is_terminal();
        let mut child = self
            .clone
            .git()
            .args(["lfs", "smudge"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(if is_watched {
                Stdio::inherit()
            } else {
                Stdio::piped()
            })
            .spawn()?;
        let mut input = child.stdin.take().expect("standard input is piped");
        // Where git-lfs is missing it reads nothing; that the layer is missing is said later.
        let _ = input.write_all(pointer.to_text().as_bytes());
        drop(input);
        let output = child.wait_with_output()?;
        if !self.objects.contains(pointer) {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

impl LayerSource for ClonedLayers {
    fn open(&self, pointer: &Pointer) -> io::Result<Option<Box<dyn Read + '_>>> {
        if self.objects.contains(pointer) {
            return self.objects.open(pointer);
        }
        if let Some(node) = &self.node {
            return node.open(pointer);
        }
        if self.clone.remote().is_some() {
            self.fetch(pointer)?;
        }
        self.objects.open(pointer)
    }

    fn hint(&self) -> String {
        self.objects.hint()
    }
}

/// The layers of a node of this machine.
struct NodeLayers {
    node: NodeDir,
    name: String,
    stored: StoredLayers,
}

impl NodeLayers {
    fn new(node: NodeDir) -> Result<Self, CommandError> {
        let config = Config::read(&node.config_file())?;
        let ledger = Arc::new(Ledger::open_clone(&node.ledger())?);
        let name = ledger_name(&ledger)?;
        let stored = StoredLayers(Objects::new(&node, &config, ledger));
        Ok(Self { node, name, stored })
    }
}

impl LayerSource for NodeLayers {
    fn open(&self, pointer: &Pointer) -> io::Result<Option<Box<dyn Read + '_>>> {
        let path = format!("/{}.git/info/lfs/objects/{}", self.name, pointer.oid);
        let Ok(answer) = Web::Socket(self.node.control_socket()).get(&path) else {
            return self.stored.open(pointer);
        };
        match answer.code {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            code => Err(io::Error::other(format!(
                "the node answered {code} to {path}"
            ))),
        }
    }

    fn hint(&self) -> String {
        self.stored.hint()
    }
}
