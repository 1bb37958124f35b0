//! Connections: a bounded number at a time, each given up when its next request does not come.
//!
//! Whoever reaches the port may open connections, and each takes a file and memory. What happens to a
//! request's body is the business of those who read it ([`super::transfer`]).
//!
//! **Invariants**: no more than [`Bounds::connections_max`] are open; whoever waits for a turn waits
//! in the kernel; the head of a request is in memory up to [`HEAD_BYTES_MAX`].

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What of a request is read ahead of its handler.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long nothing is accepted after the system could not give a connection.
const REST: Duration = Duration::from_secs(1);

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// So many connections are open at a time.
    pub connections_max: usize,
    /// How long the head of a request may take, from the connection or the request before on.
    pub head_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 256,
            head_max: Duration::from_secs(30),
        }
    }
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, routes: Router, bounds: Bounds) {
    let turns = Arc::new(Semaphore::new(bounds.connections_max));
    loop {
        let turn = Arc::clone(&turns).acquire_owned().await;
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_the_client(&error) {
                    tracing::error!(%error, "no connection can be accepted");
                    tokio::time::sleep(REST).await;
                }
                continue;
            }
        };
        let routes = routes.clone().layer(Extension(ConnectInfo(address)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.head_max)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "a connection ended early");
            }
            drop(turn);
        });
    }
}

/// Whether a connection was gone before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
