//! Vectors of files that people write, and of what validators are given.

use gdo_core::canonical;
use gdo_core::context::Context;
use gdo_core::dapp::Manifest;
use gdo_core::id::Digest;
use gdo_core::path::{Glob, RepoPath};
use gdo_core::policy::{Approve, Policy};
use gdo_core::roster::Roster;
use serde_json::{Value, json};

use crate::{id, key, ledger};

pub(crate) fn canonical_json() -> Value {
    let values = [
        json!({ "b": 1, "a": [true, null, "x"], "": {} }),
        json!({ "\u{fb33}": 1, "\u{1f600}": 2, "\u{f6}": 3, "1": 4 }),
        json!("\u{8}\t\n\u{c}\r\u{1f}\"\\/\u{7f}\u{e9}\u{2028}"),
        json!([9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64, 0]),
    ];
    let good =
        values.map(|value| json!({ "value": value, "canonical": canonical::to_string(&value) }));
    let refused = [
        "{\"b\":1,\"a\":2}",
        "{\"a\": 1}",
        "{\"a\":1,\"a\":1}",
        "[1.0]",
        "[1.5]",
        "[1e2]",
        "[9007199254740992]",
        "[-0]",
        "\"\\u0041\"",
        "\"\\/\"",
        "[1] ",
    ];
    for text in refused {
        assert!(
            canonical::from_str::<Value>("x", text).is_err(),
            "{text} was accepted"
        );
    }
    json!({ "cases": good, "refused": refused })
}

const CONTEXT: &str = "{\"blocks\":[{\"lane\":\"final\",\"member\":\"hub\",\"operations\":[{\"new\":{\"id\":\
    \"2121212121212121212121212121212121212121212121212121212121212121\",\"mode\":\"100644\"},\"old\":null,\
    \"path\":\"acct/txn/2026/11/x.journal\"}],\"principal\":\"alice\",\"proposal\":\
    \"3333333333333333333333333333333333333333333333333333333333333333\"}],\"ledger\":\
    \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"roster\":{\"alice\":{\"kind\":\"person\",\
    \"roles\":[\"board\"],\"status\":\"active\",\"weight\":1}},\"scope\":\"checkpoint\",\"version\":1}";

pub(crate) fn context() -> Value {
    let timed = CONTEXT.replace(
        "\"scope\":\"checkpoint\"",
        "\"scope\":\"block\",\"time\":1780000000",
    );
    let good = [CONTEXT.to_owned(), timed];
    for text in &good {
        let context = Context::parse(text).expect("documented form");
        assert_eq!(
            (context.to_json(), context.ledger),
            (text.clone(), ledger())
        );
        assert_eq!(context.blocks[0].proposal, Some(id(0x33)));
    }
    let refused = [
        CONTEXT.replace("\"version\":1", "\"version\":2"),
        CONTEXT.replace("\"weight\":1", "\"weight\": 1"),
        CONTEXT.replace("\"100644\"", "\"100664\""),
        CONTEXT.replace("\"version\":1", "\"version\":1,\"x\":1"),
        CONTEXT.replace("acct/txn", "acct/../txn"),
    ];
    for text in &refused {
        assert!(Context::parse(text).is_err(), "{text} was accepted");
    }
    let globs = [
        ("acct/**", "acct/a/b"),
        ("acct/**", "acct"),
        ("acct/**", "accts/a"),
        ("**/x", "a/b/x"),
        ("**/x", "x"),
        ("a/*/c", "a/b/c"),
        ("a/*/c", "a/b/d/c"),
        ("*.toml", "a.toml"),
        ("*.toml", "d/a.toml"),
        ("a*b*c", "axxbyyc"),
        ("ab*ba", "aba"),
        ("a/**/b", "a/b"),
    ];
    let globs = globs.map(|(glob, path)| {
        let parsed: Glob = glob.parse().expect("valid glob");
        json!({ "glob": glob, "path": path, "matches": parsed.matches(path) })
    });
    json!({ "cases": good, "refused": refused, "globs": globs })
}

