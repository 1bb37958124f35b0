//! Trees: changed, compared, looked up, projected and checked out, with git as the judge.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use gdo_core::delta::{Delta, Entry, Mode, Operation};
use gdo_core::id::ObjectId;
use gdo_core::path::{Glob, RepoPath};
use gdo_ledger::{CheckoutCaps, Ledger, LedgerError, Standing, TreeError, git};

use crate::support::{TestLedger, put};

fn remove(path: &str) -> Operation {
    Operation {
        path: path.parse().expect("a path"),
        old: None,
        new: None,
    }
}

fn listing(ledger: &Ledger, tree: &ObjectId) -> Vec<String> {
    let text = git::run(
        ledger.dir(),
        &["ls-tree", "-r", "--name-only", &tree.to_string()],
    );
    text.expect("git ls-tree")
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Writes a tree object with whatever entries.
fn raw_tree(ledger: &Ledger, entries: &[(&str, &[u8], ObjectId)]) -> ObjectId {
    let mut raw = Vec::new();
    for (mode, name, id) in entries {
        raw.extend_from_slice(format!("{mode} ").as_bytes());
        raw.extend_from_slice(name);
        raw.push(0);
        raw.extend_from_slice(id.as_bytes());
    }
    let file = ledger.dir().join("raw-tree");
    fs::write(&file, raw).expect("write");
    let file = file.display().to_string();
    let id = git::run(
        ledger.dir(),
        &["hash-object", "-t", "tree", "-w", "--literally", &file],
    );
    id.expect("git hash-object").trim().parse().expect("an id")
}

#[test]
fn deltas_apply_and_diff_gives_them_back() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let old = test.checkpoint().tree;
    let delta: Delta = vec![
        remove("README"),
        put(ledger, "README/now-a-folder", "x"),
        remove("docs/deep/b.txt"),
        put(ledger, "docs/a.txt", "changed\n"),
        put(ledger, "docs/deep0", "sorts after deep/"),
        put(ledger, "new/with/many/parts", "y"),
    ];
    let new = ledger.apply(&old, &delta).expect("applies");
    let listed = listing(ledger, &new);
    assert!(
        listed.contains(&"README/now-a-folder".to_owned()),
        "{listed:?}"
    );
    assert!(
        !listed.iter().any(|path| path.starts_with("docs/deep/")),
        "{listed:?}"
    );
    let found = ledger.diff(&old, &new, 100).expect("compares");
    let mut expected: BTreeMap<RepoPath, Option<Entry>> = delta
        .iter()
        .map(|operation| (operation.path.clone(), operation.new))
        .collect();
    for operation in &found {
        assert_eq!(
            expected.remove(&operation.path),
            Some(operation.new),
            "{}",
            operation.path
        );
        let stood = ledger.entry(&old, &operation.path).expect("entry");
        assert_eq!(
            operation.old.map_or(Standing::Absent, Standing::File),
            stood
        );
    }
    assert!(expected.is_empty(), "not found: {expected:?}");
    assert_eq!(ledger.apply(&old, &found).expect("applies"), new);
    let back: Delta = ledger.diff(&new, &old, 100).expect("compares");
    assert_eq!(ledger.apply(&new, &back).expect("applies"), old);
    assert!(ledger.diff(&new, &new, 0).expect("compares").is_empty());
    test.fsck();
}

#[test]
fn removing_everything_gives_the_empty_tree_and_what_is_not_there_stays_away() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let tree = test.checkpoint().tree;
    let delta = ledger
        .diff(&tree, &ledger.empty_tree(), 100)
        .expect("compares");
    assert_eq!(
        ledger.apply(&tree, &delta).expect("applies"),
        ledger.empty_tree()
    );
    assert_eq!(
        ledger
            .apply(&tree, &[remove("no/such/file")])
            .expect("applies"),
        tree
    );
}

#[test]
fn a_file_and_a_directory_of_one_name_do_not_meet() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let tree = test.checkpoint().tree;
    for path in ["docs", "README/below"] {
        let error = ledger
            .apply(&tree, &[put(ledger, path, "x")])
            .expect_err(path);
        let shape =
            matches!(&error, LedgerError::Tree(TreeError::Shape { path: named }) if named == path);
        assert!(shape, "{error}");
    }
}

