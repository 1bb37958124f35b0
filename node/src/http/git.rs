//! Git's smart HTTP for one ledger: `/<name>.git`, served by git's own `http-backend`.
//!
//! Three routes are enough for clone, fetch, pull and push; the old protocol, which fetches the
//! files of a repository one by one, is not served. Git does the work in a process per request:
//! this module only decides what may run and passes bytes on, in both directions at once and
//! without collecting them.
//!
//! **Invariants**: git learns nothing from a client but its request's body, its media type, its
//! encoding and the version of the protocol; a client that leaves takes its processes along; at
//! most `jobs_max` run at a time.
//!
//! Source: `git-http-backend(1)`, `gitprotocol-http(5)`.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::cgi;

/// How long a request waits for its turn before it is sent away.
const TURN_MAX: Duration = Duration::from_secs(60);

/// What is served, and how much of it at a time.
#[derive(Debug, Clone)]
pub struct GitHttpConfig {
    /// The name of the ledger: it is served under `/<name>.git`.
    pub name: String,
    /// The absolute path of the bare repository.
    pub repository: PathBuf,
    /// Whether anybody may clone and fetch (`http.anonymous_read`).
    pub anonymous_read: bool,
    /// The most requests that run at a time; further ones wait for a minute at most.
    pub jobs_max: usize,
}

/// One of the two services that smart HTTP knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// The service that the query of `info/refs` names, if it names exactly one.
    fn of_query(query: &str) -> Option<Self> {
        match query {
            "service=git-upload-pack" => Some(Self::UploadPack),
            "service=git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }
}

struct Shared {
    config: GitHttpConfig,
    turns: Arc<Semaphore>,
}

/// The routes of one ledger.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()` to let the hooks know the
/// client's address; without, they are not told one.
pub fn router(config: GitHttpConfig) -> Router {
    // Braces are the syntax of parameters in a route.
    let name = config.name.replace('{', "{{").replace('}', "}}");
    let shared = Arc::new(Shared {
        turns: Arc::new(Semaphore::new(config.jobs_max)),
        config,
    });
    Router::new()
        .route(&format!("/{name}.git/info/refs"), get(advertise))
        .route(&format!("/{name}.git/git-upload-pack"), post(upload_pack))
        .route(&format!("/{name}.git/git-receive-pack"), post(receive_pack))
        .with_state(shared)
}

async fn advertise(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match Service::of_query(request.uri().query().unwrap_or_default()) {
        Some(service) => serve(&shared, service, Call::Advertise, request).await,
        None => refuse(
            StatusCode::FORBIDDEN,
            "this node speaks git's smart protocol only: use git 1.6.6 or newer",
        ),
    }
}

async fn upload_pack(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(&shared, Service::UploadPack, Call::Run, request).await
}

async fn receive_pack(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(&shared, Service::ReceivePack, Call::Run, request).await
}

/// The two steps of a fetch or a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Tell the references.
    Advertise,
    /// Take the request and answer it.
    Run,
}

async fn serve(shared: &Shared, service: Service, call: Call, request: Request) -> Response {
    if service == Service::UploadPack && !shared.config.anonymous_read {
        return refuse(
            StatusCode::FORBIDDEN,
            "this node serves no readers over HTTP (http.anonymous_read): clone over SSH",
        );
    }
    let turn = Arc::clone(&shared.turns).acquire_owned();
    let Ok(Ok(turn)) = timeout(TURN_MAX, turn).await else {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "this node serves too many clients at the moment: try again in a minute",
        );
    };
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(address)| address.ip());
    let mut command = Command::new("git");
    command.arg("http-backend").env_clear();
    command.envs(environment(&shared.config, service, call, peer));
    command.envs(from_headers(request.headers()));
    match cgi::serve(command, request.into_body(), turn).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, service = service.as_str(), "git http-backend failed");
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the node could not run git: its log says why",
            )
        }
    }
}

/// What git is told that does not come from the client.
fn environment(
    config: &GitHttpConfig,
    service: Service,
    call: Call,
    peer: Option<IpAddr>,
) -> Vec<(&'static str, OsString)> {
    let (method, path, query) = match call {
        Call::Advertise => (
            "GET",
            "/info/refs".to_owned(),
            format!("service={}", service.as_str()),
        ),
        Call::Run => ("POST", format!("/{}", service.as_str()), String::new()),
    };
    let mut environment = vec![
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ("GIT_HTTP_EXPORT_ALL", "1".into()),
        (
            "GIT_PROJECT_ROOT",
            config.repository.clone().into_os_string(),
        ),
        ("LC_ALL", "C.UTF-8".into()),
        ("PATH_INFO", path.into()),
        ("QUERY_STRING", query.into()),
        ("REQUEST_METHOD", method.into()),
    ];
    environment.extend(peer.map(|ip| ("REMOTE_ADDR", ip.to_string().into())));
    for kept in ["PATH", "TMPDIR"] {
        environment.extend(std::env::var_os(kept).map(|value| (kept, value)));
    }
    environment
}

/// What git is told of the client's request: four headers, each in a form that cannot surprise.
fn from_headers(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let kept = |name: &str, extra: &[u8]| {
        let plain = |c: u8| c.is_ascii_alphanumeric() || extra.contains(&c);
        let value = headers.get(name)?.to_str().ok()?;
        (value.len() <= 200 && value.bytes().all(plain)).then(|| value.to_owned())
    };
    [
        ("CONTENT_TYPE", kept("content-type", b"/-+.;= ")),
        ("CONTENT_LENGTH", kept("content-length", b"")),
        ("HTTP_CONTENT_ENCODING", kept("content-encoding", b"-")),
        ("GIT_PROTOCOL", kept("git-protocol", b"=:.-")),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// A refusal in words, which git shows behind `remote: ` when they are plain text.
fn refuse(status: StatusCode, reason: &str) -> Response {
    let mut response = (status, Body::from(format!("gdo: {reason}\n"))).into_response();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_one_service_or_none() {
        let upload = Some(Service::UploadPack);
        assert_eq!(Service::of_query("service=git-upload-pack"), upload);
        let receive = Some(Service::ReceivePack);
        assert_eq!(Service::of_query("service=git-receive-pack"), receive);
        for query in [
            "",
            "service=",
            "service=git-upload-archive",
            "service=git-receive-pack&service=git-upload-pack",
            "service=git%2Dupload-pack",
        ] {
            assert_eq!(Service::of_query(query), None, "{query}");
        }
    }

    #[test]
    fn headers_reach_git_only_in_their_usual_form() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/x-git-upload-pack-request"),
            ("content-length", "17"),
            ("content-encoding", "gzip"),
            ("git-protocol", "version=2"),
            ("remote-user", "root"),
            ("authorization", "Basic eDp5"),
            ("proxy", "http://evil.invalid"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let names: Vec<_> = from_headers(&headers)
            .into_iter()
            .map(|pair| pair.0)
            .collect();
        let expected = [
            "CONTENT_TYPE",
            "CONTENT_LENGTH",
            "HTTP_CONTENT_ENCODING",
            "GIT_PROTOCOL",
        ];
        assert_eq!(names, expected);

        for (name, value) in [
            ("content-length", "-1"),
            ("git-protocol", "version=2\tx"),
            ("content-encoding", "gzip, gzip"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let names: Vec<_> = from_headers(&headers)
            .into_iter()
            .map(|pair| pair.0)
            .collect();
        assert_eq!(names, ["CONTENT_TYPE"]);
    }
}
