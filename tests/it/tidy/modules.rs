//! Files that no build reads: a forgotten module or test compiles, passes and proves nothing.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::assert_none;
use crate::files::{File, code_of, read_all, root};

/// The crate roots that a manifest names or that cargo finds by itself.
fn roots_of(manifest_path: &str, manifest: &Table, files: &[File]) -> BTreeSet<String> {
    let folder = manifest_path
        .strip_suffix("Cargo.toml")
        .expect("a manifest's path");
    let mut roots = BTreeSet::new();
    for section in ["lib", "bin", "test", "bench", "example"] {
        let targets = match manifest.get(section) {
            Some(Value::Array(targets)) => targets.as_slice(),
            Some(target) => std::slice::from_ref(target),
            None => &[],
        };
        let paths = targets
            .iter()
            .filter_map(|target| target.get("path")?.as_str());
        roots.extend(paths.map(|path| format!("{folder}{path}")));
    }
    let package = &manifest["package"];
    let found = |switch: &str| package.get(switch).and_then(Value::as_bool) != Some(false);
    for file in files {
        let Some(rest) = file.path.strip_prefix(folder) else {
            continue;
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let is_root = match parts.as_slice() {
            ["build.rs"] | ["src", "lib.rs" | "main.rs"] => true,
            ["src", "bin", _] | ["src", "bin", _, "main.rs"] => found("autobins"),
            ["tests", _] | ["tests", _, "main.rs"] => found("autotests"),
            ["benches", _] | ["benches", _, "main.rs"] => found("autobenches"),
            ["examples", _] | ["examples", _, "main.rs"] => found("autoexamples"),
            _ => false,
        };
        if is_root {
            roots.insert(file.path.clone());
        }
    }
    roots
}

/// The files that the `mod` declarations of `file` name.
fn children_of(file: &File, is_root: bool) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let below = if is_root {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let code = code_of(&file.text);
    let mut children = Vec::new();
    let mut named: Option<String> = None;
    for (text, line) in file.text.lines().zip(code.lines()) {
        if line.trim_start().starts_with("#[path") {
            named = text.split('"').nth(1).map(str::to_owned);
        }
        if line.trim_start().starts_with("#[") {
            continue;
        }
        let mut words = line
            .split_whitespace()
            .skip_while(|word| word.starts_with("pub") || *word == "in" || word.ends_with(')'));
        if words.next() == Some("mod")
            && let Some(module) = words.next().and_then(|word| word.strip_suffix(';'))
        {
            children.push(match named.take() {
                Some(path) => format!("{folder}/{path}"),
                None => format!("{below}/{module}.rs"),
            });
        }
        named = None;
    }
    children
}

/// The files below some crate's folder that no crate root reaches.
fn forgotten(files: &[File], roots: &BTreeSet<String>) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = roots.iter().cloned().collect();
    while let Some(path) = open.pop() {
        let Some(file) = files.iter().find(|file| file.path == path) else {
            continue;
        };
        if reached.insert(path) {
            open.extend(children_of(file, roots.contains(&file.path)));
        }
    }
    // What a template holds becomes a source in somebody else's folder.
    let is_template = |file: &&File| file.path.contains("/templates/");
    let lost = files
        .iter()
        .filter(|file| !reached.contains(&file.path) && !is_template(file));
    lost.map(|file| {
        format!(
            "{}: no build reads it; declare it with 'mod' or as a target",
            file.path
        )
    })
    .collect()
}

#[test]
fn every_source_is_built_and_every_test_is_run() {
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let small = [
        file(
            "a/src/lib.rs",
            "//! A.\npub mod b;\n#[cfg(test)]\n#[path = \"odd/c.rs\"]\nmod c;\n// mod lost;\n",
        ),
        file("a/src/b.rs", "pub(crate) mod d;"),
        file("a/src/b/d.rs", ""),
        file("a/src/odd/c.rs", ""),
        file("a/src/lost.rs", ""),
        file("a/tests/t.rs", ""),
    ];
    let manifest: Table = "package.name = \"a\"".parse().expect("TOML");
    let lost = forgotten(&small, &roots_of("a/Cargo.toml", &manifest, &small));
    assert_eq!(
        lost,
        ["a/src/lost.rs: no build reads it; declare it with 'mod' or as a target"]
    );

    let files = read_all(&[".rs"]);
    let mut roots = BTreeSet::new();
    for manifest in read_all(&["Cargo.toml"])
        .iter()
        .filter(|file| file.path != "Cargo.toml")
    {
        let table = manifest.text.parse().expect("a manifest is TOML");
        roots.extend(roots_of(&manifest.path, &table, &files));
    }
    let missing: Vec<String> = roots
        .iter()
        .filter(|path| !root().join(path).exists())
        .map(|path| format!("{path}: a manifest names it, but there is no such file"))
        .collect();
    assert_none("targets without a file:", &missing);
    assert_none("files that no build reads:", &forgotten(&files, &roots));
}

#[test]
fn every_document_that_is_a_test_is_run() {
    let documents = read_all(&[".md"]);
    let runners: Vec<File> = read_all(&[".rs"])
        .into_iter()
        .filter(|file| file.path.starts_with("tests/") || file.path.starts_with("cli/"))
        .collect();
    let lost: Vec<String> = documents
        .iter()
        .filter_map(|document| document.path.strip_prefix("tests/cli/"))
        .filter(|name| {
            !runners.iter().any(|file| {
                file.text.contains(&format!("\"{name}\""))
                    || file.text.contains(&format!("/{name}\""))
            })
        })
        .map(|name| format!("tests/cli/{name}: no test names it; run it from tests/it/"))
        .collect();
    assert_none("documents that no test runs:", &lost);
}
