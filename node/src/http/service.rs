//! Large objects over HTTP, whatever the protocol around them: taken, given, and counted at once.
//!
//! **Invariants**: of uploads and of downloads a bounded number runs at a time; an object is read only
//! by those who may read the ledger.

use std::io::{Cursor, ErrorKind, Read, Seek as _, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use gdo_chunkstore::StoreError;
use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::range::Part;
use super::transfer::{self, Patience, TakeError};
use crate::error::ObjectsError;
use crate::objects::{Objects, Upload};

/// Uploads that run at once, each with a few MiB of memory: as many as one git-lfs makes.
const UPLOADS_MAX: usize = 8;
/// Downloads that run at once.
const DOWNLOADS_MAX: usize = 32;
/// How long a request waits for its turn; clients give up after half a minute without an answer.
const TURN_MAX: Duration = Duration::from_secs(20);

/// The large objects of a node, as HTTP serves them; cheap to clone.
#[derive(Debug, Clone)]
pub struct ObjectService {
    /// The objects.
    pub(super) objects: Objects,
    /// How long clients may take.
    pub(super) patience: Patience,
    anonymous_read: bool,
    /// Whether the one who asks is the node's own user.
    is_operator: bool,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
}

/// Too many clients are served at the moment.
#[derive(Debug)]
pub(super) struct Busy;

impl ObjectService {
    /// Serves `objects`; to everybody who reads if `anonymous_read`.
    #[must_use]
    pub fn new(objects: Objects, anonymous_read: bool, patience: Patience) -> Self {
        Self {
            objects,
            patience,
            anonymous_read,
            is_operator: false,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
        }
    }

    /// The same objects for a socket that only the node's own user reaches: whoever asks reads, and
    /// what comes is not staged.
    #[must_use]
    pub fn for_operator(&self) -> Self {
        Self {
            is_operator: true,
            ..self.clone()
        }
    }

    /// Whether anybody may read.
    pub(super) fn may_read(&self) -> bool {
        self.anonymous_read || self.is_operator
    }

    /// Waits for a turn to upload.
    pub(super) async fn upload_turn(&self) -> Result<OwnedSemaphorePermit, Busy> {
        turn(&self.uploads).await
    }

    /// Asks the store something that may block.
    ///
    /// # Errors
    /// What the store says, or the node is stopping.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Objects) -> Result<T, ObjectsError> + Send + 'static,
    ) -> Result<T, TakeError> {
        let objects = self.objects.clone();
        let answer = spawn_blocking(move || question(&objects)).await;
        Ok(answer.map_err(|_| TakeError::Stopping)??)
    }

    /// Begins an upload of so many bytes.
    pub(super) async fn begin(&self, bytes: u64) -> Result<Upload, TakeError> {
        let is_operator = self.is_operator;
        self.ask(move |objects| match is_operator {
            true => objects.upload_of_operator(),
            false => objects.upload(bytes),
        })
        .await
    }

    /// Takes a request's body that is an announced object, from its first byte to its last. What is
    /// refused is read off, unless the client waits for the word to send it.
    pub(super) async fn take(&self, request: Request, expected: Pointer) -> Result<(), TakeError> {
        let waits = request.headers().contains_key(header::EXPECT);
        let mut body = request.into_body();
        let upload = match self.begin(expected.size).await {
            Ok(upload) => upload,
            Err(error) => {
                if !waits {
                    transfer::discard(&mut body, self.patience).await;
                }
                return Err(error);
            }
        };
        match transfer::take(&mut body, upload, expected.size, self.patience).await {
            Ok(upload) => {
                self.ask(move |_| upload.finish_as(&expected).map(drop))
                    .await
            }
            Err((error, upload)) => {
                drop(upload);
                transfer::discard(&mut body, self.patience).await;
                Err(error)
            }
        }
    }

    /// Gives an object, or the part that `headers` ask for; `None` where there is no such object.
    ///
    /// The answer has no `Content-Type` yet. `with_body` is false for `HEAD`.
    pub(super) async fn give(
        &self,
        oid: Digest,
        headers: &HeaderMap,
        with_body: bool,
    ) -> Result<Option<Response>, GiveError> {
        let Some(found) = self.ask(move |objects| objects.find(&oid)).await? else {
            return Ok(None);
        };
        let open = move |objects: &Objects, from| {
            let mut reader = objects.store()?.read(&oid)?;
            let moved = reader.seek(SeekFrom::Start(from));
            moved.map_err(|source| ObjectsError::Read { source })?;
            Ok(reader)
        };
        let given = self.give_from(open, found.size, headers, with_body).await;
        given.map(|mut response| {
            let tag = HeaderValue::from_str(&format!("\"sha256:{oid}\""));
            let tag = tag.expect("hex digits are plain");
            response.headers_mut().insert(header::ETAG, tag);
            Some(response)
        })
    }

    /// Gives what stands in memory as an object is given.
    pub(super) async fn give_plain(
        &self,
        content: Vec<u8>,
        headers: &HeaderMap,
        with_body: bool,
    ) -> Result<Response, GiveError> {
        let size = content.len() as u64;
        let open = |_: &Objects, from| {
            let mut reader = Cursor::new(content);
            reader.set_position(from);
            Ok(reader)
        };
        self.give_from(open, size, headers, with_body).await
    }

    /// Gives what `open` reads from an offset on: all of its `size` bytes, or the part that is asked
    /// for.
    async fn give_from<R: Read + Send + 'static>(
        &self,
        open: impl FnOnce(&Objects, u64) -> Result<R, ObjectsError> + Send + 'static,
        size: u64,
        headers: &HeaderMap,
        with_body: bool,
    ) -> Result<Response, GiveError> {
        let part = if with_body {
            Part::of(headers, size)
        } else {
            Part::Whole
        };
        let (status, from, bytes) = match part {
            Part::Whole => (StatusCode::OK, 0, size),
            Part::Bytes { from, bytes } => (StatusCode::PARTIAL_CONTENT, from, bytes),
            Part::Outside => return Ok(outside(size)),
        };
        let body = if with_body {
            let turn = turn(&self.downloads)
                .await
                .map_err(|Busy| GiveError::Busy)?;
            let reader = self.ask(move |objects| open(objects, from)).await?;
            transfer::give(reader, bytes, self.patience, turn)
        } else {
            Body::empty()
        };
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, bytes.into());
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {from}-{}/{size}", from + bytes - 1);
            let range = HeaderValue::from_str(&range).expect("numbers are plain");
            headers.insert(header::CONTENT_RANGE, range);
        }
        Ok(response)
    }
}

