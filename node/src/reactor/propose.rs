//! Taking a proposal: from a verified push to a block in the window.
//!
//! The block is tried before it is signed: what could only be set aside at once is refused at the
//! door, and no block is made for it.

use std::sync::mpsc::Sender;

use gdo_consensus::facts::BlockFacts;
use gdo_consensus::machine::{Fate, Input};
use gdo_core::block::{Block, BlockInPast, Draft, Trailers};
use gdo_core::checkpoint::Reason;
use gdo_core::hook::CommandOutcome;
use gdo_core::id::{Digest, ObjectId};
use gdo_core::proposal::Proposal;
use gdo_core::verdict::Outcome;
use gdo_ledger::{BlockInput, LedgerError, RefEdit, subject_of};

use super::news;
use super::state::State;
use super::tell::explain;
use crate::clock::wall_seconds;
use crate::error::NodeError;
use crate::fault;
use crate::push::{Push, PushNews};
use crate::stage::Stage;

impl State {
    /// Takes a push; whatever is wrong with it is an answer to the pusher.
    pub(crate) fn take(&mut self, push: Push) -> Result<(), NodeError> {
        let id = push.proposal.id;
        let say = |text: String| {
            // Whoever hung up hears nothing.
            let _ = push.news.send(PushNews::Line(text));
        };
        say(news::headline(&push.proposal, push.topic.as_ref()));
        let report = news::report(self.known.refs(), id);
        let accept = CommandOutcome::Accepted {
            report: Some(report.clone()),
        };
        if let Some((_, height)) = self.known.read(|commits| commits.chain.proposal_end(id)) {
            say(format!("gdo: it ended at checkpoint {height} already"));
            let _ = push.news.send(PushNews::Decided(accept));
            return Ok(());
        }
        let known = self
            .blocks
            .values()
            .find(|block| block.block.trailers.proposal == Some(id));
        let known = known.map(|block| block.block.id);
        if let (Some(block), false) = (known, push.dry_run) {
            let _ = push.news.send(PushNews::Taken(report));
            self.watchers.add(id, push.news);
            self.tell_if_waiting(block);
            return Ok(());
        }
        match self.prepare(&push.proposal) {
            Ok(_) if push.dry_run => self.dry_run(&push),
            Ok(draft) => self.embed(draft, push.proposal, push.news),
            Err(Refused::Push(reason, hints)) => {
                hints
                    .into_iter()
                    .for_each(|hint| say(format!("gdo:   {hint}")));
                let _ = push
                    .news
                    .send(PushNews::Decided(CommandOutcome::Refused { reason }));
                Ok(())
            }
            Err(Refused::Node(error)) => Err(error),
        }
    }

    /// Drafts the block of a proposal and tries what would become of it.
    fn prepare(&mut self, proposal: &Proposal) -> Result<Draft, Refused> {
        let _stage = Stage::begin("draft and try");
        let draft = self.draft(proposal)?;
        let trial = self.machine.try_block(self.imagine(&draft, proposal)?);
        match trial
            .map_err(|error| NodeError::Refused(error.to_string()))?
            .fate
        {
            Fate::Aside(reason) => Err(Refused::Push(
                format!("{reason}: {}", explain(reason)),
                advice(reason),
            )),
            Fate::Included | Fate::Open | Fate::Unknown => Ok(draft),
        }
    }

    fn draft(&mut self, proposal: &Proposal) -> Result<Draft, Refused> {
        let base = self.head()?;
        let input = BlockInput {
            author: self.signer.member().clone(),
            claimed_time: wall_seconds(),
            base,
            subject: subject_of(proposal),
            operations: &proposal.delta,
            trailers: Trailers {
                ledger: self.ledger_id,
                seq: self.signer.next_seq(),
                prev: self.own_tip,
                final_checkpoint: self.base(),
                lane: proposal.lane,
                proposal: Some(proposal.id),
                depends: Vec::new(),
                clock: self.clocks.claim(),
            },
        };
        let view = |id: &ObjectId| self.known.view(id);
        self.ledger
            .draft_block(input, &view)
            .map_err(|error| match error {
                LedgerError::Tree(error) => {
                    Refused::Push(error.to_string(), advice(Reason::Conflict))
                }
                LedgerError::Io { .. } | LedgerError::Store { .. } => {
                    tracing::error!(%error, "a proposal could not be written");
                    Refused::Push(format!("the node cannot write: {error}"), Vec::new())
                }
                other => Refused::Node(other.into()),
            })
    }

    /// The block as it would be, under a name that nobody else uses.
    fn imagine(&self, draft: &Draft, proposal: &Proposal) -> Result<BlockFacts, NodeError> {
        let payload = draft.commit().payload();
        let block = Block {
            id: self.ledger.commit_id(&payload),
            author: draft.author.clone(),
            key: self.signer.public(),
            payload: Digest::of(&payload),
            claimed_time: draft.claimed_time,
            tree: draft.tree,
            parents: draft.parents.clone(),
            subject: draft.subject.clone(),
            trailers: draft.trailers.clone(),
        };
        self.facts_of(in_past(block, proposal))
    }

