//! Container images: those of the ledger, and those that were pushed and wait for a proposal.
//!
//! An image of the ledger is an OCI layout in the tree of the newest checkpoint, its layers perhaps
//! pointers. A pushed image carries no member's signature, so it is staged: its blobs are objects
//! of the store, its manifest has a record (`docs/formats/staged-images.md`), and both go after a day,
//! unless the operator pins the image.
//!
//! **Invariants**: under a tag or a digest the ledger's image wins over a staged one; a manifest is
//! staged only when everything it names is here; nothing here changes the ledger.

mod layout;
mod manifest;
mod name;
mod staged;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use gdo_ledger::Ledger;
use serde::Serialize;

use crate::clock::wall_seconds;
use crate::dir::NodeDir;
use crate::error::{ImagesError, ObjectsError};
use crate::objects::{Objects, STAGED_SECONDS_MAX};
use crate::refs::Refs;

pub use manifest::{Descriptor, MANIFEST_BYTES_MAX, Manifest, MediaType};
pub use name::{ImageName, Reference, Tag, parse_digest};
pub use staged::Record;

use layout::Layout;
use staged::Records;

/// The images of a node; cheap to clone.
#[derive(Debug, Clone)]
pub struct Images(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ledger: Arc<Ledger>,
    main: String,
    objects: Objects,
    records: Mutex<Records>,
}

/// Where a blob of an image is.
#[derive(Debug)]
pub enum Blob {
    /// In the store.
    Stored(Pointer),
    /// In the tree, as a file.
    Plain(Vec<u8>),
}

impl Blob {
    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Stored(pointer) => pointer.size,
            Self::Plain(content) => content.len() as u64,
        }
    }
}

/// One manifest in a list of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The image's name.
    pub name: String,
    /// `ledger` or `staged`.
    pub source: &'static str,
    /// The digest that it is pulled by.
    pub digest: String,
    /// Its media type.
    pub media_type: MediaType,
    /// The size of the manifest.
    pub bytes: u64,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// When it was pushed, in seconds since 1970-01-01 UTC; of a staged image alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<i64>,
    /// When it is removed, likewise; never while it is pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// A staged image and all that belongs to it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Its record.
    #[serde(flatten)]
    pub record: Record,
    /// When it is removed, in seconds since 1970-01-01 UTC; never while it is pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The text of its manifest.
    pub manifest: String,
    /// The blobs that it needs, without itself; of an index those of its manifests, too.
    pub blobs: Vec<Descriptor>,
}

impl Images {
    /// The images of a node; nothing is read yet.
    #[must_use]
    pub fn new(dir: &NodeDir, refs: &Refs, ledger: Arc<Ledger>, objects: Objects) -> Self {
        Self(Arc::new(Inner {
            ledger,
            main: refs.main(),
            objects,
            records: Mutex::new(Records::new(dir.staged_images())),
        }))
    }

    /// The manifest that `reference` names.
    ///
    /// # Errors
    /// The ledger, a record or the store cannot be read.
    pub fn manifest(
        &self,
        name: &ImageName,
        reference: &Reference,
    ) -> Result<Option<Manifest>, ImagesError> {
        if let Some(layout) = self.layout(name)?
            && let Some(manifest) = layout.manifest(reference, |digest| self.blob(name, digest))?
        {
            return Ok(Some(manifest));
        }
        let found = self.with_records(|records| records.find(name, reference))?;
        let Some(record) = found.filter(|record| self.is_kept(record, wall_seconds())) else {
            return Ok(None);
        };
        let digest = record.sha256()?;
        let Some(text) = self.read_object(&digest, MANIFEST_BYTES_MAX)? else {
            return Ok(None);
        };
        Ok(Some(Manifest {
            digest,
            media_type: record.media_type,
            text,
        }))
    }

    /// A blob that can be pulled under `name`: one of its layout in the ledger, or any object.
    ///
    /// # Errors
    /// The ledger or the store cannot be read.
    pub fn blob(&self, name: &ImageName, digest: &Digest) -> Result<Option<Blob>, ImagesError> {
        if let Some(layout) = self.layout(name)?
            && let Some(content) = layout.blob(digest)?
        {
            return match Pointer::parse(&content) {
                Ok(pointer) if pointer.oid == *digest => {
                    let found = self.0.objects.find(digest)?;
                    Ok(found.map(Blob::Stored))
                }
                _ => Ok(Some(Blob::Plain(content))),
            };
        }
        Ok(self.0.objects.find(digest)?.map(Blob::Stored))
    }