#[test]
fn hostile_trees_are_refused_by_path() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let blob = ledger.write_blob(b"x").expect("write");
    let empty = ledger.empty_tree();
    let below = |name: &[u8]| {
        let inner = raw_tree(ledger, &[("100644", name, blob)]);
        raw_tree(ledger, &[("40000", b"sub", inner)])
    };
    let cases: Vec<(ObjectId, &str)> = vec![
        (
            raw_tree(ledger, &[("160000", b"module", blob)]),
            "module: mode 160000",
        ),
        (
            raw_tree(ledger, &[("100664", b"group", blob)]),
            "group: mode 100664",
        ),
        (
            raw_tree(ledger, &[("100600", b"odd", blob)]),
            "odd: mode 100600",
        ),
        (
            raw_tree(ledger, &[("40000", b"hollow", empty)]),
            "hollow: an empty directory",
        ),
        (below(b".git"), "sub/.git"),
        (below(b".GIT"), "sub/.GIT"),
        (below(b"git~1"), "sub/git~1"),
        (below(b".."), "sub/.."),
        (below(b"con"), "sub/con"),
        (below(b"a:b"), "sub/a:b"),
        (below(b"tr\xc3\xa9s "), "sub/tr\u{e9}s "),
        (below("e\u{301}".as_bytes()), "normal form C"),
        (below(b"\xff"), "not UTF-8"),
        (
            raw_tree(ledger, &[("100644", b"b", blob), ("100644", b"a", blob)]),
            "'a' after 'b'",
        ),
        (
            raw_tree(ledger, &[("100644", b"a", blob), ("40000", b"a", blob)]),
            "'a' twice",
        ),
        (raw_tree(ledger, &[("100644", b"a/b", blob)]), "slash"),
    ];
    for (tree, expected) in cases {
        let error = ledger
            .diff(&empty, &tree, 100)
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
        let dir = test.dir.path().join("out").join(tree.to_string());
        ledger
            .checkout_tree(&tree, &dir, CheckoutCaps::default())
            .expect_err(expected);
    }
}

#[test]
fn bombs_end_at_the_cap() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let blob = ledger.write_blob(b"x").expect("write");
    let names: Vec<String> = (0..10).map(|n| format!("n{n}")).collect();
    let mut tree = blob;
    for level in 0..15 {
        let mode = if level == 0 { "100644" } else { "40000" };
        let entries: Vec<_> = names
            .iter()
            .map(|name| (mode, name.as_bytes(), tree))
            .collect();
        tree = raw_tree(ledger, &entries);
    }
    let error = ledger
        .diff(&ledger.empty_tree(), &tree, 1024)
        .expect_err("a bomb");
    assert!(
        matches!(
            error,
            LedgerError::Tree(TreeError::TooManyPaths { max: 1024 })
        ),
        "{error}"
    );
    ledger.files_below(&tree, "", 1024).expect_err("a bomb");
    let caps = CheckoutCaps {
        entries_max: 1000,
        ..CheckoutCaps::default()
    };
    let error = ledger.checkout_tree(&tree, &test.dir.path().join("bomb"), caps);
    let error = error.expect_err("a bomb").to_string();
    assert!(error.contains("more than 1000"), "{error}");
}

#[test]
fn facts_tell_what_stands_at_around_and_beside_a_path() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let tree = test.checkpoint().tree;
    let more = [
        put(ledger, "Docs/A.TXT", "x"),
        put(ledger, "docs/A.txt", "y"),
    ];
    let tree = ledger.apply(&tree, &more).expect("applies");
    let paths: Vec<RepoPath> = ["docs/a.txt", "docs", "README/x/y", "docs/new", "dOCS/a.Txt"]
        .iter()
        .map(|path| path.parse().expect("a path"))
        .collect();
    let facts = ledger.facts(&tree, &paths).expect("facts");
    let siblings = |at: usize| {
        let found = facts[at]
            .case_siblings
            .iter()
            .map(|(path, _)| path.to_string());
        found.collect::<Vec<_>>()
    };
    assert!(matches!(facts[0].at, Standing::File(_)));
    assert_eq!(siblings(0), ["Docs/A.TXT", "docs/A.txt"]);
    assert_eq!(
        (facts[1].at, facts[1].files_below),
        (Standing::Directory, 3)
    );
    let above = facts[2]
        .file_above
        .as_ref()
        .map(|(path, _)| path.to_string());
    assert_eq!(above.as_deref(), Some("README"));
    assert_eq!(facts[3].at, Standing::Absent);
    assert_eq!(facts[3].file_above, None);
    assert_eq!(siblings(4), ["Docs/A.TXT", "docs/A.txt", "docs/a.txt"]);
}

