//! `gdo chunks fetch`: large objects that are missing or broken here, from another node or a clone.
//!
//! Whoever gives an object is not believed: it is hashed on its way in.
//!
//! **Invariants**: an object is here whole or not at all; one that cannot be had holds up no other.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use gdo_node::objects::Objects;
use gdo_runtime::image::{LayerSource, ObjectDir};
use serde::Serialize;
use serde_json::json;

use crate::error::CommandError;
use crate::lfs;
use crate::output;
use crate::place::Place;
use crate::progress::Bytes;
use crate::source::{Reading, Source};
use crate::web::Web;

/// What is read of an object at once.
const READ_BYTES: usize = 256 << 10;

/// Which objects, and where from.
#[derive(Args, Debug)]
pub struct Fetch {
    /// http://HOST:PORT/LEDGER.git of another node, or the directory of a node or a clone [default: the
    /// remote of a clone, the plain copies of a node]
    #[arg(long, value_name = "URL|DIR")]
    from: Option<String>,
    /// Only these [default: all that the ledger points to; in a clone, all of the newest checkpoint]
    #[arg(value_name = "OID", value_parser = oid)]
    oids: Vec<Digest>,
    #[command(flatten)]
    reading: Reading,
}

/// What came.
#[derive(Serialize, Default)]
struct Fetched {
    here: u64,
    fetched: u64,
    bytes: u64,
    failed: Vec<Failed>,
}

/// An object that did not come.
#[derive(Serialize)]
struct Failed {
    oid: Digest,
    reason: String,
}

impl Fetch {
    pub(super) fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let source = Source::open(dir, self.reading)?;
        let wanted = self.wanted(&source)?;
        let shelf = Shelf::of(&source)?;
        let giver = match (&self.from, source.place) {
            (Some(from), _) => lfs::at(from)?,
            (None, place @ Place::Clone(_)) => lfs::of(place)?,
            // Its plain copies are all that a node has beside its store.
            (None, Place::Node(node)) => {
                Arc::new(ObjectDir::new(&node.ledger().join("lfs").join("objects")))
            }
        };
        let mut told = Told {
            bar: Bytes::new("fetching large objects"),
            done: 0,
            total: wanted.iter().map(|pointer| pointer.size).sum(),
        };
        let mut fetched = Fetched::default();
        for pointer in &wanted {
            let end = told.done + pointer.size;
            if shelf.has(pointer)? {
                fetched.here += 1;
            } else {
                match bring(&shelf, &*giver, pointer, &mut told) {
                    Ok(()) => {
                        fetched.fetched += 1;
                        fetched.bytes += pointer.size;
                    }
                    Err(reason) => fetched.failed.push(Failed {
                        oid: pointer.oid,
                        reason,
                    }),
                }
            }
            told.done = end;
        }
        drop(told);
        fetched.end(json)
    }

    /// The objects that should be here.
    fn wanted(&self, source: &Source) -> Result<BTreeSet<Pointer>, CommandError> {
        let newest_alone = self.oids.is_empty() && matches!(source.place, Place::Clone(_));
        let mut pointers = if newest_alone {
            source.ledger.pointers_of(&source.tree)?
        } else {
            source.ledger.pointers()?
        };
        for oid in &self.oids {
            if !pointers.iter().any(|pointer| pointer.oid == *oid) {
                return Err(CommandError::usage(format!(
                    "the ledger points to no object sha256:{oid}"
                )));
            }
        }
        pointers.retain(|pointer| self.oids.is_empty() || self.oids.contains(&pointer.oid));
        Ok(pointers)
    }
}

/// Reads the SHA-256 of an object, as other commands print it or as git-lfs does.
fn oid(text: &str) -> Result<Digest, gdo_core::error::FormatError> {
    text.strip_prefix("sha256:").unwrap_or(text).parse()
}

impl Fetched {
    fn end(self, json: bool) -> Result<ExitCode, CommandError> {
        if json {
            output::json(&self)?;
        } else {
            for Failed { oid, reason } in &self.failed {
                output::line(&format!("object sha256:{oid}: {reason}"))?;
            }
            output::line(&format!(
                "{} objects fetched ({}), {} were here",
                self.fetched,
                super::bytes(self.bytes),
                self.here
            ))?;
        }
        if self.failed.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let message = format!("{} objects could not be fetched", self.failed.len());
        Err(CommandError::no(message)
            .hint("name another node or a clone: --from http://HOST:PORT/LEDGER.git or --from DIR"))
    }
}

