//! The scripts through which git finds the hooks.
//!
//! Git starts a hook by its file name, so each is a script of one line that becomes `gdo-helper hook …`.
//! They hold absolute paths and are written again at each start of the node, because a node
//! directory may be moved and gdo may be upgraded.
//!
//! **Invariants**: a script is replaced in one step, so a push never sees half of one; every path
//! in it is quoted such that no shell interprets a byte of it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::InstallError;

/// The hooks that a ledger needs.
const HOOKS: [&str; 2] = ["pre-receive", "proc-receive"];

/// What the scripts say; all paths are absolute.
#[derive(Debug, Clone)]
pub struct HookPaths {
    /// The directory for the scripts (`core.hooksPath` of the ledger).
    pub hooks_dir: PathBuf,
    /// The program that relays.
    pub helper: PathBuf,
    /// The socket on which the daemon answers hooks.
    pub socket: PathBuf,
    /// The node directory, for messages.
    pub node_dir: PathBuf,
}

/// Writes the hook scripts: `exec <helper> hook <name> --socket <socket> --dir <node dir>`.
///
/// # Errors
/// A relative path, or a file that cannot be written.
pub fn install(paths: &HookPaths) -> Result<(), InstallError> {
    for path in [
        &paths.hooks_dir,
        &paths.helper,
        &paths.socket,
        &paths.node_dir,
    ] {
        if !path.is_absolute() {
            return Err(InstallError::Relative(path.clone()));
        }
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::Write { path, source }
    };
    fs::create_dir_all(&paths.hooks_dir).map_err(failed(&paths.hooks_dir))?;
    for name in HOOKS {
        let target = paths.hooks_dir.join(name);
        replace(&target, &script(name, paths)).map_err(failed(&target))?;
    }
    let directory = File::open(&paths.hooks_dir).and_then(|directory| directory.sync_all());
    directory.map_err(failed(&paths.hooks_dir))
}

fn script(name: &str, paths: &HookPaths) -> Vec<u8> {
    let helper = quote(paths.helper.as_os_str());
    let mut text = Vec::new();
    text.extend_from_slice(b"#!/bin/sh\n");
    text.extend_from_slice(b"# Written by gdo at each start of the node; changes are lost.\n");
    text.extend_from_slice(b"[ -x ");
    text.extend_from_slice(&helper);
    text.extend_from_slice(
        b" ] || { printf 'gdo: %s is gone; install gdo and start the node again\\n' ",
    );
    text.extend_from_slice(&helper);
    text.extend_from_slice(b" >&2; exit 1; }\nexec ");
    text.extend_from_slice(&helper);
    text.extend_from_slice(format!(" hook {name} --socket ").as_bytes());
    text.extend_from_slice(&quote(paths.socket.as_os_str()));
    text.extend_from_slice(b" --dir ");
    text.extend_from_slice(&quote(paths.node_dir.as_os_str()));
    text.push(b'\n');
    text
}

fn replace(target: &Path, content: &[u8]) -> io::Result<()> {
    let draft = target.with_extension(format!("{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o755)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&draft, target));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Quotes `raw` for a POSIX shell, as little as needed.
#[must_use]
pub fn quote(raw: &OsStr) -> Vec<u8> {
    let plain = |c: &u8| c.is_ascii_alphanumeric() || b"/._-+,:@%".contains(c);
    let raw = raw.as_bytes();
    if !raw.is_empty() && raw.iter().all(plain) {
        return raw.to_vec();
    }
    let mut quoted = vec![b'\''];
    for &byte in raw {
        if byte == b'\'' {
            quoted.extend_from_slice(br"'\''");
        } else {
            quoted.push(byte);
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn paths(root: &Path) -> HookPaths {
        HookPaths {
            hooks_dir: root.join("hooks"),
            helper: root.join("bin/gdo-helper"),
            socket: root.join("run/hook.sock"),
            node_dir: root.to_owned(),
        }
    }

    /// A program in place of the helper that tells its arguments.
    fn fake_helper(path: &Path) {
        fs::create_dir_all(path.parent().expect("in a directory")).expect("a new directory");
        fs::write(path, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").expect("a new file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("own file");
    }

    #[test]
    fn scripts_pass_the_strangest_paths_untouched() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        for name in [
            "plain",
            "a b",
            "it's",
            "$(touch pwned)",
            "a\nb",
            "`id`;&|",
            "é\"\\",
        ] {
            let root = temp.path().join(name);
            let paths = paths(&root);
            fake_helper(&paths.helper);
            install(&paths).expect("the directory is ours");
            install(&paths).expect("scripts are replaced");
            for hook in HOOKS {
                let output = Command::new(paths.hooks_dir.join(hook))
                    .current_dir(temp.path())
                    .output()
                    .expect("the script is executable");
                let expected = format!(
                    "hook\n{hook}\n--socket\n{}\n--dir\n{}\n",
                    paths.socket.display(),
                    root.display()
                );
                assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
            }
            let left: Vec<_> = fs::read_dir(&paths.hooks_dir).expect("readable").collect();
            assert_eq!(left.len(), HOOKS.len(), "{left:?}");
        }
        assert!(!temp.path().join("pwned").exists());
    }

    #[test]
    fn a_missing_program_is_named() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let paths = paths(temp.path());
        install(&paths).expect("the directory is ours");
        let output = Command::new(paths.hooks_dir.join("pre-receive"))
            .output()
            .expect("the script is executable");
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr);
        let expected = format!("gdo: {} is gone", paths.helper.display());
        assert!(stderr.contains(&expected), "{stderr}");
    }

    #[test]
    fn relative_paths_are_refused() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let mut paths = paths(temp.path());
        paths.helper = PathBuf::from("gdo-helper");
        let error = install(&paths).expect_err("a relative path");
        assert_eq!(
            error.to_string(),
            "bad path gdo-helper: expected an absolute one"
        );
        assert!(!paths.hooks_dir.exists());
    }
}
