//! The records of staged images: one small file for each pushed manifest.
//!
//! The form is `docs/formats/staged-images.md`. The files are the truth; nothing of them is kept in
//! memory.
//!
//! **Invariants**: a record is whole or absent; a tag stands in at most one record of a name; their
//! number is bounded.

use std::fs;
use std::path::{Path, PathBuf};

use gdo_core::id::Digest;
use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, MediaType};
use super::name::{ImageName, Reference, Tag, parse_digest};
use crate::dir::write_durably;
use crate::error::{ImagesError, NodeError};

/// The version of the form.
const VERSION: u64 = 1;
/// The most records at a time.
const RECORDS_MAX: usize = 4096;
/// The most tags of one record.
const TAGS_MAX: usize = 64;

/// The record of a pushed manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of the form.
    pub version: u64,
    /// The image.
    pub name: String,
    /// The digest of the manifest, with the algorithm.
    pub digest: String,
    /// What it was pushed as.
    pub media_type: MediaType,
    /// Its size.
    pub bytes: u64,
    /// The tags it was pushed by, sorted.
    pub tags: Vec<String>,
    /// When it was pushed last, in seconds since 1970-01-01 UTC.
    pub pushed_at: i64,
}

impl Record {
    /// The digest of the manifest.
    pub(super) fn sha256(&self) -> Result<Digest, ImagesError> {
        parse_digest(&self.digest).map_err(|error| ImagesError::Record {
            file: PathBuf::from(&self.name),
            reason: error.to_string(),
        })
    }

    /// The name of its pin.
    pub(super) fn pin(&self) -> String {
        pin(&self.name, &self.digest)
    }
}

/// The name under which an image is pinned; both halves are safe as names of files.
pub(super) fn pin(name: &str, digest: &str) -> String {
    format!("{name}@{}", digest.trim_start_matches("sha256:"))
}

/// The folder of the records.
#[derive(Debug)]
pub(super) struct Records {
    dir: PathBuf,
}

impl Records {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The record that a reference names.
    pub(super) fn find(
        &self,
        name: &ImageName,
        reference: &Reference,
    ) -> Result<Option<Record>, ImagesError> {
        match reference {
            Reference::Digest(digest) => match self.file(name, digest) {
                Some(file) if file.is_file() => read(&file).map(Some),
                _ => Ok(None),
            },
            Reference::Tag(tag) => {
                let tagged =
                    |record: &Record| record.tags.iter().any(|found| found == tag.as_str());
                Ok(self.of(name)?.into_iter().find(tagged))
            }
        }
    }

    /// The records of an image, by digest.
    pub(super) fn of(&self, name: &ImageName) -> Result<Vec<Record>, ImagesError> {
        match self.folder(name) {
            Some(folder) => records_in(&folder),
            None => Ok(Vec::new()),
        }
    }

    /// All records, by name and digest.
    pub(super) fn all(&self) -> Result<Vec<Record>, ImagesError> {
        let mut all = Vec::new();
        for folder in entries(&self.dir)? {
            all.extend(records_in(&folder)?);
        }
        Ok(all)
    }

    /// Writes the record of a manifest that was pushed, by a tag perhaps.
    pub(super) fn put(
        &mut self,
        name: &ImageName,
        tag: Option<&Tag>,
        manifest: &Manifest,
        now: i64,
    ) -> Result<(), ImagesError> {
        let (Some(folder), Some(file)) = (self.folder(name), self.file(name, &manifest.digest))
        else {
            let name = name.to_string();
            return Err(ImagesError::ReadOnly { name });
        };
        let known = self.find(name, &Reference::Digest(manifest.digest))?;
        if known.is_none() && self.all()?.len() >= RECORDS_MAX {
            return Err(ImagesError::TooMany { max: RECORDS_MAX });
        }
        let mut tags = known.map(|record| record.tags).unwrap_or_default();
        if let Some(tag) = tag {
            self.untag(name, tag, &manifest.digest)?;
            tags.push(tag.as_str().to_owned());
            tags.sort();
            tags.dedup();
        }
        if tags.len() > TAGS_MAX {
            return Err(ImagesError::TooMany { max: TAGS_MAX });
        }
        fs::create_dir_all(&folder).map_err(|source| NodeError::io("create", &folder, source))?;
        write(
            &file,
            &Record {
                version: VERSION,
                name: name.to_string(),
                digest: format!("sha256:{}", manifest.digest),
                media_type: manifest.media_type,
                bytes: manifest.text.len() as u64,
                tags,
                pushed_at: now,
            },
        )
    }

