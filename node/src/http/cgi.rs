//! A process that answers one HTTP request: body in, headers and body out, all of it streamed.
//!
//! The process leads a process group of its own. It ends with the response: when it is done, when
//! the client leaves, or when nothing has moved for [`IDLE_MAX`].
//!
//! **Invariants**: at most [`CHUNK_BYTES`] of a body are in memory per direction; no process
//! outlives its response by more than [`GRACE`]; its turn is given back when it ends.
//!
//! Source: RFC 3875, section 6 (the response).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use http_body::Frame;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// What is read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// The most bytes of headers that a process may send.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The most bytes of complaints that are kept for the log.
const COMPLAINT_BYTES_MAX: u64 = 8 << 10;
/// How much of a body is thrown away for a client that still sends when the process has its
/// answer: without that, the client would see a broken connection in place of the answer.
const DISCARD_BYTES_MAX: u64 = 1 << 30;
/// How long nothing may move in either direction.
const IDLE_MAX: Duration = Duration::from_secs(900);
/// How long a process has to clean up before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Starts `command`, feeds it `body` and gives what it answers.
///
/// # Errors
/// The process cannot be started, or ends without headers that make sense.
pub(super) async fn serve(
    mut command: Command,
    body: Body,
    turn: OwnedSemaphorePermit,
) -> io::Result<Response> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.take().expect("it is a pipe");
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let stderr = child.stderr.take().expect("it is a pipe");
    tokio::spawn(log_complaints(stderr));
    let activity = Arc::new(Activity::new());
    let job = Job {
        feeder: tokio::spawn(feed(body, stdin, Arc::clone(&activity))).abort_handle(),
        keeper: tokio::spawn(keep(child, Arc::clone(&activity), turn)).abort_handle(),
        activity,
    };
    let (head, rest) = read_head(&mut stdout).await?;
    let body = CgiBody {
        rest: Some(rest).filter(|rest| !rest.is_empty()),
        stdout,
        job,
    };
    parse_head(&head, Body::new(body))
}
