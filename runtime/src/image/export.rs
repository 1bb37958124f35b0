//! Writes an image out of the ledger for other tools: a layout that holds its layers themselves.
//!
//! **Invariants**: every blob is read through its digest; what is exported is what the layout names,
//! byte for byte, so that importing it again gives the same `index.json`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::hashed::Hashed;
use super::import::Progress;
use super::layout::{is_sha256, open, read_capped, read_pointer};
use super::objects::LayerSource;
use crate::error::ImageError;

/// Where an image is exported to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `oci:DIR`: a new directory.
    Oci(PathBuf),
    /// `oci-archive:FILE`: a new tar archive.
    OciArchive(PathBuf),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("oci", path)) if !path.is_empty() => Ok(Self::Oci(path.into())),
            Some(("oci-archive", path)) if !path.is_empty() => Ok(Self::OciArchive(path.into())),
            _ => Err(format!(
                "expected oci:DIR or oci-archive:FILE, got '{text}'"
            )),
        }
    }
}

/// Writes the image in the layout directory `layout` to `target`, which must not exist.
///
/// # Errors
/// A blob is damaged or not here, the target exists, or the disk fails; an incomplete target is
/// removed.
pub fn export(
    layout: &Path,
    layers: &dyn LayerSource,
    target: &Target,
    tell: &mut dyn FnMut(Progress),
) -> Result<(), ImageError> {
    let (Target::Oci(path) | Target::OciArchive(path)) = target;
    if fs::symlink_metadata(path).is_ok() {
        return Err(ImageError::Source {
            place: path.display().to_string(),
            problem: "it is there already, expected a name that is free".to_owned(),
        });
    }
    let blobs = blobs(layout, layers)?;
    let total_bytes = blobs.iter().map(|blob| blob.size).sum();
    let mut done_bytes = 0;
    let mut tell = |bytes: u64| {
        done_bytes += bytes;
        tell(Progress {
            done_bytes,
            total_bytes,
        });
    };
    let written = match target {
        Target::Oci(path) => directory(layout, &blobs, layers, path, &mut tell),
        Target::OciArchive(path) => archive(layout, &blobs, layers, path, &mut tell),
    };
    if written.is_err() {
        // The reason for the failure is worth more than a failure to clear up.
        let _ = match target {
            Target::Oci(path) => fs::remove_dir_all(path),
            Target::OciArchive(path) => fs::remove_file(path),
        };
    }
    written
}

/// A blob of a layout.
struct Blob {
    hex: String,
    path: PathBuf,
    size: u64,
}

impl Blob {
    fn name(&self) -> String {
        format!("blobs/sha256/{}", self.hex)
    }

    /// Copies the blob into `out`, checking it.
    fn copy(
        &self,
        layers: &dyn LayerSource,
        out: &mut dyn io::Write,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), ImageError> {
        let mut file = open(&self.path).map_err(ImageError::io("open", &self.path))?;
        let pointer = read_pointer(&mut file).map_err(ImageError::io("read", &self.path))?;
        let source: Box<dyn Read + '_> = match pointer {
            None => Box::new(file),
            Some(pointer) => layers
                .open(&pointer)
                .map_err(ImageError::io("read the object of", &self.path))?
                .ok_or_else(|| missing(pointer, layers))?,
        };
        let mut source = Hashed::new(source, self.size);
        let mut chunk = vec![0; 1 << 20];
        loop {
            let count = source
                .read(&mut chunk)
                .map_err(ImageError::io("read", &self.path))?;
            if count == 0 {
                break;
            }
            out.write_all(&chunk[..count])
                .map_err(ImageError::io("export", &self.path))?;
            tell(count as u64);
        }
        source.verify(&format!("sha256:{}", self.hex))
    }
}

fn missing(pointer: gdo_core::pointer::Pointer, layers: &dyn LayerSource) -> ImageError {
    let hint = layers.hint();
    ImageError::Missing { pointer, hint }
}

