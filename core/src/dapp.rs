//! Dapp manifests: `.gdo/dapps/<name>/dapp.toml`, and the digest that names a validator (P-23).
//!
//! **Invariants**: a parsed manifest is one that this version can run; what it cannot run (another
//! contract, wasm) is refused by name. Two manifests that could give different verdicts have
//! different digests.

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::error::{FileError, read_toml};
use crate::id::{DappName, Digest, MemberName, Weight};
use crate::path::{Glob, RepoPath};

/// The folder of all dapps in the ledger's tree, without a trailing slash.
pub const DAPPS_DIR: &str = ".gdo/dapps";

/// The version of the contract that this program keeps with validators.
pub const CONTRACT: u64 = 1;

/// A dapp as its manifest describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Its name, which is also its folder's.
    pub name: DappName,
    /// Its version, for people.
    pub version: String,
    /// The program that judges candidates.
    pub validator: Validator,
    /// The long-running part, if it has one; validators need none.
    pub service: Option<Service>,
}

/// The `[validator]` table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Validator {
    /// The folder of the OCI image layout, relative to the manifest.
    pub image: RepoPath,
    /// The command; `None` is the image's own.
    pub command: Option<Vec<String>>,
    /// The only paths that the validator sees.
    pub reads: Vec<Glob>,
    /// Whether it judges a whole candidate or each block.
    pub scope: Scope,
    /// What else it sees.
    pub uses: Vec<Uses>,
    /// What it may use up.
    pub limits: Limits,
    /// Whose verdicts count, and how much is enough.
    pub runners: Runners,
}

/// What one run of a validator judges (P-28).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The whole candidate, once.
    #[default]
    Checkpoint,
    /// Each block on its own.
    Block,
}

/// What a validator sees besides the two trees; each becomes part of the verdict's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uses {
    /// The ledger's time.
    Time,
    /// Large files in place of their pointers.
    Objects,
}

/// What one run of a validator may use up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Wall time, in milliseconds.
    pub wall_ms: u64,
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Standard output and error together, in KiB.
    pub output_kib: u64,
    /// The file system at `/tmp`, in MiB.
    pub tmp_mib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_ms: 10_000,
            cpu_ms: 5_000,
            memory_mib: 64,
            pids: 32,
            output_kib: 256,
            tmp_mib: 16,
        }
    }
}

/// The kernel's caps on [`Limits`].
const LIMITS_MAX: Limits = Limits {
    wall_ms: 600_000,
    cpu_ms: 600_000,
    memory_mib: 4096,
    pids: 1024,
    output_kib: 16_384,
    tmp_mib: 1024,
};

/// Whose verdicts count (P-27).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Runners {
    /// The members that judge; `None` is the validators of the policy with their weights.
    pub members: Option<Vec<MemberName>>,
    /// The weight of passes that is enough; `None` is the quorum.
    pub k_pass: Option<Weight>,
    /// The weight of fails that is enough.
    pub k_fail: Option<Weight>,
}

/// The `[service]` table: read and kept; services are not started by this version.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The command.
    pub command: Vec<String>,
    /// Where it runs.
    pub nodes: Vec<String>,
    /// What it may ask of its node.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Devices that it is given.
    #[serde(default)]
    pub devices: Vec<String>,
    /// When it is started again.
    #[serde(default)]
    pub restart: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    contract: u64,
    name: DappName,
    version: String,
    validator: RawValidator,
    service: Option<Service>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawValidator {
    engine: String,
    image: Option<RepoPath>,
    component: Option<String>,
    command: Option<Vec<String>>,
    reads: Vec<Glob>,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    uses: Vec<Uses>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    runners: RawRunners,
    k_pass: Option<Weight>,
    k_fail: Option<Weight>,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum RawRunners {
    #[default]
    Default,
    Word(String),
    Members(Vec<MemberName>),
}

impl Manifest {
    /// Reads a manifest; `file` is its path, for errors, and its folder must have the dapp's name.
    ///
    /// # Errors
    /// The file, the line and the key that is wrong, with what was expected.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        let wrong = |message: String| FileError::new(file, message);
        let raw: RawManifest = read_toml(file, text)?;
        if raw.contract != CONTRACT {
            return Err(wrong(format!(
                "contract: this program keeps contract {CONTRACT}, got {}; upgrade gdo",
                raw.contract
            )));
        }
        let validator = read_validator(raw.validator).map_err(wrong)?;
        Ok(Self {
            name: raw.name,
            version: raw.version,
            validator,
            service: raw.service,
        })
    }

    /// The path of the manifest of `name` in the ledger's tree.
    #[must_use]
    pub fn file_of(name: &DappName) -> String {
        format!("{DAPPS_DIR}/{name}/dapp.toml")
    }

    /// The folder of the image in the ledger's tree.
    #[must_use]
    pub fn image_dir(&self) -> String {
        format!("{DAPPS_DIR}/{}/{}", self.name, self.validator.image)
    }
}

