//! `gdo show`: one checkpoint, block or proposal in full.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use gdo_core::block::Block;
use gdo_core::checkpoint::{Approval, Aside, Included, Open};
use gdo_core::id::{DappName, Height, LedgerId, MemberName, ObjectId, Seq};
use gdo_core::policy::Lane;
use gdo_core::proposal::notes_in;
use gdo_core::roster::Roster;
use gdo_core::verdict::{Outcome, VerdictCertificate};
use serde::Serialize;

use crate::detail::{Change, changes, print_changes, read_proposal};
use crate::error::CommandError;
use crate::find::{self, End, Thing};
use crate::source::{Reading, Source};
use crate::time::rfc3339;
use crate::{export, output};

/// What to show.
#[derive(Args, Debug)]
pub struct Show {
    /// The id of a block, proposal or checkpoint (4 digits or more), or the branch
    #[arg(value_name = "ID")]
    id: String,
    /// Write the verdicts of its checkpoint to DIR, with signatures that ssh-keygen -Y verify checks
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

/// What is shown.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Shown {
    Checkpoint(ShownCheckpoint),
    Block(ShownBlock),
    Proposal(ShownProposal),
    Head(ShownHead),
}

#[derive(Serialize)]
struct ShownCheckpoint {
    id: ObjectId,
    height: Height,
    previous: Option<ObjectId>,
    tree: ObjectId,
    time: String,
    included: Vec<Included>,
    aside: Vec<Aside>,
    withdrawn: Vec<ObjectId>,
    open: Vec<Open>,
    approvals: Vec<Approval>,
    verdicts: Vec<ShownVerdict>,
    evidence: usize,
}

#[derive(Serialize)]
struct ShownVerdict {
    dapp: DappName,
    result: Outcome,
    dapp_digest: gdo_core::id::Digest,
    input: ObjectId,
    signers: Vec<MemberName>,
}

#[derive(Serialize)]
struct ShownBlock {
    id: ObjectId,
    author: MemberName,
    principal: Option<MemberName>,
    subject: String,
    claimed_time: String,
    ledger: LedgerId,
    seq: Seq,
    previous: Option<ObjectId>,
    base: ObjectId,
    final_height: Height,
    final_checkpoint: ObjectId,
    lane: Lane,
    proposal: Option<ObjectId>,
    depends: Vec<ObjectId>,
    changes: Vec<Change>,
    #[serde(flatten)]
    end: End,
}

