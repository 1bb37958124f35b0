//! Blobs: given in whole or in part, and taken in one request or in many.
//!
//! A request's body is taken in a task of its own: a client that is cut off has what it sent so far
//! kept for the rest of its session, and asks how much that is.

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use serde::Deserialize;

use super::Registry;
use super::answer::{Code, refuse, refuse_take};
use super::manifests::{DIGEST, created, digest_value};
use super::sessions::Absent;
use crate::http::service::GiveError;
use crate::http::transfer::{self, TakeError};
use crate::images::{Blob, ImageName, parse_digest};
use crate::objects::Upload;

/// What the query of an upload may say.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    digest: Option<String>,
    mount: Option<String>,
}

pub(super) async fn get(
    registry: &Registry,
    name: ImageName,
    digest: Digest,
    request: Request,
) -> Response {
    let with_body = request.method() == Method::GET;
    let image = name.clone();
    // Whoever looks is perhaps about to push a manifest that names it.
    let found = registry.ask(move |images| images.blob_to_name(&image, &digest));
    let given = match found.await {
        Ok(Some(Blob::Stored(_))) => {
            let service = &registry.service;
            service.give(digest, request.headers(), with_body).await
        }
        Ok(Some(Blob::Plain(content))) => {
            let service = &registry.service;
            let given = service.give_plain(content, request.headers(), with_body);
            given.await.map(Some)
        }
        Ok(None) => Ok(None),
        Err(refusal) => return refusal,
    };
    let mut response = match given {
        Ok(Some(response)) => response,
        Ok(None) => {
            let reason = format!("{name} has no blob sha256:{digest} here");
            return refuse(Code::BlobUnknown, &reason);
        }
        Err(GiveError::Busy) => return busy(),
        Err(GiveError::Failed(error)) => return refuse_take(&error, Code::BlobUnknown),
    };
    let headers = response.headers_mut();
    let binary = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, binary);
    headers.insert(DIGEST, digest_value(&digest));
    response
}

pub(super) async fn begin(registry: &Registry, name: ImageName, request: Request) -> Response {
    if name.is_dapp() {
        let reason = "images of dapps come with a proposal alone and cannot be pushed";
        return refuse(Code::Denied, reason);
    }
    let Ok(Query(asked)) = Query::<Asked>::try_from_uri(request.uri()) else {
        return refuse(Code::BlobUploadInvalid, "the query cannot be read");
    };
    if let Some(text) = asked.mount {
        // What is here is here for every name; else the blob has to be sent.
        if let Ok(digest) = parse_digest(&text) {
            let image = name.clone();
            let found = registry.ask(move |images| images.blob_to_name(&image, &digest));
            match found.await {
                Ok(Some(_)) => return created(&blob_path(&name, &digest), &digest),
                Ok(None) => {}
                Err(refusal) => return refusal,
            }
        }
    }
    if let Some(text) = asked.digest {
        return take_at_once(registry, &name, &text, request).await;
    }
    if registry.sessions.is_full() {
        return busy();
    }
    let upload = match registry.service.begin(0).await {
        Ok(upload) => upload,
        Err(error) => return refuse_take(&error, Code::BlobUploadInvalid),
    };
    let Some(id) = registry.sessions.open(name.clone(), upload) else {
        return busy();
    };
    // A session that nobody comes back to ends even if no other request does.
    let sessions = std::sync::Arc::clone(&registry.sessions);
    tokio::spawn(async move {
        tokio::time::sleep(sessions.idle_max()).await;
        sessions.sweep();
    });
    progress(StatusCode::ACCEPTED, &name, &id, 0)
}

/// Takes a blob whose digest and body come with the first request.
async fn take_at_once(
    registry: &Registry,
    name: &ImageName,
    digest: &str,
    request: Request,
) -> Response {
    let digest = match parse_digest(digest) {
        Ok(digest) => digest,
        Err(error) => return refuse(Code::DigestInvalid, &error.to_string()),
    };
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(size) = announced else {
        let reason = "a blob in one request needs a Content-Length";
        return refuse(Code::BlobUploadInvalid, reason);
    };
    let Ok(_turn) = registry.service.upload_turn().await else {
        return busy();
    };
    let pointer = Pointer { oid: digest, size };
    match registry.service.take(request, pointer).await {
        Ok(()) => created(&blob_path(name, &digest), &digest),
        Err(error) => refuse_take(&error, Code::BlobUploadInvalid),
    }
}

/// Takes the next part of a blob.
pub(super) async fn go_on(
    registry: &Registry,
    name: ImageName,
    id: String,
    request: Request,
) -> Response {
    if let Some(refusal) = refuse_gap(registry, &name, &id, &request) {
        return refusal;
    }
    let Ok(_turn) = registry.service.upload_turn().await else {
        return busy();
    };
    let upload = match registry.sessions.take_out(&name, &id) {
        Ok(upload) => upload,
        Err(absent) => return refuse_absent(absent),
    };
    match append(registry, &name, &id, upload, request.into_body()).await {
        Ok(upload) => {
            let taken = upload.taken();
            registry.sessions.put_back(&id, upload);
            progress(StatusCode::ACCEPTED, &name, &id, taken)
        }
        Err(refusal) => refusal,
    }
}

