//! Unix sockets under paths of any length.
//!
//! The address of a unix socket holds 107 bytes, and a node directory may lie deeper than that. A
//! longer path is reached through an open handle on its directory, which has a short name under
//! `/proc/self/fd`.
//!
//! **Invariants**: a socket made here is for its owner only (mode 0600); a socket file that nobody
//! listens on is replaced, one that somebody listens on is not.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The longest path that fits an address, without its closing zero byte.
const ADDRESS_BYTES_MAX: usize = 107;

/// Connects to the socket at `path`.
///
/// # Errors
/// What the system says: `NotFound` and `ConnectionRefused` mean that nobody listens.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short_path(path, |short| UnixStream::connect(short))
}

/// Listens at `path`, whose directory must exist and belong to the caller.
///
/// # Errors
/// `AddrInUse` when somebody listens there already or the path is another kind of file; whatever
/// else the system says.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    with_short_path(path, |short| {
        remove_stale(short)?;
        let listener = UnixListener::bind(short)?;
        fs::set_permissions(short, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    })
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = |reason: &str| Err(io::Error::new(io::ErrorKind::AddrInUse, reason.to_owned()));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return in_use("there is a file of another kind");
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => in_use("somebody listens there already"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn with_short_path<T>(path: &Path, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
        return call(path);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return call(path);
    };
    let directory = File::open(parent)?;
    let mut short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    short.push(name);
    call(&short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_left_alone() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let path = temp.path().join("hook.sock");
        fs::write(&path, "mine").expect("a new file");
        let error = listen(&path).expect_err("the path is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(&path).expect("still there"), b"mine");
    }
}
