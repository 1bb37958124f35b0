//! An image of the ledger: an OCI layout in the tree of the newest checkpoint.
//!
//! `index.json` lists manifests; a tag is the annotation `org.opencontainers.image.ref.name` of one of
//! them. What has no tag is `latest`: the manifest, if there is one, else the index itself, which has
//! one for each platform. The digest of `index.json` names the whole image.
//!
//! Source: the image specification of OCI (image layout).

use std::collections::BTreeSet;

use gdo_core::id::{Digest, ObjectId};
use gdo_ledger::{Ledger, Standing};
use serde::Deserialize;

use super::manifest::{Descriptor, MANIFEST_BYTES_MAX, Manifest, MediaType};
use super::name::{ImageName, Reference};
use super::{Blob, Listed};
use crate::error::ImagesError;

/// Which annotation of a manifest is its tag.
const TAG: &str = "org.opencontainers.image.ref.name";
/// The tag of what has none.
const LATEST: &str = "latest";
/// The largest blob that stands in the tree itself and is read; what is larger belongs into the store.
const PLAIN_BYTES_MAX: u64 = 64 << 20;

/// A layout that is there.
pub(super) struct Layout<'a> {
    ledger: &'a Ledger,
    tree: ObjectId,
    folder: String,
    index: Manifest,
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct RawIndex {
    manifests: Vec<Descriptor>,
}

impl<'a> Layout<'a> {
    /// Opens the layout of `name` in `tree`, if there is one.
    pub(super) fn open(
        ledger: &'a Ledger,
        tree: ObjectId,
        name: &ImageName,
    ) -> Result<Option<Self>, ImagesError> {
        let folder = name.folder();
        let path = format!("{folder}/index.json");
        let Some(text) = read(ledger, &tree, &path, MANIFEST_BYTES_MAX)? else {
            return Ok(None);
        };
        // What is no index is no image: a proposal may put anything there.
        let Ok(raw) = serde_json::from_slice::<RawIndex>(&text) else {
            return Ok(None);
        };
        Ok(Some(Self {
            ledger,
            tree,
            folder,
            index: Manifest {
                digest: Digest::of(&text),
                media_type: MediaType::OciIndex,
                text,
            },
            manifests: raw.manifests,
        }))
    }

    /// The manifest that `reference` names; `blob` finds what the layout's manifests are.
    pub(super) fn manifest(
        &self,
        reference: &Reference,
        blob: impl Fn(&Digest) -> Result<Option<Blob>, ImagesError>,
    ) -> Result<Option<Manifest>, ImagesError> {
        let descriptor = match reference {
            Reference::Digest(digest) if *digest == self.index.digest => {
                return Ok(Some(self.index.clone()));
            }
            Reference::Digest(digest) => {
                let text = format!("sha256:{digest}");
                self.manifests.iter().find(|found| found.digest == text)
            }
            Reference::Tag(tag) => match self.tagged(tag.as_str()) {
                Tagged::Index => return Ok(Some(self.index.clone())),
                Tagged::One(descriptor) => Some(descriptor),
                Tagged::Nothing => None,
            },
        };
        let Some(descriptor) = descriptor else {
            return Ok(None);
        };
        let digest = descriptor.sha256()?;
        match (MediaType::of(&descriptor.media_type), blob(&digest)?) {
            (Some(media_type), Some(Blob::Plain(text))) => Ok(Some(Manifest {
                digest,
                media_type,
                text,
            })),
            _ => Ok(None),
        }
    }

    /// A file of the layout's blobs.
    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ImagesError> {
        let path = format!("{}/blobs/sha256/{digest}", self.folder);
        read(self.ledger, &self.tree, &path, PLAIN_BYTES_MAX)
    }

    /// The tags, sorted.
    pub(super) fn tags(&self) -> Vec<String> {
        let mut tags: BTreeSet<String> = self.manifests.iter().filter_map(tag_of).collect();
        if !matches!(self.tagged(LATEST), Tagged::Nothing) {
            tags.insert(LATEST.to_owned());
        }
        tags.into_iter().collect()
    }

    /// The layout's manifests, and its index where that has a tag.
    pub(super) fn list(&self, name: &ImageName) -> Vec<Listed> {
        let listed = |digest: String, media_type, bytes, tags| Listed {
            name: name.to_string(),
            source: "ledger",
            digest,
            media_type,
            bytes,
            tags,
            pushed_at: None,
            expires_at: None,
        };
        let mut all = Vec::new();
        if matches!(self.tagged(LATEST), Tagged::Index) {
            let digest = format!("sha256:{}", self.index.digest);
            let bytes = self.index.text.len() as u64;
            let tags = vec![LATEST.to_owned()];
            all.push(listed(digest, self.index.media_type, bytes, tags));
        }
        for descriptor in &self.manifests {
            let Some(media_type) = MediaType::of(&descriptor.media_type) else {
                continue;
            };
            let mut tags: Vec<String> = tag_of(descriptor).into_iter().collect();
            let is_latest = matches!(self.tagged(LATEST), Tagged::One(one) if one == descriptor);
            if tags.is_empty() && is_latest {
                tags.push(LATEST.to_owned());
            }
            all.push(listed(
                descriptor.digest.clone(),
                media_type,
                descriptor.size,
                tags,
            ));
        }
        all
    }

    /// What a tag names.
    fn tagged(&self, tag: &str) -> Tagged<'_> {
        let has_tag = |found: &&Descriptor| tag_of(found).as_deref() == Some(tag);
        if let Some(descriptor) = self.manifests.iter().find(has_tag) {
            return Tagged::One(descriptor);
        }
        let mut untagged = self
            .manifests
            .iter()
            .filter(|found| tag_of(found).is_none());
        match (tag == LATEST, untagged.next(), untagged.next()) {
            (true, Some(one), None) => Tagged::One(one),
            (true, Some(_), Some(_)) => Tagged::Index,
            _ => Tagged::Nothing,
        }
    }
}

/// What a tag names.
enum Tagged<'a> {
    One(&'a Descriptor),
    Index,
    Nothing,
}

/// The tag of a manifest, if it has one that can be asked for.
fn tag_of(descriptor: &Descriptor) -> Option<String> {
    let tag = descriptor.annotations.get(TAG)?;
    // Some tools write the whole name of the image there.
    let tag = tag.rsplit(['/', ':']).next().unwrap_or(tag);
    tag.parse::<super::Tag>()
        .ok()
        .map(|tag| tag.as_str().to_owned())
}

/// The names of all images in a tree, sorted.
pub(super) fn names(ledger: &Ledger, tree: &ObjectId) -> Result<Vec<String>, ImagesError> {
    let mut names = Vec::new();
    for (folder, prefix) in [(".gdo/images", ""), (".gdo/dapps", "dapps/")] {
        for (entry, standing) in ledger.list(tree, folder)? {
            let name = format!("{prefix}{entry}").parse::<ImageName>();
            let (Standing::Directory, Ok(name)) = (standing, name) else {
                continue;
            };
            if Layout::open(ledger, *tree, &name)?.is_some() {
                names.push(name.to_string());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a file of a tree, if one stands there that is not too large.
fn read(
    ledger: &Ledger,
    tree: &ObjectId,
    path: &str,
    max: u64,
) -> Result<Option<Vec<u8>>, ImagesError> {
    let Ok(path) = path.parse() else {
        return Ok(None);
    };
    let Standing::File(entry) = ledger.entry(tree, &path)? else {
        return Ok(None);
    };
    if ledger.blob_bytes(&entry.id)? > max {
        return Ok(None);
    }
    Ok(Some(ledger.read_blob(&entry.id, max)?))
}
