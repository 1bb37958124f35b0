//! The daemon's side of a push: answers the hooks on `run/hook.sock`.
//!
//! One thread per connection, a bounded number of them. A hook that hangs up is a lost audience:
//! what it asked for goes on.
//!
//! **Invariants**: `pre-receive` writes nothing; a proposal is taken only by `proc-receive`, when
//! its objects are in the repository for good.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gdo_core::hook::{
    self, CommandOutcome, CommandResult, LINE_BYTES_MAX, PreReceive, ProcReceive, PushOptions,
    PushTarget, RefUpdate, Reply, Request, Wait,
};

use crate::error::NodeError;
use crate::push::{Push, PushNews};
use crate::reactor::Handle;
use crate::stage::Stage;

/// Pushes that are served at once; more wait in the socket's queue.
const CONNECTIONS_MAX: usize = 64;
/// How often the pusher hears how far a long work is.
const TOLD: Duration = Duration::from_secs(1);

/// Listens on the hook socket until the process ends.
///
/// # Errors
/// The socket cannot be made.
pub fn serve(socket: &Path, handle: Handle) -> Result<(), NodeError> {
    let listener = gdo_hooks::socket::listen(socket)
        .map_err(|source| NodeError::io("listen on", socket, source))?;
    let spawned = std::thread::Builder::new()
        .name("hooks".to_owned())
        .spawn(move || accept(&listener, &handle));
    spawned
        .map(drop)
        .map_err(|source| NodeError::io("serve", socket, source))
}

fn accept(listener: &UnixListener, handle: &Handle) {
    let busy = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a hook could not connect");
                continue;
            }
        };
        if busy.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
            busy.fetch_sub(1, Ordering::AcqRel);
            let mut audience = Audience(Some(stream));
            audience.say(&Reply::Reject {
                lines: vec!["gdo: the node is busy; push again".to_owned()],
            });
            continue;
        }
        let (handle, done) = (handle.clone(), Arc::clone(&busy));
        let spawned = std::thread::Builder::new()
            .name("push".to_owned())
            .spawn(move || {
                converse(stream, &handle);
                done.fetch_sub(1, Ordering::AcqRel);
            });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for a push");
            busy.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A hook that may have hung up.
struct Audience(Option<UnixStream>);

impl Audience {
    fn say(&mut self, reply: &Reply) {
        let Some(stream) = &mut self.0 else { return };
        let sent = hook::to_line(reply)
            .map_err(std::io::Error::other)
            .and_then(|line| stream.write_all(line.as_bytes()));
        if let Err(error) = sent {
            tracing::debug!(%error, "the pusher hung up");
            self.0 = None;
        }
    }

    fn line(&mut self, text: impl Into<String>) {
        self.say(&Reply::line(text));
    }

    /// Tells every now and then how many bytes of something are done.
    fn paced(&mut self) -> impl FnMut(&str, u64, u64) {
        let mut told = Instant::now();
        move |what, done, total| {
            if told.elapsed() >= TOLD {
                told = Instant::now();
                let (done, total) = (done >> 20, total >> 20);
                let text = format!("gdo: {what}: {done} of {total} MiB");
                self.say(&Reply::transient(text));
            }
        }
    }
}

fn converse(stream: UnixStream, handle: &Handle) {
    let mut line = String::new();
    let read = BufReader::new((&stream).take(LINE_BYTES_MAX as u64)).read_line(&mut line);
    if let Err(error) = read {
        tracing::debug!(%error, "a hook said nothing");
        return;
    }
    let mut audience = Audience(Some(stream));
    match hook::from_line::<Request>(&line) {
        Ok(Request::PreReceive(request)) => {
            let reply = match check(&request, handle, &mut audience) {
                Ok(()) => Reply::Accept {},
                Err(lines) => Reply::Reject { lines },
            };
            audience.say(&reply);
        }
        Ok(Request::ProcReceive(request)) => take(&request, handle, &mut audience),
        Err(error) => audience.say(&Reply::Reject {
            lines: vec![format!("gdo: {error}")],
        }),
    }
}

