//! What can go wrong in a hook, on the way to the daemon, and at the door of an SSH login.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use gdo_core::error::FormatError;
use thiserror::Error;

/// A stream that is not pkt-lines.
#[derive(Debug, Error)]
pub enum PktError {
    /// The length is not four hex digits, or one that has no meaning.
    #[error("bad pkt-line length: expected 4 hex digits, got '{0}'")]
    Length(String),
    /// The packet is longer than git allows.
    #[error("a pkt-line holds at most {max} bytes, got {got}")]
    TooLong {
        /// The most bytes a packet may hold.
        max: usize,
        /// The bytes it holds.
        got: usize,
    },
    /// The stream ends inside a packet, or where one was expected.
    #[error("the stream of pkt-lines ends early")]
    End,
    /// The stream failed.
    #[error("the stream of pkt-lines failed: {0}")]
    Io(#[source] io::Error),
}

/// The daemon could not be asked, or did not answer.
#[derive(Debug, Error)]
pub enum RelayError {
    /// Nobody listens on the socket.
    #[error("the node of this ledger is not running")]
    Down,
    /// The socket belongs to another user.
    #[error(
        "no permission to reach the node at {}: push as its user, or over HTTP or SSH",
        .0.display()
    )]
    Forbidden(PathBuf),
    /// The daemon hung up before its last line.
    #[error("the node stopped in the middle of this push")]
    Lost,
    /// The daemon said nothing for too long.
    #[error("the node said nothing for {} seconds; it may still be at work", .0.as_secs())]
    Silent(Duration),
    /// The daemon speaks another version, or nonsense.
    #[error("the node gave an answer that this version does not know; start it again ({0})")]
    Answer(#[source] FormatError),
    /// An answer that does not belong to the question.
    #[error("the node gave an answer to another question: {0}")]
    Unexpected(String),
    /// The question cannot be put into a line.
    #[error(transparent)]
    Question(FormatError),
    /// The socket failed.
    #[error("the connection to the node failed: {0}")]
    Io(#[source] io::Error),
}

/// A hook could not do its work.
#[derive(Debug, Error)]
pub enum HookError {
    /// Git spoke something else than the dialogue of its hooks.
    #[error("git sent an unexpected line: expected {expected}, got '{got}'")]
    Dialogue {
        /// What was expected.
        expected: &'static str,
        /// What came, cut to a readable length.
        got: String,
    },
    /// The push names too many references.
    #[error("a push may name at most {max} references")]
    TooMany {
        /// The most references a push may name.
        max: usize,
    },
    /// A value of the push has a wrong form.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The stream to or from git is broken.
    #[error(transparent)]
    Pkt(#[from] PktError),
    /// The daemon could not be asked.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// Standard input or output failed.
    #[error("the stream to git failed: {0}")]
    Io(#[from] io::Error),
}

/// The hook scripts could not be written.
#[derive(Debug, Error)]
pub enum InstallError {
    /// A path that goes into a script must not depend on where the script runs.
    #[error("bad path {}: expected an absolute one", .0.display())]
    Relative(PathBuf),
    /// A file could not be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a client asked of an SSH login, and why it does not get it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SshError {
    /// The login asked for a shell.
    #[error("this login serves git only, it has no shell; allowed is {allowed}")]
    Shell {
        /// What is allowed.
        allowed: String,
    },
    /// The command is none of those that are served.
    #[error("bad command '{got}': allowed is {allowed}")]
    Command {
        /// The command, cut to a readable length.
        got: String,
        /// What is allowed.
        allowed: String,
    },
    /// The path is not the ledger's.
    #[error("no repository '{got}' here: this login serves '{expected}'")]
    Path {
        /// The path that was asked for.
        got: String,
        /// The path to use.
        expected: String,
    },
    /// Large files go over HTTP, and this node offers none.
    #[error("large files go over HTTP, and this node does not listen there: set http.listen")]
    NoHttp,
}
