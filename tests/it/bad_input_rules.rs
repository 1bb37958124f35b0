//! Rules that are malformed or would lock the ledger: refused with the file, the key and what was
//! expected, and nothing is lost.

use gdo_tests::{Clone, Org, dapp};

const POLICY: &str = ".gdo/policy.toml";
const ALICE: &str = ".gdo/roster/alice.toml";

/// Proposes what was changed, which must be refused with these texts, and takes it back.
#[track_caller]
fn refused(org: &Org, clone: &Clone, texts: &[&str]) {
    let refs = org.refs();
    clone.commit_all("Break a rule");
    let seen = clone.propose(&[]).refused();
    for text in texts {
        seen.shows(text);
    }
    assert_eq!(
        org.main(),
        clone.run(&["rev-parse", "origin/main"]),
        "main moved: {refs}"
    );
    assert_eq!(
        org.status()["pending"],
        serde_json::json!([]),
        "{}",
        seen.text
    );
    clone.run(&["reset", "-q", "--hard", "origin/main"]);
}

/// Requires that the ledger goes on.
#[track_caller]
fn goes_on(org: &Org, clone: &Clone) {
    clone.commit(&[("good.md", "good\n")]);
    clone.propose(&[]).accepted().shows("main is now ");
    let text = clone.read(POLICY) + "\n# a remark\n";
    clone.commit(&[(POLICY, &text)]);
    clone.propose(&[]).accepted().shows("main is now ");
    org.check();
}

#[test]
fn malformed_and_unknown_keys_of_the_policy_are_named_with_what_was_expected() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    for (old, new, key) in [
        ("version = 1\n", "version = 1\ncolour = \"red\"\n", "colour"),
        ("lane = \"cas\"", "lane = \"fast\"", "lane"),
        ("unvalidated = true", "unvalidated = \"yes\"", "unvalidated"),
        ("[finality]", "[finality", POLICY),
        ("writers = [\"any\"]", "writers = [\"folk\"]", "folk"),
        ("\"1 of role:board\"", "\"1 of\"", "approve"),
        (
            "blob_bytes_max = 1048576",
            "blob_bytes_max = 99999999999",
            "blob_bytes_max",
        ),
    ] {
        clone.replace(POLICY, old, new);
        refused(&org, &clone, &[POLICY, key, "expected"]);
    }
    goes_on(&org, &clone);
}

#[test]
fn malformed_and_unknown_keys_of_the_roster_are_named_with_what_was_expected() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    for (old, new, key) in [
        ("weight = 1\n", "weight = 1\nshoe_size = 43\n", "shoe_size"),
        ("kind = \"person\"", "kind = \"robot\"", "kind"),
        ("status = \"active\"", "status = \"asleep\"", "status"),
        ("keys = [\"ssh-ed25519 ", "keys = [\"ssh-rsa ", "keys"),
        ("weight = 1\n", "weight = -1\n", "weight"),
    ] {
        clone.replace(ALICE, old, new);
        refused(&org, &clone, &[ALICE, key, "expected"]);
    }
    goes_on(&org, &clone);
}

#[test]
fn malformed_and_unknown_keys_of_a_dapp_are_named_with_what_was_expected() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    let file = ".gdo/dapps/policy/dapp.toml";
    for (old, new, key) in [
        (
            "contract = 1\n",
            "contract = 1\ncolour = \"red\"\n",
            "colour",
        ),
        ("engine = \"container\"", "engine = \"wasm\"", "engine"),
        ("engine = \"container\"", "engine = \"vm\"", "engine"),
        ("wall_ms = 10000", "wall_ms = 0", "wall_ms"),
        ("scope = \"checkpoint\"", "scope = \"world\"", "scope"),
        ("name = \"policy\"", "name = \"polizei\"", "policy"),
    ] {
        clone.replace(file, old, new);
        refused(&org, &clone, &[file, key, "expected"]);
    }
    goes_on(&org, &clone);
}