#[derive(Serialize)]
struct ShownProposal {
    id: ObjectId,
    principal: MemberName,
    signers: Vec<MemberName>,
    subject: String,
    author: String,
    base: Option<ObjectId>,
    lane: Option<Lane>,
    changes: Vec<Change>,
    notes: Vec<(&'static str, ObjectId)>,
    block: Option<ObjectId>,
    refused: Option<String>,
    #[serde(flatten)]
    end: End,
}

#[derive(Serialize)]
struct ShownHead {
    id: ObjectId,
    over: Height,
    tree: ObjectId,
    parents: Vec<ObjectId>,
}

impl Show {
    /// Prints what the id names.
    ///
    /// # Errors
    /// Nothing fits the id, or the ledger cannot be read.
    pub fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let source = Source::open(dir, self.reading)?;
        let roster = source.rules()?.roster;
        let thing = find::thing(&source, &roster, &self.id)?;
        let shown = gather(&source, &roster, thing)?;
        if let Some(target) = &self.export {
            let checkpoint = shown.checkpoint().ok_or_else(|| {
                CommandError::no(format!(
                    "{} is in no checkpoint: it has no verdicts yet",
                    self.id
                ))
            })?;
            export::verdicts(&source, &checkpoint, target)?;
        }
        if json {
            output::json(&shown)?;
        } else {
            shown.print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn gather(source: &Source, roster: &Roster, thing: Thing) -> Result<Shown, CommandError> {
    Ok(match thing {
        Thing::Checkpoint(id, _) => Shown::Checkpoint(checkpoint(source, id)?),
        Thing::Block(found) => Shown::Block(block(source, roster, &found)?),
        Thing::Proposal(id, principal) => Shown::Proposal(proposal(source, id, principal)?),
        Thing::Head(id, over) => {
            let commit = source.ledger.read_commit(&id)?;
            Shown::Head(ShownHead {
                id,
                over,
                tree: commit.tree,
                parents: commit.parents,
            })
        }
    })
}

fn checkpoint(source: &Source, id: ObjectId) -> Result<ShownCheckpoint, CommandError> {
    let tree = source.ledger.read_commit(&id)?.tree;
    let record = source.ledger.read_record(&tree)?;
    let verdicts = record
        .verdicts
        .iter()
        .map(verdict)
        .collect::<Result<_, _>>()?;
    Ok(ShownCheckpoint {
        id,
        height: record.height,
        previous: record.prev,
        tree,
        time: rfc3339(record.ledger_time.0),
        included: record.included,
        aside: record.aside,
        withdrawn: record.withdrawn,
        open: record.open,
        approvals: record.approvals,
        verdicts,
        evidence: record.evidence.len(),
    })
}

fn verdict(certificate: &VerdictCertificate) -> Result<ShownVerdict, CommandError> {
    let statement = certificate.statement().map_err(CommandError::unknown)?;
    Ok(ShownVerdict {
        dapp: statement.dapp,
        result: statement.outcome,
        dapp_digest: statement.key.dapp_digest,
        input: statement.key.input,
        signers: certificate
            .signers
            .iter()
            .map(|signer| signer.member.clone())
            .collect(),
    })
}

fn block(source: &Source, roster: &Roster, block: &Block) -> Result<ShownBlock, CommandError> {
    let base = source.ledger.read_commit(&block.base())?.tree;
    let signed = block.trailers.proposal.unwrap_or(block.id);
    let delta = source.ledger.diff(&base, &block.tree, usize::MAX)?;
    Ok(ShownBlock {
        id: block.id,
        author: block.author.clone(),
        principal: source.signer(&signed, roster),
        subject: block.subject.clone(),
        claimed_time: rfc3339(block.claimed_time),
        ledger: block.trailers.ledger,
        seq: block.trailers.seq,
        previous: block.trailers.prev,
        base: block.base(),
        final_height: block.trailers.final_checkpoint.height,
        final_checkpoint: block.trailers.final_checkpoint.id,
        lane: block.trailers.lane,
        proposal: block.trailers.proposal,
        depends: block.trailers.depends.clone(),
        changes: changes(&delta),
        end: find::end_of_block(source, block)?,
    })
}

fn proposal(
    source: &Source,
    id: ObjectId,
    principal: MemberName,
) -> Result<ShownProposal, CommandError> {
    let commit = source.ledger.read_commit(&id)?;
    let (end, block) = find::end_of_proposal(source, &id)?;
    // The rules that it was judged by: those that its block builds on.
    let rules = match &block {
        Some(block) => {
            let block = source
                .ledger
                .read_block(block)
                .map_err(CommandError::unknown)?;
            source
                .ledger
                .read_checkpoint(&block.trailers.final_checkpoint.id)?
                .rules
        }
        None => source.rules()?,
    };
    let read = read_proposal(source, &rules, &id);
    let notes = notes_in(&commit.message).unwrap_or_default();
    let notes = notes
        .iter()
        .map(|note| (note.verb.trailer(), note.proposal))
        .collect();
    let mut shown = ShownProposal {
        id,
        signers: vec![principal.clone()],
        principal,
        subject: gdo_core::commit::subject(&commit.message),
        author: format!("{} <{}>", commit.author.name, commit.author.email),
        base: None,
        lane: None,
        changes: Vec::new(),
        notes,
        block,
        refused: None,
        end,
    };
    match read {
        Ok(proposal) => {
            shown.signers = proposal.signers;
            shown.base = Some(proposal.base);
            shown.lane = Some(proposal.lane);
            shown.changes = changes(&proposal.delta);
        }
        Err(error) => shown.refused = Some(error.to_string()),
    }
    Ok(shown)
}

impl Shown {
    /// The checkpoint that it is or that disposed of it.
    fn checkpoint(&self) -> Option<ObjectId> {
        match self {
            Self::Checkpoint(shown) => Some(shown.id),
            Self::Block(shown) => shown.end.checkpoint(),
            Self::Proposal(shown) => shown.end.checkpoint(),
            Self::Head(_) => None,
        }
    }

    fn print(&self) -> Result<(), CommandError> {
        match self {
            Self::Checkpoint(shown) => shown.print(),
            Self::Block(shown) => shown.print(),
            Self::Proposal(shown) => shown.print(),
            Self::Head(shown) => {
                field("head", shown.id)?;
                field("over", format_args!("checkpoint {}", shown.over))?;
                field("tree", shown.tree)
            }
        }
    }
}

fn field(name: &str, value: impl std::fmt::Display) -> Result<(), CommandError> {
    output::line(&format!("{name:<11} {value}"))
}

fn optional(name: &str, value: Option<impl std::fmt::Display>) -> Result<(), CommandError> {
    value.map_or(Ok(()), |value| field(name, value))
}

impl ShownCheckpoint {
    fn print(&self) -> Result<(), CommandError> {
        field("checkpoint", self.id)?;
        field("height", self.height)?;
        field("time", &self.time)?;
        optional("previous", self.previous)?;
        field("tree", self.tree)?;
        for found in &self.included {
            let proposal = found
                .proposal
                .map_or_else(String::new, |id| format!(" proposal {id}"));
            field("included", format_args!("{}{proposal}", found.block))?;
        }
        for found in &self.aside {
            field("aside", format_args!("{} ({})", found.block, found.reason))?;
        }
        for found in &self.withdrawn {
            field("withdrawn", found)?;
        }
        for found in &self.open {
            field(
                "open",
                format_args!("{} since height {}", found.block, found.since),
            )?;
        }
        for found in &self.approvals {
            field(
                "approval",
                format_args!("{} by {}", found.proposal, found.member),
            )?;
        }
        for found in &self.verdicts {
            let signers: Vec<&str> = found.signers.iter().map(MemberName::as_str).collect();
            let result = format!("{:?}", found.result).to_lowercase();
            let line = format!(
                "{:<12} {result}, signed by {}",
                found.dapp,
                signers.join(", ")
            );
            field("verdict", line)?;
        }
        if self.evidence > 0 {
            field("evidence", self.evidence)?;
        }
        Ok(())
    }
}

impl ShownBlock {
    fn print(&self) -> Result<(), CommandError> {
        field("block", self.id)?;
        field("subject", &self.subject)?;
        field("author", &self.author)?;
        optional("principal", self.principal.as_ref())?;
        field("lane", self.lane)?;
        field("number", self.seq)?;
        field("claimed", &self.claimed_time)?;
        field("base", self.base)?;
        field(
            "over",
            format_args!("checkpoint {} {}", self.final_height, self.final_checkpoint),
        )?;
        optional("proposal", self.proposal)?;
        self.depends
            .iter()
            .try_for_each(|id| field("depends on", id))?;
        field("state", self.end)?;
        print_changes(&self.changes)
    }
}

impl ShownProposal {
    fn print(&self) -> Result<(), CommandError> {
        field("proposal", self.id)?;
        field("subject", &self.subject)?;
        field("principal", &self.principal)?;
        if self.signers.len() > 1 {
            let signers: Vec<&str> = self.signers.iter().map(MemberName::as_str).collect();
            field("signers", signers.join(", "))?;
        }
        field("author", &self.author)?;
        optional("lane", self.lane)?;
        optional("base", self.base)?;
        optional("block", self.block)?;
        for (verb, proposal) in &self.notes {
            field("note", format_args!("{verb}: {proposal}"))?;
        }
        field("state", self.end)?;
        optional("refused", self.refused.as_ref())?;
        print_changes(&self.changes)
    }
}
