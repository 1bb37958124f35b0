//! `gdo approve`, `gdo reject`, `gdo withdraw`: says something of a proposal (P-11).
//!
//! A note is a commit on main that changes nothing and names the proposal in a trailer. The user's
//! own git makes, signs and pushes it: gdo never sees a person's key.
//!
//! **Invariants**: no branch, index or work tree is touched; a note that nobody would count is not
//! pushed.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

use clap::Args;
use gdo_core::commit::subject;
use gdo_core::id::{MemberName, ObjectId};
use gdo_core::proposal::{NoteVerb, notes_in};
use gdo_core::roster::Roster;
use serde::Serialize;

use crate::clone::{GitClone, no_git};
use crate::error::CommandError;
use crate::find::{self, End, Thing};
use crate::output;
use crate::place::Place;
use crate::source::{Reading, Source};

/// Of which proposal, and why.
#[derive(Args, Debug)]
pub struct Note {
    /// The id of the proposal (4 digits or more); 'gdo proposals' lists them
    #[arg(value_name = "ID")]
    id: String,
    /// Why, for the others to read
    #[arg(long, short = 'm', value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

/// How git is told to sign as the roster wants it.
pub(crate) const SIGNING_HINT: &str = "tell git to sign with the key that the roster has of you:\n    \
     git config --global gpg.format ssh\n    \
     git config --global user.signingkey ~/.ssh/id_ed25519.pub\n    \
     git config --global commit.gpgsign true";

/// What came of it.
#[derive(Serialize)]
struct Sent {
    verb: &'static str,
    proposal: ObjectId,
    note: ObjectId,
    member: MemberName,
    accepted: bool,
    reason: Option<String>,
}

impl Note {
    /// Signs and pushes the note.
    ///
    /// # Errors
    /// No such open proposal, signing is not set up, or the node cannot be reached.
    pub fn run(
        self,
        verb: NoteVerb,
        dir: Option<&Path>,
        json: bool,
    ) -> Result<ExitCode, CommandError> {
        let source = Source::open(dir, self.reading)?;
        let roster = source.rules()?.roster;
        let (proposal, principal) = self.proposal(&source, &roster)?;
        let writer = Writer::new(&source)?;
        writer.check_signing()?;
        let text = self.text(verb, &source, proposal)?;
        let note = writer.commit(&source, &text)?;
        let member = writer.signer(&source, &note, &roster)?;
        if verb == NoteVerb::Withdraw && member != principal {
            let message = format!(
                "only {principal} can withdraw {}, you sign as {member}",
                proposal.short(12)
            );
            return Err(
                CommandError::no(message).hint(format!("gdo reject {}", proposal.short(12)))
            );
        }
        let reason = writer.push(&source, &note)?;
        let accepted = reason.is_none();
        let sent = Sent {
            verb: word(verb),
            proposal,
            note,
            member,
            accepted,
            reason,
        };
        if json {
            output::json(&sent)?;
        }
        match sent.reason {
            None => Ok(ExitCode::SUCCESS),
            Some(reason) => Err(CommandError::no(format!("the note was refused: {reason}"))),
        }
    }

    /// The open proposal that the note is about, and its principal.
    fn proposal(
        &self,
        source: &Source,
        roster: &Roster,
    ) -> Result<(ObjectId, MemberName), CommandError> {
        let thing = find::thing(source, roster, &self.id)?;
        let tip = match &thing {
            Thing::Proposal(tip, _) => Some(*tip),
            Thing::Block(block) => block.trailers.proposal,
            Thing::Checkpoint(..) | Thing::Head(..) => None,
        };
        let found = tip.and_then(|tip| Some((tip, source.signer(&tip, roster)?)));
        let (tip, principal) = found.ok_or_else(|| {
            CommandError::usage(format!("{} is no proposal", thing.id()))
                .hint("'gdo proposals' lists those that are open")
        })?;
        let message = source.ledger.read_commit(&tip)?.message;
        if notes_in(&message).is_ok_and(|notes| !notes.is_empty()) {
            let message = format!(
                "{} is a note itself, which needs no approval",
                tip.short(12)
            );
            return Err(CommandError::usage(message));
        }
        match find::end_of_proposal(source, &tip)?.0 {
            // Set aside by a node's block, a proposal may still come in by another one.
            End::Open | End::SetAside { .. } => Ok((tip, principal)),
            end => Err(CommandError::no(format!(
                "proposal {} is {end}",
                tip.short(12)
            ))),
        }
    }

    fn text(
        &self,
        verb: NoteVerb,
        source: &Source,
        proposal: ObjectId,
    ) -> Result<String, CommandError> {
        let about = subject(&source.ledger.read_commit(&proposal)?.message);
        let why = self
            .message
            .as_deref()
            .map(str::trim)
            .filter(|why| !why.is_empty());
        let why = why.map_or_else(String::new, |why| format!("{why}\n\n"));
        Ok(format!(
            "{} '{about}'\n\n{why}{}: {proposal}\n",
            title(verb),
            verb.trailer()
        ))
    }
}

fn word(verb: NoteVerb) -> &'static str {
    match verb {
        NoteVerb::Approve => "approve",
        NoteVerb::Reject => "reject",
        NoteVerb::Withdraw => "withdraw",
    }
}

fn title(verb: NoteVerb) -> &'static str {
    match verb {
        NoteVerb::Approve => "Approve",
        NoteVerb::Reject => "Reject",
        NoteVerb::Withdraw => "Withdraw",
    }
}

/// Makes and pushes a commit with the user's git.
struct Writer<'a> {
    repository: Repository<'a>,
    remote: OsString,
}

