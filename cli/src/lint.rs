//! Lints of the rules of a ledger: the policy, the roster and the dapps together.
//!
//! What is an error here is refused by the node or by the `policy` dapp; what is a warning is
//! allowed and probably not meant.

use std::collections::BTreeMap;

use gdo_core::dapp::{DAPPS_DIR, Manifest};
use gdo_core::error::FileError;
use gdo_core::guard;
use gdo_core::id::DappName;
use gdo_core::path::RepoPath;
use gdo_core::policy::{POLICY_FILE, Policy};
use gdo_core::roster::{ROSTER_DIR, Roster};
use serde::Serialize;

use crate::error::CommandError;
use crate::lint::files::Files;
use crate::{lint, output};

pub mod files;
mod witness;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A node refuses it.
    Error,
    /// It is allowed, and probably not meant.
    Warning,
}

/// What a lint found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, what was expected and what to do.
    pub message: String,
}

impl Finding {
    /// A finding of a file as a whole.
    #[must_use]
    pub fn new(severity: Severity, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: file.into(),
            line: None,
            message: message.into(),
        }
    }

    /// Prints a finding, a line of data.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print(&self) -> Result<(), CommandError> {
        let word = if self.severity == Severity::Error {
            "error"
        } else {
            "warning"
        };
        let line = self
            .line
            .map_or_else(String::new, |line| format!(":{line}"));
        output::line(&format!("{word}: {}{line}: {}", self.file, self.message))
    }
}

impl From<FileError> for Finding {
    fn from(error: FileError) -> Self {
        Self {
            severity: Severity::Error,
            file: error.file,
            line: error.line,
            message: error.message,
        }
    }
}

/// Whether no finding is an error.
#[must_use]
pub fn is_sound(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.severity != Severity::Error)
}

/// Lints all rules that `files` hold.
///
/// # Errors
/// A file cannot be read at all.
pub fn rules(files: &dyn Files) -> Result<Vec<Finding>, CommandError> {
    let mut findings = Vec::new();
    let policy = match files.read(POLICY_FILE)? {
        None => Err(FileError::new(
            POLICY_FILE,
            "missing, expected the ledger's policy",
        )),
        Some(text) => Policy::parse(&text),
    };
    let roster = read_roster(files)?;
    let dapps = read_dapps(files, &mut findings)?;
    let (policy, roster) = match (policy, roster) {
        (Ok(policy), Ok(roster)) => (policy, roster),
        (policy, roster) => {
            findings.extend(policy.err().map(Finding::from));
            findings.extend(roster.err().map(Finding::from));
            return Ok(findings);
        }
    };
    let Some(dapps) = dapps else {
        return Ok(findings);
    };
    findings.extend(
        guard::check(&policy, &roster, &dapps)
            .into_iter()
            .map(Finding::from),
    );
    findings.extend(sight(&policy, &dapps));
    findings.extend(coverage(&policy, &dapps));
    if policy.recovery.is_none() {
        let message =
            "no [recovery]: a ledger that lost its quorum stays stuck; name k offline keys";
        findings.push(Finding::new(Severity::Warning, POLICY_FILE, message));
    }
    Ok(findings)
}

/// Lints a policy alone, where neither roster nor dapps are known.
#[must_use]
pub fn policy(text: &str) -> Vec<Finding> {
    Policy::parse(text)
        .err()
        .map(Finding::from)
        .into_iter()
        .collect()
}

fn read_roster(files: &dyn Files) -> Result<Result<Roster, FileError>, CommandError> {
    let mut found = Vec::new();
    for name in files.list(ROSTER_DIR)? {
        let path = format!("{ROSTER_DIR}/{name}");
        if let Some(text) = files.read(&path)? {
            found.push((path, text));
        }
    }
    if found.is_empty() {
        let error = FileError::new(ROSTER_DIR, "no member, expected <member>.toml files");
        return Ok(Err(error));
    }
    Ok(Roster::parse(
        found
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str())),
    ))
}

