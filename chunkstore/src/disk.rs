//! The files of packs: what the store asks of a disk.
//!
//! Everything that must survive a crash goes through these few calls, so that a test can stand in
//! for the disk and lose what was not synced. Two implementations exist: files, and in the crate's
//! tests a memory that forgets.
//!
//! **Invariants**: when [`Disk::create`] or [`Disk::remove`] returns, the directory holds the change
//! for good; nothing that [`PackFile::write_at`] wrote is counted on before [`PackFile::sync`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fault;

/// What a store asks of the disk that its packs are on.
pub(crate) trait Disk: Send + Sync {
    /// The numbers of all packs, ascending.
    fn packs(&self) -> io::Result<Vec<u32>>;
    /// Makes an empty pack that must not exist yet.
    fn create(&self, pack: u32) -> io::Result<Arc<dyn PackFile>>;
    /// Opens a pack, for writing if the store may write.
    fn open(&self, pack: u32) -> io::Result<Arc<dyn PackFile>>;
    /// Deletes a pack.
    fn remove(&self, pack: u32) -> io::Result<()>;
    /// What to call the pack in errors.
    fn path(&self, pack: u32) -> PathBuf;
}

/// One open pack.
pub(crate) trait PackFile: Send + Sync {
    /// Fills the buffer from `offset`; too few bytes are an error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all bytes at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file to `bytes`.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// How long the file is.
    fn len(&self) -> io::Result<u64>;
}

/// Packs as files of a directory.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    is_writable: bool,
}

impl Files {
    /// Takes a directory, and makes it if the store may write.
    pub(crate) fn open(dir: &Path, is_writable: bool) -> io::Result<Self> {
        if is_writable && !dir.is_dir() {
            std::fs::create_dir_all(dir)?;
            let parent = dir.parent().unwrap_or(Path::new("."));
            File::open(parent)?.sync_all()?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            is_writable,
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        fault::point("directory before sync");
        File::open(&self.dir)?.sync_all()?;
        fault::point("directory after sync");
        Ok(())
    }
}

impl Disk for Files {
    fn packs(&self) -> io::Result<Vec<u32>> {
        let mut packs = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            packs.extend(name.to_str().and_then(number_of));
        }
        packs.sort_unstable();
        Ok(packs)
    }

    fn create(&self, pack: u32) -> io::Result<Arc<dyn PackFile>> {
        fault::point("pack before create");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true);
        let file = file.open(self.path(pack))?;
        self.sync_dir()?;
        Ok(Arc::new(OsFile(file)))
    }

    fn open(&self, pack: u32) -> io::Result<Arc<dyn PackFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(self.is_writable);
        Ok(Arc::new(OsFile(file.open(self.path(pack))?)))
    }

    fn remove(&self, pack: u32) -> io::Result<()> {
        fault::point("pack before remove");
        match std::fs::remove_file(self.path(pack)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.sync_dir()
    }

    fn path(&self, pack: u32) -> PathBuf {
        self.dir.join(name_of(pack))
    }
}

/// The name of a pack's file.
pub(crate) fn name_of(pack: u32) -> String {
    format!("{pack:08x}.pack")
}

fn number_of(name: &str) -> Option<u32> {
    let pack = u32::from_str_radix(name.strip_suffix(".pack")?, 16).ok()?;
    (name_of(pack) == name).then_some(pack)
}

struct OsFile(File);

impl PackFile for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        fault::point("pack before write");
        if cfg!(test) {
            // The process may also die in the middle of a write.
            let (first, second) = bytes.split_at(bytes.len() / 2);
            self.0.write_all_at(first, offset)?;
            fault::point("pack amid write");
            self.0.write_all_at(second, offset + first.len() as u64)?;
        } else {
            self.0.write_all_at(bytes, offset)?;
        }
        fault::point("pack after write");
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        fault::point("pack before sync");
        self.0.sync_data()?;
        fault::point("pack after sync");
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fault::point("pack before cut");
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_has_one_name() {
        assert_eq!(name_of(0xab), "000000ab.pack");
        assert_eq!(number_of("000000ab.pack"), Some(0xab));
        for other in [
            "ab.pack",
            "000000AB.pack",
            "000000ab",
            "+00000ab.pack",
            "lock",
        ] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
