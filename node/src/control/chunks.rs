//! The chunk store over the control API: work that takes a while, told line by line.

use std::io::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body::Frame;
use tokio::sync::mpsc;

use crate::chunks::{self, Line, Task};
use crate::clock::wall_seconds;
use crate::objects::Objects;

/// So many lines wait for a client that reads slowly; then the work waits.
const LINES_MAX: usize = 64;

/// The routes, one for each task.
pub fn router(objects: Objects) -> Router {
    let mut router = Router::new();
    for task in Task::ALL {
        let run = move |State(objects): State<Objects>| async move { answer(objects, task) };
        router = router.route(&path(task), post(run));
    }
    router.with_state(objects)
}

/// The path of a task's route.
#[must_use]
pub fn path(task: Task) -> String {
    format!("/v1/chunks/{}", task.word())
}

/// Starts the work and gives its lines as they come.
fn answer(objects: Objects, task: Task) -> Response {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    tokio::task::spawn_blocking(move || {
        // A client that went away hears nothing; the work is done all the same.
        let mut tell = |line: Line| drop(sender.blocking_send(line));
        let last = chunks::run(&objects, task, wall_seconds(), &mut tell);
        tell(last.unwrap_or_else(|error| Line::Failed {
            reason: error.to_string(),
        }));
    });
    let kind = [("content-type", "application/x-ndjson")];
    (kind, Body::new(Lines(lines))).into_response()
}

struct Lines(mpsc::Receiver<Line>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(context).map(|line| {
            let text = serde_json::to_string(&line?).map_err(Error::other);
            Some(text.map(|text| Frame::data(Bytes::from(text + "\n"))))
        })
    }
}