/// Where the commit is made.
enum Repository<'a> {
    Clone(&'a GitClone),
    /// In a node directory: a repository of its own over the ledger's objects, so that nothing is
    /// written into the ledger but through the push.
    Scratch(tempfile::TempDir),
}

impl<'a> Writer<'a> {
    fn new(source: &'a Source) -> Result<Self, CommandError> {
        match &source.place {
            Place::Clone(clone) => match clone.remote() {
                Some(remote) => Ok(Self {
                    repository: Repository::Clone(clone),
                    remote: remote.into(),
                }),
                None => Err(
                    CommandError::usage("the clone has no remote to push the note to")
                        .hint("git remote add origin URL"),
                ),
            },
            Place::Node(node) => {
                let repository = Repository::Scratch(scratch(source, &node.ledger())?);
                Ok(Self {
                    repository,
                    remote: node.ledger().into(),
                })
            }
        }
    }

    fn git(&self) -> Command {
        match &self.repository {
            Repository::Clone(clone) => clone.git(),
            Repository::Scratch(scratch) => {
                let mut command = Command::new("git");
                command
                    .arg("--git-dir")
                    .arg(scratch.path())
                    .stdin(Stdio::null());
                command
            }
        }
    }

    /// Whether the user's git signs with SSH keys.
    fn check_signing(&self) -> Result<(), CommandError> {
        let config = |key: &str| -> Result<String, CommandError> {
            let found = self
                .git()
                .args(["config", "--get", key])
                .output()
                .map_err(no_git)?;
            Ok(String::from_utf8_lossy(&found.stdout).trim().to_owned())
        };
        let has_key = !config("user.signingkey")?.is_empty()
            || !config("gpg.ssh.defaultKeyCommand")?.is_empty();
        if config("gpg.format")? == "ssh" && has_key {
            return Ok(());
        }
        Err(
            CommandError::usage("your git does not sign with an SSH key, and notes are signed")
                .hint(SIGNING_HINT),
        )
    }

    /// Commits the note on main, signed.
    fn commit(&self, source: &Source, text: &str) -> Result<ObjectId, CommandError> {
        let mut child = self
            .git()
            .args([
                "commit-tree",
                "-S",
                "-p",
                &source.main.to_string(),
                &source.tree.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(no_git)?;
        let mut input = child.stdin.take().expect("standard input is piped");
        let written = input.write_all(text.as_bytes());
        drop(input);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let message = format!("git could not make the signed note ({})", output.status);
            return Err(CommandError::unknown(message));
        }
        written?;
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .map_err(CommandError::unknown)
    }

    /// The member that signed the note: nobody else's note would count.
    fn signer(
        &self,
        source: &Source,
        note: &ObjectId,
        roster: &Roster,
    ) -> Result<MemberName, CommandError> {
        let raw = self
            .git()
            .args(["cat-file", "commit", &note.to_string()])
            .output()
            .map_err(no_git)?
            .stdout;
        let text = gdo_core::commit::SignedText::split(&raw).map_err(CommandError::unknown)?;
        let signature = text.signature().map_err(CommandError::unknown)?;
        match roster.active_owner_of(signature.key()) {
            Some((name, _)) => Ok(name.clone()),
            None => {
                let print = signature.key().fingerprint();
                let message = format!(
                    "your git signs with {print}, which is no key of an active member at {}",
                    source.main.short(12)
                );
                Err(CommandError::no(message)
                    .hint("'gdo roster' shows the members' keys; git config user.signingkey says which one you use"))
            }
        }
    }

    /// Pushes the note; gives the reason if it is refused.
    fn push(&self, source: &Source, note: &ObjectId) -> Result<Option<String>, CommandError> {
        let output = self
            .git()
            .args(["push", "--porcelain"])
            .arg(&self.remote)
            .arg(format!("{note}:refs/for/{}", source.branch))
            .stderr(Stdio::inherit())
            .output()
            .map_err(no_git)?;
        refusal(&output, "note")
    }
}

/// An empty repository that sees the objects of the ledger at `ledger`.
fn scratch(source: &Source, ledger: &Path) -> Result<tempfile::TempDir, CommandError> {
    let scratch = tempfile::tempdir()?;
    let format = format!("--object-format={}", source.ledger.format().as_str());
    let made = Command::new("git")
        .args(["init", "--quiet", "--bare", &format])
        .arg(scratch.path())
        .status()
        .map_err(no_git)?;
    if !made.success() {
        return Err(CommandError::unknown(
            "git could not make a temporary repository",
        ));
    }
    let mut objects = ledger.join("objects").into_os_string();
    objects.push("\n");
    let alternates = scratch.path().join("objects/info/alternates");
    std::fs::write(alternates, objects.as_encoded_bytes())?;
    Ok(scratch)
}

/// Why a push of `what` was refused, by what `git push --porcelain` printed; `None` if it was not.
///
/// # Errors
/// Git could not push at all.
pub(crate) fn refusal(output: &Output, what: &str) -> Result<Option<String>, CommandError> {
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().find_map(|line| line.strip_prefix("!\t")) {
        Some(refused) => Ok(Some(reason_in(refused).to_owned())),
        None => Err(CommandError::unknown(format!(
            "git could not push the {what} ({})",
            output.status
        ))),
    }
}

/// The reason in a line of `git push --porcelain`: what stands in the last pair of brackets.
fn reason_in(line: &str) -> &str {
    let summary = line.split('\t').nth(1).unwrap_or(line);
    summary
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .unwrap_or(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_taken_out_of_what_git_prints() {
        let line = "4f1c:refs/for/main\t[remote rejected] (policy: 1 problem (see above))";
        assert_eq!(reason_in(line), "policy: 1 problem (see above)");
        assert_eq!(reason_in("a:b\t[rejected]"), "[rejected]");
    }
}
