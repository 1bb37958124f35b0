//! The documents under `tests/cli` are true: every command in them is run, and prints what they say.
//!
//! A block fenced as `console` holds commands behind `$ ` (continued behind `> `) and below each what
//! it prints: `[..]` stands for anything within a line, a line `...` for any lines, and a last line
//! `[exit N]` for a command that fails. A block fenced as `file path=…` is written to that file. The
//! commands of one document run in one bash, in a directory of its own, with stock git and a home
//! where nothing is set up.
//!
//! **Invariants**: every document in the folder has its test; a document leaves no node running.

use gdo_tests::program::{Environment, gdo};

#[path = "documents/document.rs"]
mod document;
#[path = "documents/shell.rs"]
mod shell;

use document::{Step, matches};
use shell::Shell;

/// The documents that have a test below.
const DOCUMENTS: [&str; 4] = [
    "journey-a-push.md",
    "journey-b-double-spend.md",
    "journey-e-image.md",
    "journey-f-audit.md",
];

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("cli")
}

/// Plays a document from its first line to its last.
#[track_caller]
fn play(name: &str) {
    let text = std::fs::read_to_string(folder().join(name)).expect("the document is there");
    let temp = tempfile::tempdir().expect("a temporary directory");
    let environment = Environment::new(temp.path().join("home"));
    let work = temp.path().join("work");
    let mut shell = Shell::start(&environment, &gdo(), &work);
    let mut played = 0;
    for step in document::read(&text).unwrap_or_else(|fault| panic!("{name}:{fault}")) {
        match step {
            Step::File { path, content } => {
                let file = work.join(path);
                let parent = file.parent().expect("it lies in the directory");
                std::fs::create_dir_all(parent).expect("the directory is ours");
                std::fs::write(&file, content).expect("the directory is ours");
            }
            Step::Command(command) => {
                let (said, code) = shell.run(&command.text);
                let expected: Vec<&str> = command.expected.iter().map(String::as_str).collect();
                let lines: Vec<&str> = said.iter().map(String::as_str).collect();
                assert!(
                    matches(&expected, &lines) && code == command.code,
                    "{name}:{}: {}\nexpected (exit {}):\n{}\ngot (exit {code}):\n{}",
                    command.line,
                    command.text,
                    command.code,
                    command.expected.join("\n"),
                    said.join("\n")
                );
                played += 1;
            }
        }
    }
    assert!(played > 0, "{name} shows no command");
}

#[test]
fn every_document_has_a_test() {
    let entries = std::fs::read_dir(folder()).expect("the folder is there");
    let mut found: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    found.sort();
    assert_eq!(found, DOCUMENTS);
}

#[test]
fn journey_a_is_as_its_document_says() {
    play(DOCUMENTS[0]);
}

#[test]
fn journey_b_is_as_its_document_says() {
    play(DOCUMENTS[1]);
}

#[test]
fn journey_e_is_as_its_document_says() {
    play(DOCUMENTS[2]);
}

#[test]
fn journey_f_is_as_its_document_says() {
    play(DOCUMENTS[3]);
}
