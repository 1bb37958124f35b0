//! The contract from outside: what each input makes of the exit code and of `report.json`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use gdo_dapp_sdk::contract::{EXIT_FAIL, EXIT_PASS, EXIT_UNDECIDED, Input, Roots, judge};
use gdo_dapp_sdk::error::Undecided;
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::testing::Scratch;

/// Answers as the file `answer` says.
fn oracle(input: &Input, report: &mut Report) -> Result<(), Undecided> {
    match input.candidate.read_text("answer", 100).as_deref() {
        Ok("pass") => Ok(()),
        Ok("fail") => {
            report.line("answer", 1, "no", "the answer is no");
            Ok(())
        }
        Ok("panic") => panic!("on purpose"),
        _ => Err(Undecided::Other("no answer".into())),
    }
}

fn exit(dir: &Path) -> String {
    // ExitCode has no PartialEq: its Debug form is compared with that of the expected one.
    format!("{:?}", judge(&Roots::below(dir), oracle))
}

fn code(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

fn input(answer: &str) -> Scratch {
    let scratch = Scratch::new();
    for dir in ["base", "candidate", "out"] {
        fs::create_dir(scratch.path().join(dir)).expect("writable");
    }
    fs::write(scratch.path().join("candidate/answer"), answer).expect("writable");
    scratch
}

#[test]
fn the_exit_code_is_the_verdict() {
    let cases = [
        ("pass", EXIT_PASS),
        ("fail", EXIT_FAIL),
        ("panic", EXIT_UNDECIDED),
        ("", EXIT_UNDECIDED),
    ];
    for (answer, expected) in cases {
        let scratch = input(answer);
        assert_eq!(exit(scratch.path()), code(expected), "{answer}");
        let report = fs::read_to_string(scratch.path().join("out/report.json"));
        assert_eq!(
            report.is_ok(),
            expected <= EXIT_FAIL,
            "a report only with a verdict"
        );
        if expected == EXIT_FAIL {
            let expected = r#"{"problems":[{"path":"answer","line":1,"rule":"no","message":"the answer is no"}]}"#;
            assert_eq!(report.expect("written"), expected);
        }
    }
}

#[test]
fn a_broken_input_is_nobodys_fault() {
    let scratch = input("pass");
    for context in ["", "{}", "null", "{\"version\":2}", "[[[[", "\u{1}"] {
        fs::write(scratch.path().join("context.json"), context).expect("writable");
        assert_eq!(exit(scratch.path()), code(EXIT_UNDECIDED), "{context:?}");
    }
    fs::remove_file(scratch.path().join("context.json")).expect("there");
    assert_eq!(exit(scratch.path()), code(EXIT_PASS));
    fs::remove_dir_all(scratch.path().join("candidate")).expect("there");
    assert_eq!(exit(scratch.path()), code(EXIT_UNDECIDED), "no candidate");
}

#[test]
fn a_report_that_cannot_be_written_is_no_verdict() {
    let scratch = input("pass");
    fs::create_dir(scratch.path().join("out/report.json")).expect("writable");
    assert_eq!(exit(scratch.path()), code(EXIT_UNDECIDED));
}
