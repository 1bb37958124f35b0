//! Where the bytes of layers lie that stand in a tree as pointers (P-40).
//!
//! A tree holds the pointer; who has the bytes differs: a node has its chunk store, a member's
//! clone the directory in which git-lfs keeps objects. Whoever reads an image brings a
//! [`LayerSource`]; what it gives is hashed again, so a source need not be trusted.
//!
//! **Invariants**: a file in an [`ObjectDir`] is whole and was synced to disk before it got the
//! name of its digest.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use gdo_core::id::Digest;
use gdo_core::pointer::Pointer;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::error::ImageError;

/// What is read or written at once.
const PIECE_BYTES: usize = 256 << 10;

/// Something that has the bytes of layers.
pub trait LayerSource {
    /// Opens a layer; `None` if it is not there.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn open(&self, pointer: &Pointer) -> io::Result<Option<Box<dyn Read + '_>>>;

    /// What to do when a layer is not there, for people.
    fn hint(&self) -> String;
}

/// The source that has nothing: for images whose layers stand in the tree themselves.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLayers;

impl LayerSource for NoLayers {
    fn open(&self, _: &Pointer) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(None)
    }

    fn hint(&self) -> String {
        "it is a pointer, and there is no place to look it up in".to_owned()
    }
}

/// Objects in the directory of git-lfs, `lfs/objects/aa/bb/<sha256>` below the `.git` of a clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDir {
    root: PathBuf,
}

impl ObjectDir {
    /// The objects below `root`, which is made with the first one.
    #[must_use]
    pub fn new(root: &Path) -> ObjectDir {
        ObjectDir {
            root: root.to_path_buf(),
        }
    }

    /// The file of an object, whether it is there or not.
    #[must_use]
    pub fn path(&self, oid: &Digest) -> PathBuf {
        let name = oid.to_string();
        self.root.join(&name[..2]).join(&name[2..4]).join(name)
    }

    /// Whether an object is there with its size.
    #[must_use]
    pub fn contains(&self, pointer: &Pointer) -> bool {
        let found = fs::symlink_metadata(self.path(&pointer.oid));
        found.is_ok_and(|meta| meta.is_file() && meta.len() == pointer.size)
    }

    /// What the file under an object's name holds, which is read to its end; `None` if there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn held(&self, oid: &Digest) -> io::Result<Option<Pointer>> {
        let mut file = match File::open(self.path(oid)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut hash = Sha256::new();
        let (mut size, mut piece) = (0, vec![0; PIECE_BYTES]);
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            hash.update(&piece[..read]);
            size += read as u64;
        }
        let oid = Digest::from_bytes(hash.finalize().into());
        Ok(Some(Pointer { oid, size }))
    }

    /// Begins to write an object; dropped, it leaves nothing.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn create(&self) -> Result<NewObject, ImageError> {
        fs::create_dir_all(&self.root).map_err(ImageError::io("make", &self.root))?;
        let file = tempfile::Builder::new()
            .prefix("incoming-")
            // As git-lfs makes them: the umask takes away.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&self.root)
            .map_err(ImageError::io("make a file in", &self.root))?;
        Ok(NewObject {
            objects: self.clone(),
            // Archives are written header by header.
            file: BufWriter::with_capacity(PIECE_BYTES, file),
            hash: Sha256::new(),
            size: 0,
        })
    }

    /// Stores all that `source` gives.
    ///
    /// # Errors
    /// It cannot be read, or the directory cannot be written.
    pub fn store(&self, source: &mut dyn Read) -> Result<Pointer, ImageError> {
        let mut object = self.create()?;
        io::copy(source, &mut object).map_err(ImageError::io("write below", &self.root))?;
        object.finish()
    }
}

impl LayerSource for ObjectDir {
    fn open(&self, pointer: &Pointer) -> io::Result<Option<Box<dyn Read + '_>>> {
        match File::open(self.path(&pointer.oid)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn hint(&self) -> String {
        "fetch it with 'git lfs pull' (apt-get install git-lfs)".to_owned()
    }
}

/// An object in the making.
#[derive(Debug)]
pub struct NewObject {
    objects: ObjectDir,
    file: BufWriter<NamedTempFile>,
    hash: Sha256,
    size: u64,
}

impl Write for NewObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewObject {
    /// The name of what was written so far.
    #[must_use]
    pub fn pointer(&self) -> Pointer {
        Pointer {
            oid: Digest::from_bytes(self.hash.clone().finalize().into()),
            size: self.size,
        }
    }

    /// Syncs the object and gives it its name.
    ///
    /// # Errors
    /// The disk fails or is full.
    pub fn finish(self) -> Result<Pointer, ImageError> {
        let pointer = self.pointer();
        let path = self.objects.path(&pointer.oid);
        if self.objects.contains(&pointer) {
            return Ok(pointer);
        }
        let file = self.file.into_inner();
        let file = file.map_err(|error| ImageError::io("write", &path)(error.into_error()))?;
        let synced = file.as_file().sync_all();
        synced.map_err(ImageError::io("sync", &path))?;
        let parent = path.parent().expect("an object lies two directories down");
        fs::create_dir_all(parent).map_err(ImageError::io("make", parent))?;
        let named = file.persist(&path);
        named.map_err(|error| ImageError::io("rename to", &path)(error.error))?;
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(ImageError::io("sync", parent))?;
        Ok(pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, LayerSource as _, ObjectDir};
    use std::io::Read as _;

    #[test]
    fn an_object_lies_where_git_lfs_looks_for_it() {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let objects = ObjectDir::new(&dir.path().join("objects"));
        let pointer = objects.store(&mut &b"abc"[..]).expect("it is stored");
        let name = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let place = dir.path().join("objects/ba/78").join(name);
        assert_eq!(objects.path(&pointer.oid), place);
        assert_eq!(std::fs::read(place).expect("it is there"), b"abc");
        assert!(objects.contains(&pointer));
        let held = |oid| objects.held(oid).expect("it can be read");
        assert_eq!(held(&pointer.oid), Some(pointer));
        let again = objects
            .store(&mut &b"abc"[..])
            .expect("it is there already");
        assert_eq!(again, pointer);
        let mut text = String::new();
        let open = objects.open(&pointer).expect("it can be read");
        let read = open.expect("it is there").read_to_string(&mut text);
        assert_eq!((read.ok(), text.as_str()), (Some(3), "abc"));
        std::fs::write(objects.path(&pointer.oid), b"abd").expect("ours");
        assert_ne!(held(&pointer.oid), Some(pointer), "another content");
        assert_eq!(held(&Digest::of(b"abd")), None);
        drop(objects.create().expect("a file can be made"));
        let left = std::fs::read_dir(dir.path().join("objects"))
            .expect("list")
            .count();
        assert_eq!(left, 1, "what was given up leaves nothing");
    }
}
