//! The batch call: which objects are here, which may come, and where.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use gdo_core::pointer::Pointer;
use serde::{Deserialize, Serialize};

use super::answer::{json, refuse, refuse_take};
use super::{RawObject, Shared, read_json, refuse_reader};
use crate::error::ObjectsError;
use crate::http::service::explain;
use crate::http::transfer::TakeError;
use crate::objects::{Objects, Room};

/// The most objects of one batch; git-lfs asks for a hundred.
const OBJECTS_MAX: usize = 1000;
/// How long what is answered may be acted on; git-lfs asks again then.
const EXPIRES_SECONDS: u32 = 24 * 3600;

#[derive(Deserialize)]
struct RawBatch {
    operation: Operation,
    #[serde(default)]
    transfers: Vec<String>,
    objects: Vec<RawObject>,
    #[serde(default)]
    hash_algo: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Operation {
    Upload,
    Download,
}

#[derive(Serialize)]
struct Batch {
    transfer: &'static str,
    hash_algo: &'static str,
    objects: Vec<Object>,
}

#[derive(Serialize)]
struct Object {
    oid: String,
    size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actions: Option<Actions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ObjectError>,
}

#[derive(Serialize, Default)]
struct Actions {
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<Action>,
}

#[derive(Serialize)]
struct Action {
    href: String,
    expires_in: u32,
}

#[derive(Serialize)]
struct ObjectError {
    code: u16,
    message: String,
}

pub(super) async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let Some(root) = root_of(request.headers(), &shared) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "the request names no host of the usual form, so no address of an object can be told",
        );
    };
    let batch: RawBatch = match read_json(&shared, request).await {
        Ok(batch) => batch,
        Err(refusal) => return refusal,
    };
    if let Some(refusal) = refuse_batch(&shared, &batch) {
        return refusal;
    }
    let answered = shared.service.ask(move |objects| {
        let mut answers = Vec::new();
        let mut room = match batch.operation {
            Operation::Upload => Some(objects.room()?),
            Operation::Download => None,
        };
        for asked in batch.objects {
            answers.push(answer(objects, room.as_mut(), asked, &root)?);
        }
        Ok(answers)
    });
    match answered.await {
        Ok(objects) => json(
            StatusCode::OK,
            Batch {
                transfer: "basic",
                hash_algo: "sha256",
                objects,
            },
        ),
        Err(error) => refuse_take(&error),
    }
}

/// The address of the API as the client knows it.
fn root_of(headers: &HeaderMap, shared: &Shared) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if !host.chars().all(plain) {
        return None;
    }
    let scheme = match headers.get("x-forwarded-proto") {
        Some(value) if value == "https" => "https",
        _ => "http",
    };
    Some(format!("{scheme}://{host}{}", shared.root))
}

fn refuse_batch(shared: &Shared, batch: &RawBatch) -> Option<Response> {
    if batch.operation == Operation::Download
        && let Some(refusal) = refuse_reader(shared)
    {
        return Some(refusal);
    }
    if !batch.transfers.is_empty() && !batch.transfers.iter().any(|name| name == "basic") {
        let reason = "this node knows the transfer 'basic' alone";
        return Some(refuse(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    if batch
        .hash_algo
        .as_ref()
        .is_some_and(|name| name != "sha256")
    {
        let reason = "this node knows objects by 'sha256' alone";
        return Some(refuse(StatusCode::CONFLICT, reason));
    }
    if batch.objects.len() > OBJECTS_MAX {
        let reason = format!(
            "{} objects in one batch, expected at most {OBJECTS_MAX}",
            batch.objects.len()
        );
        return Some(refuse(StatusCode::PAYLOAD_TOO_LARGE, &reason));
    }
    None
}

/// What may be done about one object: come, if there is `room` to come to, else go.
fn answer(
    objects: &Objects,
    room: Option<&mut Room>,
    asked: RawObject,
    root: &str,
) -> Result<Object, ObjectsError> {
    let pointer = match asked.pointer() {
        Ok(pointer) => pointer,
        Err(reason) => return Ok(failed(asked, StatusCode::UNPROCESSABLE_ENTITY, &reason)),
    };
    let found = match room {
        Some(_) => objects.find_and_touch(&pointer.oid)?,
        None => objects.find(&pointer.oid)?,
    };
    if let Some(found) = found.filter(|found| found.size != pointer.size) {
        let (size, bytes) = (pointer.size, found.size);
        let reason = format!("size {size}, but the object of this name has {bytes} bytes");
        return Ok(failed(asked, StatusCode::UNPROCESSABLE_ENTITY, &reason));
    }
    let actions = match (room, found) {
        (Some(_), Some(_)) => None,
        (Some(room), None) => match room.take(pointer.size) {
            Ok(()) => Some(upload_actions(root, &pointer)),
            Err(error) => {
                let (status, reason) = explain(&TakeError::Objects(error));
                return Ok(failed(asked, status, &reason));
            }
        },
        (None, Some(_)) => Some(Actions {
            download: Some(action(format!("{root}/objects/{}", pointer.oid))),
            ..Actions::default()
        }),
        (None, None) => {
            let reason = "the node does not have this object";
            return Ok(failed(asked, StatusCode::NOT_FOUND, reason));
        }
    };
    Ok(Object {
        oid: asked.oid,
        size: asked.size,
        authenticated: Some(true),
        actions,
        error: None,
    })
}

fn failed(asked: RawObject, status: StatusCode, reason: &str) -> Object {
    Object {
        oid: asked.oid,
        size: asked.size,
        authenticated: None,
        actions: None,
        error: Some(ObjectError {
            code: status.as_u16(),
            message: format!("gdo: {reason}"),
        }),
    }
}

fn upload_actions(root: &str, pointer: &Pointer) -> Actions {
    let Pointer { oid, size } = pointer;
    Actions {
        upload: Some(action(format!("{root}/objects/{oid}/{size}"))),
        verify: Some(action(format!("{root}/objects/verify"))),
        download: None,
    }
}

fn action(href: String) -> Action {
    Action {
        href,
        expires_in: EXPIRES_SECONDS,
    }
}
