//! Git LFS for one ledger: `/<name>.git/info/lfs`, out of the node's chunk store.
//!
//! Stock git-lfs asks in a batch what it may transfer, then puts or gets object by object (the basic
//! transfer). What comes is staged until a proposal points to it. Locks are not served: without a
//! login nobody could own one, and git-lfs goes on without when it is told so.
//!
//! **Invariants**: an upload has the size and the hash of its URL or leaves nothing; no object is in
//! memory as a whole; every answer with words is the JSON that git-lfs shows.
//!
//! Source: the API documents of git-lfs (batch, basic transfers, locking).

mod answer;
mod batch;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post, put};
use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use serde::Deserialize;

use super::service::{GiveError, ObjectService, explain};
use super::transfer;
use answer::{refuse, refuse_take};

/// The largest request that is no object.
const JSON_BYTES_MAX: u64 = 1 << 20;

struct Shared {
    service: ObjectService,
    /// `/<name>.git/info/lfs`
    root: String,
}

/// The routes of the ledger `name`.
pub fn router(name: &str, service: ObjectService) -> Router {
    let root = format!("/{name}.git/info/lfs");
    // Braces are the syntax of parameters in a route.
    let at = root.replace('{', "{{").replace('}', "}}");
    let shared = Arc::new(Shared { service, root });
    Router::new()
        .route(&format!("{at}/objects/batch"), post(batch::serve))
        .route(&format!("{at}/objects/verify"), post(verify))
        .route(&format!("{at}/objects/{{oid}}"), get(download))
        .route(&format!("{at}/objects/{{oid}}/{{size}}"), put(upload))
        .route(&format!("{at}/locks"), any(locks))
        .route(&format!("{at}/locks/{{*rest}}"), any(locks))
        .route(&format!("{at}/{{*rest}}"), any(unknown))
        .with_state(shared)
}

/// An object as clients name it.
#[derive(Debug, Deserialize)]
struct RawObject {
    oid: String,
    size: i64,
}

impl RawObject {
    /// The pointer, if the names are of their form.
    fn pointer(&self) -> Result<Pointer, String> {
        let oid = self.oid.parse().map_err(|_| {
            let shown: String = self.oid.chars().take(80).collect();
            format!("oid '{shown}', expected a SHA-256 of 64 lower-case hex digits")
        })?;
        let size = u64::try_from(self.size)
            .map_err(|_| format!("size {}, expected 0 or more", self.size))?;
        Ok(Pointer { oid, size })
    }
}

async fn upload(
    State(shared): State<Arc<Shared>>,
    Path((oid, size)): Path<(String, u64)>,
    request: Request,
) -> Response {
    let Ok(oid) = oid.parse::<Digest>() else {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the object's name is no SHA-256 of 64 lower-case hex digits",
        );
    };
    let pointer = Pointer { oid, size };
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes != size) {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("the body is not of the size that its URL says, expected {size} bytes"),
        );
    }
    let Ok(_turn) = shared.service.upload_turn().await else {
        return busy();
    };
    match shared.service.take(request, pointer).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => refuse_take(&error),
    }
}

async fn verify(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked: RawObject = match read_json(&shared, request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let pointer = match asked.pointer() {
        Ok(pointer) => pointer,
        Err(reason) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, &reason),
    };
    let found = shared
        .service
        .ask(move |objects| objects.find_and_touch(&pointer.oid));
    match found.await {
        Ok(Some(found)) if found == pointer => StatusCode::OK.into_response(),
        Ok(Some(found)) => refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!(
                "expected {} bytes, the object has {}",
                pointer.size, found.size
            ),
        ),
        Ok(None) => refuse(
            StatusCode::NOT_FOUND,
            &format!("the node has no object {}; upload it again", pointer.oid),
        ),
        Err(error) => refuse_take(&error),
    }
}

async fn download(
    State(shared): State<Arc<Shared>>,
    Path(oid): Path<String>,
    request: Request,
) -> Response {
    if let Some(refusal) = refuse_reader(&shared) {
        return refusal;
    }
    let Ok(oid) = oid.parse::<Digest>() else {
        return refuse(StatusCode::NOT_FOUND, "there is no such object");
    };
    let with_body = request.method() != Method::HEAD;
    match shared.service.give(oid, request.headers(), with_body).await {
        Ok(Some(mut response)) => {
            let binary = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, binary);
            response
        }
        Ok(None) => refuse(
            StatusCode::NOT_FOUND,
            &format!("the node has no object {oid}"),
        ),
        Err(GiveError::Busy) => busy(),
        Err(GiveError::Failed(error)) => {
            let (status, text) = explain(&error);
            refuse(status, &text)
        }
    }
}

/// What git-lfs takes as a server without locks.
async fn locks() -> Response {
    refuse(
        StatusCode::NOT_IMPLEMENTED,
        "this node has no locks: nobody logs in, so nobody could own one",
    )
}

async fn unknown() -> Response {
    refuse(
        StatusCode::NOT_FOUND,
        "there is no such call; the batch API is at objects/batch",
    )
}

/// The refusal of those who may not read, if readers are refused.
fn refuse_reader(shared: &Shared) -> Option<Response> {
    (!shared.service.may_read()).then(|| {
        refuse(
            StatusCode::FORBIDDEN,
            "this node serves no readers over HTTP (http.anonymous_read)",
        )
    })
}

fn busy() -> Response {
    let mut response = refuse(
        StatusCode::TOO_MANY_REQUESTS,
        "this node serves too many clients at the moment; try again in a minute",
    );
    let after = HeaderValue::from_static("5");
    response.headers_mut().insert(header::RETRY_AFTER, after);
    response
}

/// Reads a request's JSON, within bounds.
async fn read_json<T: for<'a> Deserialize<'a>>(
    shared: &Shared,
    request: Request,
) -> Result<T, Response> {
    let mut body = request.into_body();
    let patience = shared.service.patience;
    match transfer::read(&mut body, JSON_BYTES_MAX, patience).await {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| {
            let reason = format!("the request is not the JSON that was expected: {error}");
            refuse(StatusCode::UNPROCESSABLE_ENTITY, &reason)
        }),
        Err(error) => {
            transfer::discard(&mut body, patience).await;
            Err(refuse_take(&error))
        }
    }
}
