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
/// No line of a head is longer, nor is what a refusal says.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// What is sent at once.
const PIECE_BYTES: usize = 256 << 10;

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
        self.ask("GET", path, 0, &mut io::empty())
    }

    /// Has something done that needs no more words than `path`.
    ///
    /// # Errors
    /// Nobody answers, or not in HTTP.
    pub fn post(&self, path: &str) -> io::Result<Answer> {
        self.ask("POST", path, 0, &mut io::empty())
    }

    /// Asks something in so many words.
    ///
    /// # Errors
    /// Nobody answers, or not in HTTP.
    pub fn post_text(&self, path: &str, text: &str) -> io::Result<Answer> {
        self.ask("POST", path, text.len() as u64, &mut text.as_bytes())
    }

    /// Sends `bytes` bytes of `body` to `path`.
    ///
    /// # Errors
    /// Nobody answers, or not in HTTP, or the body cannot be read or is shorter.
    pub fn put(&self, path: &str, bytes: u64, body: &mut dyn Read) -> io::Result<Answer> {
        self.ask("PUT", path, bytes, body)
    }

    /// Has `path` removed.
    ///
    /// # Errors
    /// Nobody answers, or not in HTTP.
    pub fn delete(&self, path: &str) -> io::Result<Answer> {
        self.ask("DELETE", path, 0, &mut io::empty())
    }

    fn ask(&self, method: &str, path: &str, bytes: u64, body: &mut dyn Read) -> io::Result<Answer> {
        let head = |host: &str| {
            format!(
                "{method} {path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\nContent-Length: {bytes}\r\n\r\n"
            )
        };
        let body = body.take(bytes);
        match self {
            Self::Socket(socket) => {
                exchange(gdo_hooks::socket::connect(socket)?, &head("gdo"), body)
            }
            Self::Tcp(host) => {
                let stream = TcpStream::connect(host)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(SILENCE))?;
                exchange(stream, &head(host), body)
            }
        }
    }
}

impl Answer {
    /// The text of an answer, as far as it is of use to people.
    pub fn text(self) -> String {
        let mut text = String::new();
        // What cannot be read is not said.
        let _ = self.body.take(LINE_BYTES_MAX).read_to_string(&mut text);
        let said: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let said = said.and_then(|said| said["message"].as_str().map(str::to_owned));
        said.unwrap_or_else(|| text.trim().to_owned())
    }

    /// What an answer that is no success says, for people.
    pub fn reason(self) -> String {
        let code = self.code;
        format!("it answered {code}: {}", self.text())
    }
}

/// Sends a request and reads the head of its answer, which may come before the body is sent.
fn exchange<S: Read + Write + 'static>(
    mut stream: S,
    head: &str,
    mut body: io::Take<&mut dyn Read>,
) -> io::Result<Answer> {
    stream.write_all(head.as_bytes())?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut sent = Ok(());
    while body.limit() > 0 && sent.is_ok() {
        match body.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => sent = stream.write_all(&piece[..read]),
        }
    }
    read_head(stream).map_err(|error| sent.err().unwrap_or(error))
}

fn read_head(stream: impl Read + 'static) -> io::Result<Answer> {
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    (&mut answer).take(LINE_BYTES_MAX).read_line(&mut line)?;
    let code = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let code = code.ok_or_else(|| io::Error::other("its answer is no HTTP"))?;
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
