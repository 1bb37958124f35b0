//! The routes of large files and images over a ledger without members, and a client of plain sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gdo_core::id::Digest;
use gdo_ledger::{Ledger, ObjectFormat};
use gdo_node::config::Config;
use gdo_node::dir::NodeDir;
use gdo_node::http::registry::Registry;
use gdo_node::http::serve::{Bounds, serve};
use gdo_node::http::service::ObjectService;
use gdo_node::http::transfer::Patience;
use gdo_node::http::{host, lfs, registry};
use gdo_node::images::Images;
use gdo_node::objects::Objects;
use gdo_node::refs::Refs;
use sha2::Digest as _;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// What a test may want otherwise.
pub(crate) struct Setting {
    pub(crate) staging_mib_max: u64,
    pub(crate) anonymous_read: bool,
    pub(crate) patience: Patience,
    pub(crate) session_idle_max: Duration,
    pub(crate) bounds: Bounds,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            staging_mib_max: 64,
            anonymous_read: true,
            patience: Patience::default(),
            session_idle_max: Duration::from_secs(60),
            bounds: Bounds::default(),
        }
    }
}

/// A node's objects and images behind the routers, served from a thread.
pub(crate) struct Server {
    pub(crate) objects: Objects,
    pub(crate) images: Images,
    pub(crate) dir: NodeDir,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _temp: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(Setting::default())
    }

    pub(crate) fn with(setting: Setting) -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let dir = NodeDir::create(temp.path().join("node")).expect("new");
        let ledger = Ledger::create(&dir.ledger(), ObjectFormat::Sha256).expect("new");
        let ledger = Arc::new(ledger);
        let text = format!(
            "name = \"hub\"\nhttp.staging_mib_max = {}\n",
            setting.staging_mib_max
        );
        std::fs::write(dir.config_file(), text).expect("the directory is ours");
        let config = Config::read(&dir.config_file()).expect("valid");
        let objects = Objects::new(&dir, &config, Arc::clone(&ledger));
        let refs = Refs::new("main");
        let images = Images::new(&dir, &refs, Arc::clone(&ledger), objects.clone());
        let service = ObjectService::new(objects.clone(), setting.anonymous_read, setting.patience);
        let images_api = Registry::new(images.clone(), service.clone())
            .with_session_idle_max(setting.session_idle_max);
        let routes = lfs::router("books", service)
            .merge(registry::router(images_api))
            .layer(axum::middleware::from_fn_with_state(
                host::Hosts::default(),
                host::check,
            ));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback interface");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .max_blocking_threads(gdo_node::daemon::BLOCKING_THREADS_MAX)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                listener.set_nonblocking(true).expect("a socket of ours");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
                tokio::select! {
                    () = serve(listener, routes, setting.bounds) => {}
                    _ = stopped => {}
                }
            });
        });
        let server = Self {
            objects,
            images,
            dir,
            address,
            stop: Some(stop),
            thread: Some(thread),
            _temp: temp,
        };
        server.commit(&[("a.md", b"hello\n".to_vec())]);
        server
    }

    /// Makes a tree of these files the newest checkpoint.
    pub(crate) fn commit(&self, files: &[(&str, Vec<u8>)]) {
        let work = self.dir.root().join("work");
        std::fs::create_dir_all(&work).expect("the directory is ours");
        for (path, content) in files {
            let file = work.join(path);
            std::fs::create_dir_all(file.parent().expect("below it")).expect("ours");
            std::fs::write(file, content).expect("ours");
        }
        let git = |words: &[&str]| {
            let output = Command::new("git")
                .args(words)
                .env("GIT_DIR", self.dir.ledger())
                .env("GIT_WORK_TREE", &work)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .current_dir(&work)
                .output()
                .expect("git must be installed");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "git {words:?}: {said}");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        git(&["add", "-A", "-f", "."]);
        let tree = git(&["write-tree"]);
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"];
        let words = [&who[..], &["commit-tree", "-m", "x", &tree]].concat();
        let commit = git(&words);
        git(&["update-ref", "refs/heads/main", &commit]);
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).expect("a socket");
        stream
    }

    /// Makes a request with a body of its length.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let length = format!("Content-Length: {}", body.len());
        let headers = [headers, &[&length]].concat();
        let mut stream = self.connect();
        stream
            .write_all(&head(method, path, &headers))
            .expect("the server reads");
        // The answer may come before all is sent.
        let _ = stream.write_all(body);
        Answer::read(stream)
    }

    /// Asks for something large; gives the hash of the body, which is not kept.
    pub(crate) fn hash(&self, path: &str) -> Digest {
        let mut stream = self.connect();
        stream
            .write_all(&head("GET", path, &[]))
            .expect("the server reads");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("the server answers");
            head.extend_from_slice(&byte);
        }
        let mut hash = sha2::Sha256::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            match stream.read(&mut piece).expect("the server answers") {
                0 => break,
                read => hash.update(&piece[..read]),
            }
        }
        Digest::from_bytes(hash.finalize().into())
    }

    /// Asks for something.
    pub(crate) fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.ask("GET", path, headers, b"")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let stopped = self.thread.take().expect("dropped once").join();
        assert!(
            stopped.is_ok() || thread::panicking(),
            "the server panicked"
        );
    }
}

/// The head of a request; a header `Host` of the caller's replaces the usual one.
pub(crate) fn head(method: &str, path: &str, headers: &[&str]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        text.push_str("Host: 127.0.0.1\r\n");
    }
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the client was told to send its body.
    pub(crate) was_continued: bool,
}

impl Answer {
    /// Reads an answer until the server closes.
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut raw = Vec::new();
        let read = stream.read_to_end(&mut raw);
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer ({read:?}): {}", raw.escape_ascii()));
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status: u16 = status.and_then(|code| code.parse().ok()).expect("a status");
        if status == 100 {
            // What follows is the answer proper.
            let mut answer = Self::parse(&raw[end + 4..]);
            answer.was_continued = true;
            return answer;
        }
        Self::parse(&raw)
    }

    fn parse(raw: &[u8]) -> Self {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", raw.escape_ascii()));
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Self {
            status: status.and_then(|code| code.parse().ok()).expect("a status"),
            headers: headers.collect(),
            body: raw[end + 4..].to_vec(),
            was_continued: false,
        }
    }

    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Requires a status and gives the answer.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// Bytes that do not compress, others for each seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ seed.wrapping_mul(0x2545_F491_4F6C_DD1D);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// `sha256:<hex>` of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}
