//! The daemon: starts the parts of a node, serves until it is told to stop, stops them in order.
//!
//! The reactor thread owns the ledger's state; this thread serves sockets on a single-threaded
//! runtime. What holds the directory's own path (hook scripts, the repository's configuration) is
//! written again at every start, so that a node directory can be moved.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gdo_hooks::install::{HookPaths, install};
use gdo_ledger::{ConfigInput, Ledger};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::dir::NodeDir;
use crate::error::NodeError;
use crate::helper::Helper;
use crate::http::git::{GitHttpConfig, router as git_router};
use crate::http::registry::Registry;
use crate::http::serve::Bounds;
use crate::http::service::ObjectService;
use crate::http::transfer::Patience;
use crate::http::{lfs, registry, serve as http_serve};
use crate::images::Images;
use crate::objects::Objects;
use crate::reactor::{Handle, Reactor};
use crate::refs::Refs;
use crate::upkeep::{Kept, Upkeep};
use crate::{control, hook_server};

/// Git requests that run at once over HTTP.
const GIT_JOBS_MAX: usize = 64;

/// Threads that wait for the disk on behalf of clients: more would not make it faster, and each costs
/// memory of its own.
pub const BLOCKING_THREADS_MAX: usize = 6;

/// How long the chunk store stays open after its last use.
const STORE_KEPT: Duration = Duration::from_secs(60);

/// What is served of large files and images.
struct Large {
    store: Objects,
    objects: ObjectService,
    registry: Registry,
    images: Images,
}

/// Runs a node until SIGTERM or SIGINT; `ready` is told the clone URLs once it serves.
///
/// # Errors
/// The node cannot start, or its own state is damaged.
pub fn run(dir: &NodeDir, ready: impl FnOnce(&[String])) -> Result<(), NodeError> {
    let _held = dir.lock()?;
    let config = Config::read(&dir.config_file())?;
    let ledger = Arc::new(Ledger::open(&dir.ledger())?);
    for lock in ledger.remove_stale_locks()? {
        tracing::warn!(lock = %lock.display(), "removed a lock that a killed daemon had left");
    }
    let helper = Helper::find()?;
    prepare(dir, &config, &ledger, &helper)?;
    let objects = Objects::new(dir, &config, Arc::clone(&ledger));
    let (reactor, handle) =
        Reactor::start(dir, &config, Arc::clone(&ledger), objects.clone(), helper)?;
    let refs = Refs::new(handle.branch());
    let images = Images::new(dir, &refs, Arc::clone(&ledger), objects.clone());
    let kept = Kept {
        ledger,
        objects: objects.clone(),
        images: images.clone(),
        main: refs.main(),
    };
    let _upkeep = Upkeep::start(kept)
        .map_err(|source| NodeError::io("start the upkeep of", dir.root(), source))?;
    hook_server::serve(&dir.hook_socket(), handle.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| NodeError::io("serve", dir.root(), source))?;
    let service = ObjectService::new(
        objects.clone(),
        config.http_anonymous_read,
        Patience::default(),
    );
    let large = Large {
        store: objects,
        registry: Registry::new(images.clone(), service.clone()),
        objects: service,
        images,
    };
    let served = runtime.block_on(serve(dir, &config, handle.clone(), large, ready));
    handle.stop();
    let ended = reactor.join();
    for socket in [dir.control_socket(), dir.hook_socket()] {
        if let Err(error) = std::fs::remove_file(&socket) {
            tracing::debug!(socket = %socket.display(), %error, "a socket was gone already");
        }
    }
    served.and(ended)
}

/// Writes what holds the directory's own path.
fn prepare(
    dir: &NodeDir,
    config: &Config,
    ledger: &Ledger,
    helper: &Helper,
) -> Result<(), NodeError> {
    let paths = HookPaths {
        hooks_dir: dir.hooks(),
        helper: helper.path().to_owned(),
        socket: dir.hook_socket(),
        node_dir: dir.root().to_owned(),
    };
    install(&paths).map_err(|error| NodeError::Refused(error.to_string()))?;
    ledger.write_config(&ConfigInput {
        hooks_path: dir.hooks(),
        allowed_signers_path: dir.allowed_signers(),
        max_input_bytes: config.push_bytes_max,
    })?;
    Ok(())
}

async fn serve(
    dir: &NodeDir,
    config: &Config,
    handle: Handle,
    large: Large,
    ready: impl FnOnce(&[String]),
) -> Result<(), NodeError> {
    let socket = dir.control_socket();
    let failed = |source| NodeError::io("listen on", &socket, source);
    let listener = gdo_hooks::socket::listen(&socket).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = UnixListener::from_std(listener).map_err(failed)?;
    // The CLI brings and takes large objects here: the daemon has the store.
    let api = control::router(handle.clone(), large.images.clone())
        .merge(control::chunks::router(large.store.clone()))
        .merge(lfs::router(&handle.name(), large.objects.for_operator()))
        .merge(registry::router(large.registry.for_operator()));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, api).await {
            tracing::error!(%error, "the control API ended");
        }
    });
    let name = handle.name();
    let mut urls = Vec::new();
    for address in &config.http_listen {
        urls.extend(listen_http(*address, dir, config, &name, &large).await?);
    }
    tokio::spawn(keep_cool(large.store.clone()));
    handle.serving(urls.clone());
    let mut stop = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tracing::info!(node = %config.name, ledger = %name, "ready");
    ready(&urls);
    tokio::select! {
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
        () = handle.ended() => {} // its error is what the caller gets
    }
    tracing::info!("stopping");
    Ok(())
}

/// Closes the chunk store whenever it has not been used for a while.
async fn keep_cool(objects: Objects) {
    loop {
        tokio::time::sleep(STORE_KEPT).await;
        let objects = objects.clone();
        if spawn_blocking(move || objects.cool(STORE_KEPT))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Serves git on one address. An address family that this machine lacks is passed over, and said.
async fn listen_http(
    address: SocketAddr,
    dir: &NodeDir,
    config: &Config,
    name: &str,
    large: &Large,
) -> Result<Option<String>, NodeError> {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if address.is_ipv6() && error.kind() == std::io::ErrorKind::AddrNotAvailable => {
            tracing::warn!(%address, "this machine has no IPv6; not listening there");
            return Ok(None);
        }
        Err(source) => {
            return Err(NodeError::Refused(format!(
                "cannot listen on {address}: {source}; set http.listen in {}",
                dir.config_file().display()
            )));
        }
    };
    let git = git_router(GitHttpConfig {
        name: name.to_owned(),
        repository: dir.ledger(),
        anonymous_read: config.http_anonymous_read,
        jobs_max: GIT_JOBS_MAX,
    });
    let bound = listener
        .local_addr()
        .map_err(|source| NodeError::io("serve", dir.root(), source))?;
    let hosts = Arc::new(config.http_hosts.clone());
    let routes = git
        .merge(lfs::router(name, large.objects.clone()))
        .merge(registry::router(large.registry.clone()));
    let routes = routes.layer(axum::middleware::from_fn_with_state(
        hosts,
        crate::http::host::check,
    ));
    tokio::spawn(http_serve::serve(listener, routes, Bounds::default()));
    Ok(Some(format!("http://{bound}/{name}.git")))
}