/// Why an object was not given.
#[derive(Debug)]
pub(super) enum GiveError {
    /// Too many downloads run.
    Busy,
    /// The store failed.
    Failed(TakeError),
}

impl From<TakeError> for GiveError {
    fn from(error: TakeError) -> Self {
        Self::Failed(error)
    }
}

async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Busy> {
    match timeout(TURN_MAX, Arc::clone(turns).acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Busy),
    }
}

/// The answer to a range that lies behind the end.
fn outside(size: u64) -> Response {
    let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    let range = HeaderValue::from_str(&format!("bytes */{size}")).expect("numbers are plain");
    response.headers_mut().insert(header::CONTENT_RANGE, range);
    response
}

/// The status and the words for a body that was not taken.
pub(super) fn explain(error: &TakeError) -> (StatusCode, String) {
    match error {
        TakeError::TooLong => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is longer than what was announced or is allowed".to_owned(),
        ),
        TakeError::TooSlow => (
            StatusCode::REQUEST_TIMEOUT,
            "the body came too slowly; try again".to_owned(),
        ),
        TakeError::Broken => (
            StatusCode::BAD_REQUEST,
            "the body broke off; try again".to_owned(),
        ),
        TakeError::Stopping => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the node is stopping; try again when it is back".to_owned(),
        ),
        TakeError::Objects(error) => explain_objects(error),
    }
}

/// The status and the words for what the store did not take or find; where things lie on the node's
/// disk is not the client's matter.
pub(super) fn explain_objects(error: &ObjectsError) -> (StatusCode, String) {
    let status = match error {
        ObjectsError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ObjectsError::StagingFull { .. } | ObjectsError::DiskFull { .. } => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        ObjectsError::Store(StoreError::Mismatch { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
        ObjectsError::Store(StoreError::Missing { .. }) => StatusCode::NOT_FOUND,
        other => {
            let (status, text) = explain_failure(other);
            tracing::error!(%error, "a large object could not be served");
            return (status, text.to_owned());
        }
    };
    (status, error.to_string())
}

/// The status and the words for what is the node's own trouble.
fn explain_failure(error: &ObjectsError) -> (StatusCode, &'static str) {
    let is_full = match error {
        ObjectsError::Store(StoreError::Full { .. }) => true,
        ObjectsError::Write { source } => source.kind() == ErrorKind::StorageFull,
        _ => false,
    };
    if is_full {
        let text = "the node's disk is full; try again when its operator has made room";
        return (StatusCode::INSUFFICIENT_STORAGE, text);
    }
    if matches!(error, ObjectsError::Store(StoreError::Locked { .. })) {
        let text = "the node's chunk store is in use by another process; try again when that ended";
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    let text = "the node's store failed: its log says why";
    (StatusCode::INTERNAL_SERVER_ERROR, text)
}