    /// As [`Images::blob`], and keeps it from being collected for a day: whoever asks is about to name
    /// it.
    ///
    /// # Errors
    /// As [`Images::blob`].
    pub fn blob_to_name(
        &self,
        name: &ImageName,
        digest: &Digest,
    ) -> Result<Option<Blob>, ImagesError> {
        let found = self.blob(name, digest)?;
        if let Some(Blob::Stored(_)) = found {
            self.0.objects.find_and_touch(digest)?;
        }
        Ok(found)
    }

    /// The tags that an image has in the ledger, sorted; `None` where there is no such image, in the
    /// ledger or staged.
    ///
    /// # Errors
    /// The ledger or the records cannot be read.
    pub fn tags(&self, name: &ImageName) -> Result<Option<Vec<String>>, ImagesError> {
        if let Some(layout) = self.layout(name)? {
            return Ok(Some(layout.tags()));
        }
        let staged = self.with_records(|records| records.of(name))?;
        Ok((!staged.is_empty()).then(Vec::new))
    }

    /// The names of the images in the ledger, sorted.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn catalog(&self) -> Result<Vec<String>, ImagesError> {
        layout::names(&self.0.ledger, &self.main_tree()?)
    }

    /// Stages a manifest that was pushed.
    ///
    /// # Errors
    /// The manifest is malformed or names blobs that are not here, or there is no room for it.
    pub fn push(
        &self,
        name: &ImageName,
        reference: &Reference,
        manifest: &Manifest,
        now: i64,
    ) -> Result<(), ImagesError> {
        if name.is_dapp() {
            return Err(ImagesError::ReadOnly {
                name: name.to_string(),
            });
        }
        for descriptor in manifest.needs()? {
            self.touch_blob(name, &descriptor)?;
        }
        let pointer = Pointer {
            oid: manifest.digest,
            size: manifest.text.len() as u64,
        };
        if self.0.objects.find_and_touch(&pointer.oid)?.is_none() {
            let mut upload = self.0.objects.upload(pointer.size)?;
            upload.write(&manifest.text)?;
            upload.finish_as(&pointer)?;
        }
        let tag = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        };
        self.with_records(|records| records.put(name, tag, manifest, now))
    }

    /// All images: the ledger's, then the staged ones.
    ///
    /// # Errors
    /// The ledger or the records cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, ImagesError> {
        let mut listed = Vec::new();
        for name in self.catalog()? {
            let Ok(name) = name.parse() else { continue };
            let Some(layout) = self.layout(&name)? else {
                continue;
            };
            listed.extend(layout.list(&name));
        }
        let now = wall_seconds();
        let records = self.with_records(|records| records.all())?;
        let kept = records.into_iter().filter(|found| self.is_kept(found, now));
        listed.extend(kept.map(|record| Listed {
            expires_at: self.expires_at(&record),
            name: record.name,
            source: "staged",
            digest: record.digest,
            media_type: record.media_type,
            bytes: record.bytes,
            tags: record.tags,
            pushed_at: Some(record.pushed_at),
        }));
        Ok(listed)
    }

    /// A staged image and all that belongs to it.
    ///
    /// # Errors
    /// Its record or the store cannot be read.
    pub fn show(&self, name: &ImageName, digest: Digest) -> Result<Option<Shown>, ImagesError> {
        let reference = Reference::Digest(digest);
        let found = self.with_records(|records| records.find(name, &reference))?;
        let Some(record) = found.filter(|record| self.is_kept(record, wall_seconds())) else {
            return Ok(None);
        };
        let Some(manifest) = self.manifest(name, &reference)? else {
            return Ok(None);
        };
        let mut blobs = Vec::new();
        let mut seen = BTreeSet::new();
        for descriptor in manifest.needs()? {
            let inner = self.manifest(name, &Reference::Digest(descriptor.sha256()?))?;
            if seen.insert(descriptor.digest.clone()) {
                blobs.push(descriptor);
            }
            for descriptor in inner.map_or(Ok(Vec::new()), |inner| inner.needs())? {
                if seen.insert(descriptor.digest.clone()) {
                    blobs.push(descriptor);
                }
            }
        }
        Ok(Some(Shown {
            expires_at: self.expires_at(&record),
            record,
            manifest: String::from_utf8_lossy(&manifest.text).into_owned(),
            blobs,
        }))
    }

    /// Keeps a staged image for longer than a day: until it is unpinned.
    ///
    /// # Errors
    /// It is not staged here, or not whole, or its record or the store cannot be read or written.
    pub fn pin(&self, name: &ImageName, digest: Digest) -> Result<(), ImagesError> {
        let not_staged = || ImagesError::NotStaged {
            name: name.to_string(),
            digest: format!("sha256:{digest}"),
        };
        let shown = self.show(name, digest)?.ok_or_else(not_staged)?;
        let mut objects = BTreeSet::from([digest]);
        for blob in &shown.blobs {
            let oid = blob.sha256()?;
            // What stands in the ledger's own layout stays anyway.
            if !matches!(self.blob(name, &oid)?, Some(Blob::Plain(_))) {
                objects.insert(oid);
            }
        }
        match self.0.objects.pin(&shown.record.pin(), &objects)? {
            true => Ok(()),
            false => Err(not_staged()),
        }
    }

    /// Has a staged image go after its day again.
    ///
    /// # Errors
    /// It is not pinned, or the pin cannot be removed.
    pub fn unpin(&self, name: &ImageName, digest: Digest) -> Result<(), ImagesError> {
        let digest = format!("sha256:{digest}");
        match self
            .0
            .objects
            .unpin(&staged::pin(&name.to_string(), &digest))?
        {
            true => Ok(()),
            false => Err(ImagesError::NotPinned {
                name: name.to_string(),
                digest,
            }),
        }
    }

    /// Removes the records of images that were staged for too long and are not pinned.
    ///
    /// # Errors
    /// The records cannot be read or removed.
    pub fn expire(&self, now: i64) -> Result<usize, ImagesError> {
        let is_kept = |record: &Record| self.is_kept(record, now);
        self.with_records(|records| records.expire(is_kept))
    }

    fn is_kept(&self, record: &Record, now: i64) -> bool {
        self.expires_at(record).is_none_or(|end| now <= end)
    }

    fn expires_at(&self, record: &Record) -> Option<i64> {
        let is_pinned = self.0.objects.is_pinned(&record.pin());
        (!is_pinned).then(|| record.pushed_at.saturating_add(STAGED_SECONDS_MAX))
    }

    /// Finds a blob that a manifest names, and keeps it from being collected for a day.
    fn touch_blob(&self, name: &ImageName, wanted: &Descriptor) -> Result<(), ImagesError> {
        let found = self.blob_to_name(name, &wanted.sha256()?)?;
        let found = found.map(|blob| blob.bytes());
        match found {
            None => Err(ImagesError::BlobUnknown {
                digest: wanted.digest.clone(),
            }),
            Some(bytes) if bytes != wanted.size => Err(ImagesError::Manifest {
                reason: format!(
                    "it says that {} has {} bytes, but it has {bytes}",
                    wanted.digest, wanted.size
                ),
            }),
            Some(_) => Ok(()),
        }
    }

    fn with_records<T>(
        &self,
        act: impl FnOnce(&mut Records) -> Result<T, ImagesError>,
    ) -> Result<T, ImagesError> {
        let records = &self.0.records;
        act(&mut records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn layout(&self, name: &ImageName) -> Result<Option<Layout<'_>>, ImagesError> {
        Layout::open(&self.0.ledger, self.main_tree()?, name)
    }

    /// The tree of the newest checkpoint.
    fn main_tree(&self) -> Result<gdo_core::id::ObjectId, ImagesError> {
        let main = self.0.ledger.read_ref(&self.0.main);
        let main = main.map_err(|error| ImagesError::Ledger(error.into()))?;
        let main = main.ok_or_else(|| ImagesError::Manifest {
            reason: format!("{} is missing", self.0.main),
        })?;
        Ok(self.0.ledger.read_commit(&main)?.tree)
    }

    /// Reads a small object whole.
    fn read_object(&self, oid: &Digest, max: u64) -> Result<Option<Vec<u8>>, ImagesError> {
        use std::io::Read as _;
        let Some(found) = self.0.objects.find(oid)? else {
            return Ok(None);
        };
        if found.size > max {
            return Ok(None);
        }
        let mut content = Vec::new();
        let store = self.0.objects.store()?;
        let mut reader = store.read(oid).map_err(ObjectsError::from)?;
        reader
            .read_to_end(&mut content)
            .map_err(|source| ObjectsError::Read { source })?;
        Ok(Some(content))
    }
}
