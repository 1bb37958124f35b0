//! Asks a node over HTTP: on its control socket, or where a clone's remote is.
//!
//! Requests are HTTP/1.0, so that an answer ends where its connection does. No TLS: a node behind a
//! proxy is asked with other tools.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long a node may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// No line of a head is longer.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// Where a node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Web {
    /// `host:port`.
    Tcp(String),
    /// The control socket.
    Socket(PathBuf),
}

/// An answer, as far as its head.
pub struct Answer {
    /// The status, 200 for yes.
    pub code: u16,
    /// The rest of it.
    pub body: Box<dyn Read>,
}

impl Web {
    /// The node behind an `http://` address; `None` for any other one.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let host = url.strip_prefix("http://")?.split('/').next()?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        let host = match port {
            Some(Ok(_)) => host.to_owned(),
            _ => format!("{host}:80"),
        };
        Some(Self::Tcp(host))
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// Nobody answers, or not in HTTP.
    pub fn get(&self, path: &str) -> io::Result<Answer> {
        self.ask("GET", path)
    }

    /// Has something done that needs no more words than `path`.
    ///
    /// # Errors
    /// Nobody answers, or not in HTTP.
    pub fn post(&self, path: &str) -> io::Result<Answer> {
        self.ask("POST", path)
    }

    fn ask(&self, method: &str, path: &str) -> io::Result<Answer> {
        match self {
            Self::Socket(socket) => ask(gdo_hooks::socket::connect(socket)?, "gdo", method, path),
            Self::Tcp(host) => {
                let stream = TcpStream::connect(host)?;
                stream.set_read_timeout(Some(SILENCE))?;
                ask(stream, host, method, path)
            }
        }
    }
}

fn ask(
    mut stream: impl Read + Write + 'static,
    host: &str,
    method: &str,
    path: &str,
) -> io::Result<Answer> {
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    (&mut answer).take(LINE_BYTES_MAX).read_line(&mut line)?;
    let code = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let code = code.ok_or_else(|| io::Error::other(format!("{host} does not answer in HTTP")))?;
    while !matches!(line.as_str(), "\r\n" | "\n" | "") {
        line.clear();
        (&mut answer).take(LINE_BYTES_MAX).read_line(&mut line)?;
    }
    Ok(Answer {
        code,
        body: Box::new(answer),
    })
}

#[cfg(test)]
mod tests {
    use super::Web;

    #[test]
    fn the_host_of_an_address_is_found() {
        let tcp = |host: &str| Some(Web::Tcp(host.to_owned()));
        assert_eq!(Web::of_url("http://hub:7420/makers.git"), tcp("hub:7420"));
        assert_eq!(Web::of_url("http://alice@hub/makers.git"), tcp("hub:80"));
        assert_eq!(Web::of_url("http://[::1]:7420/x.git"), tcp("[::1]:7420"));
        for other in [
            "https://hub/x.git",
            "git@hub:x.git",
            "ssh://hub/x.git",
            "../x.git",
        ] {
            assert_eq!(Web::of_url(other), None, "{other}");
        }
    }
}