const DAPP: &str = "contract = 1\nname = \"accounting\"\nversion = \"1.0.0\"\n[validator]\nengine = \"container\"\n\
    image = \"image\"\ncommand = [\"/bin/accounting\", \"validate\"]\nreads = [\".gdo/roster/**\", \"acct/**\"]\n\
    limits = { wall_ms = 2000 }\n";

pub(crate) fn dapp() -> Value {
    let image = Digest::of(b"{\"manifests\":[],\"schemaVersion\":2}");
    let variants = [
        DAPP.to_owned(),
        DAPP.replace("command = [\"/bin/accounting\", \"validate\"]\n", ""),
        DAPP.replace("limits =", "scope = \"block\"\nuses = [\"time\"]\nlimits ="),
    ];
    let cases = variants.map(|toml| {
        let manifest =
            Manifest::parse(".gdo/dapps/accounting/dapp.toml", &toml).expect("valid manifest");
        json!({ "toml": toml, "dapp_digest": manifest.validator.digest(image) })
    });
    let refused = [
        DAPP.replace("\"container\"", "\"wasm\""),
        DAPP.replace("contract = 1", "contract = 2"),
        DAPP.replace("wall_ms = 2000", "wall_ms = 0"),
        DAPP.replace("wall_ms", "wall"),
        DAPP.replace("image = \"image\"", "image = \"../image\""),
        DAPP.replace("\".gdo/roster/**\", \"acct/**\"", ""),
    ];
    for toml in &refused {
        assert!(Manifest::parse("x", toml).is_err(), "accepted:\n{toml}");
    }
    json!({
        "index_json": "{\"manifests\":[],\"schemaVersion\":2}",
        "image": image,
        "digested": "{\"command\":[\"/bin/accounting\",\"validate\"],\"contract\":1,\"engine\":\"container\",\"image\":\"…\",\
            \"limits\":{\"cpu_ms\":5000,\"memory_mib\":64,\"output_kib\":256,\"pids\":32,\"tmp_mib\":16,\"wall_ms\":2000},\
            \"reads\":[\".gdo/roster/**\",\"acct/**\"],\"scope\":\"checkpoint\",\"uses\":[]}"
            .replace('…', &image.to_string()),
        "cases": cases,
        "refused": refused,
    })
}

#[test]
fn the_digest_of_a_dapp_is_that_of_the_published_text() {
    let vector = dapp();
    let text = vector["digested"].as_str().expect("text");
    assert_eq!(
        vector["cases"][0]["dapp_digest"],
        json!(Digest::of(text.as_bytes()))
    );
}

fn rule(path: &str, lane: &str) -> String {
    format!(
        "[[rule]]\npath = \"{path}\"\nlane = \"{lane}\"\nwriters = [\"any\"]\nunvalidated = true\n"
    )
}