/// Brings one object; says why it did not come.
fn bring(
    shelf: &Shelf,
    giver: &dyn LayerSource,
    pointer: &Pointer,
    told: &mut Told,
) -> Result<(), String> {
    let content = giver.open(pointer).map_err(|error| error.to_string())?;
    let content = content.ok_or("the source does not have it")?;
    shelf.put(pointer, &mut Watched { content, told })
}

/// Where objects are put.
enum Shelf {
    /// A node that runs: it has its store, so it is asked.
    Daemon { web: Web, root: String },
    /// A node that does not.
    Store(Objects),
    /// A clone.
    Clone(ObjectDir),
}

impl Shelf {
    fn of(source: &Source) -> Result<Self, CommandError> {
        Ok(match &source.place {
            Place::Clone(clone) => Self::Clone(ObjectDir::new(&clone.lfs_objects()?)),
            Place::Node(node) => {
                let web = Web::Socket(node.control_socket());
                if web.get("/v1/status").is_ok() {
                    let name = source.rules()?.ledger.name;
                    let root = format!("/{name}.git/info/lfs/objects");
                    Self::Daemon { web, root }
                } else {
                    Self::Store(super::objects(node)?)
                }
            }
        })
    }

    /// Whether an object is here, and nothing of it is known to be broken.
    fn has(&self, pointer: &Pointer) -> Result<bool, CommandError> {
        match self {
            Self::Clone(objects) => Ok(objects.contains(pointer)),
            Self::Store(objects) => {
                let found = objects.find_and_touch(&pointer.oid);
                Ok(found.map_err(CommandError::unknown)? == Some(*pointer))
            }
            Self::Daemon { web, root } => {
                let question = json!({"oid": pointer.oid, "size": pointer.size}).to_string();
                let answer = web.post_text(&format!("{root}/verify"), &question);
                let answer = answer.map_err(CommandError::unknown)?;
                match answer.code {
                    200 => Ok(true),
                    404 => Ok(false),
                    _ => Err(CommandError::unknown(format!(
                        "the node cannot tell whether it has {pointer}: {}",
                        answer.reason()
                    ))),
                }
            }
        }
    }

    /// Puts an object here, if it is the one that `pointer` names; says why not.
    fn put(&self, pointer: &Pointer, content: &mut dyn Read) -> Result<(), String> {
        match self {
            Self::Daemon { web, root } => {
                let path = format!("{root}/{}/{}", pointer.oid, pointer.size);
                let answer = web.put(&path, pointer.size, content);
                let answer = answer.map_err(|error| error.to_string())?;
                match answer.code {
                    200 => Ok(()),
                    _ => Err(format!("the node does not take it: {}", answer.reason())),
                }
            }
            Self::Store(objects) => put_in_store(objects, pointer, content),
            Self::Clone(objects) => put_in_clone(objects, pointer, content),
        }
    }
}

fn put_in_store(
    objects: &Objects,
    pointer: &Pointer,
    content: &mut dyn Read,
) -> Result<(), String> {
    let failed = |error: gdo_node::error::ObjectsError| error.to_string();
    let mut upload = objects.upload_of_operator().map_err(failed)?;
    let mut content = content.take(pointer.size.saturating_add(1));
    let mut piece = vec![0; READ_BYTES];
    loop {
        match content
            .read(&mut piece)
            .map_err(|error| error.to_string())?
        {
            0 => break,
            read => upload.write(&piece[..read]).map_err(failed)?,
        }
    }
    upload.finish_as(pointer).map(drop).map_err(failed)
}

fn put_in_clone(
    objects: &ObjectDir,
    pointer: &Pointer,
    content: &mut dyn Read,
) -> Result<(), String> {
    // git-lfs keeps what it fetches.
    if objects.contains(pointer) {
        return Ok(());
    }
    let failed = |error: gdo_runtime::ImageError| error.to_string();
    let mut object = objects.create().map_err(failed)?;
    let mut content = content.take(pointer.size.saturating_add(1));
    io::copy(&mut content, &mut object).map_err(|error| error.to_string())?;
    let came = object.pointer();
    if came != *pointer {
        return Err(format!("{came} came in its place"));
    }
    object.finish().map(drop).map_err(failed)
}

/// How far all of it is.
struct Told {
    bar: Bytes,
    done: u64,
    total: u64,
}

/// An object that is watched as it comes.
struct Watched<'a> {
    content: Box<dyn Read + 'a>,
    told: &'a mut Told,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.told.done += read as u64;
        self.told.bar.tell(self.told.done, self.told.total);
        Ok(read)
    }
}
