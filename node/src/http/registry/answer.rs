//! The errors of the distribution API, by its codes.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::error::ImagesError;
use crate::http::service::explain;
use crate::http::transfer::TakeError;

/// The codes that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    NotFound,
    Denied,
    Unsupported,
    TooManyRequests,
    Unavailable,
    Conflict,
}

impl Code {
    /// The code's text and the status that goes with it.
    fn parts(self) -> (&'static str, StatusCode) {
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", StatusCode::NOT_FOUND),
            Self::BlobUploadInvalid => ("BLOB_UPLOAD_INVALID", StatusCode::BAD_REQUEST),
            Self::BlobUploadUnknown => ("BLOB_UPLOAD_UNKNOWN", StatusCode::NOT_FOUND),
            Self::DigestInvalid => ("DIGEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestBlobUnknown => ("MANIFEST_BLOB_UNKNOWN", StatusCode::BAD_REQUEST),
            Self::ManifestInvalid => ("MANIFEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", StatusCode::NOT_FOUND),
            Self::NameInvalid => ("NAME_INVALID", StatusCode::BAD_REQUEST),
            Self::NameUnknown => ("NAME_UNKNOWN", StatusCode::NOT_FOUND),
            Self::NotFound => ("UNSUPPORTED", StatusCode::NOT_FOUND),
            Self::Denied => ("DENIED", StatusCode::FORBIDDEN),
            Self::Unsupported => ("UNSUPPORTED", StatusCode::METHOD_NOT_ALLOWED),
            Self::TooManyRequests => ("TOOMANYREQUESTS", StatusCode::TOO_MANY_REQUESTS),
            Self::Unavailable => ("UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Self::Conflict => ("BLOB_UPLOAD_INVALID", StatusCode::CONFLICT),
        }
    }
}

#[derive(Serialize)]
struct Errors {
    errors: [Error; 1],
}

#[derive(Serialize)]
struct Error {
    code: &'static str,
    message: String,
}

/// A refusal with a code and words.
pub(super) fn refuse(code: Code, reason: &str) -> Response {
    let (code, status) = code.parts();
    with_status(status, code, reason)
}

fn with_status(status: StatusCode, code: &'static str, reason: &str) -> Response {
    let message = format!("gdo: {reason}");
    let errors = [Error { code, message }];
    (status, Json(Errors { errors })).into_response()
}

/// The refusal of a body that was not taken; `code` where the store found it wrong.
pub(super) fn refuse_take(error: &TakeError, code: Code) -> Response {
    let (status, reason) = explain(error);
    match status {
        StatusCode::UNPROCESSABLE_ENTITY => refuse(Code::DigestInvalid, &reason),
        StatusCode::INSUFFICIENT_STORAGE | StatusCode::SERVICE_UNAVAILABLE => {
            with_status(status, "UNAVAILABLE", &reason)
        }
        StatusCode::INTERNAL_SERVER_ERROR => with_status(status, "UNKNOWN", &reason),
        _ => with_status(status, code.parts().0, &reason),
    }
}

/// The refusal of what could not be done about an image.
pub(super) fn refuse_images(error: &ImagesError) -> Response {
    let reason = error.to_string();
    match error {
        ImagesError::Manifest { .. } => refuse(Code::ManifestInvalid, &reason),
        ImagesError::BlobUnknown { .. } => refuse(Code::ManifestBlobUnknown, &reason),
        ImagesError::NotStaged { .. } | ImagesError::NotPinned { .. } => {
            refuse(Code::ManifestUnknown, &reason)
        }
        ImagesError::ReadOnly { .. } => refuse(Code::Denied, &reason),
        ImagesError::TooMany { .. } => {
            with_status(StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE", &reason)
        }
        ImagesError::Objects(objects) => {
            let (status, reason) = crate::http::service::explain_objects(objects);
            with_status(status, "UNAVAILABLE", &reason)
        }
        ImagesError::Ledger(_) | ImagesError::Node(_) | ImagesError::Record { .. } => {
            tracing::error!(%error, "an image could not be served");
            let reason = "the node cannot read the image: its log says why";
            with_status(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", reason)
        }
    }
}
