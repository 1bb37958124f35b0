//! The dapps below `.gdo/dapps/`: their manifests, their images, and what they see.

use std::collections::{BTreeMap, BTreeSet};

use gdo_core::dapp::{DAPPS_DIR, Manifest};
use gdo_core::error::FileError;
use gdo_core::id::DappName;
use gdo_core::policy::{POLICY_FILE, Policy};
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::tree::Tree;

use crate::faults::{TEXT_BYTES_MAX, tell};
use crate::image;
use crate::rules;

/// Where images stand that belong to no dapp.
pub const IMAGES_DIR: &str = ".gdo/images";

/// Reads every manifest and checks every image. `None` when one of the manifests cannot be read.
pub fn read(candidate: &Tree, report: &mut Report) -> Option<BTreeMap<DappName, Manifest>> {
    let before = report.count();
    let dir = format!("{DAPPS_DIR}/");
    let mut folders = BTreeSet::new();
    for (path, _) in candidate.under(&dir) {
        match path[dir.len()..].split_once('/') {
            Some((folder, _)) => drop(folders.insert(folder)),
            None => report.file(
                path,
                rules::DAPP,
                format!("expected {DAPPS_DIR}/<name>/dapp.toml"),
            ),
        }
    }
    let mut manifests = BTreeMap::new();
    for folder in folders {
        match read_one(candidate, folder) {
            Ok((name, manifest)) => drop(manifests.insert(name, manifest)),
            Err(fault) => tell(report, rules::DAPP, &fault),
        }
    }
    let readable = report.count() == before;
    for manifest in manifests.values() {
        image::check(candidate, &manifest.image_dir(), report);
    }
    readable.then_some(manifests)
}

/// Checks the images that belong to no dapp, each in a folder of its own.
pub fn check_images(candidate: &Tree, report: &mut Report) {
    let dir = format!("{IMAGES_DIR}/");
    let mut folders = BTreeSet::new();
    for (path, _) in candidate.under(&dir) {
        match path[dir.len()..].split_once('/') {
            Some((folder, _)) => drop(folders.insert(folder)),
            None => report.file(
                path,
                rules::IMAGE,
                format!("expected {IMAGES_DIR}/<name>/index.json"),
            ),
        }
    }
    for folder in folders {
        image::check(candidate, &format!("{dir}{folder}"), report);
    }
}

fn read_one(candidate: &Tree, folder: &str) -> Result<(DappName, Manifest), FileError> {
    let file = format!("{DAPPS_DIR}/{folder}/dapp.toml");
    let text = candidate.read_text(&file, TEXT_BYTES_MAX);
    let text = text.map_err(|error| FileError::new(&file, error))?;
    let manifest = Manifest::parse(&file, &text)?;
    if manifest.name.as_str() != folder {
        let message = format!(
            "name: expected '{folder}', as the folder is named, got '{}'",
            manifest.name
        );
        return Err(FileError::new(&file, message));
    }
    Ok((manifest.name.clone(), manifest))
}

/// A rule whose dapp sees nothing of what the rule covers would never be judged by it.
pub fn check_sight(policy: &Policy, manifests: &BTreeMap<DappName, Manifest>, report: &mut Report) {
    for rule in policy.rules() {
        let covered = rule.path.as_str();
        for name in &rule.dapps {
            let Some(manifest) = manifests.get(name) else {
                continue;
            };
            let globs = &manifest.validator.reads;
            if !globs.iter().any(|glob| may_meet(glob.as_str(), covered)) {
                let message = format!(
                    "rule \"{covered}\": dapp '{name}' reads nothing below that path (reads = {:?})",
                    globs.iter().map(ToString::to_string).collect::<Vec<_>>()
                );
                report.file(POLICY_FILE, rules::POLICY, message);
            }
        }
    }
}

/// Whether some path may match both a dapp's glob and a rule's path. Errs on the side of "yes".
fn may_meet(glob: &str, rule: &str) -> bool {
    let below = rule.is_empty() || rule.ends_with('/');
    let mut glob = glob.split('/');
    for segment in rule.split('/').filter(|segment| !segment.is_empty()) {
        let free = |text: &str| text.contains('*') || text.starts_with('{');
        match glob.next() {
            Some("**") => return true,
            Some(pattern) if free(pattern) || free(segment) || pattern == segment => {}
            _ => return false,
        }
    }
    match glob.next() {
        Some("**") => true,
        Some(_) => below,
        None => !below,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_and_rules_meet_when_some_path_matches_both() {
        let cases = [
            ("acct/**", "acct/txn/", true),
            ("acct/**", "acct/log/{member}/", true),
            ("acct/*/x.toml", "acct/def/", true),
            ("acct/def/*", "acct/", true),
            ("door/**", "acct/", false),
            ("acct/main.journal", "acct/main.journal", true),
            ("acct/main.journal", "acct/main.journal/", false),
            ("acct/def/x", "acct/def", false),
            ("**", "", true),
            ("**/x.toml", "acct/", true),
            ("door/*/policy.toml", "door/*/log/{member}/", false),
        ];
        for (glob, rule, expected) in cases {
            assert_eq!(may_meet(glob, rule), expected, "{glob} and {rule}");
        }
    }
}
