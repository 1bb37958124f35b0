//! The verdict cache: what this node's own runs have said, by (dapp digest, input) (P-24).
//!
//! Files under `cache/verdicts/`, one per key; deleting them costs runs, nothing else. Only pass and
//! fail are kept: an inconclusive run says nothing about its input.

use std::fs;
use std::path::PathBuf;

use gdo_core::verdict::{Outcome, Report, VerdictKey};
use serde::{Deserialize, Serialize};

/// What a run said, as far as it depends on its input alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CachedVerdict {
    /// What was judged, by what.
    pub key: VerdictKey,
    /// The result.
    pub outcome: Outcome,
    /// The problems that the dapp reported.
    pub report: Report,
    /// What it printed, for people.
    pub output: String,
    /// How long the run took, in milliseconds.
    pub wall_ms: u64,
}

/// The cache of one node.
#[derive(Clone, Debug)]
pub struct VerdictCache {
    root: PathBuf,
}

impl VerdictCache {
    /// The cache below a node's `cache/`.
    #[must_use]
    pub fn new(cache: &std::path::Path) -> Self {
        Self {
            root: cache.join("verdicts"),
        }
    }

    /// What an earlier run said, if one did. A damaged file is as good as none.
    #[must_use]
    pub fn read(&self, key: VerdictKey) -> Option<CachedVerdict> {
        let text = fs::read_to_string(self.file(key)).ok()?;
        let cached: CachedVerdict = serde_json::from_str(&text).ok()?;
        (cached.key == key).then_some(cached)
    }

    /// Keeps what a run said. A cache that cannot be written is slow, not wrong.
    pub fn write(&self, verdict: &CachedVerdict) {
        let file = self.file(verdict.key);
        let temporary = file.with_extension(format!("tmp{:?}", std::thread::current().id()));
        let text = serde_json::to_string(verdict).expect("a verdict is JSON");
        let written = fs::create_dir_all(file.parent().unwrap_or(&self.root))
            .and_then(|()| fs::write(&temporary, text))
            .and_then(|()| fs::rename(&temporary, &file));
        if let Err(error) = written {
            tracing::warn!(file = %file.display(), %error, "the verdict cache cannot be written");
        }
    }

    fn file(&self, key: VerdictKey) -> PathBuf {
        let digest = key.dapp_digest.to_string();
        self.root
            .join(&digest[..2])
            .join(digest)
            .join(format!("{}.json", key.input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdo_core::id::Digest;

    #[test]
    fn a_verdict_is_found_by_its_whole_key_and_damage_is_a_miss() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let cache = VerdictCache::new(temp.path());
        let key = VerdictKey {
            dapp_digest: Digest::of(b"dapp"),
            input: "ab".repeat(32).parse().expect("id"),
        };
        let other = VerdictKey {
            dapp_digest: Digest::of(b"other"),
            ..key
        };
        let verdict = CachedVerdict {
            key,
            outcome: Outcome::Fail,
            report: Report::default(),
            output: "no".to_owned(),
            wall_ms: 3,
        };
        cache.write(&verdict);
        assert_eq!(cache.read(key), Some(verdict));
        assert_eq!(cache.read(other), None);
        fs::write(cache.file(key), "{").expect("damaged");
        assert_eq!(cache.read(key), None);
    }
}
