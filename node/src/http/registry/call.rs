//! Which call of the distribution API a path is.
//!
//! Names may hold slashes in the API, so a path is read from its end.

use gdo_core::id::Digest;

use super::answer::Code;
use crate::images::{ImageName, Reference, parse_digest};

/// A call, its names parsed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    Catalog,
    Tags(ImageName),
    Manifest(ImageName, Reference),
    Blob(ImageName, Digest),
    Uploads(ImageName),
    Upload(ImageName, String),
    Referrers,
}

/// Why a path is no call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoCall {
    pub(super) code: Code,
    pub(super) reason: String,
}

impl Call {
    /// Reads what follows `/v2/`.
    pub(super) fn parse(rest: &str) -> Result<Self, NoCall> {
        if rest == "_catalog" {
            return Ok(Self::Catalog);
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags(image(name)?));
        }
        if let Some((name, text)) = rest.rsplit_once("/manifests/") {
            let name = image(name)?;
            let reference = text.parse().map_err(|error| {
                let code = if text.contains(':') {
                    Code::DigestInvalid
                } else {
                    Code::ManifestInvalid
                };
                no_call(code, &error)
            })?;
            return Ok(Self::Manifest(name, reference));
        }
        let uploads = rest.strip_suffix("/blobs/uploads/");
        if let Some(name) = uploads.or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Ok(Self::Uploads(image(name)?));
        }
        if let Some((name, id)) = rest.rsplit_once("/blobs/uploads/") {
            return Ok(Self::Upload(image(name)?, id.to_owned()));
        }
        if let Some((name, text)) = rest.rsplit_once("/blobs/") {
            let name = image(name)?;
            let digest = parse_digest(text);
            let digest = digest.map_err(|error| no_call(Code::DigestInvalid, &error))?;
            return Ok(Self::Blob(name, digest));
        }
        if let Some((name, _)) = rest.rsplit_once("/referrers/") {
            image(name)?;
            return Ok(Self::Referrers);
        }
        Err(no_call(Code::NotFound, &"there is no such call"))
    }
}

fn image(text: &str) -> Result<ImageName, NoCall> {
    let name = text.parse::<ImageName>();
    name.map_err(|error| no_call(Code::NameInvalid, &error))
}

fn no_call(code: Code, reason: &dyn std::fmt::Display) -> NoCall {
    NoCall {
        code,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let name = || "debian".parse::<ImageName>().expect("a name");
        let digest = Digest::of(b"x");
        for (path, expected) in [
            ("_catalog".to_owned(), Call::Catalog),
            ("debian/tags/list".to_owned(), Call::Tags(name())),
            (
                format!("debian/manifests/sha256:{digest}"),
                Call::Manifest(name(), Reference::Digest(digest)),
            ),
            (
                "debian/manifests/12".to_owned(),
                Call::Manifest(name(), "12".parse().expect("a tag")),
            ),
            (
                format!("debian/blobs/sha256:{digest}"),
                Call::Blob(name(), digest),
            ),
            ("debian/blobs/uploads/".to_owned(), Call::Uploads(name())),
            ("debian/blobs/uploads".to_owned(), Call::Uploads(name())),
            (
                "debian/blobs/uploads/ab".to_owned(),
                Call::Upload(name(), "ab".to_owned()),
            ),
            (format!("debian/referrers/sha256:{digest}"), Call::Referrers),
            (
                "dapps/policy/tags/list".to_owned(),
                Call::Tags("dapps/policy".parse().expect("a name")),
            ),
        ] {
            assert_eq!(Call::parse(&path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn bad_names_are_refused_by_their_code() {
        for (path, code) in [
            ("../tags/list", Code::NameInvalid),
            ("a/../b/tags/list", Code::NameInvalid),
            ("a/b/blobs/uploads/", Code::NameInvalid),
            ("A/manifests/x", Code::NameInvalid),
            ("..//blobs/uploads/x", Code::NameInvalid),
            ("x/manifests/sha512:00", Code::DigestInvalid),
            ("x/manifests/..", Code::ManifestInvalid),
            ("x/manifests/.hidden", Code::ManifestInvalid),
            ("x/blobs/..", Code::DigestInvalid),
            ("x/blobs/sha256:..", Code::DigestInvalid),
            ("x/y/z", Code::NotFound),
        ] {
            let refused = Call::parse(path).map_err(|refusal| refusal.code);
            assert_eq!(refused, Err(code), "{path}");
        }
    }
}
