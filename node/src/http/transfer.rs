//! Bodies that are too large to be held: into the store and out of it, a piece at a time.
//!
//! The store works with blocking calls, which are made on threads of their own, one piece each, so that
//! a client that stands still holds no thread. What it holds instead is bounded: two pieces of memory,
//! its turn, and the time that [`Patience`] gives it.
//!
//! **Invariants**: at most a few pieces of a body are in memory; a body that ends early or late is an
//! error, never a short object.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::error::ObjectsError;
use crate::objects::Upload;

/// What is handed to the store, or read from it, at once.
const PIECE_BYTES: usize = 256 << 10;
/// What is read off for a client that still sends when its answer is ready: else it would see a broken
/// connection in place of the answer.
const DISCARD_BYTES_MAX: u64 = 64 << 20;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long nothing may move.
    pub idle: Duration,
    /// What must come in each second, on average, once `idle` is over, in bytes.
    pub bytes_per_second_min: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            bytes_per_second_min: 1 << 10,
        }
    }
}

impl Patience {
    /// Whether `bytes` in the time since `began` are too few.
    fn is_over(&self, began: Instant, bytes: u64) -> bool {
        let earned = Duration::from_secs(bytes / self.bytes_per_second_min.max(1));
        began.elapsed() > self.idle + earned
    }
}

/// Why a body was not taken.
#[derive(Debug)]
pub(super) enum TakeError {
    /// More came than was announced or is allowed.
    TooLong,
    /// The client stood still, or was too slow.
    TooSlow,
    /// The connection broke.
    Broken,
    /// The store did not take it.
    Objects(ObjectsError),
    /// The node is stopping.
    Stopping,
}

impl From<ObjectsError> for TakeError {
    fn from(error: ObjectsError) -> Self {
        Self::Objects(error)
    }
}

/// The pieces of a request's body, with the patience that they are waited for.
struct Pieces<'a> {
    body: &'a mut Body,
    patience: Patience,
    began: Instant,
    left: u64,
    came: u64,
}

impl<'a> Pieces<'a> {
    fn new(body: &'a mut Body, patience: Patience, bytes_max: u64) -> Self {
        Self {
            body,
            patience,
            began: Instant::now(),
            left: bytes_max,
            came: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, TakeError> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut *self.body).poll_frame(cx));
            let Ok(frame) = timeout(self.patience.idle, frame).await else {
                return Err(TakeError::TooSlow);
            };
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|_| TakeError::Broken)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.came += data.len() as u64;
            self.left = self
                .left
                .checked_sub(data.len() as u64)
                .ok_or(TakeError::TooLong)?;
            if self.patience.is_over(self.began, self.came) {
                return Err(TakeError::TooSlow);
            }
            return Ok(Some(data));
        }
    }
}

/// Reads a body of at most `bytes_max` bytes into memory.
///
/// # Errors
/// It is longer, too slow, or breaks off.
pub(super) async fn read(
    body: &mut Body,
    bytes_max: u64,
    patience: Patience,
) -> Result<Vec<u8>, TakeError> {
    let mut pieces = Pieces::new(body, patience, bytes_max);
    let mut read = Vec::new();
    while let Some(data) = pieces.next().await? {
        read.extend_from_slice(&data);
    }
    Ok(read)
}

/// Passes a body of at most `bytes_max` bytes to an upload, and gives the upload back.
///
/// # Errors
/// The body is longer, too slow or breaks off, or the store does not take it; the upload comes back
/// with what it has taken, unless it is of no use any more.
pub(super) async fn take(
    body: &mut Body,
    mut upload: Upload,
    bytes_max: u64,
    patience: Patience,
) -> Result<Upload, (TakeError, Option<Upload>)> {
    let mut pieces = Pieces::new(body, patience, bytes_max);
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    loop {
        let data = pieces.next().await;
        let ended = !matches!(data, Ok(Some(_)));
        if let Ok(Some(data)) = &data {
            piece.extend_from_slice(data);
        }
        if piece.len() >= PIECE_BYTES || (ended && !piece.is_empty()) {
            let written = spawn_blocking(move || {
                upload.write(&piece)?;
                piece.clear();
                Ok::<_, ObjectsError>((upload, piece))
            });
            (upload, piece) = match written.await {
                Ok(Ok(back)) => back,
                Ok(Err(error)) => return Err((error.into(), None)),
                Err(_) => return Err((TakeError::Stopping, None)),
            };
        }
        match data {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(upload),
            Err(error) => return Err((error, Some(upload))),
        }
    }
}

/// Reads off what a client still sends whose answer is ready.
pub(super) async fn discard(body: &mut Body, patience: Patience) {
    let mut pieces = Pieces::new(body, patience, DISCARD_BYTES_MAX);
    while let Ok(Some(_)) = pieces.next().await {}
}

/// A body of `bytes` bytes from where `reader` stands; `turn` is given back at its end.
pub(super) fn give(
    reader: impl Read + Send + 'static,
    bytes: u64,
    patience: Patience,
    turn: OwnedSemaphorePermit,
) -> Body {
    // One piece waits while the next one is read.
    let (pieces, queue) = mpsc::channel(1);
    tokio::spawn(pump(reader, bytes, patience, pieces, turn));
    Body::new(Queue { queue, left: bytes })
}

/// Reads piece after piece for as long as the client takes them.
async fn pump(
    mut reader: impl Read + Send + 'static,
    mut left: u64,
    patience: Patience,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    turn: OwnedSemaphorePermit,
) {
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let read = spawn_blocking(move || {
            let mut piece = vec![0; want];
            let read = reader.read_exact(&mut piece);
            (read.map(|()| Bytes::from(piece)), reader)
        });
        let Ok((piece, back)) = read.await else {
            break;
        };
        reader = back;
        let failed = piece.is_err();
        if let Err(error) = &piece {
            tracing::error!(%error, "a large object cannot be read");
        }
        left -= want as u64;
        // A client that left or stands still gets no more.
        let sent = timeout(patience.idle, pieces.send(piece)).await;
        if failed || !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    drop(turn);
}

/// The pieces of an answer; one that ends early breaks the connection.
struct Queue {
    queue: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl HttpBody for Queue {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.queue.poll_recv(cx).map(|piece| match piece {
            Some(Ok(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(error)) => Some(Err(error)),
            None if self.left > 0 => Some(Err(io::ErrorKind::TimedOut.into())),
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}
