//! The files of a source: in a directory, or in a tar archive that is read in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::layout;
use super::super::objects::{LayerSource as _, ObjectDir};
use super::super::packing::Packing;
use super::super::tape::{Archive, Fault, Kind};
use super::source::Source;
use crate::error::ImageError;

/// An archive of an image has a few files for each layer.
const MEMBERS_MAX: usize = 100_000;

/// Where a member of an archive lies.
#[derive(Clone, Copy)]
struct Extent {
    offset: u64,
    size: u64,
}

enum Files {
    Directory,
    Archive(BTreeMap<String, Extent>),
}

/// The files of a source.
pub(super) struct Place<'a> {
    path: PathBuf,
    shown: String,
    files: Files,
    objects: &'a ObjectDir,
}

/// A file of a source that was opened.
pub(super) struct Opened<'a> {
    pub(super) size: u64,
    pub(super) bytes: Box<dyn Read + 'a>,
}

impl<'a> Place<'a> {
    /// Opens a source; `objects` has what pointers in a directory name.
    pub(super) fn open(source: &Source, objects: &'a ObjectDir) -> Result<Place<'a>, ImageError> {
        let path = source.path().to_path_buf();
        let shown = source.to_string();
        let files = if matches!(source, Source::Oci(..)) {
            Files::Directory
        } else {
            Files::Archive(members(&path, &shown)?)
        };
        Ok(Place {
            path,
            shown,
            files,
            objects,
        })
    }

    /// An error about the source as a whole.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ImageError {
        ImageError::Source {
            place: self.shown.clone(),
            problem: problem.into(),
        }
    }

    /// Whether the source has a file of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        match &self.files {
            Files::Archive(members) => members.contains_key(name),
            Files::Directory => self.path.join(name).is_file(),
        }
    }

    /// Opens a file, or the object that its pointer names.
    pub(super) fn file(&self, name: &str) -> Result<Opened<'_>, ImageError> {
        let absent = || self.wrong(format!("it has no {name}"));
        match &self.files {
            Files::Archive(members) => {
                let extent = members.get(name).ok_or_else(absent)?;
                let mut file =
                    File::open(&self.path).map_err(ImageError::io("open", &self.path))?;
                file.seek(SeekFrom::Start(extent.offset))
                    .map_err(ImageError::io("read", &self.path))?;
                Ok(Opened {
                    size: extent.size,
                    bytes: Box::new(file.take(extent.size)),
                })
            }
            Files::Directory => {
                let path = self.path.join(name);
                let mut file = match layout::open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent()),
                    other => other.map_err(ImageError::io("open", &path))?,
                };
                let pointer = layout::read_pointer(&mut file);
                if let Some(pointer) = pointer.map_err(ImageError::io("read", &path))? {
                    let object = self.objects.open(&pointer);
                    let object = object.map_err(ImageError::io("read the object of", &path))?;
                    return match object {
                        Some(bytes) => Ok(Opened {
                            size: pointer.size,
                            bytes,
                        }),
                        None => Err(ImageError::Missing {
                            pointer,
                            hint: self.objects.hint(),
                        }),
                    };
                }
                let meta = file.metadata().map_err(ImageError::io("read", &path))?;
                Ok(Opened {
                    size: meta.len(),
                    bytes: Box::new(file),
                })
            }
        }
    }

    /// Reads a document, which no tool makes larger than that.
    pub(super) fn document(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let opened = self.file(name)?;
        let mut text = Vec::new();
        let max = layout::DOCUMENT_BYTES_MAX;
        if opened.size > max {
            return Err(self.wrong(format!("{name} is larger than {max} bytes")));
        }
        opened
            .bytes
            .take(max)
            .read_to_end(&mut text)
            .map_err(ImageError::io("read", &self.path))?;
        Ok(text)
    }

    /// The blob of an OCI layout that `digest` names.
    pub(super) fn blob(&self, digest: &str) -> Result<String, ImageError> {
        match digest.strip_prefix("sha256:") {
            Some(hex) if layout::is_sha256(hex) => Ok(format!("blobs/sha256/{hex}")),
            _ => Err(self.wrong(format!(
                "it names a blob '{digest}', expected sha256: and 64 lower-case hexadecimal digits"
            ))),
        }
    }

    /// How a file is compressed, as its first bytes say.
    pub(super) fn packing(&self, name: &str) -> Result<Packing, ImageError> {
        let mut beginning = Vec::new();
        let read = self.file(name)?.bytes.take(8).read_to_end(&mut beginning);
        read.map_err(ImageError::io("read", &self.path))?;
        Packing::of_beginning(&beginning)
            .ok_or_else(|| self.wrong(format!("{name} is compressed with neither gzip nor zstd")))
    }
}

/// Where the files of an archive lie; links lead to what they name.
fn members(path: &Path, shown: &str) -> Result<BTreeMap<String, Extent>, ImageError> {
    let wrong = |problem: String| ImageError::Source {
        place: shown.to_owned(),
        problem,
    };
    let file = File::open(path).map_err(ImageError::io("open", path))?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(wrong(
            "it is a directory, expected a tar archive".to_owned(),
        ));
    }
    let mut archive = Archive::new(BufReader::new(file));
    let mut found = BTreeMap::new();
    let mut links = Vec::new();
    loop {
        let entry = match archive.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(Fault::Io(error)) => return Err(ImageError::io("read", path)(error)),
            Err(Fault::Broken(problem)) => {
                let problem = format!("it is not a tar archive: {problem}");
                return Err(wrong(problem + ", expected one that is not compressed"));
            }
            Err(Fault::Refused { path, problem }) => {
                return Err(wrong(format!("its member {path}: {problem}")));
            }
        };
        let name = tidy(&entry.path).map_err(wrong)?;
        match entry.kind {
            Kind::File => {
                let (offset, size) = (entry.offset, entry.size);
                found.insert(name, Extent { offset, size });
            }
            // Old `docker save` names a layer that two images share once.
            Kind::Symlink => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let target = [folder.as_bytes(), b"/", &entry.target].concat();
                links.push((name, inner(&target).map_err(wrong)?));
            }
            Kind::HardLink => links.push((name, tidy(&entry.target).map_err(wrong)?)),
            Kind::Directory => {}
            Kind::Device | Kind::Fifo => {
                return Err(wrong(format!("its member {name} is a device or a pipe")));
            }
        }
        if found.len() + links.len() > MEMBERS_MAX {
            return Err(wrong(format!("it has more than {MEMBERS_MAX} members")));
        }
        let rest = i64::try_from(archive.passed())
            .map_err(|_| wrong(format!("its member {} is too large", entry.shown())))?;
        let moved = archive.source().seek_relative(rest);
        moved.map_err(ImageError::io("read", path))?;
    }
    for (name, target) in links {
        if let Some(extent) = found.get(&target).copied() {
            found.entry(name).or_insert(extent);
        }
    }
    Ok(found)
}

/// The name of a member without `./`.
fn tidy(path: &[u8]) -> Result<String, String> {
    if path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err(format!(
            "its member {} leads out of it",
            path.escape_ascii()
        ));
    }
    inner(path)
}

/// The name that a link means, with every `..` taken back.
fn inner(path: &[u8]) -> Result<String, String> {
    let shown = || path.escape_ascii().to_string();
    let text =
        std::str::from_utf8(path).map_err(|_| format!("the name {} is not UTF-8", shown()))?;
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            let above = parts.pop();
            above.ok_or_else(|| format!("its link {} leads out of it", shown()))?;
        } else {
            parts.push(part);
        }
    }
    Ok(parts.join("/"))
}
