//! Stock git against the daemon's smart HTTP, over a plain bare repository.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use gdo_node::http::git::{GitHttpConfig, router};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A bare repository behind the router, served from a thread.
struct Server {
    temp: TempDir,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(jobs_max: usize) -> Self {
        Self::configured(jobs_max, true)
    }

    fn configured(jobs_max: usize, anonymous_read: bool) -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let ledger = temp.path().join("ledger.git");
        run(
            temp.path(),
            &[
                "init",
                "-q",
                "--bare",
                "-b",
                "main",
                "--object-format=sha256",
                "ledger.git",
            ],
        );
        run(&ledger, &["config", "http.receivepack", "true"]);
        run(&ledger, &["config", "gc.auto", "0"]);
        let tree = run(&ledger, &["mktree"]);
        let commit = run(&ledger, &["commit-tree", "-m", "genesis", &tree]);
        run(&ledger, &["update-ref", "refs/heads/main", &commit]);
        let config = GitHttpConfig {
            name: "books".to_owned(),
            repository: ledger,
            anonymous_read,
            jobs_max,
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback interface");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                listener.set_nonblocking(true).expect("a socket of ours");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
                let service = router(config).into_make_service_with_connect_info::<SocketAddr>();
                tokio::select! {
                    served = axum::serve(listener, service) => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
        });
        Self {
            temp,
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn url(&self) -> String {
        format!("http://{}/books.git", self.address)
    }

    fn ledger(&self) -> PathBuf {
        self.temp.path().join("ledger.git")
    }

    fn clone(&self, name: &str) -> PathBuf {
        let path = self.temp.path().join(name);
        run(
            self.temp.path(),
            &["clone", "-q", &self.url(), &path.to_string_lossy()],
        );
        path
    }

    fn hook(&self, name: &str, script: &str) {
        let path = self.ledger().join("hooks").join(name);
        fs::create_dir_all(path.parent().expect("in a directory")).expect("our directory");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("our directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our file");
    }

    /// Sends bytes and gives what comes back until the server closes.
    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server answers");
        String::from_utf8_lossy(&answer).into_owned()
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

fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("tests need a PATH"))
        .env("HOME", directory)
        .env("LC_ALL", "C.UTF-8")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "alice")
            .env(format!("GIT_{role}_EMAIL"), "alice@example.invalid")
            .env(format!("GIT_{role}_DATE"), "1700000000 +0000");
    }
    command
}

fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .expect("git must be installed")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = output(git(directory).args(arguments));
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        stderr(&output)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn commit(clone: &Path, file: &str, content: &[u8]) -> String {
    fs::write(clone.join(file), content).expect("the clone is ours");
    run(clone, &["add", file]);
    run(clone, &["commit", "-q", "-m", file]);
    run(clone, &["rev-parse", "HEAD"])
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
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

#[test]
fn stock_git_clones_pushes_and_pulls_with_protocol_two() {
    let server = Server::start(4);
    let alice = server.clone("alice");
    let bob = server.clone("bob");
    let tip = commit(&alice, "a.txt", b"a");
    run(&alice, &["push", "-q", "origin", "main"]);
    assert_eq!(run(&server.ledger(), &["rev-parse", "main"]), tip);
    assert_eq!(tip.len(), 64, "the repository has SHA-256 ids");

    let pull = output(git(&bob).args(["pull", "-q"]).env("GIT_TRACE_PACKET", "1"));
    let trace = stderr(&pull);
    assert!(pull.status.success(), "{trace}");
    assert!(trace.contains("< version 2"), "{trace}");
    assert_eq!(run(&bob, &["rev-parse", "HEAD"]), tip);
    run(&server.ledger(), &["fsck", "--strict"]);

    let old = ["-c", "protocol.version=0", "ls-remote", "origin"];
    assert!(run(&bob, &old).contains(&tip));
}

#[test]
fn hooks_see_the_clients_address_and_nothing_else_of_the_client() {
    let server = Server::start(4);
    let seen = server.temp.path().join("environment");
    server.hook("pre-receive", &format!("env > '{}'", seen.display()));
    let alice = server.clone("alice");
    commit(&alice, "a.txt", b"a");
    let url = format!("http://root:secret@{}/books.git", server.address);
    let spoof = [
        "-c",
        "http.extraHeader=Remote-User: root",
        "push",
        "-q",
        &url,
        "main",
    ];
    run(&alice, &spoof);
    let seen = fs::read_to_string(seen).expect("the hook ran");
    let value = |name: &str| seen.lines().find_map(|line| line.strip_prefix(name));
    assert_eq!(value("REMOTE_ADDR="), Some("127.0.0.1"), "{seen}");
    assert_eq!(value("REMOTE_USER="), None);
    assert_eq!(value("GIT_CONFIG_GLOBAL="), Some("/dev/null"));
    assert_eq!(value("HOME="), None);
    assert!(!seen.contains("secret"), "{seen}");
}

/// A field of this process's memory, in KiB.
fn memory_kib(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let value = line
        .expect("the kernel tells")
        .trim_end_matches("kB")
        .trim();
    value.parse().expect("a number")
}

#[test]
fn large_packs_stream_in_both_directions_without_being_held() {
    const BYTES: usize = 64 << 20;
    let server = Server::start(4);
    // Else git compresses the content anew, which takes most of the time.
    run(&server.ledger(), &["config", "receive.unpackLimit", "1"]);
    let alice = server.clone("alice");
    run(&alice, &["config", "core.compression", "0"]);
    let content = noise(BYTES);
    let tip = commit(&alice, "large.bin", &content);
    drop(content);
    let before = memory_kib("VmRSS:");
    // Starts the record of the highest use anew.
    fs::write("/proc/self/clear_refs", "5").expect("our own process");

    let fast = ["-c", "core.compression=0"];
    run(
        &alice,
        &[&fast[..], &["push", "-q", "origin", "main"]].concat(),
    );
    assert_eq!(run(&server.ledger(), &["rev-parse", "main"]), tip);
    let copy = server.clone("copy");
    let length = fs::metadata(copy.join("large.bin"))
        .expect("it was cloned")
        .len();
    assert_eq!(length, BYTES as u64);

    let grown = memory_kib("VmHWM:").saturating_sub(before);
    assert!(
        grown < BYTES / 1024 / 3,
        "the server's memory grew by {grown} KiB"
    );
}

#[test]
fn compressed_requests_pass_through() {
    let server = Server::start(4);
    let alice = server.clone("alice");
    let bob = server.clone("bob");
    for number in 0..40 {
        run(
            &bob,
            &["commit", "-q", "--allow-empty", "-m", &number.to_string()],
        );
    }
    commit(&alice, "a.txt", b"a");
    run(&alice, &["push", "-q", "origin", "main"]);
    let fetch = output(git(&bob).args(["fetch", "-q"]).env("GIT_TRACE_CURL", "1"));
    let trace = stderr(&fetch);
    assert!(fetch.status.success(), "{trace}");
    let sent = trace.to_ascii_lowercase();
    assert!(
        sent.contains("=> send header: content-encoding: gzip"),
        "{trace}"
    );
    assert_eq!(
        run(&bob, &["rev-parse", "origin/main"]),
        run(&alice, &["rev-parse", "main"])
    );
}

#[test]
fn progress_of_a_push_is_shown_while_it_lasts() {
    let server = Server::start(4);
    let gate = server.temp.path().join("gate");
    let made = Command::new("mkfifo")
        .arg(&gate)
        .status()
        .expect("coreutils");
    assert!(made.success());
    let script = format!(
        "echo first >&2; read word < '{}'; echo \"$word\" >&2",
        gate.display()
    );
    server.hook("pre-receive", &script);
    let alice = server.clone("alice");
    commit(&alice, "a.txt", b"a");
    let mut client = git(&alice)
        .args(["push", "origin", "main"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git must be installed");
    let mut lines = BufReader::new(client.stderr.take().expect("it is a pipe")).lines();
    let mut shows = |text: &str| {
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with(text)));
        assert!(line.is_some(), "the push ended without '{text}'");
    };
    shows("remote: first");
    fs::write(&gate, "second\n").expect("the hook waits for it");
    shows("remote: second");
    assert!(client.wait().expect("it was started here").success());
}

#[test]
fn a_killed_client_takes_its_processes_along() {
    let server = Server::start(1);
    // Whoever has the pipe open for writing is still running.
    let pipe = server.temp.path().join("alive");
    let made = Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .expect("coreutils");
    assert!(made.success());
    let script = format!(
        "exec 9> '{}'; echo working >&9; exec sleep 600",
        pipe.display()
    );
    server.hook("pre-receive", &script);
    let alice = server.clone("alice");
    commit(&alice, "a.txt", b"a");
    let mut client = git(&alice)
        .args(["push", "-q", "origin", "main"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("git must be installed");
    let mut pipe = fs::File::open(&pipe).expect("the hook opens it too");
    let mut said = [0; 8];
    pipe.read_exact(&mut said)
        .expect("the hook says it is at work");
    assert_eq!(&said, b"working\n");
    // The transport is a child of git push: the connection is closed when that is gone.
    kill_tree(client.id());
    client.wait().expect("it was started here");

    let mut rest = Vec::new();
    pipe.read_to_end(&mut rest).expect("the hook dies");
    assert_eq!(rest, b"");
    // The only turn is free again. Git leaves the quarantine of a killed push for its own prune.
    run(&alice, &["ls-remote", "-q", "origin"]);
    let main = run(&server.ledger(), &["rev-parse", "main"]);
    assert_ne!(main, run(&alice, &["rev-parse", "main"]));
}

/// Kills a process that was started here and what it started in turn.
fn kill_tree(id: u32) {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    for child in children.unwrap_or_default().split_whitespace() {
        kill_tree(child.parse().expect("the kernel lists numbers"));
    }
    let id = i32::try_from(id).expect("process ids are small");
    // It may have followed its child already, so the outcome does not matter.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::SIGKILL);
}

#[test]
fn a_half_sent_push_leaves_nothing_and_frees_its_turn() {
    let server = Server::start(1);
    let alice = server.clone("alice");
    let before = run(&server.ledger(), &["for-each-ref"]);
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    let head = "POST /books.git/git-receive-pack HTTP/1.1\r\nHost: x\r\n\
                Content-Type: application/x-git-receive-pack-request\r\n\
                Transfer-Encoding: chunked\r\n\r\n6\r\n00c0ab\r\n";
    stream.write_all(head.as_bytes()).expect("the server reads");
    // The answer's head comes while the request is still being sent.
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("the server answers");
    assert_eq!(&first, b"HTTP/1.1 200");
    drop(stream);
    run(&alice, &["ls-remote", "-q", "origin"]);
    assert_eq!(run(&server.ledger(), &["for-each-ref"]), before);
}

#[test]
fn a_push_over_the_size_limit_reads_why() {
    let server = Server::start(4);
    run(&server.ledger(), &["config", "receive.maxInputSize", "1m"]);
    let alice = server.clone("alice");
    commit(&alice, "large.bin", &noise(8 << 20));
    let push = output(git(&alice).args(["push", "origin", "main"]));
    let text = stderr(&push);
    assert!(!push.status.success(), "{text}");
    assert!(text.contains("pack exceeds maximum allowed size"), "{text}");
}

#[test]
fn readers_are_refused_in_words_when_reading_is_not_anonymous() {
    let server = Server::configured(4, false);
    let clone = output(git(server.temp.path()).args(["clone", &server.url(), "x"]));
    let text = stderr(&clone);
    assert!(!clone.status.success());
    assert!(
        text.contains("remote: gdo: this node serves no readers over HTTP"),
        "{text}"
    );
    assert!(text.contains("403"), "{text}");
    let post = server.raw(
        "POST /books.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: 0\r\n\r\n",
    );
    assert!(post.starts_with("HTTP/1.1 403"), "{post}");

    // Writing stays: signatures decide.
    let alice = server.temp.path().join("alice");
    let ledger = server.ledger();
    run(
        server.temp.path(),
        &[
            "clone",
            "-q",
            &ledger.to_string_lossy(),
            &alice.to_string_lossy(),
        ],
    );
    let tip = commit(&alice, "a.txt", b"a");
    run(&alice, &["push", "-q", &server.url(), "main"]);
    assert_eq!(run(&ledger, &["rev-parse", "main"]), tip);
}

#[test]
fn only_the_three_routes_of_smart_http_are_there() {
    let server = Server::start(4);
    let cases = [
        ("GET /books.git/info/refs", "403"),
        ("GET /books.git/info/refs?service=git-upload-archive", "403"),
        (
            "GET /books.git/info/refs?service=git-receive-pack&service=git-upload-pack",
            "403",
        ),
        ("GET /books.git/HEAD", "404"),
        ("GET /books.git/config", "404"),
        ("GET /books.git/objects/info/packs", "404"),
        ("GET /books.git/../ledger.git/config", "404"),
        ("GET /other.git/info/refs?service=git-upload-pack", "404"),
        ("GET /books.git/git-upload-pack", "405"),
        ("PUT /books.git/git-receive-pack", "405"),
        ("POST /books.git/git-upload-pack", "415"),
    ];
    for (request, status) in cases {
        let answer = server.raw(&format!(
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        ));
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{request}: {answer}");
    }
}

#[test]
fn more_clients_than_turns_wait_and_are_all_served() {
    let server = Server::start(2);
    thread::scope(|scope| {
        for number in 0..16 {
            let server = &server;
            scope.spawn(move || server.clone(&format!("clone-{number}")));
        }
    });
}
