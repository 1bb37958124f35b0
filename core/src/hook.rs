//! What a hook process and the daemon say to each other during a push.
//!
//! Hooks are thin relays: the daemon owns the work. A hook connects to the unix socket
//! `run/hook.sock` of the node, writes one [`Request`] as a line of JSON and reads [`Reply`] lines
//! until the last one of its kind. This is a socket of its own, beside `run/control.sock` with its
//! HTTP, because a line of JSON needs no HTTP client and starts in the time it takes to connect.
//!
//! ```text
//! hook   -> {"kind":"pre-receive","updates":[…],"quarantine":"/…","options":[],"pusher":{…}}
//! daemon -> {"kind":"progress","text":"gdo: 3 commits checked","transient":false}   (any number)
//! daemon -> {"kind":"accept"}                                    or {"kind":"reject","lines":[…]}
//!
//! hook   -> {"kind":"proc-receive","commands":[…],"options":[…],"atomic":false,"pusher":{…}}
//! daemon -> {"kind":"progress",…}                                                   (any number)
//! daemon -> {"kind":"result","reference":"refs/for/main","outcome":{…}}       (one per command)
//! daemon -> {"kind":"done"}
//! ```
//!
//! A hook that hangs up is a lost audience and nothing more: the daemon goes on, and the same push
//! repeated finds the same proposal (its id is the tip's object id).
//!
//! **Invariants**: one line is one message; unknown fields are errors; a line has at most
//! [`LINE_BYTES_MAX`] bytes and a push at most [`COMMANDS_MAX`] commands.

mod options;
mod target;

pub use options::{PushOptions, Topic, WAIT_MAX, Wait};
pub use target::{PushTarget, Refusal, refuse_unless_proposal};

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::FormatError;
use crate::id::ObjectId;

/// The longest line of the protocol, newline included.
pub const LINE_BYTES_MAX: usize = 4 << 20;
/// The most references one push may name.
pub const COMMANDS_MAX: usize = 1024;

/// The one line that a hook sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Request {
    /// Asks for the cheap checks while the new objects are still in quarantine.
    PreReceive(PreReceive),
    /// Hands over the commands after the objects have migrated.
    ProcReceive(ProcReceive),
}

/// What `pre-receive` knows of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreReceive {
    /// All references of the push.
    pub updates: Vec<RefUpdate>,
    /// The directory with the new objects; absent when the push brought none.
    pub quarantine: Option<PathBuf>,
    /// The push options as given with `-o`.
    pub options: Vec<String>,
    /// Where the push comes from.
    pub pusher: Pusher,
}

/// What `proc-receive` knows of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcReceive {
    /// The references that git left to the hook.
    pub commands: Vec<RefUpdate>,
    /// The push options as given with `-o`.
    pub options: Vec<String>,
    /// Whether the client asked for all references or none.
    pub atomic: bool,
    /// Where the push comes from.
    pub pusher: Pusher,
}

/// One reference of a push; the null id stands for "does not exist".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefUpdate {
    /// The object the reference names now.
    pub old: ObjectId,
    /// The object it is to name.
    pub new: ObjectId,
    /// The full name, such as `refs/for/main`.
    pub reference: String,
}

impl RefUpdate {
    /// Whether the push wants to delete the reference.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        self.new.is_null()
    }
}

/// What the transport says about the pusher: for logs only, since signatures decide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pusher {
    /// The user name that a proxy has authenticated (`REMOTE_USER`).
    pub user: Option<String>,
    /// The address of the client, as HTTP or SSH tell it.
    pub address: Option<String>,
}

/// A line of the daemon's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// Text for the pusher, shown behind `remote: `.
    Progress {
        /// One line without its newline.
        text: String,
        /// Whether the next text may overwrite this one (live progress).
        transient: bool,
    },
    /// The last line for `pre-receive`: the objects may leave quarantine.
    Accept {},
    /// The last line for `pre-receive`: the push is refused, and its objects vanish. Also the
    /// answer to a `proc-receive` that cannot be served at all: what has no result is refused.
    Reject {
        /// What the pusher reads.
        lines: Vec<String>,
    },
    /// The outcome of one command of `proc-receive`.
    Result(CommandResult),
    /// The last line for `proc-receive`: every command has its result.
    Done {},
}

impl Reply {
    /// A line of text that stays on the pusher's screen.
    #[must_use]
    pub fn line(text: impl Into<String>) -> Self {
        Self::Progress {
            text: text.into(),
            transient: false,
        }
    }

    /// A line of text that the next one overwrites.
    #[must_use]
    pub fn transient(text: impl Into<String>) -> Self {
        Self::Progress {
            text: text.into(),
            transient: true,
        }
    }

    /// A command that was taken, reported to the client as `report` says.
    #[must_use]
    pub fn accepted(reference: impl Into<String>, report: Option<Report>) -> Self {
        Self::Result(CommandResult {
            reference: reference.into(),
            outcome: CommandOutcome::Accepted { report },
        })
    }

    /// A command that was refused for the reason given: one line.
    #[must_use]
    pub fn refused(reference: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Result(CommandResult {
            reference: reference.into(),
            outcome: CommandOutcome::Refused {
                reason: reason.into(),
            },
        })
    }
}

/// What became of one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandResult {
    /// The reference of the command, exactly as it was asked for.
    pub reference: String,
    /// Taken or refused.
    pub outcome: CommandOutcome,
}

