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
use crate::web::{Answer, Web};

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

/// The layers of wherever a user says: a node behind `http://`, or the directory of a node or a clone.
///
/// # Errors
/// It is neither.
pub fn at(from: &str) -> Result<Layers, CommandError> {
    if let Some(web) = Web::of_url(from) {
        let path = from.splitn(4, '/').nth(3).unwrap_or_default();
        let root = format!("/{}", path.trim_end_matches('/'));
        return Ok(Arc::new(RemoteLayers { web, root }));
    }
    if from.contains("://") {
        let message = format!("expected http://HOST:PORT/LEDGER.git or a directory, got '{from}'");
        return Err(CommandError::usage(message)
            .hint("clone it with git, and name the clone: its large files come by git-lfs"));
    }
    of(place::find(Some(Path::new(from)))?)
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
        let web = Web::Socket(self.node.control_socket());
        let root = format!("/{}.git", self.name);
        match web.get(&object_path(&root, pointer)) {
            Ok(answer) => content(answer),
            Err(_) => self.stored.open(pointer),
        }
    }

    fn hint(&self) -> String {
        self.stored.hint()
    }
}

/// The layers of a node that is reached over HTTP.
struct RemoteLayers {
    web: Web,
    /// `/<name>.git`
    root: String,
}

impl LayerSource for RemoteLayers {
    fn open(&self, pointer: &Pointer) -> io::Result<Option<Box<dyn Read + '_>>> {
        content(self.web.get(&object_path(&self.root, pointer))?)
    }

    fn hint(&self) -> String {
        "the node does not have it; try another one".to_owned()
    }
}

fn object_path(root: &str, pointer: &Pointer) -> String {
    format!("{root}/info/lfs/objects/{}", pointer.oid)
}

/// What a node gives of an object; `None` if it does not have it.
fn content<'a>(answer: Answer) -> io::Result<Option<Box<dyn Read + 'a>>> {
    match answer.code {
        200 => Ok(Some(answer.body)),
        404 => Ok(None),
        _ => Err(io::Error::other(format!(
            "the node does not give it: {}",
            answer.reason()
        ))),
    }
}
