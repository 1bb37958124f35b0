//! The control API: HTTP and JSON on the node's unix socket, for the CLI, the web page and dapps.
//!
//! `docs/formats/control.openapi.json` describes it; a test holds that document against the server.
//! It tells and never changes the ledger: whatever changes the ledger comes signed, as a push.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::reactor::Handle;

/// The routes of the control API.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/openapi.json", get(openapi))
        .with_state(Arc::new(handle))
}

async fn status(State(handle): State<Arc<Handle>>) -> Response {
    match handle.status().await {
        Some(status) => Json(status).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the node is stopping\n").into_response(),
    }
}

/// The document that describes this API.
pub const OPENAPI: &str = include_str!("../../docs/formats/control.openapi.json");

async fn openapi() -> Response {
    ([("content-type", "application/json")], OPENAPI).into_response()
}

/// Asks a running node over its socket; gives the body of the answer.
///
/// # Errors
/// No daemon listens there, or its answer is no success.
pub fn ask(socket: &Path, path: &str) -> std::io::Result<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = gdo_hooks::socket::connect(socket)?;
    // HTTP/1.0: the answer ends where the connection does.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: gdo\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let malformed = || std::io::Error::other("the node's answer is no HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let code = head.split(' ').nth(1).ok_or_else(malformed)?;
    if code == "200" {
        Ok(body.to_owned())
    } else {
        Err(std::io::Error::other(format!(
            "the node answered {code}: {}",
            body.trim()
        )))
    }
}
