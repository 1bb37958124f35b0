//! The `pre-receive` hook: the cheap checks, while git keeps the new objects in quarantine.
//!
//! What is refused here vanishes with the quarantine. Git gives one line per reference on standard
//! input; the exit code is the answer.
//!
//! **Invariants**: the push passes only on the daemon's explicit word; a reference that git would
//! write by itself, because `proc-receive` is not asked about it, never passes.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use gdo_core::error::FormatError;
use gdo_core::hook::{
    COMMANDS_MAX, PreReceive, PushTarget, RefUpdate, Reply, Request, refuse_unless_proposal,
};

use crate::environment;
use crate::error::{HookError, RelayError};
use crate::relay::{self, Relay};
use crate::screen::Screen;

/// The longest line that git may give: two ids and a reference.
const UPDATE_BYTES_MAX: u64 = 16 << 10;

/// Runs the hook in this process: standard input, output, error and environment are git's.
#[must_use]
pub fn pre_receive_main(socket: &Path, node_dir: &Path) -> ExitCode {
    let mut screen = Screen::new(io::stderr());
    let outcome = read_updates(io::stdin().lock()).and_then(|updates| {
        if refuse_foreign(&updates, &mut screen) {
            return Ok(false);
        }
        let request = Request::PreReceive(PreReceive {
            updates,
            quarantine: environment::quarantine(),
            options: environment::push_options()?,
            pusher: environment::pusher(),
        });
        Ok(ask(socket, &request, &mut screen)?)
    });
    screen.finish();
    match outcome {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(HookError::Relay(error)) => relay::explain(&mut screen, &error, node_dir),
        Err(error) => screen.line(&format!("gdo: {error}")),
    }
    ExitCode::FAILURE
}

/// Refuses references outside of those that `receive.procReceiveRefs` leaves to the daemon.
fn refuse_foreign<W: Write>(updates: &[RefUpdate], screen: &mut Screen<W>) -> bool {
    let mut foreign = false;
    for update in updates {
        let other = PushTarget::of(&update.reference) == PushTarget::Other;
        if let Some(refusal) = refuse_unless_proposal(update).filter(|_| other) {
            foreign = true;
            refusal.advice.iter().for_each(|line| screen.line(line));
        }
    }
    foreign
}

/// Whether the daemon lets the push pass.
fn ask<W: Write>(
    socket: &Path,
    request: &Request,
    screen: &mut Screen<W>,
) -> Result<bool, RelayError> {
    let mut relay = Relay::ask(socket, request)?;
    match relay.answer(screen)? {
        Reply::Accept {} => Ok(true),
        Reply::Reject { lines } => {
            for line in lines {
                screen.line(&line);
            }
            Ok(false)
        }
        other => Err(RelayError::Unexpected(format!("{other:?}"))),
    }
}

fn read_updates(mut input: impl BufRead) -> Result<Vec<RefUpdate>, HookError> {
    let mut updates = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut input).take(UPDATE_BYTES_MAX);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(updates);
        }
        if updates.len() == COMMANDS_MAX {
            return Err(HookError::TooMany { max: COMMANDS_MAX });
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        updates.push(parse_update(line)?);
    }
}

/// Reads `<old> <new> <reference>`, the form of both hooks.
pub(crate) fn parse_update(line: &[u8]) -> Result<RefUpdate, HookError> {
    let wrong = || HookError::Dialogue {
        expected: "<old id> <new id> <reference>",
        got: line.escape_ascii().take(200).map(char::from).collect(),
    };
    let Ok(text) = std::str::from_utf8(line) else {
        let shown = String::from_utf8_lossy(line);
        let name = shown.rsplit(' ').next().unwrap_or(&shown);
        return Err(FormatError::new("reference name", "text in UTF-8", name).into());
    };
    let mut words = text.splitn(3, ' ');
    let (Some(old), Some(new), Some(reference)) = (words.next(), words.next(), words.next()) else {
        return Err(wrong());
    };
    if !reference.starts_with("refs/") || reference.contains([' ', '\n', '\0']) {
        return Err(wrong());
    }
    Ok(RefUpdate {
        old: old.parse().map_err(|_| wrong())?,
        new: new.parse().map_err(|_| wrong())?,
        reference: reference.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_read_with_both_lengths_of_id() {
        for digits in [40, 64] {
            let (old, new) = ("0".repeat(digits), "a".repeat(digits));
            let input = format!("{old} {new} refs/for/main\n{new} {old} refs/heads/x\n");
            let updates = read_updates(input.as_bytes()).expect("well formed");
            assert_eq!(updates.len(), 2);
            assert_eq!(updates[0].reference, "refs/for/main");
            assert!(!updates[0].is_delete());
            assert!(updates[1].is_delete());
        }
    }

    #[test]
    fn malformed_updates_are_refused() {
        let id = "a".repeat(40);
        let cases: [Vec<u8>; 7] = [
            b"\n".to_vec(),
            b"x\n".to_vec(),
            format!("{id} {id}\n").into_bytes(),
            format!("{id} {id} main\n").into_bytes(),
            format!("{id} {id}0 refs/for/main\n").into_bytes(),
            format!("{id} {id} refs/for/a b\n").into_bytes(),
            [format!("{id} {id} refs/for/").as_bytes(), b"\xff\n"].concat(),
        ];
        for input in cases {
            assert!(
                read_updates(&input[..]).is_err(),
                "{}",
                input.escape_ascii()
            );
        }
    }

    #[test]
    fn a_push_of_too_many_references_is_refused() {
        let id = "a".repeat(40);
        let line = format!("{id} {id} refs/for/main\n");
        assert!(read_updates(line.repeat(COMMANDS_MAX).as_bytes()).is_ok());
        let error = read_updates(line.repeat(COMMANDS_MAX + 1).as_bytes()).expect_err("too many");
        assert!(error.to_string().contains("at most 1024"), "{error}");
    }
}
