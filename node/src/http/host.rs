//! Which names a request may call this node by.
//!
//! A web page can have a name of its own resolve to a loopback address and then read whatever listens
//! there (DNS rebinding). A browser always sends the name that it was given, so requests for names that
//! are not this node's are turned away. Addresses cannot be rebound and always pass.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Names besides addresses and `localhost` that a node answers to (`http.hosts`).
pub type Hosts = Arc<Vec<String>>;

/// Turns away requests for a name that is not this node's.
pub async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .map(|value| value.to_str().unwrap_or_default());
    if is_ours(host, &hosts) {
        return next.run(request).await;
    }
    let text = "this node does not go by that name: use its address, or add the name to http.hosts in node.toml\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// HTTP/1.0 clients send no name, and no browser is one.
fn is_ours(host: Option<&str>, hosts: &[String]) -> bool {
    let Some(host) = host else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_own_names_pass_and_other_names_do_not() {
        let hosts = ["ledger.example".to_owned()];
        for host in [
            "127.0.0.1:7420",
            "[::1]:7420",
            "localhost",
            "LOCALHOST:1",
            "ledger.example:443",
        ] {
            assert!(is_ours(Some(host), &hosts), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:7420",
            "",
            "localhost.evil.example",
        ] {
            assert!(!is_ours(Some(host), &hosts), "{host}");
        }
        assert!(is_ours(None, &hosts));
    }
}
