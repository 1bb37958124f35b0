//! Why a proposal is refused, in words that its author can act on.

use gdo_core::error::FormatError;
use gdo_core::id::{MemberName, ObjectId};
use gdo_core::path::RepoPath;
use thiserror::Error;

use crate::error::TreeError;
use crate::signature::SignerError;

/// Why a proposal is refused: one line; [`Refusal::hints`] says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// What was pushed is no commit.
    #[error("{} is a {got}, expected a commit", .tip.short(12))]
    NotACommit {
        /// What was pushed.
        tip: ObjectId,
        /// What it is.
        got: String,
    },
    /// There is no commit that the ledger does not have.
    #[error("{} is in the ledger already: there is nothing to propose", .tip.short(12))]
    InLedger {
        /// The tip.
        tip: ObjectId,
    },
    /// The branch does not build on the ledger.
    #[error("{} does not build on this ledger; rebase onto {branch}", .tip.short(12))]
    NoBase {
        /// The tip.
        tip: ObjectId,
        /// The branch that is proposed to.
        branch: String,
    },
    /// The branch builds on several states of the ledger.
    #[error("{} builds on both {} and {}; rebase onto {branch}", .tip.short(12), .one.short(12), .other.short(12))]
    ManyBases {
        /// The tip.
        tip: ObjectId,
        /// One of them.
        one: ObjectId,
        /// Another one.
        other: ObjectId,
        /// The branch that is proposed to.
        branch: String,
    },
    /// The branch has more commits than a proposal may have.
    #[error("{} has more than {max} commits above the ledger, expected fewer; squash them or rebase onto {branch}", .tip.short(12))]
    TooManyCommits {
        /// The tip.
        tip: ObjectId,
        /// The cap.
        max: usize,
        /// The branch that is proposed to.
        branch: String,
    },
    /// A commit that cannot be read.
    #[error("commit {}: {source}", .commit.short(12))]
    Commit {
        /// The commit.
        commit: ObjectId,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A commit that is larger than commits may be.
    #[error("commit {} has {bytes} bytes, expected at most {max}", .commit.short(12))]
    CommitTooLarge {
        /// The commit.
        commit: ObjectId,
        /// Its size.
        bytes: u64,
        /// The cap.
        max: u64,
    },
    /// A commit without a signature that counts.
    #[error("commit {} '{subject}' {reason}", .commit.short(12))]
    Signer {
        /// The commit.
        commit: ObjectId,
        /// Its first line.
        subject: String,
        /// What is wrong with its signature.
        reason: SignerError,
        /// The branch that is proposed to.
        branch: String,
    },
    /// A name in a commit where the policy allows handles alone.
    #[error("commit {} names '{got}', expected handles of members, as '{member} <{member}@…>'", .commit.short(12))]
    Author {
        /// The commit.
        commit: ObjectId,
        /// The author or committer.
        got: String,
        /// The member who signed.
        member: MemberName,
    },
    /// A path that checkpoints alone write.
    #[error("{path}: written by checkpoints alone, expected no change")]
    KernelManaged {
        /// The path.
        path: RepoPath,
        /// The base of the proposal.
        base: ObjectId,
        /// Whether the base has no such file.
        is_new: bool,
    },
    /// A path of records with letters that records may not have.
    #[error("{path}: a path of records, expected segments of a-z, 0-9, '.', '_' and '-'")]
    RecordPath {
        /// The path.
        path: RepoPath,
    },
    /// A file that is too large for the ledger's tree.
    #[error("{path}: {bytes} bytes, expected at most {max} (limits.blob_bytes_max)")]
    BlobTooLarge {
        /// The path.
        path: RepoPath,
        /// Its size.
        bytes: u64,
        /// The cap.
        max: u64,
    },
    /// A directory with too many entries.
    #[error("tree {} has {bytes} bytes, expected at most {max}; spread its files over directories", .tree.short(12))]
    TreeTooLarge {
        /// The tree.
        tree: ObjectId,
        /// Its size.
        bytes: u64,
        /// The cap.
        max: u64,
    },
    /// A tree or path that a ledger does not hold.
    #[error(transparent)]
    Tree(TreeError),
    /// Nothing changes, and nothing is said.
    #[error("the tip changes nothing against {}, and carries no Gdo-Approve, Gdo-Reject or Gdo-Withdraw", .base.short(12))]
    Empty {
        /// The base.
        base: ObjectId,
    },
    /// A note that names no proposal.
    #[error("{0}")]
    Note(FormatError),
}

/// Signs the last commit once more, with what was added to it.
const AMEND: &str = "git commit --quiet --amend --no-edit --allow-empty -S";

impl Refusal {
    /// What to do about it: commands and advice, a line each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let rebase = |branch: &str| {
            vec![
                "git fetch origin".to_owned(),
                format!("git rebase origin/{branch}"),
            ]
        };
        match self {
            Self::NoBase { branch, .. }
            | Self::ManyBases { branch, .. }
            | Self::TooManyCommits { branch, .. } => rebase(branch),
            Self::Signer { reason, branch, .. } => signer_hints(reason, branch),
            Self::Author { member, .. } => vec![
                format!("git config user.name {member}"),
                format!("git config user.email {member}@example.invalid"),
                format!("{AMEND} --reset-author"),
            ],
            Self::KernelManaged {
                path, is_new: true, ..
            } => {
                vec![format!("git rm --quiet '{path}'"), AMEND.to_owned()]
            }
            Self::KernelManaged { path, base, .. } => {
                vec![
                    format!("git checkout --quiet {base} -- '{path}'"),
                    AMEND.to_owned(),
                ]
            }
            Self::BlobTooLarge { path, .. } => vec![
                format!("git lfs track '{path}'"),
                format!(
                    "git rm --quiet --cached '{path}' && git add .gitattributes '{path}' && {AMEND}"
                ),
            ],
            Self::Tree(TreeError::TooManyPaths { .. }) => {
                vec!["split the change into several proposals".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

fn signer_hints(reason: &SignerError, branch: &str) -> Vec<String> {
    let again = format!("git rebase --quiet --force-rebase -S origin/{branch}");
    match reason {
        SignerError::Unsigned | SignerError::Header { .. } | SignerError::Signature(_) => vec![
            "git config gpg.format ssh".to_owned(),
            "git config user.signingkey ~/.ssh/id_ed25519.pub".to_owned(),
            "git config commit.gpgsign true".to_owned(),
            again,
        ],
        SignerError::Unknown { .. } => vec![
            "git config user.signingkey <the public key that the roster has>".to_owned(),
            again,
        ],
        SignerError::Spelling => vec![again],
        SignerError::NotInForce { .. } => {
            vec!["ask a member who may change .gdo/roster/ for another key or status".to_owned()]
        }
    }
}