fn read_validator(raw: RawValidator) -> Result<Validator, String> {
    match raw.engine.as_str() {
        "container" => {}
        "wasm" => return Err("engine: wasm is not in this version; expected container".to_owned()),
        other => return Err(format!("engine: expected container, got '{other}'")),
    }
    if raw.component.is_some() {
        return Err("component: is for engine wasm; a container names its image".to_owned());
    }
    let image = raw
        .image
        .ok_or("image: expected the folder of an OCI image layout")?;
    if raw.command.as_ref().is_some_and(Vec::is_empty) {
        return Err(
            "command: expected at least a program; leave it out for the image's own".to_owned(),
        );
    }
    if raw.reads.is_empty() {
        return Err(
            "reads: expected at least one glob; a validator that sees nothing judges nothing"
                .to_owned(),
        );
    }
    let mut uses = raw.uses;
    uses.sort_unstable();
    uses.dedup();
    if uses.contains(&Uses::Objects) {
        return Err("uses: objects is not in this version; expected time or nothing".to_owned());
    }
    check_limits(&raw.limits)?;
    let members = match raw.runners {
        RawRunners::Default => None,
        RawRunners::Word(word) if word == "validators" => None,
        RawRunners::Word(word) => {
            return Err(format!(
                "runners: expected \"validators\" or a list of members, got '{word}'"
            ));
        }
        RawRunners::Members(members) if members.is_empty() => {
            return Err("runners: expected at least one member".to_owned());
        }
        RawRunners::Members(members) => Some(members),
    };
    let runners = Runners {
        members,
        k_pass: raw.k_pass,
        k_fail: raw.k_fail,
    };
    Ok(Validator {
        image,
        command: raw.command,
        reads: raw.reads,
        scope: raw.scope,
        uses,
        limits: raw.limits,
        runners,
    })
}

fn check_limits(limits: &Limits) -> Result<(), String> {
    let max = LIMITS_MAX;
    let table = [
        ("wall_ms", limits.wall_ms, max.wall_ms),
        ("cpu_ms", limits.cpu_ms, max.cpu_ms),
        ("memory_mib", limits.memory_mib, max.memory_mib),
        ("pids", limits.pids, max.pids),
        ("output_kib", limits.output_kib, max.output_kib),
        ("tmp_mib", limits.tmp_mib, max.tmp_mib),
    ];
    match table
        .iter()
        .find(|(_, value, max)| !(1..=*max).contains(value))
    {
        None => Ok(()),
        Some((name, value, max)) => Err(format!("limits.{name}: expected 1 to {max}, got {value}")),
    }
}

impl Validator {
    /// The digest that names this validator: what it is made of and what it may see and use (P-23).
    /// `image` is the SHA-256 of the layout's `index.json`.
    #[must_use]
    pub fn digest(&self, image: Digest) -> Digest {
        #[derive(Serialize)]
        struct Named<'a> {
            contract: u64,
            engine: &'static str,
            image: Digest,
            command: &'a Option<Vec<String>>,
            reads: &'a [Glob],
            uses: &'a [Uses],
            scope: Scope,
            limits: &'a Limits,
        }
        let named = Named {
            contract: CONTRACT,
            engine: "container",
            image,
            command: &self.command,
            reads: &self.reads,
            uses: &self.uses,
            scope: self.scope,
            limits: &self.limits,
        };
        Digest::of(canonical::to_string(&named).as_bytes())
    }

    /// Whether the validator sees `path`.
    #[must_use]
    pub fn sees(&self, path: &RepoPath) -> bool {
        self.reads.iter().any(|glob| glob.matches(path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "contract = 1\nname = \"accounting\"\nversion = \"1.0.0\"\n[validator]\n\
        engine = \"container\"\nimage = \"image\"\ncommand = [\"/bin/accounting\", \"validate\"]\n\
        reads = [\".gdo/roster/**\", \"acct/**\"]\nlimits = { wall_ms = 100 }\nrunners = \"validators\"\n";

    fn parse(text: &str) -> Result<Manifest, FileError> {
        Manifest::parse(".gdo/dapps/accounting/dapp.toml", text)
    }

    #[test]
    fn a_manifest_is_read_with_defaults() {
        let manifest = parse(GOOD).expect("valid");
        assert_eq!(manifest.validator.limits.wall_ms, 100);
        assert_eq!(manifest.validator.limits.pids, 32);
        assert_eq!(manifest.image_dir(), ".gdo/dapps/accounting/image");
    }

    #[test]
    fn what_this_version_cannot_run_is_refused_by_name() {
        let cases = [
            (
                GOOD.replace("\"container\"", "\"wasm\""),
                "wasm is not in this version",
            ),
            (GOOD.replace("contract = 1", "contract = 2"), "contract"),
            (
                GOOD.replace("wall_ms = 100", "wall_ms = 0"),
                "limits.wall_ms",
            ),
            (GOOD.replace("wall_ms", "wall"), "wall"),
            (GOOD.replace("\"validators\"", "\"everybody\""), "runners"),
            (
                GOOD.replace("image = \"image\"", "image = \"../image\""),
                "'..'",
            ),
        ];
        for (text, expected) in cases {
            let error = parse(&text).expect_err(expected).to_string();
            assert!(
                error.starts_with(".gdo/dapps/accounting/dapp.toml"),
                "{error}"
            );
            assert!(error.contains(expected), "{error} does not name {expected}");
        }
    }

    #[test]
    fn whatever_may_change_a_verdict_changes_the_digest() {
        let image = Digest::of(b"index");
        let digest = |text: &str| parse(text).expect("valid").validator.digest(image);
        let base = digest(GOOD);
        assert_eq!(base, digest(&GOOD.replace("1.0.0", "1.0.1")));
        assert_ne!(
            base,
            digest(&GOOD.replace("wall_ms = 100", "wall_ms = 101"))
        );
        assert_ne!(base, digest(&GOOD.replace("acct/**", "acct/*")));
        assert_ne!(base, digest(&GOOD.replace(", \"validate\"", "")));
        assert_ne!(
            base,
            parse(GOOD)
                .expect("valid")
                .validator
                .digest(Digest::of(b"other"))
        );
    }
}
