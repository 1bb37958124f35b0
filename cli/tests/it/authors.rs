//! What the author of a dapp does, with real containers.

use std::fs;

use crate::support::World;

fn a_new_dapp_passes_its_own_cases(lang: &str) {
    let world = World::new();
    world.dapp("rules", lang);
    let said = world
        .gdo("", &["dapp", "test", "rules", "--degraded"])
        .ends(0);
    let said = said.talks("2 cases are as expected").tells("fail-no-title");
    assert!(said.out.contains("pass"), "{}", said.out);
    world
        .gdo("rules", &["dapp", "lint"])
        .ends(0)
        .talks("the dapp is sound");
}

#[test]
fn a_new_shell_dapp_passes_its_own_cases() {
    a_new_dapp_passes_its_own_cases("shell");
}

#[test]
fn a_new_python_dapp_passes_its_own_cases() {
    a_new_dapp_passes_its_own_cases("python");
}

#[test]
fn a_new_rust_dapp_passes_its_own_cases() {
    a_new_dapp_passes_its_own_cases("rust");
}

#[test]
fn a_run_says_pass_fail_or_neither_by_its_exit_code() {
    let world = World::new();
    world.dapp("rules", "shell");
    world.write("good/rules/a.md", "# A title\n");
    world.write("bad/rules/a.md", "no title\n");
    let run = |base: &str, candidate: &str| {
        let args = [
            "dapp",
            "run",
            "rules",
            "--degraded",
            "--json",
            "--base",
            base,
            "--candidate",
        ];
        world.gdo("", &[&args[..], &[candidate]].concat())
    };
    run("good", "good").ends(0).tells(r#""result":"pass""#);
    let said = run("good", "bad").ends(1).tells(r#""result":"fail""#);
    said.tells(r#""path":"rules/a.md""#);

    // A program that breaks has decided nothing.
    let script = world.path("rules/validate.sh");
    fs::write(&script, "#!/bin/sh\nexit 70\n").expect("files can be written");
    world.run("rules", "./image.sh", &[]);
    run("good", "good").ends(3).tells("exit code 70");
}

#[test]
fn a_case_that_comes_out_otherwise_is_named() {
    let world = World::new();
    world.dapp("rules", "shell");
    world.write("rules/cases/pass/expect", "fail\nnever said\n");
    let said = world
        .gdo("", &["dapp", "test", "rules", "--degraded"])
        .ends(1);
    let said = said
        .talks("1 of 2 cases are not as expected")
        .tells("expected fail");
    said.tells("expected it to say: never said");
}

#[test]
fn the_input_of_a_run_can_be_kept() {
    let world = World::new();
    world.dapp("rules", "shell");
    world.write("good/rules/a.md", "# A title\n");
    world.write("good/other/b.md", "not read\n");
    let said = world
        .gdo(
            "",
            &[
                "dapp",
                "run",
                "rules",
                "--degraded",
                "--keep",
                "--base",
                "good",
                "--candidate",
                "good",
            ],
        )
        .ends(0);
    let kept = said
        .err
        .lines()
        .find_map(|line| line.strip_prefix("gdo: the input is in "));
    let kept = std::path::Path::new(kept.expect("the directory is named"));
    assert!(kept.join("candidate/rules/a.md").is_file());
    assert!(kept.join("context.json").is_file());
    assert!(
        !kept.join("candidate/other").exists(),
        "only what the dapp reads is there"
    );
    fs::remove_dir_all(kept).expect("the input can be removed");
}

#[test]
fn what_is_wrong_with_a_dapp_is_said_with_the_next_step() {
    let world = World::new();
    world
        .gdo("", &["dapp", "new", "Rules"])
        .ends(2)
        .talks("[a-z0-9]");
    world.gdo("", &["dapp", "new", "rules"]).ends(0);
    world
        .gdo("", &["dapp", "new", "rules"])
        .ends(2)
        .talks("is there already");
    let said = world
        .gdo("", &["dapp", "test", "rules", "--degraded"])
        .ends(2);
    said.talks("the image of 'rules' is not there")
        .talks("image.sh");
    world
        .gdo("", &["dapp", "lint", "rules"])
        .ends(1)
        .tells("image/index.json: missing");
    world
        .gdo("", &["dapp", "lint", "home"])
        .ends(2)
        .talks("has no dapp.toml");

    let manifest = world.path("rules/dapp.toml");
    let text = fs::read_to_string(&manifest).expect("the manifest is there");
    for (from, to, expected) in [
        ("\"container\"", "\"wasm\"", "wasm is not in this version"),
        ("contract = 1", "contract = 2", "upgrade gdo"),
        ("scope =", "scopes =", "unknown field `scopes`"),
        ("pids = 32", "pids = 0", "limits.pids: expected 1 to"),
    ] {
        fs::write(&manifest, text.replace(from, to)).expect("files can be written");
        world
            .gdo("", &["dapp", "lint", "rules"])
            .ends(1)
            .tells(expected);
    }
}
