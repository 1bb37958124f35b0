//! Lays the layers of an image over each other in a directory.
//!
//! The tar stream is hostile: whoever proposed the image wrote it. Every path is resolved by the
//! kernel below the root (`openat2` with `RESOLVE_BENEATH`), so neither an absolute link nor `..`
//! leads out, whatever earlier entries made; and what is made is made by name in a directory that
//! is held open. Device nodes, pipes, sockets and hard links to anything but files of the image
//! are refused, not skipped: an image that needs them would not do what its author saw.
//!
//! Owners, set-id bits and extended attributes are dropped, modes become 0755 or 0644: inside of
//! the container everything belongs to nobody, and user 0 there is nobody too.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fchmod, fstatat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::ImageCaps;
use super::tape::{Archive, Entry, Kind};
use crate::error::ImageError;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Directories the container is mounted over, made in every image.
const MOUNTPOINTS: [&str; 7] = [
    "dev",
    "proc",
    "tmp",
    "gdo",
    "gdo/base",
    "gdo/candidate",
    "gdo/out",
];

/// A root file system in the making.
pub(super) struct Tree {
    root: OwnedFd,
    path: PathBuf,
    caps: ImageCaps,
    bytes: u64,
    entries: u64,
    /// Modification times of directories, set last: writing into a directory changes its own.
    times: BTreeMap<PathBuf, i64>,
}

