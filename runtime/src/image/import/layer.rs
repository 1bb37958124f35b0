//! Takes a layer: decompresses it, checks it, makes it an object, in one pass.

use std::io::{self, Read, Write as _};

use gdo_core::pointer::Pointer;
use sha2::{Digest as _, Sha256};

use super::super::hashed::Hashed;
use super::super::names::Names;
use super::super::objects::{NewObject, ObjectDir};
use super::super::packing::Packing;
use super::super::tape::Archive;
use super::place::Place;
use super::{Blob, FoundImage, Options, Prepared, Progress};
use crate::error::ImageError;

/// What a layer may become whatever its size: small layers of zeros are no bombs.
const FREE_BYTES: u64 = 64 << 20;
/// How often progress is told.
const TELL_BYTES: u64 = 1 << 20;

/// Counts what is read of a source and tells it.
pub(super) struct Meter<'a> {
    done: u64,
    total: u64,
    told: u64,
    tell: &'a mut dyn FnMut(Progress),
}

impl<'a> Meter<'a> {
    pub(super) fn new(tell: &'a mut dyn FnMut(Progress)) -> Meter<'a> {
        Meter {
            done: 0,
            total: 0,
            told: 0,
            tell,
        }
    }

    pub(super) fn expect(&mut self, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done - self.told >= TELL_BYTES || self.done == self.total {
            self.told = self.done;
            (self.tell)(Progress {
                done_bytes: self.done,
                total_bytes: self.total,
            });
        }
    }
}

/// What all layers of an import share.
pub(super) struct Reading<'a, 'b> {
    pub(super) objects: &'a ObjectDir,
    pub(super) options: &'a Options,
    pub(super) meter: Meter<'b>,
    /// What uncompressed layers may still take.
    pub(super) left: u64,
}

impl Reading<'_, '_> {
    /// Makes objects of the layers of all images.
    pub(super) fn take(
        &mut self,
        place: &Place<'_>,
        images: Vec<FoundImage>,
    ) -> Result<Vec<Prepared>, ImageError> {
        for blob in images.iter().flat_map(|image| &image.layers) {
            self.meter.expect(blob.size);
        }
        let mut prepared = Vec::new();
        for image in images {
            let mut names = self.names();
            let mut layers = Vec::new();
            for (blob, diff_id) in image.layers.iter().zip(&image.diff_ids) {
                layers.push(self.layer(place, blob, diff_id, &mut names)?);
            }
            prepared.push(Prepared { image, layers });
        }
        Ok(prepared)
    }

    pub(super) fn names(&self) -> Names {
        Names::new(self.options.caps.entries_max, self.options.allow_set_id)
    }

