//! The reactor: one thread that owns the node's state and takes events one at a time.
//!
//! Everything else (hooks, HTTP, judges) talks to it over a bounded channel. It carries the pure
//! machine's effects out in their order and feeds the outcomes back.
//!
//! **Invariants**: only this thread moves refs or signs; an error of the node's own state stops the
//! node, bad input never does.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;

use gdo_consensus::verdicts::JobId;
use gdo_core::id::ObjectId;
use gdo_core::proposal::Proposal;
use gdo_ledger::Ledger;
use tokio::sync::{oneshot, watch};

use crate::config::Config;
use crate::dir::NodeDir;
use crate::error::NodeError;
use crate::helper::Helper;
use crate::judge::{Judged, Judges};
use crate::known::Known;
use crate::objects::{Objects, Tell};
use crate::push::{Push, PushRefusal};
use crate::soundness;
use crate::space;
use crate::status::Status;

mod carry;
mod load;
mod news;
mod propose;
mod settle;
mod state;
mod status;
mod tell;

use state::State;

/// Events that wait at the most; whoever sends more is slowed down.
const EVENTS_MAX: usize = 256;

/// What the reactor is told.
pub(crate) enum Event {
    /// A verified proposal.
    Push(Box<Push>),
    /// A judge's answer.
    Judged(JobId, Box<Judged>),
    /// Somebody asks what the node is doing.
    Status(oneshot::Sender<Status>),
    /// Where git is served, once it is known.
    Serving(Vec<String>),
    /// The node is to stop.
    Stop,
}

/// How other threads reach the reactor.
#[derive(Clone, Debug)]
pub struct Handle {
    events: SyncSender<Event>,
    known: Arc<Known>,
    ledger: Arc<Ledger>,
    objects: Objects,
    judges: Judges,
    ended: watch::Receiver<bool>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Push(_) => "push",
            Self::Judged(..) => "judged",
            Self::Status(_) => "status",
            Self::Serving(_) => "serving",
            Self::Stop => "stop",
        })
    }
}

impl Handle {
    /// The branch that is proposed to.
    #[must_use]
    pub fn branch(&self) -> &str {
        self.known.branch()
    }

    /// The ledger's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.known.rules().ledger.name.clone()
    }

    /// Reads and checks a proposal by the rules in force, and that everything is here that it points
    /// to; nothing is written, but for large files that git-lfs left in the repository.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn read_proposal(
        &self,
        tip: ObjectId,
        quarantine: Option<&Path>,
        tell: &mut Tell<'_>,
    ) -> Result<Proposal, PushRefusal> {
        if space::check(self.ledger.dir()).is_err() {
            self.objects.give_up_copies();
        }
        let proposal = self.known.read_proposal(tip, quarantine)?;
        self.objects.check(&proposal.delta, quarantine, tell)?;
        if quarantine.is_none() {
            self.objects.name(&proposal.delta)?;
        }
        Ok(proposal)
    }

    /// Checks the rules that a proposal brings, if it brings any; may run new validators.
    ///
    /// # Errors
    /// Why the proposal is refused.
    pub fn check_rules(&self, proposal: &Proposal) -> Result<(), PushRefusal> {
        soundness::check(&self.ledger, &self.known, &self.judges, proposal)
    }

    /// Lays out the large files of a proposal that is being taken for clones by path.
    pub fn lay_out(&self, proposal: &Proposal, tell: &mut Tell<'_>) {
        let main = self.known.refs().main();
        self.objects.lay_out(&main, &proposal.delta, tell);
    }

    /// Hands a proposal over; false if the node is stopping.
    #[must_use]
    pub fn push(&self, push: Push) -> bool {
        self.events.send(Event::Push(Box::new(push))).is_ok()
    }

    /// What the node is doing; `None` if it is stopping.
    pub async fn status(&self) -> Option<Status> {
        let (answer, status) = oneshot::channel();
        let events = self.events.clone();
        // The channel is bounded: waiting for room must not hold up the sockets.
        tokio::task::spawn_blocking(move || events.send(Event::Status(answer)))
            .await
            .ok()?
            .ok()?;
        let mut status = status.await.ok()?;
        status.warnings.extend(self.objects.copies_warning());
        Some(status)
    }

    /// Tells where git is served.
    pub fn serving(&self, urls: Vec<String>) {
        // A node that is stopping needs no telling.
        let _ = self.events.send(Event::Serving(urls));
    }

    /// Asks the reactor to stop after what it is doing.
    pub fn stop(&self) {
        let _ = self.events.send(Event::Stop);
    }

    /// Waits until the reactor has ended.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the reactor is gone, which is what is waited for.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

/// The reactor's thread.
#[derive(Debug)]
pub struct Reactor {
    thread: JoinHandle<Result<(), NodeError>>,
}

impl Reactor {
    /// Loads the state and starts the thread.
    ///
    /// # Errors
    /// The node's own state is missing or damaged.
    pub fn start(
        dir: &NodeDir,
        config: &Config,
        ledger: Arc<Ledger>,
        objects: Objects,
        helper: Helper,
    ) -> Result<(Self, Handle), NodeError> {
        let (events, inbox) = sync_channel(EVENTS_MAX);
        let (end, ended) = watch::channel(false);
        let judges = Judges::start(dir, config, &ledger, objects.clone(), helper)?;
        let mut state = State::load(
            dir,
            config,
            Arc::clone(&ledger),
            judges.clone(),
            events.clone(),
        )?;
        let handle = Handle {
            events,
            known: state.known(),
            ledger,
            objects,
            judges,
            ended,
        };
        let spawned = std::thread::Builder::new()
            .name("reactor".to_owned())
            .spawn(move || {
                let result = run(&mut state, &inbox);
                if let Err(error) = &result {
                    state.last_words(error);
                }
                if let Err(error) = &result {
                    tracing::error!(%error, "the node stops");
                }
                end.send_replace(true);
                result
            });
        let thread = spawned.map_err(|source| NodeError::io("start", dir.root(), source))?;
        Ok((Self { thread }, handle))
    }

    /// Waits for the thread's end.
    ///
    /// # Errors
    /// What stopped the node, if it was not asked to.
    ///
    /// # Panics
    /// If the reactor panicked.
    pub fn join(self) -> Result<(), NodeError> {
        self.thread.join().expect("the reactor returns its errors")
    }
}

fn run(state: &mut State, inbox: &Receiver<Event>) -> Result<(), NodeError> {
    state.begin()?;
    loop {
        let event = match inbox.try_recv() {
            Ok(event) => Ok(event),
            Err(_) => {
                state.idle()?;
                match state.patience() {
                    Some(patience) => inbox.recv_timeout(patience),
                    None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                }
            }
        };
        match event {
            Ok(Event::Push(push)) => state.take(*push)?,
            Ok(Event::Judged(job, judged)) => state.judged(job, *judged)?,
            Ok(Event::Status(answer)) => {
                // Whoever asked may have gone.
                let _ = answer.send(state.status()?);
            }
            Ok(Event::Serving(urls)) => state.set_urls(urls),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        state.fire_timers()?;
    }
}
