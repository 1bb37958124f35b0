//! Paths that both a dapp's glob and a rule hold for.
//!
//! Wildcards are filled in with names that nothing else matches, so that a rule which wins on such a
//! path wins because of its own form.

use gdo_core::path::{Glob, RepoPath};
use gdo_core::policy::Pattern;

/// What stands in for a wildcard.
const FILLER: &str = "x";
/// How many segments `**` is tried as.
const DEPTH_MAX: usize = 4;

/// Some paths that match both; none if no path does, up to the depths that are tried.
pub fn paths(glob: &Glob, rule: &Pattern) -> impl Iterator<Item = RepoPath> {
    let segments: Vec<&str> = rule
        .as_str()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let below = rule.is_directory();
    let mut found = Vec::new();
    for fixed in expand(glob) {
        let fits = if below {
            fixed.len() > segments.len()
        } else {
            fixed.len() == segments.len()
        };
        let met: Option<Vec<String>> = fixed
            .iter()
            .enumerate()
            .map(|(at, pattern)| meet(pattern, segments.get(at).copied()))
            .collect();
        let path = met
            .filter(|_| fits)
            .and_then(|met| met.join("/").parse::<RepoPath>().ok());
        found.extend(path.filter(|path| glob.matches(path.as_str())));
    }
    found.into_iter()
}

/// The glob with each `**` spelled out as so many `*`.
fn expand(glob: &Glob) -> Vec<Vec<&str>> {
    let mut all: Vec<Vec<&str>> = vec![Vec::new()];
    let count = glob.as_str().split('/').count();
    for (at, segment) in glob.as_str().split('/').enumerate() {
        // At its end, `**` is about what stands below: a file in place of the directory is no case
        // that anybody means.
        let depths = match (segment, at + 1 == count) {
            ("**", true) => 1..=DEPTH_MAX,
            ("**", false) => 0..=DEPTH_MAX,
            _ => 1..=1,
        };
        let piece = if segment == "**" { "*" } else { segment };
        all = all
            .iter()
            .flat_map(|prefix| {
                depths.clone().map(move |count| {
                    let mut longer = prefix.clone();
                    longer.extend(std::iter::repeat_n(piece, count));
                    longer
                })
            })
            .take(512)
            .collect();
    }
    all
}

/// A segment that matches both a segment of the glob and one of the rule, if there is one.
fn meet(pattern: &str, rule: Option<&str>) -> Option<String> {
    let filled = pattern.replace('*', FILLER);
    match rule {
        None | Some("*" | "{member}") => Some(filled),
        Some(literal) => {
            let glob: Glob = pattern.parse().ok()?;
            glob.matches(literal).then(|| literal.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule's path, by way of a policy that has it.
    fn meets(glob: &str, rule: &str) -> Option<String> {
        let policy = format!(
            "version = 1\n[finality]\nvalidators = [{{ member = \"hub\", weight = 1 }}]\n\
             [[rule]]\npath = \"\"\nlane = \"cas\"\nwriters = [\"any\"]\nunvalidated = true\n\
             [[rule]]\npath = \"{rule}\"\nlane = \"cas\"\nwriters = [\"any\"]\nunvalidated = true\n"
        );
        let policy = gdo_core::policy::Policy::parse(&policy).expect("the policy is sound");
        let rule = policy
            .rules()
            .iter()
            .find(|found| found.path.as_str() == rule)?;
        let glob = glob.parse().expect("a glob");
        paths(&glob, &rule.path).next().map(|path| path.to_string())
    }

    #[test]
    fn a_path_is_found_wherever_glob_and_rule_meet() {
        let cases = [
            ("acct/**", "acct/txn/", true),
            ("acct/**", "acct/log/{member}/", true),
            ("acct/*/x.toml", "acct/def/", true),
            ("acct/def/*", "acct/", true),
            ("door/**", "acct/", false),
            ("acct/main.journal", "acct/main.journal", true),
            ("acct/main.journal", "acct/main.journal/", false),
            ("acct/def/x", "acct/def", false),
            ("**/x.toml", "acct/", true),
            ("door/*/policy.toml", "door/*/log/{member}/", false),
        ];
        for (glob, rule, expected) in cases {
            assert_eq!(meets(glob, rule).is_some(), expected, "{glob} and {rule}");
        }
    }
}
