//! `docs/cli.md` is the program's own help.

use crate::support::World;

#[test]
fn the_reference_of_commands_is_the_programs_help() {
    let said = World::new().gdo("", &["help-reference"]).ends(0);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        said.out == written,
        "docs/cli.md is not what the program says; write it again with: gdo help-reference > docs/cli.md"
    );
}

#[test]
fn every_command_explains_itself() {
    let world = World::new();
    let reference = world.gdo("", &["help-reference"]).ends(0).out;
    let commands: Vec<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## gdo "))
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.push("--help");
        let said = world.gdo("", &words).ends(0);
        assert!(
            said.out.contains("Usage: gdo"),
            "gdo {command}:\n{}",
            said.out
        );
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        World::new()
            .gdo("", &["completions", shell])
            .ends(0)
            .tells("gdo");
    }
}
