//! The `proc-receive` hook: git leaves the references under `refs/for` to the daemon.
//!
//! ```text
//! git:  version=1\0push-options atomic   flush      hook: version=1\0push-options atomic   flush
//! git:  <old> <new> refs/for/main        flush      then, if negotiated: push options      flush
//! hook: ok refs/for/main, option refname refs/gdo/main/proposals/<id>, option new-oid <pushed>
//!       or ng refs/for/main <reason>                                                       flush
//! ```
//!
//! **Invariants**: every command gets exactly one answer, also when the daemon is down or dies
//! meanwhile; a reason is one line.
//!
//! Source: `githooks(5)`, section proc-receive.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use gdo_core::error::FormatError;
use gdo_core::hook::{
    COMMANDS_MAX, CommandOutcome, CommandResult, ProcReceive, RefUpdate, Reply, Request,
};

use crate::environment;
use crate::error::{HookError, PktError, RelayError};
use crate::pkt_line::{Packet, Reader, Writer};
use crate::pre_receive::parse_update;
use crate::relay::{self, Relay};
use crate::screen::{Screen, printable};

/// What the outcomes of a push are kept by: its references.
type Outcomes = BTreeMap<String, CommandOutcome>;

/// Runs the hook in this process: standard input, output, error and environment are git's.
#[must_use]
pub fn proc_receive_main(socket: &Path, node_dir: &Path) -> ExitCode {
    let mut screen = Screen::new(io::stderr());
    let mut input = Reader::new(BufReader::new(io::stdin().lock()));
    let mut output = Writer::new(io::stdout().lock());
    let done = read_push(&mut input, &mut output).and_then(|push| {
        let commands = push.commands.clone();
        let mut outcomes = Outcomes::new();
        let asked = ask(socket, push, &mut screen, &mut outcomes);
        screen.finish();
        let unanswered = match asked {
            Ok(reason) => reason,
            Err(error) => {
                relay::explain(&mut screen, &error, node_dir);
                error.to_string()
            }
        };
        Ok(report(&mut output, &commands, &outcomes, &unanswered)?)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.line(&format!("gdo: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The first half of the dialogue: what is pushed.
fn read_push<R: Read, W: Write>(
    input: &mut Reader<R>,
    output: &mut Writer<W>,
) -> Result<ProcReceive, HookError> {
    let offered = read_version(input)?;
    let known = ["push-options", "atomic"];
    let shared: Vec<&str> = known
        .into_iter()
        .filter(|name| offered.iter().any(|offer| offer == name))
        .collect();
    let mut version = b"version=1".to_vec();
    if !shared.is_empty() {
        version.push(0);
        version.extend_from_slice(shared.join(" ").as_bytes());
    }
    output.data(&version)?;
    output.flush()?;

    let commands = read_list(input)?
        .iter()
        .map(|line| parse_update(line))
        .collect::<Result<_, _>>()?;
    let options = if shared.contains(&"push-options") {
        read_list(input)?
            .into_iter()
            .map(|line| {
                String::from_utf8(line).map_err(|error| {
                    let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
                    FormatError::new("push option", "text in UTF-8", shown)
                })
            })
            .collect::<Result<_, _>>()?
    } else {
        Vec::new()
    };
    Ok(ProcReceive {
        commands,
        options,
        atomic: shared.contains(&"atomic"),
        pusher: environment::pusher(),
    })
}

/// Reads git's version packet and gives the capabilities that it offers.
fn read_version<R: Read>(input: &mut Reader<R>) -> Result<Vec<String>, HookError> {
    let lines = read_list(input)?;
    let wrong = |got: &[u8]| HookError::Dialogue {
        expected: "version=1",
        got: got.escape_ascii().take(200).map(char::from).collect(),
    };
    let [line] = &lines[..] else {
        return Err(wrong(&lines.concat()));
    };
    let mut halves = line.splitn(2, |&byte| byte == 0);
    if halves.next() != Some(b"version=1") {
        return Err(wrong(line));
    }
    let offered = halves.next().unwrap_or_default();
    let offered = std::str::from_utf8(offered).map_err(|_| wrong(line))?;
    Ok(offered
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect())
}

/// Reads packets up to a flush, without their newlines.
fn read_list<R: Read>(input: &mut Reader<R>) -> Result<Vec<Vec<u8>>, HookError> {
    let mut lines = Vec::new();
    loop {
        match input.read()? {
            Packet::Data(mut line) => {
                if lines.len() == COMMANDS_MAX {
                    return Err(HookError::TooMany { max: COMMANDS_MAX });
                }
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                lines.push(line);
            }
            Packet::Flush => return Ok(lines),
            other => {
                return Err(HookError::Dialogue {
                    expected: "a line or the end of the list",
                    got: format!("{other:?}"),
                });
            }
        }
    }
}

/// Hands the push to the daemon and collects its outcomes, as many as come.
///
/// Gives the reason for what stays without an outcome.
fn ask<W: Write>(
    socket: &Path,
    push: ProcReceive,
    screen: &mut Screen<W>,
    outcomes: &mut Outcomes,
) -> Result<String, RelayError> {
    let asked: Vec<String> = push.commands.iter().map(|c| c.reference.clone()).collect();
    let mut relay = Relay::ask(socket, &Request::ProcReceive(push))?;
    loop {
        match relay.answer(screen)? {
            Reply::Done {} => return Ok("the node gave no answer".to_owned()),
            Reply::Reject { lines } => {
                lines.iter().for_each(|line| screen.line(line));
                let first = lines.into_iter().next().unwrap_or_default();
                return Ok(first.strip_prefix("gdo: ").unwrap_or(&first).to_owned());
            }
            Reply::Result(CommandResult { reference, outcome }) if asked.contains(&reference) => {
                outcomes.insert(reference, outcome);
            }
            other => return Err(RelayError::Unexpected(format!("{other:?}"))),
        }
    }
}

/// The second half of the dialogue: what became of each command.
fn report<W: Write>(
    output: &mut Writer<W>,
    commands: &[RefUpdate],
    outcomes: &Outcomes,
    unanswered: &str,
) -> Result<(), PktError> {
    for command in commands {
        let reference = &command.reference;
        let refuse = |reason: &str| format!("ng {reference} {}", one_line(reason));
        match outcomes.get(reference) {
            Some(CommandOutcome::Accepted { report }) => {
                output.data(format!("ok {reference}").as_bytes())?;
                if let Some(report) = report {
                    output.data(format!("option refname {}", report.reference).as_bytes())?;
                    output.data(format!("option new-oid {}", report.new).as_bytes())?;
                }
            }
            Some(CommandOutcome::Refused { reason }) => output.data(refuse(reason).as_bytes())?,
            None => output.data(refuse(unanswered).as_bytes())?,
        }
    }
    output.flush()
}

/// A reason as git shows it: one line, neither empty nor endless.
fn one_line(reason: &str) -> String {
    const CHARS_MAX: usize = 500;
    let line: String = printable(reason.trim()).chars().take(CHARS_MAX).collect();
    if line.is_empty() {
        "refused".to_owned()
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(parts: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            match part {
                Some(data) => Writer::new(&mut bytes).data(data),
                None => Writer::new(&mut bytes).flush(),
            }
            .expect("memory takes everything");
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(ProcReceive, Vec<u8>), HookError> {
        let mut said = Vec::new();
        let push = read_push(&mut Reader::new(bytes), &mut Writer::new(&mut said))?;
        Ok((push, said))
    }

    #[test]
    fn the_dialogue_takes_what_git_offers_and_no_more() {
        let id = "a".repeat(64);
        let command = format!("{id} {id} refs/for/main");
        let command = Some(command.as_bytes());
        let full = stream(&[
            Some(b"version=1\0atomic push-options object-format=sha256\n"),
            None,
            command,
            None,
            Some(b"topic=t1\n"),
            Some(b"dry-run"),
            None,
        ]);
        let (push, said) = read(&full).expect("well formed");
        assert_eq!(
            said,
            stream(&[Some(b"version=1\0push-options atomic"), None])
        );
        assert_eq!(push.options, ["topic=t1", "dry-run"]);
        assert!(push.atomic);
        assert_eq!(push.commands[0].reference, "refs/for/main");

        let (push, said) = read(&stream(&[Some(b"version=1"), None, command, None]))
            .expect("git without capabilities");
        assert_eq!(said, stream(&[Some(b"version=1"), None]));
        assert!(push.options.is_empty() && !push.atomic);
    }

    #[test]
    fn a_dialogue_of_another_kind_is_refused() {
        let cases: [(&[Option<&[u8]>], &str); 6] = [
            (&[], "ends early"),
            (&[None], "expected version=1"),
            (&[Some(b"version=2\0atomic"), None], "expected version=1"),
            (
                &[Some(b"version=1"), Some(b"more"), None],
                "expected version=1",
            ),
            (
                &[Some(b"version=1"), None, Some(b"nonsense"), None],
                "expected <old id>",
            ),
            (&[Some(b"version=1"), None, Some(b"x")], "ends early"),
        ];
        for (parts, message) in cases {
            let error = read(&stream(parts)).expect_err(message);
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn every_command_gets_one_answer_in_one_line() {
        let id = gdo_core::id::ObjectId::from_bytes(&[9; 20]).expect("20 bytes are an id");
        let command = |reference: &str| RefUpdate {
            old: id,
            new: id,
            reference: reference.to_owned(),
        };
        let outcomes = Outcomes::from([(
            "refs/for/a".to_owned(),
            CommandOutcome::Refused {
                reason: "two\nlines\x1b[0m ".to_owned(),
            },
        )]);
        let mut bytes = Vec::new();
        report(
            &mut Writer::new(&mut bytes),
            &[command("refs/for/a"), command("refs/for/b")],
            &outcomes,
            "the node stopped",
        )
        .expect("memory takes everything");
        let expected = stream(&[
            Some(b"ng refs/for/a two?lines?[0m"),
            Some(b"ng refs/for/b the node stopped"),
            None,
        ]);
        assert_eq!(bytes, expected);
    }
}
