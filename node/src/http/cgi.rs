//! A process that answers one HTTP request: body in, headers and body out, all of it streamed.
//!
//! The process leads a process group of its own. The group ends with the response: when it is
//! done, when the client leaves, or when nothing has moved for a while ([`keeper`]).
//!
//! **Invariants**: of a body at most one chunk per direction is in memory; no process outlives its
//! response by more than twice the grace of [`keeper::Patience`].
//!
//! Source: RFC 3875, section 6 (the response).

mod keeper;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::AbortHandle;

use keeper::{Activity, PATIENCE, keep};

/// What is read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// The most bytes of headers that a process may send.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The most bytes of complaints that are kept for the log.
const COMPLAINT_BYTES_MAX: usize = 8 << 10;
/// How much of a body is thrown away for a client that still sends when the process has its
/// answer: without that, the client would see a broken connection in place of the answer.
const DISCARD_BYTES_MAX: usize = 1 << 30;

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
    let stdin = child.stdin.take().expect("it was made a pipe");
    let stdout = child.stdout.take().expect("it was made a pipe");
    let stderr = child.stderr.take().expect("it was made a pipe");
    tokio::spawn(log_complaints(stderr));
    let activity = Arc::new(Activity::new());
    let (ended, end) = oneshot::channel();
    tokio::spawn(keep(child, Arc::clone(&activity), end, turn, PATIENCE));
    let feeder = tokio::spawn(feed(body, stdin, Arc::clone(&activity)));
    let mut output = Output {
        stdout,
        rest: None,
        activity,
        feeder: feeder.abort_handle(),
        ended: Some(ended),
    };
    let head = output.read_head().await?;
    build_response(&head, Body::new(output))
}

/// Passes the request's body on, and throws away what the process does not want.
async fn feed(mut body: Body, stdin: ChildStdin, activity: Arc<Activity>) {
    let mut stdin = Some(stdin);
    let mut discarded = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        activity.touch();
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if let Some(pipe) = &mut stdin {
            if pipe.write_all(&data).await.is_err() {
                stdin = None;
            }
        } else {
            discarded += data.len();
            if discarded > DISCARD_BYTES_MAX {
                return;
            }
        }
    }
}

/// Passes what the process complains about to the log.
async fn log_complaints(mut stderr: ChildStderr) {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        let room = COMPLAINT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&chunk[..read.min(room)]);
    }
    let text = kept.escape_ascii().to_string();
    if !text.is_empty() {
        tracing::warn!(text, "git http-backend complained");
    }
}

/// The output of the process; a response's body once its head is read.
struct Output {
    stdout: ChildStdout,
    /// What was read behind the head.
    rest: Option<Bytes>,
    activity: Arc<Activity>,
    feeder: AbortHandle,
    ended: Option<oneshot::Sender<()>>,
}

impl Output {
    /// Reads up to the empty line behind the headers.
    async fn read_head(&mut self) -> io::Result<Vec<u8>> {
        let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
        let mut head = Vec::new();
        let mut chunk = vec![0; 4096];
        loop {
            let read = self.stdout.read(&mut chunk).await?;
            if read == 0 {
                return Err(invalid("git http-backend ended without an answer"));
            }
            head.extend_from_slice(&chunk[..read]);
            if let Some(end) = end_of_head(&head) {
                let rest = head.split_off(end);
                self.rest = Some(Bytes::from(rest)).filter(|rest| !rest.is_empty());
                return Ok(head);
            }
            if head.len() > HEADER_BYTES_MAX {
                return Err(invalid("git http-backend sent headers without an end"));
            }
        }
    }
}

impl HttpBody for Output {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.stdout).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read > 0 {
            self.activity.touch();
            chunk.truncate(read);
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))));
        }
        if self.activity.was_killed() {
            // A connection that breaks is not taken for a complete answer.
            let error = io::Error::new(io::ErrorKind::TimedOut, "the client was idle");
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(());
        }
        Poll::Ready(None)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Dropping `ended` unsent tells the keeper that the client left. What the client still
        // sends after the end of the answer is read off, so the feeder stays in that case.
        if self.ended.is_some() {
            self.feeder.abort();
        }
    }
}

/// Where the body begins, once the empty line is there.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let after = |mark: &[u8]| {
        let at = bytes
            .windows(mark.len())
            .position(|window| window == mark)?;
        Some(at + mark.len())
    };
    match (after(b"\r\n\r\n"), after(b"\n\n")) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Reads the headers of RFC 3875; without a `Status` the answer is 200.
fn build_response(head: &[u8], body: Body) -> io::Result<Response> {
    let invalid = |line: &str| {
        let reason = format!(
            "git http-backend sent a bad header: {}",
            line.escape_debug()
        );
        io::Error::new(io::ErrorKind::InvalidData, reason)
    };
    let text = std::str::from_utf8(head).map_err(|_| invalid("not UTF-8"))?;
    let mut response = Response::new(body);
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(line))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            let status = code
                .parse()
                .ok()
                .and_then(|code| StatusCode::from_u16(code).ok());
            *response.status_mut() = status.ok_or_else(|| invalid(line))?;
            continue;
        }
        let name: HeaderName = name.parse().map_err(|_| invalid(line))?;
        // How the body is framed is the server's matter.
        if name != header::TRANSFER_ENCODING && name != header::CONNECTION {
            let value = HeaderValue::from_str(value).map_err(|_| invalid(line))?;
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> io::Result<Response> {
        build_response(head.as_bytes(), Body::empty())
    }

    #[test]
    fn heads_are_read_as_git_writes_them() {
        let head = "Status: 404 Not Found\r\nExpires: Fri, 01 Jan 1980 00:00:00 GMT\r\n\r\n";
        let response = parse(head).expect("a good head");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(
            response.headers()["expires"],
            "Fri, 01 Jan 1980 00:00:00 GMT"
        );
        assert_eq!(response.headers().len(), 1);

        let response = parse("Content-Type: text/plain\nConnection: close\n\n").expect("good");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers().len(), 1);
    }

    #[test]
    fn bad_heads_are_errors() {
        for head in [
            "no colon\n\n",
            "Status: abc\n\n",
            "Status: 9\n\n",
            "a b: c\n\n",
            "x: \u{1}\n\n",
        ] {
            assert!(parse(head).is_err(), "{head}");
        }
    }

    #[test]
    fn the_first_empty_line_ends_the_head() {
        let cases: [(&[u8], Option<usize>); 6] = [
            (b"", None),
            (b"a: b\r\n", None),
            (b"a: b\r\n\r\nbody", Some(8)),
            (b"a: b\n\nbody\r\n\r\n", Some(6)),
            (b"a: b\r\n\r\nbody\n\n", Some(8)),
            (b"\n\n", Some(2)),
        ];
        for (bytes, end) in cases {
            assert_eq!(end_of_head(bytes), end, "{}", bytes.escape_ascii());
        }
    }
}
