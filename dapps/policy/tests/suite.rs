//! The policy validator on whole `.gdo/` trees: every way to lock oneself out, once.

use gdo_core::id::Digest;
use gdo_core::key::NodeKey;
use gdo_dapp_policy::validate::validate;
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::testing::{self, Files};

fn put(files: &mut Files, path: &str, text: &str) {
    files.insert(path.to_owned(), text.as_bytes().to_vec());
}

fn key(seed: u8) -> String {
    NodeKey::from_seed([seed; 32]).public().to_string()
}

fn member(kind: &str, seeds: &[u8], status: &str) -> String {
    let keys: Vec<String> = seeds
        .iter()
        .map(|seed| format!("\"{}\"", key(*seed)))
        .collect();
    format!(
        "kind = \"{kind}\"\nkeys = [{}]\nroles = [\"board\"]\nstatus = \"{status}\"\n",
        keys.join(", ")
    )
}

/// Adds a blob to an image layout and returns its descriptor.
fn blob(files: &mut Files, dir: &str, text: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    put(files, &format!("{dir}/blobs/sha256/{digest}"), text);
    format!("{{\"digest\":\"sha256:{digest}\",\"size\":{}}}", text.len())
}

/// The template's policy with alice and hub, and both dapps with complete images.
fn ledger() -> Files {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read =
        |path: &str| std::fs::read_to_string(format!("{root}/{path}")).expect("in the checkout");
    let mut files = Files::new();
    let policy = read("templates/books/.gdo/policy.toml").replace("{{node}}", "hub");
    put(&mut files, ".gdo/policy.toml", &policy);
    put(
        &mut files,
        ".gdo/ledger.toml",
        "written by checkpoints alone",
    );
    put(
        &mut files,
        ".gdo/roster/alice.toml",
        &member("person", &[1, 11], "active"),
    );
    put(
        &mut files,
        ".gdo/roster/hub.toml",
        &member("node", &[2], "active"),
    );
    for name in ["policy", "accounting"] {
        let dir = format!(".gdo/dapps/{name}/image");
        put(
            &mut files,
            &format!(".gdo/dapps/{name}/dapp.toml"),
            &read(&format!("{name}/dapp.toml")),
        );
        put(&mut files, &format!("{dir}/oci-layout"), "{}");
        let (config, layer) = (
            blob(&mut files, &dir, "{}"),
            blob(&mut files, &dir, "a layer"),
        );
        let manifest = format!("{{\"config\":{config},\"layers\":[{layer}]}}");
        let manifest = blob(&mut files, &dir, &manifest);
        put(
            &mut files,
            &format!("{dir}/index.json"),
            &format!("{{\"manifests\":[{manifest}]}}"),
        );
    }
    files
}

fn judge(base: &Files, candidate: &Files) -> Report {
    testing::judge(base, candidate, validate).expect("decided")
}

/// Judges the ledger after `change`, which must be refused under `rule` at `path` in words that hold `expected`.
fn refused(rule: &str, path: &str, expected: &str, change: impl FnOnce(&mut Files)) {
    let base = ledger();
    let mut candidate = base.clone();
    change(&mut candidate);
    let report = judge(&base, &candidate);
    let named = report
        .problems()
        .iter()
        .any(|p| p.rule == rule && p.path == path && p.message.contains(expected));
    assert!(
        named,
        "expected {path} [{rule}] '{expected}', got:\n{report}"
    );
}

fn replace(files: &mut Files, path: &str, from: &str, to: &str) {
    let text = String::from_utf8(files[path].clone()).expect("text");
    assert!(text.contains(from), "{path} does not hold '{from}'");
    put(files, path, &text.replace(from, to));
}

const POLICY: &str = ".gdo/policy.toml";
const ALICE: &str = ".gdo/roster/alice.toml";
const HUB: &str = ".gdo/roster/hub.toml";

