//! What git and the transport tell a hook through its environment.
//!
//! **Invariants**: nothing here decides anything: signatures do.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use gdo_core::error::FormatError;
use gdo_core::hook::{COMMANDS_MAX, Pusher};

/// The push options that git hands to `pre-receive`.
pub(crate) fn push_options() -> Result<Vec<String>, FormatError> {
    push_options_from(|name| env::var_os(name))
}

fn push_options_from(get: impl Fn(&str) -> Option<OsString>) -> Result<Vec<String>, FormatError> {
    let Some(count) = get("GIT_PUSH_OPTION_COUNT") else {
        return Ok(Vec::new());
    };
    let count = count
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|&count: &usize| count <= COMMANDS_MAX)
        .ok_or_else(|| {
            let expected = format!("at most {COMMANDS_MAX}");
            FormatError::new("number of push options", expected, count.display())
        })?;
    (0..count)
        .map(|index| {
            get(&format!("GIT_PUSH_OPTION_{index}"))
                .unwrap_or_default()
                .into_string()
                .map_err(|raw| FormatError::new("push option", "text in UTF-8", raw.display()))
        })
        .collect()
}

/// The directory that holds the objects of this push until it is accepted.
pub(crate) fn quarantine() -> Option<PathBuf> {
    env::var_os("GIT_QUARANTINE_PATH").map(PathBuf::from)
}

/// Who pushes, as far as HTTP or SSH know.
pub(crate) fn pusher() -> Pusher {
    pusher_from(|name| env::var(name).ok())
}

fn pusher_from(get: impl Fn(&str) -> Option<String>) -> Pusher {
    let first_word = |text: String| text.split(' ').next().map(str::to_owned);
    let filled = |text: &String| !text.is_empty();
    Pusher {
        user: get("REMOTE_USER").filter(filled),
        address: get("REMOTE_ADDR")
            .or_else(|| get("SSH_CLIENT").and_then(first_word))
            .filter(filled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn options_are_read_in_order_and_bounded() {
        let good = |name: &str| match name {
            "GIT_PUSH_OPTION_COUNT" => Some(OsString::from("2")),
            "GIT_PUSH_OPTION_0" => Some(OsString::from("topic=a")),
            "GIT_PUSH_OPTION_1" => Some(OsString::from("dry-run")),
            _ => None,
        };
        let expected = ["topic=a", "dry-run"].map(str::to_owned).to_vec();
        assert_eq!(push_options_from(good), Ok(expected));
        assert_eq!(push_options_from(|_| None), Ok(Vec::new()));
        for count in ["1025", "-1", "x"] {
            let many = |_: &str| Some(OsString::from(count));
            let error = push_options_from(many).expect_err(count);
            assert!(error.to_string().contains("at most 1024"), "{error}");
        }
        let foreign = |name: &str| match name {
            "GIT_PUSH_OPTION_COUNT" => Some(OsString::from("1")),
            _ => Some(OsString::from_vec(vec![0xff])),
        };
        assert!(push_options_from(foreign).is_err());
    }

    #[test]
    fn the_address_comes_from_either_transport() {
        let ssh = |name: &str| (name == "SSH_CLIENT").then(|| "10.0.0.1 22 5022".to_owned());
        assert_eq!(pusher_from(ssh).address.as_deref(), Some("10.0.0.1"));
        let http = |name: &str| match name {
            "REMOTE_ADDR" => Some("::1".to_owned()),
            "REMOTE_USER" => Some(String::new()),
            _ => None,
        };
        let pusher = pusher_from(http);
        assert_eq!(pusher.address.as_deref(), Some("::1"));
        assert_eq!(pusher.user, None);
    }
}
