//! Reads tar, the one form that layers have, as strictly as a stranger's archive deserves.
//!
//! Readers of tar disagree about what lies outside of the beaten track: negative sizes, names that
//! stand twice, bytes behind the end. Whoever wants one reader to see another image than the next
//! one writes exactly that, so it is refused here, where every layer passes: when it is imported
//! and again when it is unpacked.
//!
//! **Invariants**: memory is bounded whatever comes (headers of an entry: [`HEAD_BYTES_MAX`]); the
//! stream is read forwards and never beyond what the archive says; nothing is skipped silently.

use std::io::{self, Read};

use crate::error::ImageError;

mod header;
mod pax;

pub(super) use header::set_mode;

use header::Header;

/// One block of an archive; everything in it is a multiple of that.
pub(super) const BLOCK: usize = 512;
/// What the extended headers of one entry may take together.
const HEAD_BYTES_MAX: u64 = 1 << 20;
/// The longest path and the longest target of a link; the kernel takes no longer ones.
const PATH_BYTES_MAX: usize = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    /// A character or block device.
    Device,
    Fifo,
}

/// One entry of an archive; its content is what the archive reads next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The path as it was written.
    pub(super) path: Vec<u8>,
    /// The target of a link, as it was written; else empty.
    pub(super) target: Vec<u8>,
    pub(super) kind: Kind,
    /// Bytes of content.
    pub(super) size: u64,
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
    /// Where the content begins in the stream.
    pub(super) offset: u64,
}

impl Entry {
    /// The path for people.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}

/// Why an archive is not read on.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is no tar archive from here on.
    Broken(String),
    /// An entry that readers may understand differently, or that no image needs.
    Refused { path: String, problem: String },
    /// The stream itself failed.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Fault {
    /// The same as an error of the layer `layer`.
    pub(super) fn of_layer(self, layer: &str) -> ImageError {
        let digest = layer.to_owned();
        match self {
            Self::Broken(problem) => ImageError::Damaged {
                digest,
                problem: format!("it is not a tar archive: {problem}"),
            },
            Self::Refused { path, problem } => ImageError::Refused {
                layer: digest,
                path,
                problem,
            },
            Self::Io(error) => ImageError::Damaged {
                digest,
                problem: error.to_string(),
            },
        }
    }
}

fn broken<T>(problem: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Broken(problem.into()))
}

/// An archive that is read entry by entry; as a reader it gives the content of the current one.
pub(super) struct Archive<R> {
    source: R,
    at: u64,
    /// Content of the current entry that was not read yet.
    content: u64,
    padding: u64,
    /// The blocks before the content of the current entry, as they were.
    head: Vec<u8>,
}

