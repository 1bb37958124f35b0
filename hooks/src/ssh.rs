//! The forced command of an SSH login: git for one ledger, and nothing else.
//!
//! `sshd` runs `gdo serve-ssh-command` for a key whose line in `authorized_keys` says
//! `restrict,command="gdo serve-ssh-command --dir <node>"`, and hands over what the client asked
//! for in `SSH_ORIGINAL_COMMAND`. That text is taken apart here by strict rules and never reaches
//! a shell. Who may push is not decided here: signatures decide.
//!
//! **Invariants**: what runs is one of git's three servers on the ledger's own path, never on a
//! path that a client sent; git's environment is built from nothing.

use std::env;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::error::SshError;
use crate::install::quote;
use crate::screen::printable;

/// How long a client of git-lfs may keep the answer, in seconds; nothing in it is secret.
const ANSWER_SECONDS: u32 = 3600;
/// The longest command that a client may send.
const COMMAND_BYTES_MAX: usize = 4096;
/// What git and its hooks may know of the login's environment.
const KEPT: [&str; 5] = [
    "PATH",
    "GIT_PROTOCOL",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "TMPDIR",
];

/// What a login serves.
#[derive(Debug, Clone)]
pub struct SshService {
    /// The name of the ledger: clients ask for `<name>.git`.
    pub name: String,
    /// The absolute path of the bare repository.
    pub ledger: PathBuf,
    /// The address of `<name>.git` over HTTP, which large files take; without a trailing slash.
    pub http_url: Option<String>,
}

/// One of git's servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitService {
    /// `git upload-pack`: clone, fetch and pull.
    UploadPack,
    /// `git receive-pack`: push.
    ReceivePack,
    /// `git upload-archive`: `git archive --remote`.
    UploadArchive,
}

impl GitService {
    const ALL: [Self; 3] = [Self::UploadPack, Self::ReceivePack, Self::UploadArchive];

    /// The name as git's command line has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
            Self::UploadArchive => "upload-archive",
        }
    }
}

/// What a login is allowed to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshAction {
    /// Become one of git's servers on the ledger.
    Git(GitService),
    /// Tell the client of git-lfs where large files are, in its JSON.
    Answer(String),
}