pub(crate) fn policy() -> Value {
    let head = "version = 1\n[finality]\nvalidators = [{ member = \"hub\", weight = 1 }, { member = \"b\", weight = 3 }]\n";
    let rules = [
        rule("", "cas"),
        rule(".gdo/", "final"),
        rule("a/*/", "owned").replace("a/*/", "a/{member}/"),
        rule("a/b/", "final"),
        rule("a/*/c/{member}/", "append"),
        rule("README.md", "final"),
    ];
    let toml = format!("{head}{}", rules.concat());
    let policy = Policy::parse(&toml).expect("valid policy");
    let paths = [
        "x",
        ".gdo/policy.toml",
        ".gdo2",
        "a",
        "a/b",
        "a/b/x",
        "a/bob/x",
        "a/b/c/bob/1",
        "README.md",
        "README.md2",
    ];
    let matches = paths.map(|path| {
        let parsed: RepoPath = path.parse().expect("valid path");
        let found = policy.rule_for(&parsed);
        json!({
            "path": path,
            "rule": found.rule.path.as_str(),
            "lane": found.rule.lane,
            "member": found.owner,
            "blocks_records": policy.blocks_records(&parsed),
        })
    });
    let refused = [
        format!("{head}{}", rule("x/", "cas")),
        format!("{head}{}{}", rule("", "cas"), rule("x/", "append")),
        format!(
            "{head}{}{}{}",
            rule("", "cas"),
            rule("a/*/", "cas"),
            rule("*/b/", "cas")
        ),
        format!("{head}quorum = 2\n{}", rule("", "cas")),
        format!(
            "{head}{}",
            rule("", "cas").replace("unvalidated = true\n", "")
        ),
        format!(
            "{head}[limits]\npaths_per_block = 1025\n{}",
            rule("", "cas")
        ),
        format!(
            "{}{}",
            head.replace("version = 1", "version = 2"),
            rule("", "cas")
        ),
        format!("{head}colour = 1\n{}", rule("", "cas")),
        format!("{head}{}approve = \"role:board\"\n", rule("", "cas")),
    ];
    for toml in &refused {
        assert!(Policy::parse(toml).is_err(), "accepted:\n{toml}");
    }
    let approve = [
        "role:board",
        "1 of role:board",
        "2 of kind:person",
        "weight >= 100",
        "any(member:cto, 2 of role:devops, 10 of role:developer, weight >= 100)",
        "all( role:a ,any(role:b,role:c) )",
    ];
    let approve = approve.map(|text| {
        let parsed: Approve = text.parse().expect("valid expression");
        json!({ "text": text, "written": parsed })
    });
    let refused_approvals = [
        "",
        "0 of role:a",
        "2 role:a",
        "weight > 1",
        "all()",
        "role:",
        "any",
        "role:a role:b",
    ];
    for text in refused_approvals {
        assert!(text.parse::<Approve>().is_err(), "{text:?} was accepted");
    }
    json!({
        "toml": toml,
        "quorum": policy.finality.quorum,
        "total": policy.finality.total(),
        "matches": matches,
        "refused": refused,
        "approve": approve,
        "refused_approvals": refused_approvals,
    })
}

pub(crate) fn roster() -> Value {
    let line = |seed| key(seed).public();
    let alice = format!(
        "kind = \"person\"\nkeys = [\"{} laptop\"]\nroles = [\"board\"]\nstatus = \"active\"\nretired = [\"{}\"]\n",
        line(2),
        line(4)
    );
    let hub = format!(
        "kind = \"node\"\nkeys = [\"{} hub\"]\nstatus = \"active\"\nweight = 0\n",
        line(1)
    );
    let files = [
        (".gdo/roster/alice.toml", &alice),
        (".gdo/roster/hub.toml", &hub),
    ];
    let parsed = Roster::parse(files.iter().map(|(file, text)| (*file, text.as_str())))
        .expect("valid roster");
    let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
    let refused = [
        format!("{hub}colour = 1\n"),
        hub.replace("\"node\"", "\"robot\""),
        hub.replace("\"active\"", "\"retired\""),
        hub.replace(&line(1).to_string(), ecdsa),
        "kind = \"node\"\nkeys = []\nstatus = \"active\"\n".to_owned(),
    ];
    for text in &refused {
        assert!(
            Roster::parse([(".gdo/roster/x.toml", text.as_str())]).is_err(),
            "accepted:\n{text}"
        );
    }
    let twice = [
        (".gdo/roster/a.toml", hub.as_str()),
        (".gdo/roster/b.toml", hub.as_str()),
    ];
    assert!(
        Roster::parse(twice).is_err(),
        "a key of two members was accepted"
    );
    json!({
        "files": { ".gdo/roster/alice.toml": alice, ".gdo/roster/hub.toml": hub },
        "allowed_signers": parsed.allowed_signers(),
        "refused": refused,
    })
}