#[test]
fn versions_that_this_program_does_not_know_are_refused_with_the_advice_to_upgrade() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone.replace(
        ".gdo/dapps/policy/dapp.toml",
        "contract = 1\n",
        "contract = 2\n",
    );
    refused(
        &org,
        &clone,
        &[".gdo/dapps/policy/dapp.toml", "contract", "upgrade gdo"],
    );
    clone.replace(POLICY, "version = 1\n", "version = 7\n");
    refused(&org, &clone, &[POLICY, "version", "7"]);
    goes_on(&org, &clone);
}

#[test]
fn a_rule_that_checks_nothing_must_say_so() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone.replace(POLICY, "unvalidated = true\n", "");
    refused(&org, &clone, &[POLICY, "unvalidated = true"]);
    let rule = "\n[[rule]]\npath = \"notes/\"\nlane = \"cas\"\nwriters = [\"any\"]\n";
    clone.write(POLICY, clone.read(POLICY) + rule);
    refused(&org, &clone, &[POLICY, "notes/", "unvalidated = true"]);
    goes_on(&org, &clone);
}

#[test]
fn a_quorum_that_two_halves_could_reach_is_refused() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    for (quorum, weight) in [(2, 4), (2, 1), (0, 1)] {
        let old = "[finality]\n";
        clone.replace(POLICY, old, &format!("{old}quorum = {quorum}\n"));
        clone.replace(POLICY, "weight = 1 }", &format!("weight = {weight} }}"));
        refused(&org, &clone, &[POLICY, "finality.quorum", "expected"]);
    }
    goes_on(&org, &clone);
}

#[test]
fn validators_that_cannot_vote_are_refused() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone.replace(POLICY, "member = \"hub\"", "member = \"ghost\"");
    refused(&org, &clone, &[POLICY, "finality.validators", "ghost"]);
    clone.replace(POLICY, "member = \"hub\"", "member = \"alice\"");
    refused(&org, &clone, &[POLICY, "finality.validators", "alice"]);
    clone.replace(
        ".gdo/roster/hub.toml",
        "status = \"active\"",
        "status = \"suspended\"",
    );
    refused(&org, &clone, &[POLICY, "finality.quorum"]);
    goes_on(&org, &clone);
}

#[test]
fn approvals_that_nobody_could_give_are_refused() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone.replace(POLICY, "\"1 of role:board\"", "\"2 of role:board\"");
    refused(&org, &clone, &[POLICY, "nobody could change it any more"]);
    clone.replace(POLICY, "self_approval = true\n", "");
    refused(&org, &clone, &[POLICY, "nobody could change it any more"]);
    clone.replace(ALICE, "status = \"active\"", "status = \"removed\"");
    refused(&org, &clone, &[]);
    clone.run(&["rm", "-q", ALICE]);
    refused(&org, &clone, &["nobody could change it any more"]);
    goes_on(&org, &clone);
}

#[test]
fn a_dapp_that_is_named_but_not_there_or_has_no_image_is_refused() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    let rule = "\n[[rule]]\npath = \"notes/\"\nlane = \"final\"\nwriters = [\"any\"]\n\
                dapps = [\"ghost\"]\n";
    clone.write(POLICY, clone.read(POLICY) + rule);
    refused(
        &org,
        &clone,
        &[POLICY, "ghost", ".gdo/dapps/ghost/dapp.toml"],
    );
    clone.write(POLICY, clone.read(POLICY) + rule);
    clone.write(".gdo/dapps/ghost/dapp.toml", dapp::manifest("ghost"));
    refused(&org, &clone, &[".gdo/dapps/ghost/image", "index.json"]);
    dapp::write_shell_dapp(&clone, "torn", "exit 0");
    let index = clone.read(".gdo/dapps/torn/image/index.json");
    clone.write(
        ".gdo/dapps/torn/image/index.json",
        index.replace("\"size\":", "\"size\":1"),
    );
    refused(&org, &clone, &["torn", "of the image is damaged"]);
    clone.run(&["rm", "-q", "-r", ".gdo/dapps/policy/image"]);
    refused(&org, &clone, &[".gdo/dapps/policy/image"]);
    goes_on(&org, &clone);
}