impl SshService {
    /// Decides what the client's command may do.
    ///
    /// # Errors
    /// No command, one that is not served, or one for another path; each names what is allowed.
    pub fn decide(&self, original: Option<&OsStr>) -> Result<SshAction, SshError> {
        let refuse = |text: &str| SshError::Command {
            got: printable(text).chars().take(200).collect(),
            allowed: self.allowed(),
        };
        let Some(original) = original.filter(|text| !text.is_empty()) else {
            return Err(SshError::Shell {
                allowed: self.allowed(),
            });
        };
        let Some(text) = original.to_str() else {
            return Err(refuse(&original.to_string_lossy()));
        };
        let words = split_words(text).ok_or_else(|| refuse(text))?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["git-lfs-authenticate", path, "download" | "upload"] => {
                self.check_path(path)?;
                self.lfs_answer().map(SshAction::Answer)
            }
            [command, path] => {
                let service = GitService::ALL
                    .into_iter()
                    .find(|service| command.strip_prefix("git-") == Some(service.as_str()))
                    .ok_or_else(|| refuse(text))?;
                self.check_path(path)?;
                Ok(SshAction::Git(service))
            }
            _ => Err(refuse(text)),
        }
    }

    /// Serves the command that `sshd` left in the environment; becomes git if it may.
    #[must_use]
    pub fn serve_main(&self) -> ExitCode {
        let original = env::var_os("SSH_ORIGINAL_COMMAND");
        match self.decide(original.as_deref()) {
            Ok(SshAction::Git(service)) => {
                let error = self.command(service, |name| env::var_os(name)).exec();
                eprintln!("gdo: cannot start git: {error}; is git installed?");
                ExitCode::from(3)
            }
            Ok(SshAction::Answer(text)) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("gdo: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn command(
        &self,
        service: GitService,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .envs(
                KEPT.iter()
                    .filter_map(|name| Some((name, environment(name)?))),
            )
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("LC_ALL", "C.UTF-8")
            .arg(service.as_str());
        if service == GitService::UploadPack {
            command.arg("--strict");
        }
        command.arg(&self.ledger);
        command
    }

    fn check_path(&self, path: &str) -> Result<(), SshError> {
        let expected = format!("{}.git", self.name);
        let relative = path.strip_prefix('/').unwrap_or(path);
        if relative == expected || OsStr::new(path) == self.ledger.as_os_str() {
            return Ok(());
        }
        Err(SshError::Path {
            got: printable(path).chars().take(200).collect(),
            expected,
        })
    }

    fn lfs_answer(&self) -> Result<String, SshError> {
        let url = self.http_url.as_ref().ok_or(SshError::NoHttp)?;
        let href = format!("{url}/info/lfs");
        let answer = serde_json::json!({
            "href": href,
            "header": {},
            "expires_in": ANSWER_SECONDS,
        });
        Ok(answer.to_string())
    }

    fn allowed(&self) -> String {
        let path = quote(OsStr::new(&format!("{}.git", self.name)));
        let path = String::from_utf8_lossy(&path).into_owned();
        let services = GitService::ALL.map(|service| format!("git-{} {path}", service.as_str()));
        format!("{}, git-lfs-authenticate {path}", services.join(", "))
    }
}

/// Whether a login asks for the address of large files, which is worth finding out only then.
#[must_use]
pub fn is_about_large_files() -> bool {
    let original = env::var_os("SSH_ORIGINAL_COMMAND");
    original.is_some_and(|text| text.to_string_lossy().starts_with("git-lfs-"))
}

/// The address among those that a node listens on which a login's client is sent to.
///
/// `connection` is what `sshd` says in `SSH_CONNECTION`: the client's address and port, then the
/// server's. The server's address as the client knows it wins, if the node listens there; else the
/// first one, which on loopback is right for the same machine and for a forwarded port.
#[must_use]
pub fn http_address(listen: &[SocketAddr], connection: Option<&str>) -> Option<SocketAddr> {
    let server: Option<IpAddr> = connection
        .and_then(|text| text.split(' ').nth(2))
        .and_then(|text| text.parse().ok());
    let usable = || listen.iter().filter(|address| address.port() != 0);
    let same = |address: &&SocketAddr| Some(address.ip()) == server;
    let everywhere = |address: &&SocketAddr| {
        address.ip().is_unspecified()
            && server.is_some_and(|ip| ip.is_ipv4() == address.ip().is_ipv4())
    };
    if let Some(address) = usable().find(same) {
        return Some(*address);
    }
    if let (Some(address), Some(ip)) = (usable().find(everywhere), server) {
        return Some(SocketAddr::new(ip, address.port()));
    }
    usable().next().copied()
}

/// Splits a command as clients of git write it: words of harmless characters, parts in single
/// quotes, and `\'` or `\!` between them. Everything else that a shell would interpret is refused.
fn split_words(text: &str) -> Option<Vec<String>> {
    if text.len() > COMMAND_BYTES_MAX {
        return None;
    }
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=~".contains(c);
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == ' ' {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match c {
            '\'' => loop {
                match chars.next()? {
                    '\'' => break,
                    '\0' | '\n' => return None,
                    inner => word.push(inner),
                }
            },
            '\\' => word.push(chars.next().filter(|c| matches!(c, '\'' | '!'))?),
            c if plain(c) => word.push(c),
            _ => return None,
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> SshService {
        SshService {
            name: "books".to_owned(),
            ledger: PathBuf::from("/srv/it's here/ledger.git"),
            http_url: Some("http://127.0.0.1:7420/books.git".to_owned()),
        }
    }

    fn decide(text: &str) -> Result<SshAction, SshError> {
        service().decide(Some(OsStr::new(text)))
    }

    #[test]
    fn gits_three_servers_are_served_for_every_form_of_the_path() {
        for (command, expected) in [
            ("git-upload-pack", GitService::UploadPack),
            ("git-receive-pack", GitService::ReceivePack),
            ("git-upload-archive", GitService::UploadArchive),
        ] {
            for path in [
                "'/books.git'",
                "'books.git'",
                "books.git",
                "/books.git",
                r"'/srv/it'\''s here/ledger.git'",
            ] {
                let text = format!("{command} {path}");
                assert_eq!(decide(&text), Ok(SshAction::Git(expected)), "{text}");
            }
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_is_allowed() {
        for text in [
            "sh",
            "git",
            "git upload-pack 'books.git'",
            "git-shell",
            "scp -t /",
            "git-upload-pack",
            "git-upload-pack 'books.git' 'x'",
            "git-upload-pack 'books.git",
            "git-upload-pack 'books.git'; id",
            "git-upload-pack 'books.git' && id",
            "git-upload-pack $(id)",
            "git-upload-pack `id`",
            "git-upload-pack \"books.git\"",
            "git-upload-pack books.git\nid",
            r"git-upload-pack \$x",
            "git-upload-pack 'a\nb'",
            "git-lfs-authenticate books.git",
            "git-lfs-authenticate books.git delete",
            "git-lfs-transfer books.git upload",
            "git-upload-pack -o x books.git",
            "-upload-pack x",
            "git-upload-pack 'books.git' | sh",
            "git-upload-pack\tbooks.git",
            "git-credential books.git",
        ] {
            let error = decide(text).expect_err(text);
            assert!(matches!(error, SshError::Command { .. }), "{text}: {error}");
            let message = error.to_string();
            assert!(
                message.contains("allowed is git-upload-pack books.git"),
                "{message}"
            );
        }
        let long = format!("git-upload-pack '{}'", "a".repeat(COMMAND_BYTES_MAX));
        assert!(matches!(decide(&long), Err(SshError::Command { .. })));
    }

    #[test]
    fn other_paths_are_refused_by_name() {
        for path in [
            "'/'",
            "''",
            "'../books.git'",
            "'/x/books.git'",
            "'books'",
            "'books.git/'",
            "'~/books.git'",
            "'//books.git'",
            "'--help'",
            "'/srv/it'",
            "'books.git\t'",
        ] {
            let error = decide(&format!("git-upload-pack {path}")).expect_err(path);
            let message = error.to_string();
            assert!(
                message.contains("this login serves 'books.git'"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_login_without_a_command_is_told_there_is_no_shell() {
        for original in [None, Some(OsStr::new(""))] {
            let error = service().decide(original).expect_err("a shell");
            assert!(error.to_string().contains("has no shell"), "{error}");
        }
    }

    #[test]
    fn large_files_are_sent_to_http() {
        let expected =
            r#"{"expires_in":3600,"header":{},"href":"http://127.0.0.1:7420/books.git/info/lfs"}"#;
        for operation in ["download", "upload"] {
            let text = format!("git-lfs-authenticate books.git {operation}");
            assert_eq!(decide(&text), Ok(SshAction::Answer(expected.to_owned())));
        }
        let offline = SshService {
            http_url: None,
            ..service()
        };
        let text = OsStr::new("git-lfs-authenticate '/books.git' download");
        assert_eq!(offline.decide(Some(text)), Err(SshError::NoHttp));
    }

    #[test]
    fn large_files_are_where_the_client_came_to_if_the_node_listens_there() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let here = Some("192.0.2.7 50000 192.0.2.1 22");
        for (listen, connection, expected) in [
            (
                &["127.0.0.1:7420", "[::1]:7420"][..],
                None,
                Some("127.0.0.1:7420"),
            ),
            (&["127.0.0.1:7420"], here, Some("127.0.0.1:7420")),
            (
                &["127.0.0.1:7420", "192.0.2.1:80"],
                here,
                Some("192.0.2.1:80"),
            ),
            (&["[::]:1", "0.0.0.0:7420"], here, Some("192.0.2.1:7420")),
            (
                &["0.0.0.0:7420"],
                Some("::1 5 ::1 22"),
                Some("0.0.0.0:7420"),
            ),
            (
                &["127.0.0.1:0", "127.0.0.1:5"],
                Some("nonsense"),
                Some("127.0.0.1:5"),
            ),
            (&["127.0.0.1:0"], here, None),
            (&[], here, None),
        ] {
            let listen: Vec<SocketAddr> = listen.iter().map(|text| address(text)).collect();
            let found = http_address(&listen, connection);
            assert_eq!(found, expected.map(address), "{listen:?} {connection:?}");
        }
    }

    #[test]
    fn git_gets_a_clean_environment_and_the_ledgers_own_path() {
        let client = |name: &str| match name {
            "GIT_PROTOCOL" => Some(OsString::from("version=2")),
            "PATH" => Some(OsString::from("/usr/bin")),
            _ => None,
        };
        let command = service().command(GitService::UploadPack, client);
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(
            arguments,
            ["upload-pack", "--strict", "/srv/it's here/ledger.git"]
        );
        let mut names: Vec<_> = command.get_envs().map(|(name, _)| name).collect();
        names.sort_unstable();
        let expected = [
            "GIT_CONFIG_GLOBAL",
            "GIT_CONFIG_NOSYSTEM",
            "GIT_PROTOCOL",
            "LC_ALL",
            "PATH",
        ];
        assert_eq!(names, expected);
    }
}