    /// Removes what is not kept any more, and empty folders.
    pub(super) fn expire(
        &mut self,
        is_kept: impl Fn(&Record) -> bool,
    ) -> Result<usize, ImagesError> {
        let mut removed = 0;
        for folder in entries(&self.dir)? {
            for file in entries(&folder)? {
                // What cannot be read is of no use to anybody, nor is what a kill left half-written.
                if read(&file).is_ok_and(|record| is_kept(&record)) {
                    continue;
                }
                fs::remove_file(&file).map_err(|source| NodeError::io("remove", &file, source))?;
                removed += 1;
            }
            // It stays where something else is in it.
            let _ = fs::remove_dir(&folder);
        }
        Ok(removed)
    }

    /// Takes a tag from whatever had it, but for `digest`.
    fn untag(&self, name: &ImageName, tag: &Tag, digest: &Digest) -> Result<(), ImagesError> {
        for mut record in self.of(name)? {
            let before = record.tags.len();
            record.tags.retain(|found| found != tag.as_str());
            let other = record.sha256()?;
            if record.tags.len() < before
                && other != *digest
                && let Some(file) = self.file(name, &other)
            {
                write(&file, &record)?;
            }
        }
        Ok(())
    }

    fn folder(&self, name: &ImageName) -> Option<PathBuf> {
        match name {
            ImageName::Image(name) => Some(self.dir.join(name)),
            ImageName::Dapp(_) => None,
        }
    }

    fn file(&self, name: &ImageName, digest: &Digest) -> Option<PathBuf> {
        Some(self.folder(name)?.join(format!("{digest}.json")))
    }
}

/// The records in a folder, by digest; none where there is no folder.
fn records_in(folder: &Path) -> Result<Vec<Record>, ImagesError> {
    let is_record = |file: &PathBuf| file.extension().is_some_and(|end| end == "json");
    let files = entries(folder)?;
    files
        .iter()
        .filter(|file| is_record(file))
        .map(|file| read(file))
        .collect()
}

/// What lies in a folder, sorted; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ImagesError> {
    let fail = |source| NodeError::io("list", folder, source);
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error).into()),
    };
    let mut found = Vec::new();
    for entry in listed {
        found.push(entry.map_err(fail)?.path());
    }
    found.sort();
    Ok(found)
}

fn read(file: &Path) -> Result<Record, ImagesError> {
    let text = fs::read(file).map_err(|source| NodeError::io("read", file, source))?;
    let wrong = |reason: String| ImagesError::Record {
        file: file.to_owned(),
        reason,
    };
    let record: Record = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if record.version != VERSION {
        let got = record.version;
        return Err(wrong(format!("version {got}, expected {VERSION}")));
    }
    Ok(record)
}

fn write(file: &Path, record: &Record) -> Result<(), ImagesError> {
    let mut text = serde_json::to_vec(record).expect("a record is plain data");
    text.push(b'\n');
    Ok(write_durably(file, &text, 0o644)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ImageName {
        text.parse().expect("a name")
    }

    fn tag(text: &str) -> Tag {
        text.parse().expect("a tag")
    }

    fn manifest(text: &str) -> Manifest {
        Manifest {
            digest: Digest::of(text.as_bytes()),
            media_type: MediaType::OciManifest,
            text: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_record_is_found_by_digest_and_by_its_newest_tag() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let mut records = Records::new(temp.path().join("images"));
        let (old, new) = (manifest("old"), manifest("new"));
        let debian = name("debian");
        records
            .put(&debian, Some(&tag("12")), &old, 100)
            .expect("put");
        records
            .put(&debian, Some(&tag("12")), &new, 200)
            .expect("put");
        records
            .put(&debian, Some(&tag("x")), &new, 200)
            .expect("put");
        let by_tag = records.find(&debian, &Reference::Tag(tag("12")));
        let found = by_tag.expect("readable").expect("it is there");
        assert_eq!(found.digest, format!("sha256:{}", new.digest));
        assert_eq!(found.tags, ["12", "x"]);
        let by_digest = records.find(&debian, &Reference::Digest(old.digest));
        let found = by_digest.expect("readable").expect("it is there");
        assert_eq!((found.tags.len(), found.pushed_at), (0, 100));
        let other = records.find(&name("other"), &Reference::Digest(old.digest));
        assert_eq!(other.expect("readable"), None);
    }

    #[test]
    fn records_that_are_not_kept_go_with_what_cannot_be_read() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = temp.path().join("images");
        let mut records = Records::new(dir.clone());
        let debian = name("debian");
        records
            .put(&debian, None, &manifest("a"), 100)
            .expect("put");
        records
            .put(&debian, None, &manifest("b"), 200)
            .expect("put");
        fs::write(dir.join("debian/half.tmp"), "{").expect("ours");
        let is_late = |record: &Record| record.pushed_at > 100;
        assert_eq!(records.expire(is_late).expect("removed"), 2);
        assert_eq!(records.all().expect("readable").len(), 1);
        assert_eq!(records.expire(|_| false).expect("removed"), 1);
        assert!(!dir.join("debian").exists());
        assert_eq!(records.all().expect("readable"), []);
    }
}
