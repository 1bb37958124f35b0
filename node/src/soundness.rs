//! Whether the ledger could go on under the rules that a proposal brings (P-35).
//!
//! The rules in force judge a proposal; besides, what it brings must be usable: files that parse, a
//! policy that locks nobody out, dapps whose image is there. A new version of a dapp must pass the
//! ledger as it stands, or nothing could ever be merged under it. All of it is told at the door.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use gdo_core::context::Context;
use gdo_core::dapp::Uses;
use gdo_core::guard;
use gdo_core::id::{LedgerId, ObjectId};
use gdo_core::proposal::Proposal;
use gdo_core::verdict::Outcome;
use gdo_ledger::{Ledger, LedgerError, Rules};

use crate::judge::{Job, Judges};
use crate::known::Known;
use crate::push::PushRefusal;

/// Checks the rules that a proposal brings, if it brings any.
///
/// # Errors
/// The file, what is wrong with it and what was expected; or what a new dapp says.
pub fn check(
    ledger: &Arc<Ledger>,
    known: &Known,
    judges: &Judges,
    proposal: &Proposal,
) -> Result<(), PushRefusal> {
    if !proposal
        .delta
        .iter()
        .any(|operation| operation.path.is_within(".gdo"))
    {
        return Ok(());
    }
    let (id, genesis) = known.read(|commits| (commits.chain.newest(), commits.chain.genesis()));
    let unreadable = |error: LedgerError| refuse(error.to_string());
    let base = ledger.read_commit(&id).map_err(unreadable)?.tree;
    let tree = ledger.apply(&base, &proposal.delta).map_err(unreadable)?;
    let rules = ledger.read_rules(&tree).map_err(unreadable)?;
    let before = known.rules();
    check_rules(&before, &rules)?;
    for (name, dapp) in &rules.dapps {
        let digest = dapp.digest().ok_or_else(|| {
            refuse(format!(
                "{}: index.json is missing; commit the OCI image layout of dapp '{name}' there",
                dapp.manifest.image_dir()
            ))
        })?;
        let unchanged = before.dapps.get(name).and_then(gdo_ledger::Dapp::digest) == Some(digest);
        if !unchanged {
            let context = empty_context(LedgerId(genesis), dapp, ledger, &base)?;
            let job = Job {
                manifest: dapp.manifest.clone(),
                dapp_digest: digest,
                image_tree: tree,
                base: tree,
                candidate: tree,
                context,
            };
            run_new(judges, job)?;
        }
    }
    Ok(())
}

/// The first thing in `after` that would lock the ledger, if there is one.
///
/// # Errors
/// The file and what is wrong with it.
pub fn check_rules(before: &Rules, after: &Rules) -> Result<(), PushRefusal> {
    let manifests: BTreeMap<_, _> = after
        .dapps
        .iter()
        .map(|(name, dapp)| (name.clone(), dapp.manifest.clone()))
        .collect();
    let mut faults = guard::check(&after.policy, &after.roster, &manifests);
    faults.extend(guard::check_change(&before.roster, &after.roster));
    match faults.into_iter().next() {
        Some(fault) => Err(refuse(fault.to_string())),
        None => Ok(()),
    }
}

fn refuse(reason: String) -> PushRefusal {
    PushRefusal::new(reason, [])
}

fn empty_context(
    ledger_id: LedgerId,
    dapp: &gdo_ledger::Dapp,
    ledger: &Ledger,
    base: &ObjectId,
) -> Result<Context, PushRefusal> {
    let time = ledger
        .read_record(base)
        .map_err(|error| refuse(error.to_string()))?
        .ledger_time;
    let validator = &dapp.manifest.validator;
    Ok(Context {
        version: 1,
        scope: validator.scope,
        ledger: ledger_id,
        time: validator.uses.contains(&Uses::Time).then_some(time),
        blocks: Vec::new(),
        roster: BTreeMap::new(),
    })
}

/// Runs a new validator over the ledger as it would stand.
fn run_new(judges: &Judges, job: Job) -> Result<(), PushRefusal> {
    let name = job.manifest.name.clone();
    let (answer, judged) = channel();
    judges.judge(job, move |judged| {
        // The pusher's thread waits for this and nothing else.
        let _ = answer.send(judged);
    });
    let judged = judged
        .recv()
        .map_err(|_| refuse("the node is stopping; push again".to_owned()))?;
    let said = || {
        let problems = judged
            .problems
            .iter()
            .map(|problem| problem.message.clone());
        problems
            .chain(judged.output.lines().map(str::to_owned))
            .take(20)
            .collect::<Vec<_>>()
    };
    match &judged.result {
        Ok(Outcome::Pass) => Ok(()),
        Ok(Outcome::Fail) => Err(PushRefusal::new(
            format!("dapp '{name}': the new validator does not pass the ledger as it stands"),
            said(),
        )),
        Err(reason) => Err(PushRefusal::new(
            format!("dapp '{name}': the new validator decides nothing: {reason}"),
            said(),
        )),
    }
}
