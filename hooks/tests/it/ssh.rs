//! The forced command behind a real `sshd` on a loopback port.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread;

use gdo_core::hook::Request;

use crate::client::{Clone, Seen, git, run};
use crate::daemon::Daemon;
use crate::node::{Node, PROGRAM};

const SSHD: &str = "/usr/sbin/sshd";

/// An `sshd` for one key of the current user; stopped at the end.
struct Sshd {
    _process: Running,
    home: PathBuf,
    port: u16,
    user: String,
}

impl Sshd {
    fn serving(node: &Node) -> Self {
        let home = node.temp().join("ssh");
        fs::create_dir(&home).expect("a new directory");
        for key in ["host", "client"] {
            let status = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"])
                .arg(home.join(key))
                .status()
                .expect("ssh-keygen must be installed (openssh-client)");
            assert!(status.success());
        }
        let public = fs::read_to_string(home.join("client.pub")).expect("just made");
        let ledger = node.ledger();
        let line = format!(
            "restrict,command=\"{PROGRAM} serve-ssh-command books {} http://127.0.0.1:7420/books.git\" {public}",
            ledger.display()
        );
        fs::write(home.join("authorized_keys"), line).expect("the directory is ours");
        if fs::metadata("/proc/self").expect("Linux").uid() == 0 {
            // Debian makes it when the service starts; a root's sshd insists on it.
            fs::create_dir_all("/run/sshd").expect("root may");
            let private = fs::Permissions::from_mode(0o755);
            fs::set_permissions("/run/sshd", private).expect("root may");
        }
        let user = Command::new("id").arg("-un").output().expect("coreutils");
        let user = String::from_utf8(user.stdout)
            .expect("a name")
            .trim()
            .to_owned();
        // Another process may take the port between the choice and its use: then the next one.
        for _ in 0..20 {
            let port = free_port();
            if let Some(process) = start(&home, port) {
                let host = fs::read_to_string(home.join("host.pub")).expect("just made");
                let known = format!("[127.0.0.1]:{port} {host}");
                fs::write(home.join("known_hosts"), known).expect("the directory is ours");
                return Self {
                    _process: process,
                    home,
                    port,
                    user,
                };
            }
        }
        panic!("sshd found no port to listen on");
    }

    fn url(&self, path: &str) -> String {
        format!("ssh://{}@127.0.0.1:{}{path}", self.user, self.port)
    }

    fn client(&self) -> String {
        let home = self.home.display();
        format!(
            "ssh -F none -T -i {home}/client -o IdentitiesOnly=yes -o BatchMode=yes \
             -o UserKnownHostsFile={home}/known_hosts -o StrictHostKeyChecking=yes"
        )
    }

    fn git(&self, directory: &Path) -> Command {
        let mut command = git(directory);
        command.env("GIT_SSH_COMMAND", self.client());
        command
    }

    /// Runs a command through the login, as `ssh` does.
    fn ssh(&self, command: &[&str]) -> Output {
        let client = self.client();
        let mut words = client.split_ascii_whitespace();
        Command::new(words.next().expect("ssh"))
            .args(words)
            .args(["-p", &self.port.to_string(), "-l", &self.user, "127.0.0.1"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("ssh must be installed (openssh-client)")
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback interface");
    listener.local_addr().expect("it is bound").port()
}

/// Starts `sshd` and waits until it listens; `None` if the port was taken.
fn start(home: &Path, port: u16) -> Option<Running> {
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nPidFile none\n\
         AuthorizedKeysFile {home}/authorized_keys\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nAcceptEnv GIT_PROTOCOL\n\
         Subsystem sftp internal-sftp\n",
        home = home.display()
    );
    let file = home.join("sshd_config");
    fs::write(&file, config).expect("the directory is ours");
    let process = Command::new(SSHD)
        .args(["-D", "-e", "-f"])
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn();
    let mut process = Running(process.expect("sshd must be installed (openssh-server)"));
    let mut log = BufReader::new(process.0.stderr.take().expect("it is a pipe"));
    let mut said = String::new();
    loop {
        let at = said.len();
        if log.read_line(&mut said).expect("sshd writes text") == 0 {
            assert!(said.contains("already in use"), "sshd: {said}");
            return None;
        }
        if said[at..].contains("Server listening on 127.0.0.1") {
            drain(log);
            return Some(process);
        }
    }
}

/// Reads the rest of the log, so that `sshd` never blocks on it.
fn drain(mut log: BufReader<ChildStderr>) {
    thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = log.read_to_end(&mut rest);
    });
}