#[test]
fn a_projection_holds_what_is_read_and_nothing_of_the_kernel() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let base = test.checkpoint().tree;
    let candidate = ledger
        .apply(&base, &[put(ledger, "docs/c.txt", "c")])
        .expect("applies");
    let globs = |texts: &[&str]| -> Vec<Glob> {
        texts
            .iter()
            .map(|text| text.parse().expect("a glob"))
            .collect()
    };
    let all = ledger
        .input_tree(&base, &candidate, &globs(&["**"]), "{}")
        .expect("projects");
    let listed = listing(ledger, &all);
    assert!(
        listed.contains(&"candidate/docs/c.txt".to_owned()),
        "{listed:?}"
    );
    assert!(
        listed.contains(&"base/.gdo/policy.toml".to_owned()),
        "{listed:?}"
    );
    assert!(
        !listed.iter().any(|path| path.ends_with("checkpoint.json")),
        "{listed:?}"
    );
    let reads = globs(&[".gdo/roster/**", "docs/*.txt"]);
    let some = ledger
        .input_tree(&base, &candidate, &reads, "{}")
        .expect("projects");
    assert_eq!(
        listing(ledger, &some),
        [
            "base/.gdo/roster/alice.toml",
            "base/.gdo/roster/bob.toml",
            "base/.gdo/roster/carol.toml",
            "base/.gdo/roster/hub.toml",
            "base/docs/a.txt",
            "candidate/.gdo/roster/alice.toml",
            "candidate/.gdo/roster/bob.toml",
            "candidate/.gdo/roster/carol.toml",
            "candidate/.gdo/roster/hub.toml",
            "candidate/docs/a.txt",
            "candidate/docs/c.txt",
            "context.json",
        ]
    );
    // What the dapp does not read changes no key; what it reads does.
    let unseen = ledger
        .apply(&candidate, &[put(ledger, "other", "x")])
        .expect("applies");
    assert_eq!(
        ledger
            .input_tree(&base, &unseen, &reads, "{}")
            .expect("projects"),
        some
    );
    let seen = ledger
        .apply(&candidate, &[put(ledger, "docs/c.txt", "d")])
        .expect("applies");
    assert_ne!(
        ledger
            .input_tree(&base, &seen, &reads, "{}")
            .expect("projects"),
        some
    );
    assert_ne!(
        ledger
            .input_tree(&base, &candidate, &reads, "{ }")
            .expect("projects"),
        some
    );
    test.fsck();
}

#[test]
fn a_checkout_has_fixed_times_and_modes_and_keeps_links() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let base = test.checkpoint().tree;
    let mut tool = put(ledger, "bin/tool", "#!/bin/sh\n");
    let mut link = put(ledger, "bin/link", "../../../../etc/passwd");
    tool.new = tool.new.map(|entry| Entry {
        mode: Mode::Executable,
        ..entry
    });
    link.new = link.new.map(|entry| Entry {
        mode: Mode::Symlink,
        ..entry
    });
    let tree = ledger.apply(&base, &[tool, link]).expect("applies");
    let reads: Vec<Glob> = vec!["bin/**".parse().expect("a glob")];
    let input = ledger
        .input_tree(&base, &tree, &reads, "{\"a\":1}")
        .expect("projects");
    let dir = test.dir.path().join("input");
    let done = ledger
        .checkout_projection(&input, &dir, CheckoutCaps::default())
        .expect("out");
    assert_eq!(done.entries, 5);
    assert_eq!(
        fs::read_to_string(dir.join("context.json")).expect("read"),
        "{\"a\":1}"
    );
    assert!(dir.join("base").is_dir(), "an empty side is a folder");
    let target = fs::read_link(dir.join("candidate/bin/link")).expect("a link");
    assert_eq!(target.to_str(), Some("../../../../etc/passwd"));
    let cases = [
        ("", 0o40_755),
        ("base", 0o40_755),
        ("candidate", 0o40_755),
        ("candidate/bin", 0o40_755),
        ("candidate/bin/tool", 0o100_755),
        ("context.json", 0o100_644),
    ];
    for (path, mode) in cases {
        let found = fs::symlink_metadata(dir.join(path)).expect(path);
        assert_eq!(found.mode(), mode, "mode of {path}");
        assert_eq!(
            (found.mtime(), found.mtime_nsec()),
            (0, 0),
            "time of {path}"
        );
    }
    let again = ledger.checkout_projection(&input, &dir, CheckoutCaps::default());
    again.expect_err("a directory that is not empty");
    let caps = CheckoutCaps {
        bytes_max: 10,
        ..CheckoutCaps::default()
    };
    let error = ledger.checkout_projection(&input, &test.dir.path().join("small"), caps);
    assert!(
        error
            .expect_err("over the cap")
            .to_string()
            .contains("expected at most")
    );
}