/// Takes the last part of a blob, which may be empty, and names it.
pub(super) async fn end(
    registry: &Registry,
    name: ImageName,
    id: String,
    request: Request,
) -> Response {
    let asked = Query::<Asked>::try_from_uri(request.uri());
    let digest = asked.ok().and_then(|Query(asked)| asked.digest);
    let Some(Ok(digest)) = digest.map(|text| parse_digest(&text)) else {
        let reason = "the last request of an upload names the blob: ?digest=sha256:<hex>";
        return refuse(Code::DigestInvalid, reason);
    };
    if let Some(refusal) = refuse_gap(registry, &name, &id, &request) {
        return refusal;
    }
    let Ok(_turn) = registry.service.upload_turn().await else {
        return busy();
    };
    let upload = match registry.sessions.take_out(&name, &id) {
        Ok(upload) => upload,
        Err(absent) => return refuse_absent(absent),
    };
    let upload = match append(registry, &name, &id, upload, request.into_body()).await {
        Ok(upload) => upload,
        Err(refusal) => return refusal,
    };
    let pointer = Pointer {
        oid: digest,
        size: upload.taken(),
    };
    let finished = registry
        .service
        .ask(move |_| upload.finish_as(&pointer).map(drop));
    let finished = finished.await;
    registry.sessions.close(&name, &id);
    match finished {
        Ok(()) => created(&blob_path(&name, &digest), &digest),
        Err(error) => refuse_take(&error, Code::DigestInvalid),
    }
}

/// Appends a body to an upload. If it breaks off, the session keeps what came; if the store fails, the
/// session is over.
async fn append(
    registry: &Registry,
    name: &ImageName,
    id: &str,
    upload: Upload,
    mut body: Body,
) -> Result<Upload, Response> {
    let (registry, name, id) = (registry.clone(), name.clone(), id.to_owned());
    let patience = registry.service.patience;
    let task = tokio::spawn(async move {
        let taken = transfer::take(&mut body, upload, u64::MAX, patience).await;
        taken.map_err(|(error, upload)| {
            match upload {
                Some(upload) => registry.sessions.put_back(&id, upload),
                None => drop(registry.sessions.close(&name, &id)),
            }
            (error, body)
        })
    });
    match task.await {
        Ok(Ok(upload)) => Ok(upload),
        Ok(Err((error, mut body))) => {
            if matches!(error, TakeError::Objects(_)) {
                transfer::discard(&mut body, patience).await;
            }
            Err(refuse_take(&error, Code::BlobUploadInvalid))
        }
        Err(_) => Err(refuse(Code::Unavailable, "the node is stopping")),
    }
}

/// How far an upload is.
pub(super) fn status(registry: &Registry, name: &ImageName, id: &str) -> Response {
    match registry.sessions.taken(name, id) {
        Some(taken) => progress(StatusCode::NO_CONTENT, name, id, taken),
        None => refuse_absent(Absent::Unknown),
    }
}

/// Ends an upload without a blob.
pub(super) fn cancel(registry: &Registry, name: &ImageName, id: &str) -> Response {
    if registry.sessions.close(name, id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        refuse_absent(Absent::Unknown)
    }
}

/// Refuses a part that does not begin where the upload stands, if it says where it begins.
fn refuse_gap(
    registry: &Registry,
    name: &ImageName,
    id: &str,
    request: &Request,
) -> Option<Response> {
    let range = request.headers().get(header::CONTENT_RANGE)?;
    let Some(taken) = registry.sessions.taken(name, id) else {
        return Some(refuse_absent(Absent::Unknown));
    };
    let text = range.to_str().unwrap_or_default();
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let begins = text
        .split_once('-')
        .and_then(|(first, _)| first.parse().ok());
    if begins == Some(taken) {
        return None;
    }
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    Some(progress(status, name, id, taken))
}

fn refuse_absent(absent: Absent) -> Response {
    match absent {
        Absent::Unknown => {
            let reason = "there is no such upload, or it rested for too long; begin again";
            refuse(Code::BlobUploadUnknown, reason)
        }
        Absent::InUse => {
            let reason = "another request writes to this upload";
            refuse(Code::Conflict, reason)
        }
    }
}

fn busy() -> Response {
    let reason = "this node takes too many uploads at the moment; try again in a minute";
    let mut response = refuse(Code::TooManyRequests, reason);
    let after = HeaderValue::from_static("5");
    response.headers_mut().insert(header::RETRY_AFTER, after);
    response
}

fn blob_path(name: &ImageName, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/sha256:{digest}")
}

/// The answer that says where an upload goes on, and how much of it is here.
fn progress(status: StatusCode, name: &ImageName, id: &str, taken: u64) -> Response {
    let location = format!("/v2/{name}/blobs/uploads/{id}");
    let headers = [
        (header::LOCATION.as_str(), location),
        // Of nothing there is no last byte; this is what clients expect.
        (
            header::RANGE.as_str(),
            format!("0-{}", taken.saturating_sub(1)),
        ),
        ("docker-upload-uuid", id.to_owned()),
    ];
    (status, headers).into_response()
}