#[test]
fn git_clones_pushes_and_archives_over_ssh() {
    let node = Node::new();
    let daemon = Daemon::node(&node.socket(), node.ledger());
    let sshd = Sshd::serving(&node);
    let path = node.temp().join("alice");
    let output = sshd
        .git(node.temp())
        .args(["clone", &sshd.url("/books.git"), &path.to_string_lossy()])
        .env("GIT_TRACE_PACKET", "1")
        .output()
        .expect("git must be installed");
    let seen = Seen::from(output);
    assert!(seen.ok, "{}", seen.text);
    seen.assert_shows("clone< version 2");

    let clone = Clone { path };
    let tip = clone.commit("a.txt", "a");
    let push = |arguments: &[&str]| -> Seen {
        let mut command = sshd.git(&clone.path);
        command.arg("push").args(arguments);
        command.output().expect("git must be installed").into()
    };
    let seen = push(&["-o", "topic=t1", "origin", "HEAD:refs/for/main"]);
    assert!(seen.ok, "{}", seen.text);
    seen.assert_shows(&format!("HEAD -> refs/gdo/main/proposals/{tip}"));
    seen.assert_shows("remote: gdo: proposal ");
    let requests = daemon.requests();
    let Request::PreReceive(push_seen) = &requests[0] else {
        panic!("pre-receive comes first: {requests:?}");
    };
    assert_eq!(push_seen.pusher.address.as_deref(), Some("127.0.0.1"));
    assert_eq!(push_seen.options, ["topic=t1"]);

    for path in [
        "/books.git".to_owned(),
        node.ledger().to_string_lossy().into_owned(),
    ] {
        let archive = sshd
            .git(node.temp())
            .args([
                "archive",
                "--format=tar",
                "--remote",
                &sshd.url(&path),
                "main",
            ])
            .output()
            .expect("git must be installed");
        let text = String::from_utf8_lossy(&archive.stderr);
        assert!(archive.status.success(), "{text}");
        assert!(!archive.stdout.is_empty());
    }
}

#[test]
fn a_login_serves_nothing_but_git_and_the_address_of_large_files() {
    let node = Node::new();
    let sshd = Sshd::serving(&node);
    let pwned = node.temp().join("pwned");
    let touch = format!("git-upload-pack 'books.git'; touch {}", pwned.display());
    let cases: [(&[&str], &str); 8] = [
        (&[], "this login serves git only"),
        (&["sh"], "bad command 'sh'"),
        (&["ls", "/"], "bad command 'ls /'"),
        (&[&touch], "bad command 'git-upload-pack 'books.git'; touch"),
        (
            &["git-upload-pack", "'/etc'"],
            "no repository '/etc' here: this login serves 'books.git'",
        ),
        (&["git-upload-pack", "'../books.git'"], "no repository"),
        (
            &["git-lfs-transfer", "books.git", "upload"],
            "allowed is git-upload-pack books.git",
        ),
        // sshd drops what a subsystem says on standard error.
        (&["-s", "sftp"], ""),
    ];
    for (command, message) in cases {
        let output = sshd.ssh(command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{command:?} was served");
        assert_eq!(output.stdout, b"", "{command:?}");
        assert!(stderr.contains(message), "{command:?}: {stderr}");
    }
    assert!(!pwned.exists());

    let output = sshd.ssh(&["git-lfs-authenticate", "/books.git", "download"]);
    let expected = "{\"expires_in\":3600,\"header\":{},\"href\":\"http://127.0.0.1:7420/books.git/info/lfs\"}\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    let references = run(&node.ledger(), &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(references, "refs/heads/main");
}