    /// Signs the block, writes it and lets it into the window.
    fn embed(
        &mut self,
        draft: Draft,
        proposal: Proposal,
        news: Sender<PushNews>,
    ) -> Result<(), NodeError> {
        fault::point("block drafted");
        let stage = Stage::begin("sign and record the block");
        self.ledger.flush()?; // what the log names must be there after a crash
        fault::point("draft flushed");
        let commit = self.signer.sign_block(&draft)?;
        let raw = commit.encode();
        let id = self.ledger.write_commit(&raw)?;
        fault::point("block written");
        let refs = self.known.refs();
        let chain = refs.block(self.signer.member(), self.signer.public().id());
        self.ledger.transaction(&[
            RefEdit::set(chain, self.own_tip, id),
            RefEdit::set(refs.proposal(proposal.id), None, proposal.id),
        ])?;
        drop(stage);
        fault::point("block named");
        // Only now would the proposal survive a crash, so only now may its pusher go.
        let report = news::report(refs, proposal.id);
        let _ = news.send(PushNews::Taken(report));
        self.watchers.add(proposal.id, news);
        self.own_tip = Some(id);
        let block = Block {
            id,
            author: draft.author,
            key: self.signer.public(),
            payload: Digest::of(&commit.payload()),
            claimed_time: draft.claimed_time,
            tree: draft.tree,
            parents: draft.parents,
            subject: draft.subject,
            trailers: draft.trailers,
        };
        let block = in_past(block, &proposal);
        let facts = self.facts_of(block.clone())?;
        self.remember(block);
        self.step(Input::Block(Box::new(facts)))?;
        self.tell_if_waiting(id);
        Ok(())
    }

    /// Runs everything, merges nothing.
    fn dry_run(&mut self, push: &Push) -> Result<(), NodeError> {
        let proposal = &push.proposal;
        let draft = match self.draft(proposal) {
            Ok(draft) => draft,
            Err(Refused::Node(error)) => return Err(error),
            Err(Refused::Push(reason, _)) => {
                let _ = push
                    .news
                    .send(PushNews::Decided(CommandOutcome::Refused { reason }));
                return Ok(());
            }
        };
        let facts = self.imagine(&draft, proposal)?;
        let imagined = facts.block.clone();
        let trial = self
            .machine
            .try_block(facts)
            .map_err(|error| NodeError::Refused(error.to_string()))?;
        let mut jobs = Vec::new();
        for question in &trial.questions {
            jobs.push((question.dapp.clone(), self.job(question, Some(&imagined))?));
        }
        let waits = trial.fate == Fate::Open;
        let news = push.news.clone();
        let judges = self.judges.clone();
        // The judges answer in their own time; the reactor does not wait for them.
        let spawned = std::thread::Builder::new()
            .name("dry-run".to_owned())
            .spawn(move || {
                let mut refused = None;
                for (dapp, job) in jobs {
                    let (answer, judged) = std::sync::mpsc::channel();
                    judges.judge(job, move |judged| {
                        let _ = answer.send(judged);
                    });
                    let Ok(judged) = judged.recv() else { return };
                    for line in news::dapp_lines(&dapp, &judged) {
                        let _ = news.send(PushNews::Line(line));
                    }
                    if judged.result != Ok(Outcome::Pass) {
                        refused.get_or_insert(news::failure(&dapp, &judged));
                    }
                }
                let text = if waits {
                    "gdo: dry run: it would wait for approvals"
                } else {
                    "gdo: dry run: nothing was merged"
                };
                let _ = news.send(PushNews::Line(text.to_owned()));
                let outcome = match refused {
                    Some(reason) => CommandOutcome::Refused { reason },
                    None => CommandOutcome::Accepted { report: None },
                };
                let _ = news.send(PushNews::Decided(outcome));
            });
        spawned
            .map(drop)
            .map_err(|source| NodeError::io("judge for", self.dir.root(), source))
    }
}

/// Why a proposal goes no further: the push is refused, or the node cannot go on.
enum Refused {
    Push(String, Vec<String>),
    Node(NodeError),
}

impl From<NodeError> for Refused {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

fn in_past(block: Block, proposal: &Proposal) -> BlockInPast {
    BlockInPast {
        block,
        principal: proposal.principal.clone(),
        signers: proposal.signers.clone(),
        operations: proposal.delta.clone(),
        notes: proposal.notes.clone(),
    }
}

fn advice(reason: Reason) -> Vec<String> {
    match reason {
        Reason::Conflict => [
            "git fetch origin",
            "git rebase origin/main",
            "git push origin HEAD:refs/for/main",
        ]
        .map(str::to_owned)
        .to_vec(),
        Reason::Policy => vec!["see who may write where: .gdo/policy.toml".to_owned()],
        _ => Vec::new(),
    }
}
