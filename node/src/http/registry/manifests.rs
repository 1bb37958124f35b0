//! Manifests: given by tag or digest, and taken when everything that they name is here.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use gdo_core::id::Digest;

use super::Registry;
use super::answer::{Code, refuse, refuse_take};
use crate::clock::wall_seconds;
use crate::http::transfer;
use crate::images::{ImageName, MANIFEST_BYTES_MAX, Manifest, MediaType, Reference};

pub(super) async fn get(
    registry: &Registry,
    name: ImageName,
    reference: Reference,
    with_body: bool,
) -> Response {
    let asked = (name.clone(), reference.clone());
    let found = registry.ask(move |images| images.manifest(&asked.0, &asked.1));
    match found.await {
        Ok(Some(manifest)) => answer(manifest, with_body),
        Ok(None) => refuse(
            Code::ManifestUnknown,
            &match reference {
                Reference::Tag(tag) => format!("{name} has no tag {} here", tag.as_str()),
                Reference::Digest(digest) => format!("{name} has no sha256:{digest} here"),
            },
        ),
        Err(refusal) => refusal,
    }
}

fn answer(manifest: Manifest, with_body: bool) -> Response {
    let bytes = manifest.text.len();
    let mut response = if with_body {
        manifest.text.into_response()
    } else {
        StatusCode::OK.into_response()
    };
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static(manifest.media_type.as_str());
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    headers.insert(DIGEST, digest_value(&manifest.digest));
    response
}

pub(super) async fn put(
    registry: &Registry,
    name: ImageName,
    reference: Reference,
    request: Request,
) -> Response {
    let media_type = request.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| MediaType::of(value.to_str().ok()?));
    let mut body = request.into_body();
    let patience = registry.service.patience;
    let Some(media_type) = media_type else {
        transfer::discard(&mut body, patience).await;
        let reason = "the Content-Type is no manifest's of OCI or of Docker's schema 2";
        return refuse(Code::ManifestInvalid, reason);
    };
    let text = match transfer::read(&mut body, MANIFEST_BYTES_MAX, patience).await {
        Ok(text) => text,
        Err(error) => {
            transfer::discard(&mut body, patience).await;
            return refuse_take(&error, Code::ManifestInvalid);
        }
    };
    let digest = Digest::of(&text);
    if let Reference::Digest(asked) = &reference
        && *asked != digest
    {
        let reason = format!("the manifest is sha256:{digest}, pushed as sha256:{asked}");
        return refuse(Code::DigestInvalid, &reason);
    }
    let manifest = Manifest {
        digest,
        media_type,
        text,
    };
    let image = name.clone();
    let staged =
        registry.ask(move |images| images.push(&image, &reference, &manifest, wall_seconds()));
    if let Err(refusal) = staged.await {
        return refusal;
    }
    tracing::info!(
        "image {name} is staged for a day; a member proposes it with: gdo image propose {name}@sha256:{digest}"
    );
    created(&format!("/v2/{name}/manifests/sha256:{digest}"), &digest)
}

/// The header with the digest of what is answered.
pub(super) const DIGEST: &str = "docker-content-digest";

/// A digest as the value of a header.
pub(super) fn digest_value(digest: &Digest) -> HeaderValue {
    HeaderValue::from_str(&format!("sha256:{digest}")).expect("hex digits are plain")
}

/// The answer when something is here under its digest.
pub(super) fn created(location: &str, digest: &Digest) -> Response {
    let mut response = StatusCode::CREATED.into_response();
    let headers = response.headers_mut();
    let location = HeaderValue::from_str(location).expect("names and digests are plain");
    headers.insert(header::LOCATION, location);
    headers.insert(DIGEST, digest_value(digest));
    response
}
