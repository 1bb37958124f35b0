//! The answers that git-lfs reads: its JSON, and its errors in words.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::http::service::explain;
use crate::http::transfer::TakeError;

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

#[derive(Serialize)]
struct Refusal<'a> {
    message: &'a str,
}

/// An answer in the JSON of git-lfs.
pub(super) fn json(status: StatusCode, value: impl Serialize) -> Response {
    let mut response = (status, Json(value)).into_response();
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type);
    response
}

/// A refusal in words, which git-lfs shows.
pub(super) fn refuse(status: StatusCode, reason: &str) -> Response {
    let message = format!("gdo: {reason}");
    json(status, Refusal { message: &message })
}

/// The refusal of a body that was not taken.
pub(super) fn refuse_take(error: &TakeError) -> Response {
    let (status, reason) = explain(error);
    refuse(status, &reason)
}
