//! Makes an image of the files of a root file system, which has no configuration of its own.
//!
//! Nobody has pinned the digest of such a layer yet, so what an image must not hold is left out
//! instead of refused: device nodes, pipes, sockets, and set-id bits unless they are allowed. What
//! was left out is told.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use gdo_core::pointer::Pointer;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::super::objects::{LayerSource as _, NewObject};
use super::super::packing::Packing;
use super::super::tape::{Archive, BLOCK, Fault, Kind, set_mode};
use super::document::bytes;
use super::layer::{Plain, Reading, check};
use super::{FoundImage, Platform, Prepared, Process, Source};
use crate::error::ImageError;

const SET_ID: u32 = 0o6000;

/// What was left out of a root file system.
#[derive(Default)]
struct LeftOut {
    special: Vec<String>,
    set_id: Vec<String>,
}

/// Makes the layer and the configuration.
pub(super) fn make(
    source: &Source,
    reading: &mut Reading<'_, '_>,
    notes: &mut Vec<String>,
) -> Result<Prepared, ImageError> {
    let wrong = |problem: String| ImageError::Source {
        place: source.to_string(),
        problem,
    };
    let options = reading.options;
    let platform = match options.platforms.as_slice() {
        [] => Platform::here(),
        [one] => one.clone(),
        _ => return Err(wrong("a root file system is for one platform".to_owned())),
    };
    let mut left_out = LeftOut::default();
    let mut object = reading.objects.create()?;
    match source {
        Source::RootfsDir(path) => {
            let mut walk = Walk {
                root: path.clone(),
                builder: Builder::new(Limited::new(&mut object, reading.left)),
                links: BTreeMap::new(),
                keep_set_id: options.allow_set_id,
                left_out: &mut left_out,
            };
            walk.directory(Path::new(""))
                .map_err(|error| wrong(error.to_string()))?;
            walk.builder
                .finish()
                .map_err(|error| wrong(error.to_string()))?;
        }
        other => {
            let copied = archive(other.path(), &mut object, reading, &mut left_out);
            copied.map_err(|fault| match fault {
                Fault::Io(error) => wrong(error.to_string()),
                Fault::Broken(problem) => wrong(format!("it is not a tar archive: {problem}")),
                Fault::Refused { path, problem } => wrong(format!("{path}: {problem}")),
            })?;
        }
    }
    let layer = object.finish()?;
    verify(reading, &layer)?;
    reading.left -= layer.size;
    tell(&left_out, notes);
    let diff_id = format!("sha256:{}", layer.oid);
    let image = FoundImage {
        config: configuration(&platform, &options.process, &diff_id),
        platform,
        diff_ids: vec![diff_id],
        layers: Vec::new(),
        manifest: None,
        provenance: None,
    };
    Ok(Prepared {
        image,
        layers: vec![layer],
    })
}

/// Reads the layer once more, as any other layer is read.
fn verify(reading: &Reading<'_, '_>, layer: &Pointer) -> Result<(), ImageError> {
    let path = reading.objects.path(&layer.oid);
    let open = reading
        .objects
        .open(layer)
        .map_err(ImageError::io("read", path))?;
    let open = open.expect("it was just stored");
    let label = format!("sha256:{}", layer.oid);
    check(
        Plain::new(open, None, layer.size),
        &label,
        &mut reading.names(),
    )
    .map(drop)
}

fn tell(left_out: &LeftOut, notes: &mut Vec<String>) {
    let some = |paths: &[String]| {
        let shown = paths.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more = if paths.len() > 3 { ", …" } else { "" };
        format!("{} ({shown}{more})", paths.len())
    };
    if !left_out.special.is_empty() {
        let found = some(&left_out.special);
        notes.push(format!("left out device nodes, pipes and sockets: {found}"));
    }
    if !left_out.set_id.is_empty() {
        let found = some(&left_out.set_id);
        notes.push(format!(
            "took set-id bits away from {found}; --allow-setid keeps them"
        ));
    }
}

fn configuration(platform: &Platform, process: &Process, diff_id: &str) -> Vec<u8> {
    let mut inner = json!({});
    for (name, value) in [
        ("Entrypoint", &process.entrypoint),
        ("Cmd", &process.cmd),
        ("Env", &process.env),
    ] {
        if !value.is_empty() {
            inner[name] = json!(value);
        }
    }
    if let Some(dir) = &process.working_dir {
        inner["WorkingDir"] = json!(dir);
    }
    let mut value = json!(platform);
    value["config"] = inner;
    value["rootfs"] = json!({"type": "layers", "diff_ids": [diff_id]});
    bytes(&value)
}