/// Taken or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CommandOutcome {
    /// The command did what it asked for.
    Accepted {
        /// What was made instead of the reference that was pushed to.
        report: Option<Report>,
    },
    /// The command changed nothing.
    Refused {
        /// One line for the client's `! [remote rejected]`.
        reason: String,
    },
}

/// The reference that a command made, in place of the one it was pushed to.
///
/// `new` must be an object that the client has, so the pushed tip: a client that is told of an
/// object it does not know prints an error about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The reference, such as `refs/gdo/main/proposals/<id>`.
    pub reference: String,
    /// The object it names: the pushed one.
    pub new: ObjectId,
}

/// Writes a message as one line, newline included.
///
/// # Errors
/// A message that is longer than [`LINE_BYTES_MAX`], or that holds a path which is not UTF-8.
pub fn to_line<T: Serialize>(message: &T) -> Result<String, FormatError> {
    let mut line = serde_json::to_string(message)
        .map_err(|error| FormatError::new("hook message", "text in UTF-8", error))?;
    line.push('\n');
    if line.len() > LINE_BYTES_MAX {
        let expected = format!("at most {LINE_BYTES_MAX} bytes");
        return Err(FormatError::new("hook message", expected, line.len()));
    }
    Ok(line)
}

/// Reads a message from one line, with or without its newline.
///
/// # Errors
/// What the line holds instead of a message of this version.
pub fn from_line<T: DeserializeOwned>(line: &str) -> Result<T, FormatError> {
    serde_json::from_str(line).map_err(|error| {
        FormatError::new("hook message", format!("a line of JSON ({error})"), line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(fill: u8) -> ObjectId {
        ObjectId::from_bytes(&[fill; 32]).expect("32 bytes are an id")
    }

    fn update() -> RefUpdate {
        RefUpdate {
            old: id(0),
            new: id(7),
            reference: "refs/for/main".to_owned(),
        }
    }

    #[test]
    fn requests_survive_the_line() {
        let requests = [
            Request::PreReceive(PreReceive {
                updates: vec![update()],
                quarantine: Some(PathBuf::from("/srv/ledger.git/objects/tmp_objdir-1")),
                options: vec!["topic=t 1\n".to_owned()],
                pusher: Pusher::default(),
            }),
            Request::ProcReceive(ProcReceive {
                commands: vec![update()],
                options: Vec::new(),
                atomic: true,
                pusher: Pusher {
                    user: Some("alice".to_owned()),
                    address: Some("::1".to_owned()),
                },
            }),
        ];
        for request in requests {
            let line = to_line(&request).expect("the message is small");
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(from_line::<Request>(&line), Ok(request));
        }
    }

    #[test]
    fn replies_have_the_documented_form() {
        let report = Report {
            reference: "refs/gdo/main/proposals/07".to_owned(),
            new: id(7),
        };
        let id = id(7);
        let cases = [
            (
                Reply::line("hi"),
                r#"{"kind":"progress","text":"hi","transient":false}"#.to_owned(),
            ),
            (Reply::Accept {}, r#"{"kind":"accept"}"#.to_owned()),
            (
                Reply::Reject {
                    lines: vec!["no".to_owned()],
                },
                r#"{"kind":"reject","lines":["no"]}"#.to_owned(),
            ),
            (
                Reply::refused("refs/for/main", "no"),
                r#"{"kind":"result","reference":"refs/for/main","outcome":{"kind":"refused","reason":"no"}}"#
                    .to_owned(),
            ),
            (
                Reply::accepted("refs/for/main", Some(report)),
                format!(
                    r#"{{"kind":"result","reference":"refs/for/main","outcome":{{"kind":"accepted","report":{{"reference":"refs/gdo/main/proposals/07","new":"{id}"}}}}}}"#
                ),
            ),
            (Reply::Done {}, r#"{"kind":"done"}"#.to_owned()),
        ];
        for (reply, text) in cases {
            assert_eq!(
                to_line(&reply).expect("the message is small"),
                format!("{text}\n")
            );
            assert_eq!(from_line::<Reply>(&text), Ok(reply));
        }
    }

    #[test]
    fn unknown_fields_and_kinds_are_errors() {
        for text in [
            r#"{"kind":"accept","more":1}"#,
            r#"{"kind":"merge"}"#,
            r#"{"kind":"done","x":null}"#,
            r#"{"kind":"progress","text":"a"}"#,
            r#"{"kind":"result","reference":"r","outcome":{"kind":"refused","reason":"n","x":1}}"#,
            r#"{"kind":"result","reference":"r","ok":true,"outcome":{"kind":"accepted","report":null}}"#,
            "",
            "[]",
        ] {
            assert!(from_line::<Reply>(text).is_err(), "{text}");
        }
        let text = r#"{"kind":"pre-receive","updates":[],"quarantine":null,"options":[],"pusher":{"user":null,"address":null},"x":1}"#;
        assert!(from_line::<Request>(text).is_err());
    }

    #[test]
    fn oversized_messages_are_refused_before_they_are_sent() {
        let error = to_line(&Reply::line("x".repeat(LINE_BYTES_MAX))).expect_err("too long");
        assert!(
            error.to_string().contains("at most 4194304 bytes"),
            "{error}"
        );
    }
}
