//! Where a push points, and what is said to one that points elsewhere than at `refs/for/`.
//!
//! Whoever pushes to a branch, pushes a tag or deletes a reference gets the same words from every
//! node: what is not possible and the command that is.
//!
//! **Invariants**: a reason is one line, because git shows it in parentheses behind the reference.

use super::RefUpdate;

/// What kind of reference a push names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushTarget<'a> {
    /// `refs/for/<branch>[%options]`: a proposal.
    Proposal {
        /// The branch that the proposal is for.
        branch: &'a str,
        /// The options behind `%`, still unread.
        suffix: Option<&'a str>,
    },
    /// `refs/heads/<branch>`: a direct push, which is refused.
    Branch(&'a str),
    /// `refs/tags/<name>`: refused.
    Tag(&'a str),
    /// Anything else: refused.
    Other,
}

impl<'a> PushTarget<'a> {
    /// Sorts a full reference name.
    #[must_use]
    pub fn of(reference: &'a str) -> Self {
        if let Some(rest) = reference.strip_prefix("refs/for/") {
            match rest.split_once('%') {
                Some((branch, suffix)) => Self::Proposal {
                    branch,
                    suffix: Some(suffix),
                },
                None => Self::Proposal {
                    branch: rest,
                    suffix: None,
                },
            }
        } else if let Some(branch) = reference.strip_prefix("refs/heads/") {
            Self::Branch(branch)
        } else if let Some(name) = reference.strip_prefix("refs/tags/") {
            Self::Tag(name)
        } else {
            Self::Other
        }
    }
}

/// Why a reference cannot be pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One line for the client's `! [remote rejected]`.
    pub reason: String,
    /// Lines to show behind `remote: `: what to do instead.
    pub advice: Vec<String>,
}

impl Refusal {
    fn new(reason: impl Into<String>, advice: impl IntoIterator<Item = String>) -> Self {
        Self {
            reason: reason.into(),
            advice: advice.into_iter().collect(),
        }
    }
}

/// The standard refusal of everything but a push to `refs/for/<branch>`; `None` for a proposal.
#[must_use]
pub fn refuse_unless_proposal(update: &RefUpdate) -> Option<Refusal> {
    let reference = &update.reference;
    if update.is_delete() {
        return Some(Refusal::new(
            "nothing is deleted in a ledger",
            [format!("gdo: {reference} stays: a ledger only grows")],
        ));
    }
    let command = |branch: &str| format!("git push origin HEAD:refs/for/{branch}");
    match PushTarget::of(reference) {
        PushTarget::Proposal { .. } => None,
        PushTarget::Branch(branch) => Some(Refusal::new(
            format!("push proposals to refs/for/{branch}"),
            [
                format!("gdo: {branch} moves by proposals; propose your commits with"),
                format!("gdo:   {}", command(branch)),
            ],
        )),
        PushTarget::Tag(name) => Some(Refusal::new(
            "a ledger takes no tags",
            [format!(
                "gdo: tag {name} stays with you: a ledger keeps its history under its branches"
            )],
        )),
        PushTarget::Other => Some(Refusal::new(
            "push proposals to refs/for/main",
            [
                format!("gdo: {reference} cannot be pushed to; propose your commits with"),
                format!("gdo:   {}", command("main")),
            ],
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ObjectId;

    fn refuse(reference: &str, fill: u8) -> Option<Refusal> {
        let id = |fill| ObjectId::from_bytes(&[fill; 20]).expect("20 bytes are an id");
        refuse_unless_proposal(&RefUpdate {
            old: id(0),
            new: id(fill),
            reference: reference.to_owned(),
        })
    }

    #[test]
    fn proposals_pass() {
        assert_eq!(refuse("refs/for/main", 1), None);
        assert_eq!(refuse("refs/for/main%dry-run", 1), None);
    }

    #[test]
    fn direct_pushes_are_told_the_command() {
        let refusal = refuse("refs/heads/main", 1).expect("a direct push is refused");
        assert_eq!(refusal.reason, "push proposals to refs/for/main");
        let advice = refusal.advice.join("\n");
        assert!(
            advice.contains("git push origin HEAD:refs/for/main"),
            "{advice}"
        );
    }

    #[test]
    fn everything_else_is_refused_in_one_line() {
        for (reference, fill) in [
            ("refs/heads/main", 0),
            ("refs/for/main", 0),
            ("refs/heads/a/b", 1),
            ("refs/tags/v1", 1),
            ("refs/notes/x", 1),
            ("refs/gdo/main/head", 1),
        ] {
            let refusal = refuse(reference, fill).expect(reference);
            assert!(!refusal.reason.contains('\n'), "{refusal:?}");
            assert!(!refusal.advice.is_empty(), "{refusal:?}");
        }
    }
}