    fn layer(
        &mut self,
        place: &Place<'_>,
        blob: &Blob,
        diff_id: &str,
        names: &mut Names,
    ) -> Result<Pointer, ImageError> {
        let label = blob.digest.as_deref().unwrap_or(diff_id);
        let opened = place.file(&blob.name)?;
        let keeps = self.options.keep_original && blob.packing != Packing::Plain;
        let packed = keeps.then(|| self.objects.create()).transpose()?;
        let object = (!keeps).then(|| self.objects.create()).transpose()?;
        let grown = blob.size.saturating_mul(self.options.caps.ratio_max);
        let max = if blob.packing == Packing::Plain {
            self.left
        } else {
            self.left.min(grown.max(FREE_BYTES))
        };
        let counted = Counted {
            source: opened.bytes,
            meter: &mut self.meter,
        };
        let mut raw = Copied {
            source: Hashed::new(counted, blob.size),
            object: packed,
            trouble: None,
        };
        let damaged = |error: io::Error| ImageError::Damaged {
            digest: label.to_owned(),
            problem: error.to_string(),
        };
        let plain = blob.packing.reader(&mut raw).map_err(damaged)?;
        let plain = Plain::new(plain, object, max);
        let checked = check(plain, label, names);
        if let Some(error) = raw.trouble.take() {
            return Err(ImageError::io("write a layer below", "lfs/objects")(error));
        }
        let checked = checked?;
        self.left -= checked.bytes;
        io::copy(&mut raw, &mut io::sink()).map_err(damaged)?;
        match &blob.digest {
            Some(digest) => raw.source.verify(digest)?,
            None if raw.source.passed() == blob.size => {}
            None => return Err(damaged(io::ErrorKind::UnexpectedEof.into())),
        }
        let found = format!("sha256:{}", hex::encode(checked.hash.finalize()));
        if found != diff_id {
            return Err(ImageError::Damaged {
                digest: label.to_owned(),
                problem: format!("it holds {found}, expected {diff_id}"),
            });
        }
        let object = checked.object.or(raw.object);
        object.expect("one of both is written").finish()
    }
}

/// Follows every entry of an uncompressed layer, to the end of the stream.
pub(super) fn check(
    plain: Plain<'_>,
    label: &str,
    names: &mut Names,
) -> Result<Checked, ImageError> {
    let mut archive = Archive::new(plain);
    names.begin_layer();
    let result = loop {
        match archive.next() {
            Ok(None) => break Ok(()),
            Ok(Some(entry)) => {
                if let Err(problem) = names.take(&entry) {
                    break Err(ImageError::Refused {
                        layer: label.to_owned(),
                        path: entry.shown(),
                        problem,
                    });
                }
            }
            Err(fault) => break Err(fault.of_layer(label)),
        }
    };
    let plain = archive.into_source();
    match plain.trouble {
        Some(Trouble::Disk(error)) => {
            Err(ImageError::io("write a layer below", "lfs/objects")(error))
        }
        Some(Trouble::Over) => Err(ImageError::TooLarge {
            what: "size of an uncompressed layer in bytes",
            max: plain.max,
        }),
        None => result.map(|()| Checked {
            hash: plain.hash,
            object: plain.object,
            bytes: plain.bytes,
        }),
    }
}

/// A layer that is harmless.
pub(super) struct Checked {
    hash: Sha256,
    object: Option<NewObject>,
    bytes: u64,
}

/// Why a stream was ended here and not by its source.
enum Trouble {
    Over,
    Disk(io::Error),
}

/// An uncompressed layer that is hashed, limited and written while it is read.
pub(super) struct Plain<'a> {
    source: Box<dyn Read + 'a>,
    hash: Sha256,
    object: Option<NewObject>,
    bytes: u64,
    max: u64,
    trouble: Option<Trouble>,
}

impl<'a> Plain<'a> {
    pub(super) fn new(
        source: Box<dyn Read + 'a>,
        object: Option<NewObject>,
        max: u64,
    ) -> Plain<'a> {
        Plain {
            source,
            hash: Sha256::new(),
            object,
            bytes: 0,
            max,
            trouble: None,
        }
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.bytes += count as u64;
        if self.bytes > self.max {
            self.trouble = Some(Trouble::Over);
            return Err(io::Error::other("it is too large"));
        }
        self.hash.update(&buffer[..count]);
        if let Some(object) = &mut self.object
            && let Err(error) = object.write_all(&buffer[..count])
        {
            let said = io::Error::from(error.kind());
            self.trouble = Some(Trouble::Disk(error));
            return Err(said);
        }
        Ok(count)
    }
}

/// A reader that tells how far it is.
struct Counted<'a, 'b, R> {
    source: R,
    meter: &'a mut Meter<'b>,
}

impl<R: Read> Read for Counted<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.meter.add(count as u64);
        Ok(count)
    }
}

/// A reader that writes what it reads into an object, if there is one.
struct Copied<R> {
    source: R,
    object: Option<NewObject>,
    trouble: Option<io::Error>,
}

impl<R: Read> Read for Copied<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if let Some(object) = &mut self.object
            && let Err(error) = object.write_all(&buffer[..count])
        {
            let said = io::Error::from(error.kind());
            self.trouble = Some(error);
            return Err(said);
        }
        Ok(count)
    }
}