/// The blobs of a layout, sorted; what is no blob is left behind.
fn blobs(layout: &Path, layers: &dyn LayerSource) -> Result<Vec<Blob>, ImageError> {
    let folder = layout.join("blobs/sha256");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(ImageError::io("list", &folder))? {
        let path = entry.map_err(ImageError::io("list", &folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(hex) = name.filter(|name| is_sha256(name)).map(str::to_owned) else {
            continue;
        };
        let mut file = open(&path).map_err(ImageError::io("open", &path))?;
        let pointer = read_pointer(&mut file).map_err(ImageError::io("read", &path))?;
        let size = match pointer {
            Some(pointer) if pointer.oid.to_string() == hex => {
                let there = layers
                    .open(&pointer)
                    .map_err(ImageError::io("read", &path))?;
                drop(there.ok_or_else(|| missing(pointer, layers))?);
                pointer.size
            }
            _ => file
                .metadata()
                .map_err(ImageError::io("read", &path))?
                .len(),
        };
        found.push(Blob { hex, path, size });
    }
    found.sort_by(|one, other| one.hex.cmp(&other.hex));
    Ok(found)
}

/// The documents that lie beside the blobs.
fn documents(layout: &Path) -> Result<[(&'static str, Vec<u8>); 2], ImageError> {
    let read = |name: &'static str| {
        let path = layout.join(name);
        let text =
            open(&path).and_then(|file| read_capped(file, super::layout::DOCUMENT_BYTES_MAX));
        text.map(|text| (name, text))
            .map_err(ImageError::io("read", path))
    };
    Ok([read("index.json")?, read("oci-layout")?])
}

fn directory(
    layout: &Path,
    blobs: &[Blob],
    layers: &dyn LayerSource,
    out: &Path,
    tell: &mut dyn FnMut(u64),
) -> Result<(), ImageError> {
    let folder = out.join("blobs/sha256");
    fs::create_dir_all(&folder).map_err(ImageError::io("make", folder))?;
    for (name, text) in documents(layout)? {
        let path = out.join(name);
        fs::write(&path, text).map_err(ImageError::io("write", path))?;
    }
    for blob in blobs {
        let path = out.join(blob.name());
        let mut file = File::create_new(&path).map_err(ImageError::io("write", &path))?;
        blob.copy(layers, &mut file, tell)?;
    }
    Ok(())
}

fn archive(
    layout: &Path,
    blobs: &[Blob],
    layers: &dyn LayerSource,
    out: &Path,
    tell: &mut dyn FnMut(u64),
) -> Result<(), ImageError> {
    let file = File::create_new(out).map_err(ImageError::io("write", out))?;
    let mut builder = Builder::new(BufWriter::new(file));
    let header = |size: u64| {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(size);
        header
    };
    // An ordinary user's skopeo fails on folders that an archive does not name: it makes them as root's.
    for folder in ["blobs/", "blobs/sha256/"] {
        let mut header = header(0);
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        let added = builder.append_data(&mut header, folder, io::empty());
        added.map_err(ImageError::io("write", out))?;
    }
    for (name, text) in documents(layout)? {
        let added = builder.append_data(&mut header(text.len() as u64), name, text.as_slice());
        added.map_err(ImageError::io("write", out))?;
    }
    for blob in blobs {
        // The builder reads its entries; a blob writes itself, so its header goes first.
        let mut header = header(blob.size);
        header
            .set_path(blob.name())
            .map_err(ImageError::io("write", out))?;
        header.set_cksum();
        let inner = builder.get_mut();
        inner
            .write_all(header.as_bytes())
            .map_err(ImageError::io("write", out))?;
        blob.copy(layers, inner, tell)?;
        let padding = usize::try_from(blob.size.wrapping_neg() % 512);
        let padding = vec![0; padding.expect("it is less than a block")];
        inner
            .write_all(&padding)
            .map_err(ImageError::io("write", out))?;
    }
    let written = builder.into_inner().and_then(|mut inner| inner.flush());
    written.map_err(ImageError::io("write", out))
}
