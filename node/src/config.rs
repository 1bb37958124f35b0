//! `node.toml`: this machine's matters; the organisation's rules live in the ledger.
//!
//! Every key has a default. Unknown keys are errors, so that a misspelt one is not a silent default.

use std::net::SocketAddr;
use std::path::Path;

use gdo_core::id::MemberName;
use serde::Deserialize;

use crate::error::NodeError;

/// The configuration of a node, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's member name.
    pub name: MemberName,
    /// Whether it may run validators (P-29).
    pub runner: bool,
    /// Where git and the read API are served.
    pub http_listen: Vec<SocketAddr>,
    /// Whether reading over HTTP needs no login.
    pub http_anonymous_read: bool,
    /// Names besides addresses and `localhost` that the node answers to over HTTP.
    pub http_hosts: Vec<String>,
    /// Validators that run at once.
    pub runtime_jobs: usize,
    /// What to do where this kernel cannot isolate.
    pub isolation: Isolation,
    /// The largest pack that a push may send, in bytes.
    pub push_bytes_max: u64,
    /// How much is kept of what was uploaded and no proposal names, in bytes.
    pub staging_bytes_max: u64,
    /// How the chunk store is kept.
    pub chunks: Chunks,
    /// How far the wall clock may be off, in milliseconds, where the operator knows.
    pub clock_uncertainty_ms: Option<u64>,
}

/// How the chunk store is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// The most memory that its index takes, in MiB.
    pub index_mib_max: u32,
    /// How hard it compresses.
    pub profile: Profile,
    /// How much of it lies beside it as plain files, in bytes.
    pub plain_bytes_max: u64,
}

/// How hard the chunk store compresses what it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Little, for small machines.
    Fast,
    /// As much as keeps up with the disk.
    #[default]
    Standard,
    /// As much as it can, for what is written once and kept.
    Archive,
}

/// What to do where this kernel cannot isolate a validator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Refuse to run.
    #[default]
    Full,
    /// Run, and say so in `gdo status` and to the pusher.
    Degraded,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    name: MemberName,
    #[serde(default)]
    node: RawNode,
    #[serde(default)]
    http: RawHttp,
    #[serde(default)]
    runtime: RawRuntime,
    #[serde(default)]
    push: RawPush,
    #[serde(default)]
    clock: RawClock,
    #[serde(default)]
    chunks: RawChunks,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawChunks {
    index_mib_max: u64,
    profile: Profile,
    plain_mib_max: u64,
}

impl Default for RawChunks {
    fn default() -> Self {
        Self {
            index_mib_max: 64,
            profile: Profile::Standard,
            plain_mib_max: 1024,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawClock {
    uncertainty_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawNode {
    runner: bool,
}

impl Default for RawNode {
    fn default() -> Self {
        Self { runner: true }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawHttp {
    listen: Vec<SocketAddr>,
    anonymous_read: bool,
    hosts: Vec<String>,
    staging_mib_max: u64,
}

impl Default for RawHttp {
    fn default() -> Self {
        let listen = vec![
            ([127, 0, 0, 1], 7420).into(),
            ([0u16, 0, 0, 0, 0, 0, 0, 1], 7420).into(),
        ];
        Self {
            listen,
            anonymous_read: true,
            hosts: Vec::new(),
            staging_mib_max: 1024,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRuntime {
    jobs: usize,
    isolation: Isolation,
}

impl Default for RawRuntime {
    fn default() -> Self {
        Self {
            jobs: 2,
            isolation: Isolation::Full,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPush {
    mib_max: u64,
}

impl Default for RawPush {
    fn default() -> Self {
        Self { mib_max: 256 }
    }
}

impl Config {
    /// Reads `node.toml`.
    ///
    /// # Errors
    /// The key that is wrong, with what was expected.
    pub fn read(file: &Path) -> Result<Self, NodeError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| NodeError::io("read", file, source))?;
        Self::parse(&text).map_err(|message| NodeError::File {
            file: file.to_owned(),
            message,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        let between = |name: &str, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                Ok(value)
            } else {
                Err(format!("{name}: expected {min} to {max}, got {value}"))
            }
        };
        let range = |name: &str, value: u64, max: u64| between(name, value, 1, max);
        let jobs = range("runtime.jobs", raw.runtime.jobs as u64, 64)?;
        let mib = range("push.mib_max", raw.push.mib_max, 1 << 20)?;
        let staging = range("http.staging_mib_max", raw.http.staging_mib_max, 1 << 30)?;
        let index = range("chunks.index_mib_max", raw.chunks.index_mib_max, 1 << 16)?;
        let plain = between("chunks.plain_mib_max", raw.chunks.plain_mib_max, 0, 1 << 30)?;
        Ok(Self {
            name: raw.name,
            runner: raw.node.runner,
            http_listen: raw.http.listen,
            http_anonymous_read: raw.http.anonymous_read,
            http_hosts: raw.http.hosts,
            runtime_jobs: usize::try_from(jobs).expect("64 fits a usize"),
            isolation: raw.runtime.isolation,
            push_bytes_max: mib << 20,
            staging_bytes_max: staging << 20,
            chunks: Chunks {
                index_mib_max: u32::try_from(index).expect("65536 fits a u32"),
                profile: raw.chunks.profile,
                plain_bytes_max: plain << 20,
            },
            clock_uncertainty_ms: raw.clock.uncertainty_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_name_has_a_default() {
        let config = Config::parse("name = \"hub\"\n").expect("valid");
        assert_eq!(config.http_listen.len(), 2);
        assert!(config.runner && config.http_anonymous_read);
        assert_eq!(config.isolation, Isolation::Full);
        assert_eq!(config.staging_bytes_max, 1 << 30);
        assert_eq!(config.chunks.index_mib_max, 64);
        assert_eq!(config.chunks.profile, Profile::Standard);
        assert_eq!(config.chunks.plain_bytes_max, 1 << 30);
    }

    #[test]
    fn wrong_keys_are_named() {
        let cases = [
            ("", "name"),
            ("name = \"hub\"\nhttp.listn = []\n", "listn"),
            ("name = \"hub\"\nruntime.jobs = 0\n", "runtime.jobs"),
            (
                "name = \"hub\"\nruntime.isolation = \"some\"\n",
                "isolation",
            ),
            (
                "name = \"hub\"\nhttp.staging_mib_max = 0\n",
                "http.staging_mib_max",
            ),
            (
                "name = \"hub\"\nchunks.index_mib_max = 100000\n",
                "chunks.index_mib_max",
            ),
            ("name = \"hub\"\nchunks.profile = \"best\"\n", "profile"),
            (
                "name = \"hub\"\nchunks.plain_mib_max = 2000000000\n",
                "chunks.plain_mib_max",
            ),
        ];
        for (text, expected) in cases {
            let error = Config::parse(text).expect_err(expected);
            assert!(error.contains(expected), "{error} does not name {expected}");
        }
    }
}
