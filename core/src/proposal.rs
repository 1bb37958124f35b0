//! Proposals: what a person signed and pushed (P-9 to P-11).

use crate::commit;
use crate::delta::Delta;
use crate::error::FormatError;
use crate::id::{MemberName, ObjectId};
use crate::policy::Lane;

/// A proposal, verified: a commit range over a base, and the delta that it makes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// Its id: the object id of the tip.
    pub id: ObjectId,
    /// The one maximal ledger commit among the ancestors of the tip.
    pub base: ObjectId,
    /// The member who signed the tip (P-10).
    pub principal: MemberName,
    /// Everybody who signed a commit of the range; they do not count as approvers (P-8).
    pub signers: Vec<MemberName>,
    /// The first line of the tip's message.
    pub subject: String,
    /// The changes between the base's tree and the tip's.
    pub delta: Delta,
    /// What a note says; empty unless the delta is.
    pub notes: Vec<Note>,
    /// The strictest lane among the paths, by the policy of the base's checkpoint.
    pub lane: Lane,
}

/// What an empty proposal says of another one (P-11).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Note {
    /// What is said.
    pub verb: NoteVerb,
    /// The proposal that it is said of.
    pub proposal: ObjectId,
}

/// The verbs of notes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NoteVerb {
    /// `Gdo-Approve`
    Approve,
    /// `Gdo-Reject`: cancels that member's approvals, in any order.
    Reject,
    /// `Gdo-Withdraw`: by the principal alone.
    Withdraw,
}

impl NoteVerb {
    /// The trailer that carries the verb.
    #[must_use]
    pub fn trailer(self) -> &'static str {
        match self {
            Self::Approve => "Gdo-Approve",
            Self::Reject => "Gdo-Reject",
            Self::Withdraw => "Gdo-Withdraw",
        }
    }
}

/// Reads the notes among the trailers of a message.
///
/// # Errors
/// A note whose value is no proposal id.
pub fn notes_in(message: &str) -> Result<Vec<Note>, FormatError> {
    let mut notes = Vec::new();
    for (key, value) in commit::trailers(message) {
        let verbs = [NoteVerb::Approve, NoteVerb::Reject, NoteVerb::Withdraw];
        if let Some(verb) = verbs.into_iter().find(|verb| verb.trailer() == key) {
            let proposal = value.trim().parse().map_err(|_| {
                FormatError::new(
                    key,
                    "the full id of a proposal (see 'gdo proposals')",
                    value,
                )
            })?;
            notes.push(Note { verb, proposal });
        }
    }
    notes.sort_unstable();
    notes.dedup();
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_from_trailers_with_full_ids() {
        let id = "ab".repeat(32);
        let notes =
            notes_in(&format!("ok\n\nGdo-Approve: {id}\nSigned-off-by: x\n")).expect("valid");
        assert_eq!(
            notes,
            [Note {
                verb: NoteVerb::Approve,
                proposal: id.parse().expect("id")
            }]
        );
        assert!(notes_in("ok\n\nGdo-Approve: abc\n").is_err());
        assert!(notes_in("nothing here\n").expect("no trailers").is_empty());
    }
}