/// Copies a tar archive without what an image must not hold.
fn archive(
    path: &Path,
    object: &mut NewObject,
    reading: &mut Reading<'_, '_>,
    left_out: &mut LeftOut,
) -> Result<(), Fault> {
    let mut beginning = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut beginning)?;
    let Some(packing) = Packing::of_beginning(&beginning) else {
        let problem = "it is compressed with neither gzip nor zstd: decompress it first";
        return Err(Fault::Broken(problem.to_owned()));
    };
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    reading.meter.expect(size);
    let grown = size.saturating_mul(reading.options.caps.ratio_max);
    let max = reading.left.min(grown.max(64 << 20));
    let keep_set_id = reading.options.allow_set_id;
    let file = Metered {
        source: BufReader::new(file),
        meter: &mut reading.meter,
    };
    let mut out = Limited::new(object, max);
    let mut archive = Archive::new(packing.reader(file)?);
    while let Some(entry) = archive.next()? {
        if matches!(entry.kind, Kind::Device | Kind::Fifo) {
            left_out.special.push(entry.shown());
            continue;
        }
        let mut head = archive.head().to_vec();
        if entry.mode & SET_ID != 0 && entry.kind == Kind::File && !keep_set_id {
            left_out.set_id.push(entry.shown());
            let at = head.len() - BLOCK;
            set_mode(&mut head[at..], entry.mode & !SET_ID);
        }
        out.write_all(&head)?;
        io::copy(&mut archive, &mut out)?;
        let padding = usize::try_from(entry.size.wrapping_neg() % BLOCK as u64);
        out.write_all(&vec![0; padding.expect("it is less than a block")])?;
    }
    out.write_all(&[0; 2 * BLOCK])?;
    Ok(())
}

/// A reader that tells how far it is.
struct Metered<'a, 'b, R> {
    source: R,
    meter: &'a mut super::layer::Meter<'b>,
}

impl<R: Read> Read for Metered<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.meter.add(count as u64);
        Ok(count)
    }
}

/// A writer that takes no more than so many bytes.
struct Limited<'a> {
    out: &'a mut NewObject,
    left: u64,
    max: u64,
}

impl<'a> Limited<'a> {
    fn new(out: &'a mut NewObject, max: u64) -> Limited<'a> {
        Limited {
            out,
            left: max,
            max,
        }
    }
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            let max = self.max;
            return Err(io::Error::other(format!(
                "its files are larger than {max} bytes together"
            )));
        }
        let count = self.out.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A directory on its way into an archive: sorted, owned by nobody in particular (0:0).
struct Walk<'a> {
    root: PathBuf,
    builder: Builder<Limited<'a>>,
    links: BTreeMap<(u64, u64), PathBuf>,
    keep_set_id: bool,
    left_out: &'a mut LeftOut,
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        let here = self.root.join(path);
        let meta = fs::metadata(&here)?;
        if !path.as_os_str().is_empty() {
            let mut header = self.header(EntryType::Directory, path, &meta);
            self.builder.append_data(&mut header, path, io::empty())?;
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&here)? {
            names.push(entry?.file_name());
        }
        names.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
        for name in names {
            self.entry(&path.join(name))?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path) -> io::Result<()> {
        let here = self.root.join(path);
        let meta = fs::symlink_metadata(&here)?;
        let kind = meta.file_type();
        if kind.is_dir() {
            return self.directory(path);
        }
        if kind.is_symlink() {
            let mut header = self.header(EntryType::Symlink, path, &meta);
            return self
                .builder
                .append_link(&mut header, path, fs::read_link(&here)?);
        }
        if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            self.left_out.special.push(path.display().to_string());
            return Ok(());
        }
        if meta.nlink() > 1 {
            if let Some(first) = self.links.get(&(meta.dev(), meta.ino())).cloned() {
                let mut header = self.header(EntryType::Link, path, &meta);
                return self.builder.append_link(&mut header, path, first);
            }
            self.links.insert((meta.dev(), meta.ino()), path.to_owned());
        }
        let mut header = self.header(EntryType::Regular, path, &meta);
        header.set_size(meta.len());
        let file = File::open(&here)?;
        self.builder
            .append_data(&mut header, path, file.take(meta.len()))
    }

    fn header(&mut self, kind: EntryType, path: &Path, meta: &Metadata) -> Header {
        let mut mode = meta.mode() & 0o7777;
        if kind == EntryType::Regular && mode & SET_ID != 0 && !self.keep_set_id {
            mode &= !SET_ID;
            self.left_out.set_id.push(path.display().to_string());
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
        header.set_size(0);
        header
    }
}
