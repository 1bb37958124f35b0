//! A process that answers one HTTP request: body in, headers and body out, all of it streamed.
//!
//! The process leads a process group of its own. It ends with the response: when it is done, when
//! the client leaves, or when nothing has moved for a while ([`Patience`]).
//!
//! **Invariants**: at most [`CHUNK_BYTES`] of a body are in memory per direction; no process
//! outlives its response by more than twice the grace; its turn is given back when it ends.
//!
//! Source: RFC 3875, section 6 (the response).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body::Frame;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// What is read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// The most bytes of headers that a process may send.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The most bytes of complaints that are kept for the log.
const COMPLAINT_BYTES_MAX: usize = 8 << 10;
/// How much of a body is thrown away for a client that still sends when the process has its
/// answer: without that, the client would see a broken connection in place of the answer.
const DISCARD_BYTES_MAX: usize = 1 << 30;
const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(900),
    grace: Duration::from_secs(5),
};

/// How long clients and processes are waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// How long nothing may move in either direction.
    idle: Duration,
    /// How long a process has to end by itself, and then to clean up, before it is killed.
    grace: Duration,
}

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

/// When something last moved between a client and its process.
struct Activity {
    start: Instant,
    moved_ms: AtomicU64,
    killed: AtomicBool,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            moved_ms: AtomicU64::new(0),
            killed: AtomicBool::new(false),
        }
    }

    fn touch(&self) {
        let now_ms = self.start.elapsed().as_millis() as u64;
        self.moved_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Ends when nothing has moved for `max`.
    async fn idle(&self, max: Duration) {
        loop {
            let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
            let left = (moved + max).saturating_sub(self.start.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

/// Keeps the process until its response ends, then sees it off.
///
/// `end` resolves to `Ok` when the process closed its output, and to an error when the response was
/// dropped before that, because the client left.
async fn keep(
    mut child: Child,
    activity: Arc<Activity>,
    end: oneshot::Receiver<()>,
    turn: OwnedSemaphorePermit,
    patience: Patience,
) {
    let ended_by_itself = tokio::select! {
        end = end => end.is_ok(),
        () = activity.idle(patience.idle) => {
            tracing::warn!("a client was idle for too long, its git is stopped");
            false
        }
    };
    if !ended_by_itself || timeout(patience.grace, child.wait()).await.is_err() {
        activity.killed.store(true, Ordering::Relaxed);
        end_group(&mut child, patience.grace).await;
    }
    drop(turn);
}

/// Ends a process and all that it started: politely first, so that git removes its locks.
async fn end_group(child: &mut Child, grace: Duration) {
    const POLL: Duration = Duration::from_millis(20);
    let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return;
    };
    let group = Pid::from_raw(id);
    let _ = killpg(group, Signal::SIGTERM);
    let start = Instant::now();
    // The first process may end before those that it started: only the group's end counts.
    while start.elapsed() < grace {
        let _ = child.try_wait();
        if killpg(group, None).is_err() {
            return;
        }
        sleep(POLL).await;
    }
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait().await;
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
        if self.activity.killed.load(Ordering::Relaxed) {
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
    use tokio::sync::Semaphore;

    /// Keeps a shell with `script` under a short patience and tells whether it had to be killed.
    async fn keep_shell(script: &str, end: Option<()>) -> bool {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a shell");
        let mut stdout = child.stdout.take().expect("it was made a pipe");
        stdout
            .read_u8()
            .await
            .expect("the script says that it runs");
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns)
            .acquire_owned()
            .await
            .expect("never closed");
        let (ended, receiver) = oneshot::channel();
        if end.is_some() {
            ended.send(()).expect("the receiver is there");
        } else {
            std::mem::forget(ended);
        }
        let activity = Arc::new(Activity::new());
        let patience = Patience {
            idle: Duration::from_millis(50),
            grace: Duration::from_millis(200),
        };
        keep(child, Arc::clone(&activity), receiver, turn, patience).await;
        assert_eq!(turns.available_permits(), 1);
        // The pipe closes when the last process of the group is gone.
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).await.expect("a pipe");
        activity.killed.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn processes_end_whatever_they_do() {
        let ignores_term = "trap '' TERM; echo; sleep 600 & sleep 600; wait";
        assert!(
            keep_shell("echo; sleep 600 & wait", None).await,
            "an idle client"
        );
        assert!(
            keep_shell(ignores_term, None).await,
            "a process that ignores signals"
        );
        assert!(
            keep_shell(ignores_term, Some(())).await,
            "one that stays after its answer"
        );
        assert!(
            !keep_shell("echo", Some(())).await,
            "one that ends as it should"
        );
    }

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
