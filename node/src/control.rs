//! The control API: HTTP and JSON on the node's unix socket, for the CLI, the web page and dapps.
//!
//! `docs/formats/control.openapi.json` describes it; a test holds that document against the server.
//! It never changes the ledger: whatever changes the ledger comes signed, as a push. What it does
//! change is the node's own: what its chunk store holds and keeps.

pub mod chunks;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use gdo_core::error::FormatError;
use gdo_core::id::Digest;
use serde::Serialize;

use crate::error::ImagesError;
use crate::images::{ImageName, Images, Listed, parse_digest};
use crate::reactor::Handle;

/// The routes of the control API.
pub fn router(handle: Handle, images: Images) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/images", get(list_images))
        .route("/v1/images/{*image}", get(show_image))
        .route("/v1/pins/{*image}", put(pin_image).delete(unpin_image))
        .route("/v1/openapi.json", get(openapi))
        .with_state(Arc::new(Shared { handle, images }))
}

struct Shared {
    handle: Handle,
    images: Images,
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    match shared.handle.status().await {
        Some(status) => Json(status).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the node is stopping\n").into_response(),
    }
}

#[derive(Serialize)]
struct ImageList {
    images: Vec<Listed>,
}

async fn list_images(State(shared): State<Arc<Shared>>) -> Response {
    match ask_images(&shared, Images::list).await {
        Ok(images) => Json(ImageList { images }).into_response(),
        Err(refusal) => refusal,
    }
}

/// A staged image, asked for as `NAME@sha256:HEX`.
async fn show_image(State(shared): State<Arc<Shared>>, Path(image): Path<String>) -> Response {
    let (name, digest) = match staged_name(&image) {
        Ok(named) => named,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let shown = ask_images(&shared, move |images| images.show(&name, digest));
    match shown.await {
        Ok(Some(shown)) => Json(shown).into_response(),
        Ok(None) => {
            let text = format!("{image} is not staged here; push it again, or see /v1/images\n");
            (StatusCode::NOT_FOUND, text).into_response()
        }
        Err(refusal) => refusal,
    }
}

async fn pin_image(State(shared): State<Arc<Shared>>, Path(image): Path<String>) -> Response {
    change_pin(&shared, &image, Images::pin).await
}

async fn unpin_image(State(shared): State<Arc<Shared>>, Path(image): Path<String>) -> Response {
    change_pin(&shared, &image, Images::unpin).await
}

async fn change_pin(
    shared: &Shared,
    image: &str,
    change: fn(&Images, &ImageName, Digest) -> Result<(), ImagesError>,
) -> Response {
    let (name, digest) = match staged_name(image) {
        Ok(named) => named,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    match ask_images(shared, move |images| change(images, &name, digest)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refusal,
    }
}

/// Reads `NAME@sha256:HEX`.
fn staged_name(image: &str) -> Result<(ImageName, Digest), FormatError> {
    let (name, digest) = image
        .split_once('@')
        .ok_or_else(|| FormatError::new("image", "NAME@sha256:HEX", image))?;
    Ok((name.parse()?, parse_digest(digest)?))
}

/// Asks about images what may block.
async fn ask_images<T: Send + 'static>(
    shared: &Shared,
    question: impl FnOnce(&Images) -> Result<T, ImagesError> + Send + 'static,
) -> Result<T, Response> {
    let images = shared.images.clone();
    match tokio::task::spawn_blocking(move || question(&images)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error @ (ImagesError::NotStaged { .. } | ImagesError::NotPinned { .. }))) => {
            Err((StatusCode::NOT_FOUND, format!("{error}\n")).into_response())
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "images cannot be told");
            let text = format!("the node cannot read its images: {error}\n");
            Err((StatusCode::INTERNAL_SERVER_ERROR, text).into_response())
        }
        Err(_) => Err((StatusCode::SERVICE_UNAVAILABLE, "the node is stopping\n").into_response()),
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
pub fn ask(socket: &std::path::Path, path: &str) -> std::io::Result<String> {
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
