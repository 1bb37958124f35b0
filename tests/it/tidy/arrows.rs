//! Which crate may know which: the arrows of `ARCHITECTURE.md`, and one owner for each library.
//!
//! Arrows point downward. Each foreign library is known to one crate, so that a new version of it
//! is one crate's work; the few that are the language's everyday tools are listed as common.

use toml::{Table, Value};

use crate::assert_none;
use crate::files::{File, code_of, read_all};

/// Each crate and the crates of the workspace that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("gdo-core", &[]),
    ("gdo-ledger", &["gdo-core"]),
    ("gdo-consensus", &["gdo-core"]),
    ("gdo-chunkstore", &["gdo-core"]),
    ("gdo-runtime", &["gdo-core", "gdo-chunkstore"]),
    ("gdo-hooks", &["gdo-core"]),
    (
        "gdo-node",
        &[
            "gdo-core",
            "gdo-ledger",
            "gdo-consensus",
            "gdo-chunkstore",
            "gdo-runtime",
            "gdo-hooks",
        ],
    ),
    (
        "gdo",
        &[
            "gdo-core",
            "gdo-ledger",
            "gdo-runtime",
            "gdo-hooks",
            "gdo-node",
        ],
    ),
    ("gdo-dapp-sdk", &["gdo-core"]),
    ("gdo-dapp-policy", &["gdo-core", "gdo-dapp-sdk"]),
    ("gdo-dapp-accounting", &["gdo-core", "gdo-dapp-sdk"]),
    (
        "gdo-tests",
        &[
            "gdo",
            "gdo-core",
            "gdo-ledger",
            "gdo-consensus",
            "gdo-chunkstore",
            "gdo-runtime",
            "gdo-hooks",
            "gdo-node",
            "gdo-dapp-sdk",
        ],
    ),
];

/// Each foreign library with the crates that may know it; beside `gdo-tests`, which may know all.
const OWNERS: &[(&str, &[&str])] = &[
    ("axum", &["gdo-node"]),
    ("blake3", &["gdo-chunkstore"]),
    ("clap", &["gdo"]),
    ("clap_complete", &["gdo"]),
    ("ed25519-dalek", &["gdo-core"]),
    ("fastcdc", &["gdo-chunkstore"]),
    ("flate2", &["gdo-runtime", "gdo-node"]),
    ("gix", &["gdo-ledger"]),
    ("http-body", &["gdo-node"]),
    ("hyper", &["gdo-node"]),
    ("hyper-util", &["gdo-node"]),
    ("indicatif", &["gdo"]),
    ("libcontainer", &["gdo-runtime"]),
    ("crc32c", &["gdo-chunkstore"]),
    ("rocksdb", &["gdo-chunkstore"]),
    ("serde_jcs", &["gdo-core"]),
    ("ssh-key", &["gdo-core"]),
    ("tar", &["gdo-runtime"]),
    ("tokio", &["gdo-node", "gdo"]),
    ("tracing-subscriber", &["gdo"]),
    ("unicode-normalization", &["gdo-core"]),
    ("zstd", &["gdo-chunkstore", "gdo-runtime"]),
];

/// Libraries that any crate may use: they carry no design with them.
const COMMON: &[&str] = &[
    "getrandom",
    "hex",
    "nix",
    "serde",
    "serde_json",
    "sha2",
    "tempfile",
    "thiserror",
    "toml",
    "tracing",
];

/// What the ledger's bytes and decisions depend on: a version that moves by itself could fork it.
const PINNED: &[&str] = &[
    "gix",
    "ed25519-dalek",
    "ssh-key",
    "serde_jcs",
    "libcontainer",
    "fastcdc",
    "blake3",
    "rocksdb",
];

/// Paths that pure crates must not name: (folder of the crate, what, instead).
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "core/src/",
        &[
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "SystemTime",
            "Instant::now",
            "HashMap",
            "HashSet",
            "tracing::",
        ],
    ),
    (
        "consensus/src/",
        &[
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::time",
            "SystemTime",
            "Instant::now",
            "HashMap",
            "HashSet",
            "tracing::",
            "f32",
            "f64",
        ],
    ),
    (
        "node/src/effects/",
        &["crate::reactor", "super::super::reactor"],
    ),
];

fn manifests() -> Vec<(String, Table)> {
    let found = read_all(&["Cargo.toml"]);
    let crates = found.iter().filter(|file| file.path != "Cargo.toml");
    crates
        .map(|file| (file.path.clone(), parse(&file.path, &file.text)))
        .collect()
}

fn parse(path: &str, text: &str) -> Table {
    text.parse()
        .unwrap_or_else(|error| panic!("{path}: expected TOML: {error}"))
}

/// The name of the crate and of everything it depends on, in whatever section.
fn dependencies(manifest: &Table) -> (String, Vec<String>) {
    let name = manifest["package"]["name"]
        .as_str()
        .expect("a package has a name")
        .to_owned();
    let mut found = Vec::new();
    let mut gather = |table: &Table| {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let names = table.get(section).and_then(Value::as_table);
            found.extend(names.into_iter().flat_map(Table::keys).cloned());
        }
    };
    gather(manifest);
    let targets = manifest.get("target").and_then(Value::as_table);
    for target in targets.into_iter().flat_map(Table::values) {
        gather(target.as_table().expect("a target is a table"));
    }
    (name, found)
}