/// The manifests; `None` if one of them is wrong.
fn read_dapps(
    files: &dyn Files,
    findings: &mut Vec<Finding>,
) -> Result<Option<BTreeMap<DappName, Manifest>>, CommandError> {
    let mut dapps = BTreeMap::new();
    let mut sound = true;
    for folder in files.list(DAPPS_DIR)? {
        let file = format!("{DAPPS_DIR}/{folder}/dapp.toml");
        let manifest = match files.read(&file)? {
            None => Err(FileError::new(
                &file,
                "missing, expected the dapp's manifest",
            )),
            Some(text) => Manifest::parse(&file, &text).and_then(|manifest| {
                if manifest.name.as_str() == folder {
                    return Ok(manifest);
                }
                let name = &manifest.name;
                let message = format!("name: expected '{folder}', the folder's, got '{name}'");
                Err(FileError::new(&file, message))
            }),
        };
        match manifest {
            Ok(manifest) => {
                findings.extend(image(files, &manifest, &manifest.image_dir())?);
                dapps.insert(manifest.name.clone(), manifest);
            }
            Err(error) => {
                sound = false;
                findings.push(error.into());
            }
        }
    }
    Ok(sound.then_some(dapps))
}

/// Lints the image of a dapp: is it there, and does it have a variant for this machine.
///
/// # Errors
/// A file cannot be read at all.
pub fn image(
    files: &dyn Files,
    manifest: &Manifest,
    dir: &str,
) -> Result<Option<Finding>, CommandError> {
    let index = format!("{dir}/index.json");
    let name = &manifest.name;
    let Some(text) = files.read(&index)? else {
        let message =
            format!("missing: dapp '{name}' has no image, so its verdicts are inconclusive");
        return Ok(Some(Finding::new(Severity::Error, index, message)));
    };
    let platforms = match lint::platforms(&text) {
        Ok(platforms) => platforms,
        Err(message) => return Ok(Some(Finding::new(Severity::Error, index, message))),
    };
    let here = this_platform();
    if platforms.is_empty() || platforms.contains(&here) {
        return Ok(None);
    }
    let message = format!(
        "dapp '{name}' has an image for {} alone: on {here}, this machine, its verdicts are inconclusive",
        platforms.join(", ")
    );
    Ok(Some(Finding::new(Severity::Warning, index, message)))
}

/// This machine as OCI images name it.
fn this_platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{arch}")
}

/// The platforms that an image index names.
///
/// # Errors
/// The text is no image index.
pub fn platforms(index: &str) -> Result<Vec<String>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("expected an OCI image index: {error}");
    let value: serde_json::Value = serde_json::from_str(index).map_err(|error| wrong(&error))?;
    let manifests = value.get("manifests").and_then(serde_json::Value::as_array);
    let manifests = manifests.ok_or_else(|| wrong(&"it has no 'manifests'"))?;
    let platform = |manifest: &serde_json::Value| {
        let platform = manifest.get("platform")?;
        let os = platform.get("os")?.as_str()?;
        let arch = platform.get("architecture")?.as_str()?;
        Some(format!("{os}/{arch}"))
    };
    Ok(manifests.iter().filter_map(platform).collect())
}

/// Rules with a dapp that sees nothing of what they hold for.
fn sight(policy: &Policy, dapps: &BTreeMap<DappName, Manifest>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in policy.rules() {
        for name in &rule.dapps {
            let Some(manifest) = dapps.get(name) else {
                continue;
            };
            let reads = &manifest.validator.reads;
            if reads
                .iter()
                .all(|glob| witness::paths(glob, &rule.path).next().is_none())
            {
                let globs: Vec<&str> = reads.iter().map(gdo_core::path::Glob::as_str).collect();
                let message = format!(
                    "rule \"{}\": dapp '{name}' cannot see what it is to judge; it reads {}",
                    rule.path.as_str(),
                    globs.join(", ")
                );
                findings.push(Finding::new(Severity::Error, POLICY_FILE, message));
            }
        }
    }
    findings
}

