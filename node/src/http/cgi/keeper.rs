//! Keeps a process for as long as its response lasts, then sees it and its children off.
//!
//! Git starts processes of its own (`index-pack`, hooks), so what is ended is always the group.
//!
//! **Invariants**: the turn is given back only when the group is gone; git gets time to remove its
//! lock files before it is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{sleep, timeout};

/// What a node waits for its clients and processes.
pub(super) const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(900),
    grace: Duration::from_secs(5),
};

/// How long clients and processes are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long nothing may move in either direction.
    idle: Duration,
    /// How long a process has to end by itself, and then to clean up, before it is killed.
    grace: Duration,
}

/// When something last moved between a client and its process.
pub(super) struct Activity {
    start: Instant,
    moved_ms: AtomicU64,
    killed: AtomicBool,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            moved_ms: AtomicU64::new(0),
            killed: AtomicBool::new(false),
        }
    }

    pub(super) fn touch(&self) {
        let now_ms = self.start.elapsed().as_millis() as u64;
        self.moved_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether the process was ended before it had ended by itself.
    pub(super) fn was_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// Ends when nothing has moved for `max`.
    async fn idle(&self, max: Duration) {
        loop {
            let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
            let left = (moved + max).saturating_sub(self.start.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

/// Keeps the process until its response ends, then sees it off.
///
/// `end` resolves to `Ok` when the process closed its output, and to an error when the response was
/// dropped before that, because the client left.
pub(super) async fn keep(
    mut child: Child,
    activity: Arc<Activity>,
    end: oneshot::Receiver<()>,
    turn: OwnedSemaphorePermit,
    patience: Patience,
) {
    let ended_by_itself = tokio::select! {
        end = end => end.is_ok(),
        () = activity.idle(patience.idle) => {
            tracing::warn!("a client was idle for too long, its git is stopped");
            false
        }
    };
    if !ended_by_itself || timeout(patience.grace, child.wait()).await.is_err() {
        activity.killed.store(true, Ordering::Relaxed);
        end_group(&mut child, patience.grace).await;
    }
    drop(turn);
}

/// Ends a process and all that it started: politely first, so that git removes its locks.
async fn end_group(child: &mut Child, grace: Duration) {
    const POLL: Duration = Duration::from_millis(20);
    let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return;
    };
    let group = Pid::from_raw(id);
    let _ = killpg(group, Signal::SIGTERM);
    let start = Instant::now();
    // The first process may end before those that it started: only the group's end counts.
    while start.elapsed() < grace {
        let _ = child.try_wait();
        if killpg(group, None).is_err() {
            return;
        }
        sleep(POLL).await;
    }
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait().await;
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::io::AsyncReadExt;
    use tokio::process::Command;
    use tokio::sync::Semaphore;

    use super::*;

    /// Keeps a shell with `script` under a short patience and tells whether it had to be killed.
    async fn keep_shell(script: &str, end: Option<()>) -> bool {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a shell");
        let mut stdout = child.stdout.take().expect("it was made a pipe");
        stdout
            .read_u8()
            .await
            .expect("the script says that it runs");
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns)
            .acquire_owned()
            .await
            .expect("never closed");
        let (ended, receiver) = oneshot::channel();
        if end.is_some() {
            ended.send(()).expect("the receiver is there");
        } else {
            std::mem::forget(ended);
        }
        let activity = Arc::new(Activity::new());
        let patience = Patience {
            idle: Duration::from_millis(50),
            grace: Duration::from_millis(200),
        };
        keep(child, Arc::clone(&activity), receiver, turn, patience).await;
        assert_eq!(turns.available_permits(), 1);
        // The pipe closes when the last process of the group is gone.
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).await.expect("a pipe");
        activity.was_killed()
    }

    #[tokio::test]
    async fn processes_end_whatever_they_do() {
        let ignores_term = "trap '' TERM; echo; sleep 600 & sleep 600; wait";
        assert!(
            keep_shell("echo; sleep 600 & wait", None).await,
            "an idle client"
        );
        assert!(
            keep_shell(ignores_term, None).await,
            "a process that ignores signals"
        );
        assert!(
            keep_shell(ignores_term, Some(())).await,
            "one that stays after its answer"
        );
        assert!(
            !keep_shell("echo", Some(())).await,
            "one that ends as it should"
        );
    }
}
