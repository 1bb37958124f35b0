//! What every thread of the node may know: which commits are the ledger's, and the rules in force.
//!
//! The reactor alone writes it; the threads that serve hooks read it while they check proposals.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use gdo_core::block::CheckpointRef;
use gdo_core::id::{Height, LedgerId, ObjectId};
use gdo_core::proposal::Proposal;
use gdo_ledger::{Ledger, LedgerCommit, ProposalError, ProposalRules, Rules};

use crate::chain::Chain;
use crate::push::PushRefusal;
use crate::refs::Refs;
use crate::space;

/// Which commits are the ledger's.
#[derive(Debug, Default)]
pub struct Commits {
    /// The checkpoints and what they disposed of.
    pub chain: Chain,
    /// The unfinished blocks, with the height that each builds on.
    pub window: BTreeMap<ObjectId, Height>,
    /// Heads over the newest checkpoint that this node computed.
    pub heads: BTreeMap<ObjectId, Height>,
}

/// Shared between the reactor and the threads that check pushes.
#[derive(Debug)]
pub struct Known {
    ledger: Arc<Ledger>,
    refs: Refs,
    commits: RwLock<Commits>,
    rules: RwLock<Arc<Rules>>,
}

impl Known {
    /// What is known at the start.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, refs: Refs, commits: Commits, rules: Rules) -> Self {
        Self {
            ledger,
            refs,
            commits: RwLock::new(commits),
            rules: RwLock::new(Arc::new(rules)),
        }
    }

    /// The branch.
    #[must_use]
    pub fn branch(&self) -> &str {
        self.refs.branch()
    }

    /// The names of the branch's refs.
    #[must_use]
    pub fn refs(&self) -> &Refs {
        &self.refs
    }

    /// The rules of the newest checkpoint.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts the rules of a new checkpoint in force.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Looks at the commits.
    pub fn read<T>(&self, look: impl FnOnce(&Commits) -> T) -> T {
        look(&self.commits.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the commits.
    pub fn write<T>(&self, change: impl FnOnce(&mut Commits) -> T) -> T {
        change(&mut self.commits.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a commit is to the ledger (P-9).
    #[must_use]
    pub fn view(&self, id: &ObjectId) -> Option<LedgerCommit> {
        let known = self.read(|commits| {
            if let Some(height) = commits.chain.height_of(*id) {
                return Some(Ok(LedgerCommit::Checkpoint(height)));
            }
            let window = commits
                .window
                .get(id)
                .map(|height| LedgerCommit::Block(*height));
            let head = || {
                commits
                    .heads
                    .get(id)
                    .map(|height| LedgerCommit::Head(*height))
            };
            let disposed = || commits.chain.block_end(*id).map(|_| Err(()));
            window.or_else(head).map(Ok).or_else(disposed)
        })?;
        // Of a block that is disposed of, the chain does not keep what it built on.
        known.ok().or_else(|| {
            let block = self.ledger.read_block(id).ok()?;
            let CheckpointRef { height, .. } = block.trailers.final_checkpoint;
            Some(LedgerCommit::Block(height))
        })
    }

    /// As [`Known::view`], of what blocks of this node's own build on: a head that it made before it
    /// was started again is one by its form. Of others' commits the form would prove nothing (P-20).
    #[must_use]
    pub fn view_of_own(&self, id: &ObjectId) -> Option<LedgerCommit> {
        self.view(id).or_else(|| {
            let ledger = LedgerId(self.read(|commits| commits.chain.genesis()));
            let base = self.ledger.read_head_base(id, ledger).ok()??;
            self.read(|commits| commits.chain.contains(base)).then(|| {
                self.write(|commits| commits.heads.insert(*id, base.height));
                LedgerCommit::Head(base.height)
            })
        })
    }

    /// Reads and checks a proposal by the rules in force.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn read_proposal(
        &self,
        tip: ObjectId,
        quarantine: Option<&Path>,
    ) -> Result<Proposal, PushRefusal> {
        space::check(self.ledger.dir())?;
        let rules = self.rules();
        let rules = ProposalRules {
            roster: &rules.roster,
            policy: &rules.policy,
            branch: self.branch(),
        };
        let view = |id: &ObjectId| self.view(id);
        self.ledger
            .read_proposal(&tip, quarantine, &rules, &view)
            .map_err(|error| match error {
                ProposalError::Refused(refusal) => {
                    PushRefusal::new(refusal.to_string(), refusal.hints())
                }
                ProposalError::Ledger(error) => {
                    tracing::error!(%tip, %error, "a proposal cannot be read");
                    PushRefusal::new(format!("the node cannot read the push: {error}"), [])
                }
            })
    }
}
