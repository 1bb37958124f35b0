//! A real `sshd` on a loopback port, for one key whose login serves a node's git.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::org::Org;
use crate::program::{gdo, share};
use crate::seen::Seen;

const SSHD: &str = "/usr/sbin/sshd";

/// An `sshd` whose only key may do what `gdo serve-ssh-command` serves; ends when it is dropped.
#[derive(Debug)]
pub struct Sshd {
    _process: Running,
    home: PathBuf,
    port: u16,
    user: String,
}

impl Sshd {
    /// Serves the node of an organisation.
    ///
    /// # Panics
    /// sshd is missing or does not start.
    #[must_use]
    pub fn serving(org: &Org) -> Self {
        let home = org.temp().join("sshd");
        fs::create_dir(&home).expect("a new directory");
        let key = org.environment().make_key("login");
        let _ = org.environment().make_key("host");
        let public = fs::read_to_string(key).expect("just made");
        let line = format!(
            "restrict,command=\"GDO_SHARE='{}' {} serve-ssh-command --dir {}\" {public}",
            share().display(),
            gdo().display(),
            org.dir().display(),
        );
        fs::write(home.join("authorized_keys"), line).expect("the directory is ours");
        if fs::metadata("/proc/self").expect("Linux").uid() == 0 {
            // Debian makes it when the service starts; a root's sshd insists on it.
            fs::create_dir_all("/run/sshd").expect("root may");
            let private = fs::Permissions::from_mode(0o755);
            fs::set_permissions("/run/sshd", private).expect("root may");
        }
        let user = Seen::of(Command::new("id").arg("-un")).accepted().text;
        let keys = org.environment().home();
        // Another process may take the port between the choice and its use: then the next one.
        for _ in 0..20 {
            let port = free_port();
            if let Some(process) = start(&home, &keys.join("host"), port) {
                let host = fs::read_to_string(keys.join("host.pub")).expect("just made");
                let known = format!("[127.0.0.1]:{port} {host}");
                fs::write(home.join("known_hosts"), known).expect("the directory is ours");
                return Self {
                    _process: process,
                    home: keys.to_owned(),
                    port,
                    user,
                };
            }
        }
        panic!("sshd found no port to listen on");
    }

    /// The URL of a path behind the login.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("ssh://{}@127.0.0.1:{}/{path}", self.user, self.port)
    }

    /// The client for `core.sshCommand`.
    #[must_use]
    pub fn client(&self, org: &Org) -> String {
        format!(
            "ssh -F none -T -i {}/login -o IdentitiesOnly=yes -o BatchMode=yes \
             -o UserKnownHostsFile={}/sshd/known_hosts -o StrictHostKeyChecking=yes",
            self.home.display(),
            org.temp().display()
        )
    }
}

/// A process that ends with the test.
#[derive(Debug)]
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
fn start(home: &Path, host_key: &Path, port: u16) -> Option<Running> {
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\n\
         AuthorizedKeysFile {}/authorized_keys\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nAcceptEnv GIT_PROTOCOL\n",
        host_key.display(),
        home.display()
    );
    let file = home.join("sshd_config");
    fs::write(&file, config).expect("the directory is ours");
    let mut command = Command::new(SSHD);
    command
        .args(["-D", "-e", "-f"])
        .arg(&file)
        .stderr(Stdio::piped());
    let process = command.spawn();
    let mut process = Running(process.expect("sshd must be installed; apt install openssh-server"));
    let mut log = BufReader::new(process.0.stderr.take().expect("it is piped"));
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
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = log.read_to_end(&mut rest);
    });
}