/// The cheap checks, on objects that are still in quarantine; refuses with lines for the pusher.
fn check(
    request: &PreReceive,
    handle: &Handle,
    audience: &mut Audience,
) -> Result<(), Vec<String>> {
    for update in &request.updates {
        // Only these come to proc-receive; git would write any other ref by itself.
        if PushTarget::of(&update.reference) == PushTarget::Other
            && let Some(refusal) = hook::refuse_unless_proposal(update)
        {
            return Err(refusal.advice);
        }
        let options = options_of(update, &request.options, handle).map_err(|(_, lines)| lines)?;
        let quarantine = request.quarantine.as_deref();
        if let Some(options) = options {
            let _stage = Stage::begin("check in quarantine");
            tracing::debug!(tip = %update.new, dry_run = options.dry_run, "checking a push");
            handle
                .read_proposal(update.new, quarantine, &mut audience.paced())
                .map_err(|refusal| refusal.lines())?;
        }
    }
    Ok(())
}

/// The options of a push to `refs/for/<branch>`; `None` where proc-receive gives the answer.
fn options_of(
    update: &RefUpdate,
    options: &[String],
    handle: &Handle,
) -> Result<Option<PushOptions>, (String, Vec<String>)> {
    if hook::refuse_unless_proposal(update).is_some() {
        return Ok(None);
    }
    let (branch, options) = PushOptions::parse(&update.reference, options)
        .map_err(|error| (error.to_string(), vec![format!("gdo: {error}")]))?;
    if branch != handle.branch() {
        let reason = format!(
            "there is no branch {branch} here, push to refs/for/{}",
            handle.branch()
        );
        return Err((reason.clone(), vec![format!("gdo: {reason}")]));
    }
    Ok(Some(options))
}

/// Takes the proposals of a push, one after the other, and tells what becomes of each.
fn take(request: &ProcReceive, handle: &Handle, audience: &mut Audience) {
    for update in &request.commands {
        let outcome = take_one(update, &request.options, handle, audience);
        audience.say(&Reply::Result(CommandResult {
            reference: update.reference.clone(),
            outcome,
        }));
    }
    audience.say(&Reply::Done {});
}

fn take_one(
    update: &RefUpdate,
    options: &[String],
    handle: &Handle,
    audience: &mut Audience,
) -> CommandOutcome {
    let refuse = |audience: &mut Audience, reason: String, lines: Vec<String>| {
        lines.into_iter().for_each(|line| audience.line(line));
        CommandOutcome::Refused { reason }
    };
    if let Some(refusal) = hook::refuse_unless_proposal(update) {
        return refuse(audience, refusal.reason, refusal.advice);
    }
    let options = match options_of(update, options, handle) {
        Ok(options) => options.unwrap_or_default(),
        Err((reason, lines)) => return refuse(audience, reason, lines),
    };
    let stage = Stage::begin("check again");
    let read = handle.read_proposal(update.new, None, &mut audience.paced());
    drop(stage);
    let proposal = match read {
        Ok(proposal) => proposal,
        Err(refusal) => return refuse(audience, refusal.reason.clone(), refusal.lines()),
    };
    if let Err(refusal) = handle.check_rules(&proposal) {
        return refuse(audience, refusal.reason.clone(), refusal.lines());
    }
    if !options.dry_run {
        handle.lay_out(&proposal, &mut audience.paced());
    }
    let (news, mail) = channel();
    let wait = options.wait;
    let push = Push {
        proposal,
        dry_run: options.dry_run,
        topic: options.topic,
        news,
    };
    if !handle.push(push) {
        return CommandOutcome::Refused {
            reason: "the node is stopping; push again".to_owned(),
        };
    }
    follow(&mail, wait, audience)
}

/// Passes on what happens to a proposal until it is decided or the pusher's patience ends.
fn follow(mail: &Receiver<PushNews>, wait: Wait, audience: &mut Audience) -> CommandOutcome {
    let patience = match wait {
        Wait::None => Duration::ZERO,
        Wait::AtMost(patience) => patience,
    };
    let deadline = Instant::now() + patience;
    let mut taken = None;
    loop {
        // Until the proposal is safe there is nothing to detach from.
        let next = match taken {
            None => mail.recv().ok(),
            Some(_) => mail
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .ok(),
        };
        match next {
            Some(PushNews::Line(text)) => audience.line(text),
            Some(PushNews::Transient(text)) => audience.say(&Reply::transient(text)),
            Some(PushNews::Taken(report)) => taken = Some(report),
            Some(PushNews::Decided(outcome)) => return outcome,
            None => break,
        }
    }
    match taken {
        Some(report) => {
            audience.line("gdo: not decided yet; the node goes on with it ('gdo proposals' tells)");
            CommandOutcome::Accepted {
                report: Some(report),
            }
        }
        None => CommandOutcome::Refused {
            reason: "the node is stopping; push again".to_owned(),
        },
    }
}
