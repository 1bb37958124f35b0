//! Documents: every cited clause of the protocol exists, and every link leads somewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::assert_none;
use crate::files::{File, read_all, root};

/// The clauses that `text` cites, with their lines: `P-` and a number, perhaps with a letter.
fn cited(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices("P-") {
            let before = line[..at].chars().next_back();
            let digits: String = line[at + 2..]
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            if digits.is_empty() || before.is_some_and(|c| c.is_alphanumeric() || c == '-') {
                continue;
            }
            let mut after = line[at + 2 + digits.len()..].chars();
            let letter = after.next().filter(char::is_ascii_lowercase);
            // "P-12th" is no clause, "P-35a" is one.
            let letter = letter.filter(|_| !after.next().is_some_and(char::is_alphanumeric));
            found.push((
                number + 1,
                format!("P-{digits}{}", letter.map(String::from).unwrap_or_default()),
            ));
        }
    }
    found
}

/// The clauses that the protocol defines: headings like `## P-12. Form`.
fn defined(protocol: &[&File]) -> BTreeMap<String, Vec<String>> {
    let mut clauses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in protocol {
        for line in file.text.lines() {
            let name = line
                .strip_prefix("## P-")
                .and_then(|rest| rest.split_once(". "));
            if let Some((number, _)) = name {
                clauses
                    .entry(format!("P-{number}"))
                    .or_default()
                    .push(file.path.clone());
            }
        }
    }
    clauses
}

/// The lines of a document outside of code blocks, numbered from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((number + 1, line));
        }
    }
    lines
}

/// The targets of the links `[…](target)` of a document.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for (at, _) in line.match_indices("](") {
            if let Some((target, _)) = line[at + 2..].split_once(')') {
                found.push((number, target));
            }
        }
    }
    found
}

/// The anchors of a document, as hosts make them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text)
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'));
    let slug = |(_, line): (usize, &str)| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

/// Joins a link to the folder of its document; `None` leads out of the checkout.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn broken_links(
    document: &File,
    exists: impl Fn(&str) -> bool,
    text_of: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (line, target) in links(&document.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let full = if path.is_empty() {
            Some(document.path.clone())
        } else {
            resolve(&document.path, path)
        };
        let Some(full) = full.filter(|full| exists(full)) else {
            faults.push(format!(
                "{}:{line}: '{target}' leads nowhere",
                document.path
            ));
            continue;
        };
        if !anchor.is_empty() && !text_of(&full).is_some_and(|text| anchors(&text).contains(anchor))
        {
            faults.push(format!(
                "{}:{line}: {full} has no heading '#{anchor}'",
                document.path
            ));
        }
    }
    faults
}

#[test]
fn every_cited_clause_stands_in_the_protocol_once() {
    assert_eq!(
        cited("see P-9 to P-14, (P-35a) and HTTP-80, P-x, `P-2`"),
        [
            (1, "P-9".into()),
            (1, "P-14".into()),
            (1, "P-35a".into()),
            (1, "P-2".into())
        ]
    );
    let files = read_all(&[".rs", ".md", ".toml", ".sh", ".proto", "Makefile"]);
    let protocol: Vec<&File> = files
        .iter()
        .filter(|file| file.path.starts_with("docs/protocol/"))
        .collect();
    let clauses = defined(&protocol);
    assert!(
        clauses.len() >= 43,
        "the protocol lost clauses: {:?}",
        clauses.keys()
    );
    let twice = clauses.iter().filter(|(_, places)| places.len() > 1);
    let mut faults: Vec<String> = twice
        .map(|(name, places)| format!("{name} stands in {places:?}"))
        .collect();
    // This file holds examples of clauses that do not exist.
    for file in files
        .iter()
        .filter(|file| !file.path.ends_with("tidy/documents.rs"))
    {
        let unknown = cited(&file.text)
            .into_iter()
            .filter(|(_, name)| !clauses.contains_key(name));
        faults.extend(
            unknown.map(|(line, name)| {
                format!("{}:{line}: {name} is not in docs/protocol/", file.path)
            }),
        );
    }
    assert_none("clauses of the protocol:", &faults);
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let document = File {
        path: "docs/a.md".to_owned(),
        text: "# A b\n[x](b.md) [y](../gone.md) [z](#a-b) [w](#no)\n```\n[v](gone)\n```\n[u](../../out)".to_owned(),
    };
    let faults = broken_links(
        &document,
        |path| path.starts_with("docs/"),
        |_| Some(document.text.clone()),
    );
    assert_eq!(faults.len(), 3, "{faults:?}");
    let root = root();
    let exists = |path: &str| root.join(path).exists();
    let text_of = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let documents = read_all(&[".md"]);
    let faults: Vec<String> = documents
        .iter()
        .flat_map(|file| broken_links(file, exists, text_of))
        .collect();
    assert_none("links that lead nowhere:", &faults);
}
