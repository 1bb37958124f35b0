//! The distribution API of OCI on `/v2/`: images in and out with the tools that people have.
//!
//! What is read are the images of the ledger and those that were pushed; what is pushed is staged and
//! in no ledger until a member proposes it. Listed are the ledger's alone: nobody signed for the rest.
//!
//! **Invariants**: a blob or manifest is taken under its digest only; uploads are bounded in number,
//! bytes and idle time; no blob is in memory as a whole, but for those that git itself holds.
//!
//! Source: the distribution specification of OCI, 1.1.

mod answer;
mod blobs;
mod call;
mod manifests;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::service::ObjectService;
use crate::error::ImagesError;
use crate::images::{ImageName, Images};
use answer::{Code, refuse, refuse_images};
use call::Call;
use sessions::Sessions;

/// How long an upload may rest before it is forgotten.
const SESSION_IDLE_MAX: Duration = Duration::from_secs(600);

/// What the calls share.
#[derive(Debug, Clone)]
pub struct Registry {
    images: Images,
    service: ObjectService,
    sessions: Arc<Sessions>,
}

impl Registry {
    /// Serves `images`, whose blobs are the objects of `service`.
    #[must_use]
    pub fn new(images: Images, service: ObjectService) -> Self {
        Self {
            images,
            service,
            sessions: Arc::new(Sessions::new(SESSION_IDLE_MAX)),
        }
    }

    /// The same, with another patience for uploads that rest.
    #[must_use]
    pub fn with_session_idle_max(self, idle_max: Duration) -> Self {
        Self {
            sessions: Arc::new(Sessions::new(idle_max)),
            ..self
        }
    }

    /// The same uploads and images for a socket that only the node's own user reaches; see
    /// [`ObjectService::for_operator`].
    #[must_use]
    pub fn for_operator(&self) -> Self {
        Self {
            service: self.service.for_operator(),
            ..self.clone()
        }
    }

    /// Asks about images what may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Images) -> Result<T, ImagesError> + Send + 'static,
    ) -> Result<T, Response> {
        let images = self.images.clone();
        match spawn_blocking(move || question(&images)).await {
            Ok(answer) => answer.map_err(|error| refuse_images(&error)),
            Err(_) => Err(refuse(Code::Unavailable, "the node is stopping")),
        }
    }
}

/// The routes of the registry.
pub fn router(registry: Registry) -> Router {
    Router::new()
        .route("/v2", any(base))
        .route("/v2/", any(base))
        .route("/v2/{*rest}", any(serve))
        .with_state(registry)
}

/// Tells that the API is spoken here.
async fn base() -> Response {
    versioned(StatusCode::OK.into_response())
}

async fn serve(
    State(registry): State<Registry>,
    Path(rest): Path<String>,
    request: Request,
) -> Response {
    let answer = match Call::parse(&rest) {
        Ok(call) => dispatch(&registry, call, request).await,
        Err(refusal) => refuse(refusal.code, &refusal.reason),
    };
    versioned(answer)
}

/// Some clients ask for this header before they believe the rest.
fn versioned(mut response: Response) -> Response {
    let version = HeaderValue::from_static("registry/2.0");
    let headers = response.headers_mut();
    headers.insert("docker-distribution-api-version", version);
    response
}

async fn dispatch(registry: &Registry, call: Call, request: Request) -> Response {
    let method = request.method().clone();
    let reads = matches!(method, Method::GET | Method::HEAD);
    if reads && !matches!(call, Call::Upload(..)) && !registry.service.may_read() {
        let reason = "this node serves no readers over HTTP (http.anonymous_read)";
        return refuse(Code::Denied, reason);
    }
    match (call, method) {
        (Call::Catalog, Method::GET) => catalog(registry).await,
        (Call::Tags(name), Method::GET) => tags(registry, name).await,
        (Call::Manifest(name, reference), Method::GET | Method::HEAD) => {
            manifests::get(registry, name, reference, request.method() == Method::GET).await
        }
        (Call::Manifest(name, reference), Method::PUT) => {
            manifests::put(registry, name, reference, request).await
        }
        (Call::Blob(name, digest), Method::GET | Method::HEAD) => {
            blobs::get(registry, name, digest, request).await
        }
        (Call::Uploads(name), Method::POST) => blobs::begin(registry, name, request).await,
        (Call::Upload(name, id), Method::PATCH) => blobs::go_on(registry, name, id, request).await,
        (Call::Upload(name, id), Method::PUT) => blobs::end(registry, name, id, request).await,
        (Call::Upload(name, id), Method::GET) => blobs::status(registry, &name, &id),
        (Call::Upload(name, id), Method::DELETE) => blobs::cancel(registry, &name, &id),
        (Call::Referrers, _) => refuse(Code::NotFound, "this node keeps no lists of referrers"),
        _ => refuse(
            Code::Unsupported,
            "this node does not do that; what is staged goes by itself after a day",
        ),
    }
}

#[derive(Serialize)]
struct Catalog {
    repositories: Vec<String>,
}

async fn catalog(registry: &Registry) -> Response {
    match registry.ask(Images::catalog).await {
        Ok(repositories) => axum::Json(Catalog { repositories }).into_response(),
        Err(refusal) => refusal,
    }
}

#[derive(Serialize)]
struct Tags {
    name: String,
    tags: Vec<String>,
}

async fn tags(registry: &Registry, name: ImageName) -> Response {
    let shown = name.to_string();
    match registry.ask(move |images| images.tags(&name)).await {
        Ok(Some(tags)) => axum::Json(Tags { name: shown, tags }).into_response(),
        Ok(None) => refuse(
            Code::NameUnknown,
            &format!("there is no image {shown} here"),
        ),
        Err(refusal) => refusal,
    }
}