/// Why an entry was not made: what the image did wrong, or what the disk did.
enum Problem {
    Refused(String),
    TooLarge { what: &'static str, max: u64 },
    Io(io::Error),
}

impl From<Errno> for Problem {
    fn from(errno: Errno) -> Problem {
        match errno {
            Errno::EXDEV => Problem::Refused("a link leads out of the image".into()),
            Errno::ELOOP => Problem::Refused("its links go round in a circle".into()),
            Errno::ENOTDIR => Problem::Refused("a part of its path is not a directory".into()),
            Errno::ENAMETOOLONG => Problem::Refused("its name is too long".into()),
            other => Problem::Io(other.into()),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(problem: io::Error) -> Problem {
        Problem::Io(problem)
    }
}

fn refused<T>(problem: &str) -> Result<T, Problem> {
    Err(Problem::Refused(problem.to_owned()))
}

impl Tree {
    /// The empty directory `path` as an empty root file system.
    pub(super) fn new(path: &Path, caps: ImageCaps) -> Result<Tree, ImageError> {
        let root = File::open(path)
            .map_err(ImageError::io("open", path))?
            .into();
        let path = path.to_path_buf();
        Ok(Tree {
            root,
            path,
            caps,
            bytes: 0,
            entries: 0,
            times: BTreeMap::new(),
        })
    }

    /// The longest stream that entries within the caps can make.
    pub(super) fn stream_bytes_max(&self) -> u64 {
        self.caps
            .unpacked_bytes_max
            .saturating_add(self.caps.entries_max.saturating_mul(16 << 10))
    }

    /// Lays the layer in the tar stream `plain` over what is there.
    pub(super) fn apply(&mut self, layer: &str, plain: &mut dyn Read) -> Result<(), ImageError> {
        let mut archive = Archive::new(plain);
        // What this layer made itself: its whiteouts speak about the layers below.
        let mut own = HashSet::new();
        while let Some(entry) = archive.next().map_err(|fault| fault.of_layer(layer))? {
            self.entry(&entry, &mut archive, &mut own)
                .map_err(|problem| match problem {
                    Problem::Refused(problem) => ImageError::Refused {
                        layer: layer.to_owned(),
                        path: entry.shown(),
                        problem,
                    },
                    Problem::TooLarge { what, max } => ImageError::TooLarge { what, max },
                    Problem::Io(e) => ImageError::io("unpack", self.path.join(entry.shown()))(e),
                })?;
        }
        Ok(())
    }

    /// Makes the mountpoints and sets the directories' times.
    pub(super) fn finish(mut self) -> Result<(), ImageError> {
        let path = self.path.clone();
        self.mountpoints()
            .and_then(|()| self.set_times())
            .map_err(|problem| match problem {
                Problem::Io(e) => ImageError::io("finish", path)(e),
                Problem::TooLarge { what, max } => ImageError::TooLarge { what, max },
                Problem::Refused(problem) => ImageError::NotALayout { path, problem },
            })
    }

    fn mountpoints(&mut self) -> Result<(), Problem> {
        for name in MOUNTPOINTS {
            self.directory(Path::new(name), 0)?;
        }
        let context = Path::new("gdo/context.json");
        let (parent, name) = self.place(context)?;
        self.clear(&parent, &name)?;
        create(&parent, &name)?;
        Ok(())
    }

    fn set_times(&self) -> Result<(), Problem> {
        for (path, seconds) in &self.times {
            let time = TimeSpec::new(*seconds, 0);
            // A directory that a later layer removed or replaced has no time to set.
            let Ok(directory) = self.open_directory(path) else {
                continue;
            };
            let target = format!("/proc/self/fd/{}", directory.as_raw_fd());
            let flags = UtimensatFlags::FollowSymlink;
            utimensat(nix::fcntl::AT_FDCWD, target.as_str(), &time, &time, flags)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &Entry,
        content: &mut dyn Read,
        own: &mut HashSet<PathBuf>,
    ) -> Result<(), Problem> {
        self.entries += 1;
        if self.entries > self.caps.entries_max {
            return Err(Problem::TooLarge {
                what: "number of entries",
                max: self.caps.entries_max,
            });
        }
        let path = relative(&entry.path)?;
        let Some(name) = path.file_name() else {
            self.times.insert(path, mtime(entry)?);
            return Ok(());
        };
        if name.as_bytes() == OPAQUE {
            return self.make_opaque(path.parent().unwrap_or(Path::new("")), own);
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            let hidden = path.with_file_name(std::ffi::OsStr::from_bytes(hidden));
            return self.hide(&hidden, own);
        }
        match entry.kind {
            Kind::Directory => {
                let time = mtime(entry)?;
                self.directory(&path, time)?;
            }
            Kind::File => self.file(&path, entry, content)?,
            Kind::Symlink => self.symlink(&path, entry)?,
            Kind::HardLink => self.hard_link(&path, entry)?,
            Kind::Device => return refused("device nodes are not allowed"),
            Kind::Fifo => return refused("pipes are not allowed"),
        }
        own.insert(path);
        Ok(())
    }

    /// The directory `path` is to lie in, held open, and its name there.
    fn place(&mut self, path: &Path) -> Result<(OwnedFd, std::ffi::OsString), Problem> {
        let Some(name) = path.file_name() else {
            return refused("it has no name");
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        let directory = match self.open_directory(parent) {
            Err(Errno::ENOENT) => {
                // Some tools leave out the entries of directories.
                self.directory(parent, 0)?;
                self.open_directory(parent)?
            }
            other => other?,
        };
        Ok((directory, name.to_owned()))
    }

    fn open_directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let how = OpenHow::new()
            .flags(OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.root, path, how)
    }

    /// Makes the directory, keeping one that is there and what is in it.
    fn directory(&mut self, path: &Path, time: i64) -> Result<(), Problem> {
        let (parent, name) = self.place(path)?;
        let there = fstatat(&parent, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        if !there.is_ok_and(|stat| kind(&stat) == SFlag::S_IFDIR) {
            self.clear(&parent, &name)?;
            mkdirat(&parent, name.as_os_str(), Mode::from_bits_truncate(0o755))?;
            let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let made = openat(&parent, name.as_os_str(), flags, Mode::empty())?;
            fchmod(&made, Mode::from_bits_truncate(0o755))?;
        }
        self.times.insert(path.to_path_buf(), time);
        Ok(())
    }

    fn file(&mut self, path: &Path, entry: &Entry, content: &mut dyn Read) -> Result<(), Problem> {
        let (parent, name) = self.place(path)?;
        self.clear(&parent, &name)?;
        let mut file = create(&parent, &name)?;
        let mut chunk = vec![0u8; 64 * 1024];
        loop {
            let count = content.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            self.bytes += count as u64;
            if self.bytes > self.caps.unpacked_bytes_max {
                let max = self.caps.unpacked_bytes_max;
                return Err(Problem::TooLarge {
                    what: "unpacked size in bytes",
                    max,
                });
            }
            file.write_all(&chunk[..count])?;
        }
        let mode = if entry.mode & 0o111 != 0 {
            0o755
        } else {
            0o644
        };
        fchmod(&file, Mode::from_bits_truncate(mode))?;
        let time = TimeSpec::new(mtime(entry)?, 0);
        futimens(&file, &time, &time)?;
        Ok(())
    }

    fn symlink(&mut self, path: &Path, entry: &Entry) -> Result<(), Problem> {
        let (parent, name) = self.place(path)?;
        self.clear(&parent, &name)?;
        symlinkat(entry.target.as_slice(), &parent, name.as_os_str())?;
        let time = TimeSpec::new(mtime(entry)?, 0);
        let flags = UtimensatFlags::NoFollowSymlink;
        utimensat(&parent, name.as_os_str(), &time, &time, flags)?;
        Ok(())
    }

    fn hard_link(&mut self, path: &Path, entry: &Entry) -> Result<(), Problem> {
        let target = relative(&entry.target)?;
        let (from, from_name) = self.place(&target)?;
        let stat = match fstatat(&from, from_name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return refused("it is a hard link to a file that is not there"),
            other => other?,
        };
        if kind(&stat) != SFlag::S_IFREG {
            return refused("it is a hard link to something that is not a file");
        }
        if target == path {
            return Ok(());
        }
        let (parent, name) = self.place(path)?;
        self.clear(&parent, &name)?;
        linkat(
            &from,
            from_name.as_os_str(),
            &parent,
            name.as_os_str(),
            AtFlags::empty(),
        )?;
        Ok(())
    }

    /// Removes what lower layers have at `path`.
    fn hide(&mut self, path: &Path, own: &HashSet<PathBuf>) -> Result<(), Problem> {
        if own.contains(path) {
            return Ok(());
        }
        let Some(name) = path.file_name() else {
            return refused("it hides nothing");
        };
        match self.open_directory(path.parent().unwrap_or(Path::new(""))) {
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
            Ok(parent) => self.clear(&parent, name),
        }
    }

    /// Removes everything in the directory `path` that this layer did not make.
    fn make_opaque(&mut self, path: &Path, own: &HashSet<PathBuf>) -> Result<(), Problem> {
        let directory = match self.open_directory(path) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other?,
        };
        let listing = format!("/proc/self/fd/{}", directory.as_raw_fd());
        for child in std::fs::read_dir(listing)? {
            let name = child?.file_name();
            let child = path.join(&name);
            if own.iter().any(|made| made.starts_with(&child)) {
                // A directory that both have: what lower layers have in it goes, too.
                let stat = fstatat(&directory, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
                if kind(&stat) == SFlag::S_IFDIR {
                    self.make_opaque(&child, own)?;
                }
            } else {
                self.clear(&directory, &name)?;
            }
        }
        Ok(())
    }

    /// Removes `name` from a directory, whatever it is; nothing is as good.
    fn clear(&self, parent: &OwnedFd, name: &std::ffi::OsStr) -> Result<(), Problem> {
        match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(Errno::EISDIR | Errno::EPERM) => {
                let path = format!("/proc/self/fd/{}", parent.as_raw_fd());
                Ok(std::fs::remove_dir_all(Path::new(&path).join(name))?)
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

fn create(parent: &OwnedFd, name: &std::ffi::OsStr) -> Result<File, Problem> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = File::from(openat(
        parent,
        name,
        flags,
        Mode::from_bits_truncate(0o644),
    )?);
    fchmod(&file, Mode::from_bits_truncate(0o644))?;
    Ok(file)
}

fn kind(stat: &nix::sys::stat::FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn mtime(entry: &Entry) -> Result<i64, Problem> {
    i64::try_from(entry.mtime).or_else(|_| refused("its time is not a time"))
}

/// The path of an entry, relative to the image's root, without `.`; empty for the root itself.
fn relative(bytes: &[u8]) -> Result<PathBuf, Problem> {
    if bytes.contains(&0) {
        return refused("its path holds a NUL byte");
    }
    let mut path = PathBuf::new();
    for component in Path::new(std::ffi::OsStr::from_bytes(bytes)).components() {
        match component {
            // Some tools write the root as `/`; it is the image's.
            Component::CurDir | Component::RootDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir => return refused("its path leads out of the image by .."),
            Component::Prefix(_) => return refused("its path has a prefix"),
        }
    }
    Ok(path)
}