#[test]
fn the_template_passes_as_a_genesis_and_as_it_stands() {
    let files = ledger();
    for base in [&Files::new(), &files] {
        let report = judge(base, &files);
        assert!(report.is_clean(), "{report}");
    }
    let mut blank = ledger();
    let text = include_str!("../../templates/blank/.gdo/policy.toml").replace("{{node}}", "hub");
    put(&mut blank, POLICY, &text);
    let report = judge(&files, &blank);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_new_member_and_a_rotated_key_pass() {
    let base = ledger();
    let mut candidate = base.clone();
    put(
        &mut candidate,
        ".gdo/roster/bob.toml",
        &member("person", &[3], "active"),
    );
    let rotated = member("person", &[1, 12], "active") + &format!("retired = [\"{}\"]\n", key(11));
    put(&mut candidate, ALICE, &rotated);
    let report = judge(&base, &candidate);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn malformed_files_are_named_with_their_line() {
    refused("policy", POLICY, "colour", |f| {
        replace(f, POLICY, "version = 1", "version = 1\ncolour = 2");
    });
    refused("roster", ALICE, "asleep", |f| {
        replace(f, ALICE, "\"active\"", "\"asleep\"");
    });
    refused("roster", ".gdo/roster/Bob.toml", "member name", |f| {
        put(f, ".gdo/roster/Bob.toml", "");
    });
    refused("dapp", ".gdo/dapps/policy/dapp.toml", "wasm", |f| {
        replace(
            f,
            ".gdo/dapps/policy/dapp.toml",
            "\"container\"",
            "\"wasm\"",
        );
    });
    refused(
        "dapp",
        ".gdo/dapps/other/dapp.toml",
        "expected 'other'",
        |f| {
            let text = f[".gdo/dapps/policy/dapp.toml"].clone();
            f.insert(".gdo/dapps/other/dapp.toml".into(), text);
        },
    );
    let base = ledger();
    let mut candidate = base.clone();
    replace(
        &mut candidate,
        POLICY,
        "lane = \"final\"",
        "lane = \"finale\"",
    );
    let report = judge(&base, &candidate);
    assert_eq!(report.count(), 1, "{report}");
    assert!(
        report.problems()[0].line.is_some_and(|line| line > 10),
        "{report}"
    );
}

#[test]
fn lock_outs_are_refused() {
    refused("lock-out", POLICY, "self_approval", |f| {
        replace(f, POLICY, "self_approval = true", "");
    });
    refused("lock-out", POLICY, "2 of role:board", |f| {
        replace(f, POLICY, "1 of role:board", "2 of role:board");
    });
    refused("lock-out", POLICY, "ghost is not in the roster", |f| {
        replace(f, POLICY, "member = \"hub\"", "member = \"ghost\"");
    });
    refused("lock-out", POLICY, "finality.quorum", |f| {
        replace(f, HUB, "\"active\"", "\"suspended\"");
    });
    refused("lock-out", POLICY, "active", |f| {
        replace(f, ALICE, "\"active\"", "\"removed\"");
    });
    refused("lock-out", POLICY, "nobody could change it", |f| {
        replace(
            f,
            POLICY,
            "writers = [\"kind:person\"]\napprove",
            "writers = [\"role:ghost\"]\napprove",
        );
    });
    refused("lock-out", POLICY, "'policy', which keeps you", |f| {
        replace(f, POLICY, "dapps = [\"policy\"]", "unvalidated = true");
    });
    refused("lock-out", POLICY, "expected lane final, got cas", |f| {
        replace(
            f,
            POLICY,
            "lane = \"final\"\nwriters = [\"kind:person\"]\napprove = \"1 of role:board\"\nself_approval = true\ndapps = [\"policy\"]",
            "lane = \"cas\"\nwriters = [\"kind:person\"]\ndapps = [\"policy\"]",
        );
    });
    refused(
        "lock-out",
        POLICY,
        "'accounting' is not in the ledger",
        |f| {
            f.retain(|path, _| !path.starts_with(".gdo/dapps/accounting/"));
        },
    );
    refused("lock-out", ".gdo/dapps/policy/dapp.toml", "k_pass", |f| {
        replace(
            f,
            ".gdo/dapps/policy/dapp.toml",
            "scope =",
            "k_pass = 2\nscope =",
        );
    });
    refused("policy", POLICY, "finality.quorum", |f| {
        replace(
            f,
            POLICY,
            "validators = [",
            "quorum = 1\nvalidators = [{ member = \"alice\", weight = 1 }, ",
        );
    });
    refused("policy", POLICY, "at least one validator", |f| {
        replace(f, POLICY, "{ member = \"hub\", weight = 1 }", "");
    });
    refused("policy", POLICY, "reads nothing below", |f| {
        replace(
            f,
            POLICY,
            "dapps = [\"policy\"]",
            "dapps = [\"policy\", \"accounting\"]",
        );
    });
    refused("policy", POLICY, "no such file", |f| drop(f.remove(POLICY)));
}

#[test]
fn the_past_of_the_roster_stays() {
    refused("history", ALICE, "never deleted", |f| drop(f.remove(ALICE)));
    refused("history", ALICE, "move its line to retired", |f| {
        put(f, ALICE, &member("person", &[1], "active"));
    });
    refused(
        "history",
        ".gdo/roster/bob.toml",
        "never changes member",
        |f| {
            put(
                f,
                ".gdo/roster/bob.toml",
                &member("person", &[11], "active"),
            );
            put(f, ALICE, &member("person", &[1], "active"));
        },
    );
    refused(
        "roster",
        ".gdo/roster/bob.toml",
        "belongs to one member",
        |f| {
            put(f, ".gdo/roster/bob.toml", &member("person", &[1], "active"));
        },
    );
}

#[test]
fn an_image_without_one_of_its_blobs_is_refused() {
    let blobs: Vec<String> = ledger()
        .into_keys()
        .filter(|path| path.starts_with(".gdo/dapps/policy/image/"))
        .collect();
    assert_eq!(blobs.len(), 5, "{blobs:?}");
    for blob in blobs {
        refused("image", &blob, "no such file", |f| drop(f.remove(&blob)));
        if blob.contains("sha256") {
            refused("image", &blob, "of the digest in its name", |f| {
                f.get_mut(&blob).expect("there").push(b' ');
            });
            refused("image", &blob, "of the digest in its name", |f| {
                f.get_mut(&blob).expect("there")[0] ^= 1;
            });
        }
    }
}

/// The ledger with an image of its own, for two platforms, with its layer as a pointer.
fn with_image(pointer: &str) -> Files {
    let mut files = ledger();
    let dir = ".gdo/images/tools";
    put(&mut files, &format!("{dir}/oci-layout"), "{}");
    put(&mut files, &format!("{dir}/.gitattributes"), "* -text\n");
    let config = blob(&mut files, dir, "{}");
    let digest = Digest::of(b"elsewhere");
    put(&mut files, &format!("{dir}/blobs/sha256/{digest}"), pointer);
    let layer = format!("{{\"digest\":\"sha256:{digest}\",\"size\":9}}");
    let manifest = format!("{{\"config\":{config},\"layers\":[{layer}]}}");
    let manifest = blob(&mut files, dir, &manifest);
    let nested = blob(&mut files, dir, &format!("{{\"manifests\":[{manifest}]}}"));
    let media_type = "\"mediaType\":\"application/vnd.oci.image.index.v1+json\"";
    let nested = nested.replacen('{', &format!("{{{media_type},"), 1);
    let index = format!("{{\"manifests\":[{nested}]}}");
    put(&mut files, &format!("{dir}/index.json"), &index);
    files
}

#[test]
fn a_layer_may_be_a_pointer_to_the_object_that_the_manifest_names() {
    let pointer = |content: &[u8], size: u64| {
        let oid = Digest::of(content);
        gdo_core::pointer::Pointer { oid, size }.to_text()
    };
    let good = pointer(b"elsewhere", 9);
    let report = judge(&ledger(), &with_image(&good));
    assert_eq!(report.count(), 0, "{report}");
    let path = format!(
        ".gdo/images/tools/blobs/sha256/{}",
        Digest::of(b"elsewhere")
    );
    for (bad, expected) in [
        (pointer(b"another", 9), "it points to"),
        (pointer(b"elsewhere", 8), "it points to"),
        (good.replace("size 9", "size 09"), "pointer"),
        ("nowhere".to_owned(), "of the digest in its name"),
    ] {
        let report = judge(&ledger(), &with_image(&bad));
        let named = report
            .problems()
            .iter()
            .any(|p| p.path == path && p.message.contains(expected));
        assert!(named, "expected '{expected}', got:\n{report}");
    }
}

#[test]
fn misspelt_paths_are_refused() {
    for path in [
        ".gdo/policies.toml",
        ".gdo/dapps/readme",
        ".gdo/images/readme",
        ".gdo/image/tools/index.json",
        ".gdo/roster/alice.toml.bak",
    ] {
        let base = ledger();
        let mut candidate = base.clone();
        put(&mut candidate, path, "text");
        let report = judge(&base, &candidate);
        assert!(
            report.problems().iter().any(|p| p.path == path),
            "{path}: {report}"
        );
    }
}

#[test]
fn fuzzed_rules_never_panic_the_validator() {
    let files = ledger();
    let rounds = 1000;
    let refused = testing::fuzzed_input_never_panics(99, rounds, &files, &files, validate);
    assert!(
        refused > rounds / 2,
        "only {refused} of {rounds} mutants were refused"
    );
}

#[test]
fn roster_files_cannot_be_deleted_or_replaced_by_links() {
    let base = ledger();
    let scratch = testing::Scratch::new();
    let mut files = base.clone();
    files.remove(HUB);
    let _ = scratch.tree("candidate", &files);
    let root = scratch.path().join("candidate");
    std::os::unix::fs::symlink("alice.toml", root.join(HUB)).expect("symlink");
    let candidate = gdo_dapp_sdk::tree::Tree::load(&root).expect("just written");
    let input = gdo_dapp_sdk::contract::Input {
        base: scratch.tree("base", &base),
        candidate,
        context: gdo_dapp_sdk::contract::empty_context(),
    };
    let mut report = Report::default();
    validate(&input, &mut report).expect("decided");
    assert!(
        report
            .to_string()
            .contains("is a symlink, expected a plain file"),
        "{report}"
    );
}
