//! The line to the daemon: one question, and its answers as they come.
//!
//! **Invariants**: no answer is longer than [`LINE_BYTES_MAX`]; silence ends after
//! [`SILENCE_MAX`], so that a daemon that hangs does not hold a client forever.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gdo_core::hook::{self, LINE_BYTES_MAX, Reply, Request, WAIT_MAX};

use crate::error::RelayError;
use crate::screen::Screen;
use crate::{install, socket};

/// How long the daemon may say nothing: longer than any push may ask it to wait.
const SILENCE_MAX: Duration = WAIT_MAX.saturating_add(Duration::from_secs(600));
/// How long the daemon may leave a question unread.
const WRITE_MAX: Duration = Duration::from_secs(60);

/// A question that the daemon is answering.
#[derive(Debug)]
pub(crate) struct Relay {
    answers: BufReader<UnixStream>,
}

impl Relay {
    /// Connects and asks.
    pub(crate) fn ask(path: &Path, request: &Request) -> Result<Self, RelayError> {
        let line = hook::to_line(request).map_err(RelayError::Question)?;
        let mut stream = socket::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => RelayError::Down,
            io::ErrorKind::PermissionDenied => RelayError::Forbidden(path.to_owned()),
            _ => RelayError::Io(error),
        })?;
        let prepare = || {
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            stream.set_write_timeout(Some(WRITE_MAX))
        };
        prepare().map_err(RelayError::Io)?;
        // A daemon that is too busy answers without reading the question.
        match stream.write_all(line.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(lost_or(error)),
            _ => {}
        }
        Ok(Self {
            answers: BufReader::new(stream),
        })
    }

    /// The next answer that is not mere progress, which is shown on `screen`.
    pub(crate) fn answer<W: Write>(&mut self, screen: &mut Screen<W>) -> Result<Reply, RelayError> {
        loop {
            match self.read()? {
                Reply::Progress {
                    text,
                    transient: true,
                } => screen.transient(&text),
                Reply::Progress { text, .. } => screen.line(&text),
                reply => return Ok(reply),
            }
        }
    }

    fn read(&mut self) -> Result<Reply, RelayError> {
        let mut line = String::new();
        let mut bounded = (&mut self.answers).take(LINE_BYTES_MAX as u64);
        bounded.read_line(&mut line).map_err(lost_or)?;
        // A line without its end was cut off with the daemon that wrote it.
        if !line.ends_with('\n') && line.len() < LINE_BYTES_MAX {
            return Err(RelayError::Lost);
        }
        hook::from_line(&line).map_err(RelayError::Answer)
    }
}

fn lost_or(error: io::Error) -> RelayError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => RelayError::Silent(SILENCE_MAX),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::UnexpectedEof => RelayError::Lost,
        _ => RelayError::Io(error),
    }
}

/// Tells the pusher that the daemon could not be asked, and what to do.
pub(crate) fn explain<W: Write>(screen: &mut Screen<W>, error: &RelayError, node_dir: &Path) {
    screen.line(&format!("gdo: {error}"));
    match error {
        RelayError::Down => {
            let directory = install::quote(node_dir_now(node_dir).as_os_str());
            let directory = String::from_utf8_lossy(&directory).into_owned();
            screen.line("gdo: nothing was taken; start the node on its machine with");
            screen.line(&format!("gdo:   gdo node run {directory}"));
        }
        RelayError::Lost | RelayError::Silent(_) => {
            screen.line("gdo: push again: what the node has taken it will find again");
        }
        _ => {}
    }
}

/// The node directory, also when it was moved since the hooks were written: git runs hooks inside
/// the ledger, which lies in the node directory.
fn node_dir_now(written: &Path) -> PathBuf {
    if written.is_dir() {
        return written.to_owned();
    }
    std::env::current_dir()
        .ok()
        .and_then(|ledger| ledger.parent().map(Path::to_owned))
        .unwrap_or_else(|| written.to_owned())
}