/// Paths that a dapp reads and that change without it being asked.
fn coverage(policy: &Policy, dapps: &BTreeMap<DappName, Manifest>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, manifest) in dapps {
        for rule in policy
            .rules()
            .iter()
            .filter(|rule| !rule.dapps.contains(name))
        {
            let governs = |path: &RepoPath| policy.rule_for(path).rule == rule;
            let mut reads = manifest.validator.reads.iter();
            let found = reads.find_map(|glob| {
                let path = witness::paths(glob, &rule.path).find(governs)?;
                Some((glob, path))
            });
            if let Some((glob, path)) = found {
                let message = format!(
                    "dapp '{name}' reads {glob}, but rule \"{}\" lets a path such as {path} change without it",
                    rule.path.as_str()
                );
                findings.push(Finding::new(Severity::Warning, POLICY_FILE, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text(BTreeMap<&'static str, String>);

    impl Files for Text {
        fn read(&self, path: &str) -> Result<Option<String>, CommandError> {
            Ok(self.0.get(path).cloned())
        }

        fn list(&self, dir: &str) -> Result<Vec<String>, CommandError> {
            let below = self
                .0
                .keys()
                .filter_map(|path| path.strip_prefix(dir)?.strip_prefix('/'));
            let mut names: Vec<String> = below
                .filter_map(|rest| Some(rest.split('/').next()?.to_owned()))
                .collect();
            names.dedup();
            Ok(names)
        }
    }

    fn files(rules: &str) -> Text {
        let key = |seed| gdo_core::key::NodeKey::from_seed([seed; 32]).public();
        let member = |kind: &str, seed| {
            format!(
                "kind = \"{kind}\"\nkeys = [\"{}\"]\nstatus = \"active\"\n",
                key(seed)
            )
        };
        let dapp = "contract = 1\nname = \"books\"\nversion = \"1\"\n[validator]\n\
                    engine = \"container\"\nimage = \"image\"\nreads = [\"acct/**\", \".gdo/roster/**\"]\n";
        let index = r#"{"manifests":[{"platform":{"os":"linux","architecture":"pdp11"}}]}"#;
        let policy = format!(
            "version = 1\n[finality]\nvalidators = [{{ member = \"hub\", weight = 1 }}]\n\
             [[rule]]\npath = \"\"\nlane = \"cas\"\nwriters = [\"any\"]\nunvalidated = true\n{rules}"
        );
        Text(BTreeMap::from([
            (".gdo/dapps/books/dapp.toml", dapp.to_owned()),
            (".gdo/dapps/books/image/index.json", index.to_owned()),
            (".gdo/policy.toml", policy),
            (".gdo/roster/alice.toml", member("person", 1)),
            (".gdo/roster/hub.toml", member("node", 2)),
        ]))
    }

    fn messages(rules: &str) -> Vec<String> {
        let findings = super::rules(&files(rules))
            .map_err(|_| ())
            .expect("all files are read");
        findings
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    const ACCT: &str =
        "[[rule]]\npath = \"acct/\"\nlane = \"cas\"\nwriters = [\"any\"]\ndapps = [\"books\"]\n";

    #[test]
    fn a_path_that_a_dapp_reads_and_no_rule_of_its_covers_is_named() {
        let found = messages(ACCT);
        assert!(
            found.iter().any(|m| m.contains("such as .gdo/roster/")),
            "{found:?}"
        );
        assert!(!found.iter().any(|m| m.contains("acct/** ")), "{found:?}");
    }

    #[test]
    fn a_dapp_that_cannot_see_what_it_is_to_judge_is_an_error() {
        let rules = ACCT.replace("acct/", "door/");
        let found = super::rules(&files(&rules))
            .map_err(|_| ())
            .expect("all files are read");
        assert!(!is_sound(&found));
        assert!(
            found.iter().any(|f| f.message.contains("cannot see")),
            "{found:?}"
        );
    }

    #[test]
    fn a_dapp_without_a_variant_for_this_machine_is_named() {
        let found = messages(ACCT);
        assert!(found.iter().any(|m| m.contains("linux/pdp11")), "{found:?}");
    }

    #[test]
    fn an_unknown_key_is_found_with_its_line() {
        let found = super::rules(&files("[other]\nx = 1\n"))
            .map_err(|_| ())
            .expect("read");
        let finding = found
            .iter()
            .find(|finding| finding.file == POLICY_FILE)
            .expect("one");
        assert_eq!(
            (finding.severity, finding.line.is_some()),
            (Severity::Error, true)
        );
    }

    #[test]
    fn a_missing_image_is_an_error() {
        let mut files = files(ACCT);
        files.0.remove(".gdo/dapps/books/image/index.json");
        let found = super::rules(&files)
            .map_err(|_| ())
            .expect("all files are read");
        assert!(
            found
                .iter()
                .any(|f| f.file.ends_with("books/image/index.json")),
            "{found:?}"
        );
        assert!(!is_sound(&found));
    }
}