/// What extended headers say of the entry behind them.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(source: R) -> Archive<R> {
        Archive {
            source,
            at: 0,
            content: 0,
            padding: 0,
            head: Vec::new(),
        }
    }

    /// The stream, to look at what passed through it.
    pub(super) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Gives the stream back.
    pub(super) fn into_source(self) -> R {
        self.source
    }

    /// The blocks before the content of the current entry, as they were.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The next entry; what was not read of the one before is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        self.pass(self.content + self.padding)?;
        (self.content, self.padding) = (0, 0);
        self.head.clear();
        let mut extended = Extended::default();
        loop {
            let Some(block) = self.block()? else {
                return if self.head.is_empty() {
                    Ok(None)
                } else {
                    broken("it ends behind an extended header")
                };
            };
            if block == [0; BLOCK] {
                if !self.head.is_empty() {
                    return broken("it ends behind an extended header");
                }
                self.end()?;
                return Ok(None);
            }
            self.head.extend_from_slice(&block);
            let header = Header::parse(&block).map_err(|problem| self.wrong(&problem))?;
            match header.flag {
                b'x' | b'g' | b'L' | b'K' => self.extend(&header, &mut extended)?,
                _ => return self.entry(&header, extended).map(Some),
            }
        }
    }

    /// Takes the position of the stream as moved: its owner passed over the current content.
    pub(super) fn passed(&mut self) -> u64 {
        let rest = self.content + self.padding;
        self.at += rest;
        (self.content, self.padding) = (0, 0);
        rest
    }

    fn entry(&mut self, header: &Header, extended: Extended) -> Result<Entry, Fault> {
        let path = extended.path.unwrap_or_else(|| header.path());
        let target = extended.target.unwrap_or_else(|| header.target());
        let shown = String::from_utf8_lossy(&path).into_owned();
        let refuse = |problem: String| {
            Err(Fault::Refused {
                path: shown.clone(),
                problem,
            })
        };
        let kind = match header.flag {
            // Archives from before 1988 mark directories by their names.
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'S' => {
                return refuse("sparse files are not allowed: make the archive without".into());
            }
            other => {
                let other = other.escape_ascii();
                return refuse(format!("entries of type '{other}' are not allowed"));
            }
        };
        let size = extended.size.unwrap_or(header.size);
        if kind != Kind::File && size > 0 {
            return refuse(format!("it has {size} bytes of content and is no file"));
        }
        if path.len() > PATH_BYTES_MAX || target.len() > PATH_BYTES_MAX {
            return refuse(format!("its name is longer than {PATH_BYTES_MAX} bytes"));
        }
        if path.contains(&0) || target.contains(&0) {
            return refuse("its path holds a NUL byte".into());
        }
        let links = matches!(kind, Kind::Symlink | Kind::HardLink);
        if links && target.is_empty() {
            return refuse("it links to nothing".into());
        }
        self.content = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        Ok(Entry {
            path,
            target: if links { target } else { Vec::new() },
            kind,
            size,
            mode: header.mode,
            mtime: header.mtime,
            offset: self.at,
        })
    }

    fn extend(&mut self, header: &Header, extended: &mut Extended) -> Result<(), Fault> {
        let size = header.size;
        let padded = size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64);
        if (self.head.len() as u64).saturating_add(padded) > HEAD_BYTES_MAX {
            return Err(self.wrong(&format!(
                "the headers of an entry are longer than {HEAD_BYTES_MAX} bytes"
            )));
        }
        let from = self.head.len();
        let taken = usize::try_from(padded).expect("it is at most 1 MiB");
        self.head.resize(from + taken, 0);
        self.source
            .read_exact(&mut self.head[from..])
            .map_err(cut)?;
        self.at += padded;
        let length = usize::try_from(size).expect("it is at most 1 MiB");
        let text = &self.head[from..from + length];
        let found = match header.flag {
            b'L' => set(&mut extended.path, pax::long_name(text)),
            b'K' => set(&mut extended.target, pax::long_name(text)),
            b'g' => pax::check_global(text),
            _ => pax::records(text).and_then(|records| {
                let named = records
                    .path
                    .map_or(Ok(()), |path| set(&mut extended.path, path));
                let target = records.target;
                let linked = target.map_or(Ok(()), |target| set(&mut extended.target, target));
                extended.size = records.size.or(extended.size);
                named.and(linked)
            }),
        };
        found.map_err(|problem| self.wrong(&problem))
    }

    fn wrong(&self, problem: &str) -> Fault {
        let at = self.at;
        Fault::Broken(format!("{problem} (before byte {at})"))
    }

    /// The next block; `None` at the end of the stream.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return broken("it ends in the middle of a header"),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.at += BLOCK as u64;
        Ok(Some(block))
    }

    /// Reads to the end of the stream: behind the archive's end there is nothing but zeros.
    fn end(&mut self) -> Result<(), Fault> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            match self.source.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) if chunk[..count].iter().all(|byte| *byte == 0) => {
                    self.at += count as u64;
                }
                Ok(_) => return Err(self.wrong("there is something behind its end")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn pass(&mut self, bytes: u64) -> Result<(), Fault> {
        let passed = io::copy(&mut (&mut self.source).take(bytes), &mut io::sink())?;
        self.at += passed;
        if passed == bytes {
            Ok(())
        } else {
            broken("it ends in the middle of a file")
        }
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room =
            usize::try_from(self.content).map_or(buffer.len(), |left| left.min(buffer.len()));
        if room == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends in the middle of a file",
            ));
        }
        self.at += count as u64;
        self.content -= count as u64;
        Ok(count)
    }
}

fn set(place: &mut Option<Vec<u8>>, value: Vec<u8>) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("the headers of an entry name it twice".to_owned()),
    }
}

fn cut(error: io::Error) -> Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Fault::Broken("it ends in the middle of a header".to_owned())
    } else {
        Fault::Io(error)
    }
}

#[cfg(test)]
mod tests;