/// A small generator of numbers: the same sequence in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The tree that git's own index makes of a listing.
fn tree_by_git(ledger: &Ledger, files: &BTreeMap<String, Entry>) -> ObjectId {
    use std::io::Write as _;
    let index = ledger.dir().join("test-index");
    let _ = fs::remove_file(&index); // of the round before
    let mut command = git::command(ledger.dir());
    command
        .args(["update-index", "--add", "--index-info"])
        .env("GIT_INDEX_FILE", &index);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("git runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    for (path, entry) in files {
        writeln!(stdin, "{} {}\t{path}", entry.mode, entry.id).expect("git reads");
    }
    drop(stdin);
    assert!(child.wait().expect("git ends").success());
    let mut command = git::command(ledger.dir());
    let output = command
        .arg("write-tree")
        .env("GIT_INDEX_FILE", &index)
        .output()
        .expect("git");
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("an id")
}

#[test]
fn random_changes_make_the_trees_that_git_makes_of_them() {
    let test = TestLedger::new();
    let ledger = &test.ledger;
    let blobs: Vec<ObjectId> = (0..5u8)
        .map(|n| ledger.write_blob(&[n]).expect("write"))
        .collect();
    let names = ["a", "a.b", "a0", "a-", "b", "z"];
    let modes = [Mode::File, Mode::Executable, Mode::Symlink];
    let mut numbers = Numbers(7);
    let mut files: BTreeMap<String, Entry> = BTreeMap::new();
    let mut tree = ledger.empty_tree();
    for round in 0..60 {
        let before = (tree, files.clone());
        let mut delta: BTreeMap<String, Option<Entry>> = BTreeMap::new();
        for _ in 0..=numbers.below(12) {
            let depth = numbers.below(4) + 1;
            let parts: Vec<&str> = (0..depth)
                .map(|_| names[numbers.below(6) as usize])
                .collect();
            let path = parts.join("/");
            let mode = modes[numbers.below(3) as usize];
            let new = Entry {
                mode,
                id: blobs[numbers.below(5) as usize],
            };
            let clashes = |other: &String| {
                other.starts_with(&format!("{path}/")) || path.starts_with(&format!("{other}/"))
            };
            // What stands in the way goes in the same change.
            let in_the_way: Vec<String> = files
                .keys()
                .chain(delta.keys())
                .filter(|other| clashes(other))
                .cloned()
                .collect();
            let remove = numbers.below(3) == 0;
            for other in in_the_way.into_iter().filter(|_| !remove) {
                delta.insert(other, None);
            }
            delta.insert(path, (!remove).then_some(new));
        }
        for (path, new) in &delta {
            match new {
                Some(entry) => files.insert(path.clone(), *entry),
                None => files.remove(path),
            };
        }
        let operation = |(path, new): (&String, &Option<Entry>)| Operation {
            path: path.parse().expect("a path"),
            old: None,
            new: *new,
        };
        let operations: Delta = delta.iter().map(operation).collect();
        tree = ledger.apply(&tree, &operations).expect("applies");
        assert_eq!(
            tree,
            tree_by_git(ledger, &files),
            "round {round}: {operations:?}"
        );
        let found = ledger.diff(&before.0, &tree, 100).expect("compares");
        let differs = |path: &String| before.1.get(path) != files.get(path);
        let all: std::collections::BTreeSet<&String> =
            before.1.keys().chain(files.keys()).collect();
        let expected: Vec<&String> = all.into_iter().filter(|path| differs(path)).collect();
        let mut got: Vec<String> = found
            .iter()
            .map(|operation| operation.path.to_string())
            .collect();
        got.sort();
        assert_eq!(got.iter().collect::<Vec<_>>(), expected, "round {round}");
        let listed = ledger.files_below(&tree, "", 1000).expect("lists");
        let listed: BTreeMap<String, Entry> = listed
            .into_iter()
            .map(|(path, entry)| (path.to_string(), entry))
            .collect();
        assert_eq!(listed, files);
    }
    test.fsck();
}