fn find<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, list)| *list)
}

fn faults_in_arrows(path: &str, manifest: &Table) -> Vec<String> {
    let (name, found) = dependencies(manifest);
    let Some(allowed) = find(ARROWS, &name) else {
        return vec![format!(
            "{path}: crate {name} has no place in the table of arrows; add it here and to ARCHITECTURE.md"
        )];
    };
    let fault = |library: &String| {
        if library.starts_with("gdo") {
            let wrong = !allowed.contains(&library.as_str());
            return wrong.then(|| {
                format!("{path}: {name} must not know {library}, expected none but {allowed:?}")
            });
        }
        if COMMON.contains(&library.as_str()) {
            return None;
        }
        match find(OWNERS, library) {
            None => Some(format!(
                "{path}: {library} has no owner; name the one crate that knows it in the table of owners"
            )),
            Some(owners) if name == "gdo-tests" || owners.contains(&name.as_str()) => None,
            Some(owners) => Some(format!(
                "{path}: {name} must not know {library}, which belongs to {owners:?}"
            )),
        }
    };
    found.iter().filter_map(fault).collect()
}

fn faults_in_source(file: &File) -> Vec<String> {
    let code = code_of(&file.text);
    // Tests at the end of a file may read files and measure time.
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let mut faults = Vec::new();
    for (folder, words) in FORBIDDEN {
        if !file.path.starts_with(folder) {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                faults.push(format!(
                    "{}:{}: {folder} must not name {word}",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    // A binary has no public signatures.
    if !file.path.starts_with("cli/") {
        for (number, line) in code
            .lines()
            .enumerate()
            .filter(|(_, line)| line.trim_start().starts_with("pub "))
        {
            for (library, _) in OWNERS {
                if has_word(line, &format!("{}::", library.replace('-', "_"))) {
                    faults.push(format!(
                        "{}:{}: a type of {library} in a public signature; wrap it",
                        file.path,
                        number + 1
                    ));
                }
            }
        }
    }
    faults
}

/// Whether `word` stands in `line` with no letter before or after it.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open = word.ends_with(':');
        !before.is_some_and(inner) && (open || !after.is_some_and(inner))
    })
}

#[test]
fn arrows_point_downward_and_every_library_has_its_crate() {
    let bad = parse(
        "x",
        "package.name = \"gdo-consensus\"\ndependencies.gdo-ledger.workspace = true\ndev-dependencies.gix = \"1\"\ntarget.'cfg(unix)'.dependencies.rand = \"1\"",
    );
    assert_eq!(faults_in_arrows("x", &bad).len(), 3);
    let manifests = manifests();
    assert!(
        manifests.len() >= ARROWS.len(),
        "a crate of the table of arrows is missing"
    );
    let faults: Vec<String> = manifests
        .iter()
        .flat_map(|(path, manifest)| faults_in_arrows(path, manifest))
        .collect();
    assert_none("arrows between crates are wrong:", &faults);
}

#[test]
fn pure_crates_do_no_io_and_libraries_stay_behind_their_crate() {
    let bad = File {
        path: "consensus/src/x.rs".to_owned(),
        text: "use std::fs;\n/// std::time in a comment\npub fn f(x: gix::ObjectId) {}\n#[cfg(test)]\nuse std::time;\n".to_owned(),
    };
    assert_eq!(faults_in_source(&bad).len(), 2);
    let faults: Vec<String> = read_all(&[".rs"])
        .iter()
        .flat_map(faults_in_source)
        .collect();
    assert_none("a crate names what it must not know:", &faults);
}

#[test]
fn what_consensus_rests_on_is_pinned_exactly() {
    let file = std::fs::read_to_string(crate::files::root().join("Cargo.toml"))
        .expect("the workspace has a manifest");
    let manifest = parse("Cargo.toml", &file);
    let known = manifest["workspace"]["dependencies"]
        .as_table()
        .expect("a table");
    let version = |name: &str| {
        let entry = known.get(name)?;
        entry.as_str().or_else(|| entry.get("version")?.as_str())
    };
    let loose: Vec<String> = PINNED
        .iter()
        .filter(|name| !version(name).is_some_and(|version| version.starts_with('=')))
        .map(|name| format!("Cargo.toml: {name}: expected a version like \"=1.2.3\""))
        .collect();
    assert_none("versions may move by themselves:", &loose);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let silent: Vec<String> = manifests()
        .iter()
        .filter(|(_, manifest)| {
            manifest
                .get("lints")
                .and_then(|lints| lints.get("workspace")?.as_bool())
                != Some(true)
        })
        .map(|(path, _)| format!("{path}: expected [lints] with workspace = true"))
        .collect();
    assert_none("crates without lints:", &silent);
}
