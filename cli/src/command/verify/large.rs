//! The large objects that a ledger points to, as far as they are here.
//!
//! A node must have them all, whole; a clone has those that git-lfs brought, and the others are
//! counted, not missed.

use gdo_node::chunks::{Line, Task, Verified};
use gdo_runtime::image::ObjectDir;

use crate::command::chunks;
use crate::error::CommandError;
use crate::place::Place;
use crate::progress::Bytes;
use crate::source::Source;

/// What was checked.
#[derive(Default)]
pub struct Checked {
    /// Objects that are here and are what they are called.
    pub here: u64,
    /// Objects that a clone does not have.
    pub elsewhere: u64,
}

/// Checks all of them.
///
/// # Errors
/// One is not what it is called, or a node does not have it: its name is in the message.
pub fn check(source: &Source) -> Result<Checked, CommandError> {
    match &source.place {
        Place::Node(node) => {
            let mut progress = Bytes::new("reading the chunk store");
            let mut tell = |line: Line| {
                if let Line::Progress {
                    done_bytes,
                    total_bytes,
                    ..
                } = line
                {
                    progress.tell(done_bytes, total_bytes);
                }
            };
            match chunks::ask(node, Task::Verify, &mut tell)? {
                Line::Verified(found) if found.is_sound() => Ok(Checked {
                    here: found.objects,
                    elsewhere: 0,
                }),
                Line::Verified(found) => Err(wrong(&worst(&found))),
                Line::Failed { reason } => Err(CommandError::unknown(reason)),
                _ => Err(CommandError::unknown("the node gave no answer")),
            }
        }
        Place::Clone(clone) => {
            let objects = ObjectDir::new(&clone.lfs_objects()?);
            let pointers = source.ledger.pointers()?;
            let total = pointers.iter().map(|pointer| pointer.size).sum();
            let mut progress = Bytes::new("reading large objects");
            let (mut checked, mut done) = (Checked::default(), 0);
            for pointer in &pointers {
                progress.tell(done, total);
                done += pointer.size;
                let found = objects.held(&pointer.oid);
                let Some(found) = found.map_err(CommandError::unknown)? else {
                    checked.elsewhere += 1;
                    continue;
                };
                if found != *pointer {
                    let reason = format!("object {pointer}: the clone has {found} in its place");
                    return Err(wrong(&reason));
                }
                checked.here += 1;
            }
            Ok(checked)
        }
    }
}

/// The fault that says the most: one that names an object, if there is one.
fn worst(found: &Verified) -> String {
    if let Some(oid) = found.missing.first() {
        return format!("object sha256:{oid}: the ledger points to it, but it is not here");
    }
    let named = found
        .damages
        .iter()
        .find(|damage| damage.contains(": object "));
    named.or(found.damages.first()).cloned().unwrap_or_default()
}

fn wrong(reason: &str) -> CommandError {
    CommandError::no(format!("the ledger does not verify: {reason}"))
        .hint("gdo chunks verify names everything; gdo chunks fetch --from URL|DIR heals")
}
