//! A daemon in a thread: it answers hooks the way the test says, or as a small node would.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use gdo_core::hook::{
    self, ProcReceive, PushOptions, Reply, Report, Request, refuse_unless_proposal,
};
use gdo_hooks::socket;

use crate::client::run;

/// One hook at the other end of the socket.
pub(crate) struct Hook {
    stream: BufReader<UnixStream>,
}

impl Hook {
    /// Sends an answer; whether the hook was still there.
    pub(crate) fn send(&mut self, reply: &Reply) -> bool {
        let line = hook::to_line(reply).expect("answers of tests are small");
        self.stream.get_mut().write_all(line.as_bytes()).is_ok()
    }

    /// Sends raw bytes.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// Waits until the hook has hung up.
    pub(crate) fn wait_until_gone(&mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"", "a hook says one line only");
    }
}

type Handler = dyn Fn(&Request, &mut Hook) + Send + Sync;

/// Answers hooks until it is dropped.
pub(crate) struct Daemon {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Request>>>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts a daemon that answers every request with `handler`.
    pub(crate) fn start(
        path: &Path,
        handler: impl Fn(&Request, &mut Hook) + Send + Sync + 'static,
    ) -> Self {
        let listener = socket::listen(path).expect("nobody listens yet");
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&requests));
        let thread = thread::spawn(move || {
            let mut workers = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let stream = stream.expect("a hook connects");
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                workers.push(thread::spawn(move || serve(stream, &seen, &*handler)));
            }
            for worker in workers {
                worker.join().expect("the handler of the test panicked");
            }
        });
        Self {
            socket: path.to_owned(),
            stop,
            requests,
            thread: Some(thread),
        }
    }

    /// Starts a daemon that takes every proposal into the ledger, one at a time.
    pub(crate) fn node(path: &Path, ledger: PathBuf) -> Self {
        let turn = Mutex::new(());
        Self::start(path, move |request, hook| match request {
            Request::PreReceive(_) => {
                hook.send(&Reply::Accept {});
            }
            Request::ProcReceive(push) => {
                let _turn = turn.lock().expect("no handler panicked");
                take(push, &ledger, hook);
            }
        })
    }

    /// What hooks have asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no handler panicked").clone()
    }

    /// The pushes that came as far as `proc-receive`.
    pub(crate) fn pushes(&self) -> Vec<ProcReceive> {
        let push = |request| match request {
            Request::ProcReceive(push) => Some(push),
            Request::PreReceive(_) => None,
        };
        self.requests().into_iter().filter_map(push).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for the next connection.
        let woken = UnixStream::connect(&self.socket).or_else(|_| socket::connect(&self.socket));
        drop(woken);
        let thread = self.thread.take().expect("dropped once");
        if let Err(panic) = thread.join()
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

fn serve(stream: UnixStream, seen: &Mutex<Vec<Request>>, handler: &Handler) {
    let mut hook = Hook {
        stream: BufReader::new(stream),
    };
    let mut line = String::new();
    hook.stream.read_line(&mut line).expect("hooks send text");
    let request: Request = hook::from_line(&line).expect("hooks send requests");
    seen.lock()
        .expect("no handler panicked")
        .push(request.clone());
    handler(&request, &mut hook);
}

/// What a node does, in short: refuse what is no proposal, keep the rest, tell about it.
pub(crate) fn take(push: &ProcReceive, ledger: &Path, hook: &mut Hook) {
    let doomed = push
        .commands
        .iter()
        .any(|c| refuse_unless_proposal(c).is_some());
    for command in &push.commands {
        let name = &command.reference;
        let reply = if let Some(refusal) = refuse_unless_proposal(command) {
            for line in refusal.advice {
                hook.send(&Reply::line(line));
            }
            Reply::refused(name, refusal.reason)
        } else if push.atomic && doomed {
            Reply::refused(name, "another reference of this atomic push was refused")
        } else {
            match PushOptions::parse(name, &push.options) {
                Err(error) => Reply::refused(name, error.to_string()),
                Ok((branch, options)) => {
                    let id = command.new;
                    hook.send(&Reply::transient("gdo: checking"));
                    hook.send(&Reply::line(format!("gdo: proposal {}", id.short(7))));
                    let reference = format!("refs/gdo/{branch}/proposals/{id}");
                    if options.dry_run {
                        hook.send(&Reply::line("gdo: dry run, nothing was kept"));
                    } else {
                        run(ledger, &["update-ref", &reference, &id.to_string()]);
                    }
                    Reply::accepted(name, Some(Report { reference, new: id }))
                }
            }
        };
        hook.send(&reply);
    }
    hook.send(&Reply::Done {});
}
