//! What the paths of an image would mean on a disk, followed without a disk.
//!
//! An image may be bad in the way its entries play together: a link that leads out, then a file
//! behind it. When an image is imported there is no directory to try that in, so the names are kept
//! here and every path is followed through the links that the image itself made. What is refused is
//! what unpacking refuses; this only says it before anything is proposed.
//!
//! **Invariants**: memory is bounded by the caps; nothing here touches a disk.

use std::collections::BTreeMap;

use super::tape::{Entry, Kind};

/// As the kernel counts them.
const LINKS_MAX: usize = 40;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What all names of an image may take.
const NAMES_BYTES_MAX: usize = 32 << 20;

type Path = Vec<u8>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    File,
    Directory,
    Link(Vec<u8>),
}

/// What stands at a path, and the number of the layer that put it there.
#[derive(Debug)]
struct Standing {
    node: Node,
    layer: u32,
}

/// The names of an image, layer over layer.
pub(super) struct Names {
    known: BTreeMap<Path, Standing>,
    layer: u32,
    bytes: usize,
    entries: u64,
    entries_max: u64,
    /// Whether entries with set-id bits may stand.
    set_id: bool,
}

impl Names {
    pub(super) fn new(entries_max: u64, set_id: bool) -> Names {
        Names {
            known: BTreeMap::new(),
            layer: 0,
            bytes: 0,
            entries: 0,
            entries_max,
            set_id,
        }
    }

    /// Begins a layer: its whiteouts speak about the layers below.
    pub(super) fn begin_layer(&mut self) {
        self.layer += 1;
    }

    /// Takes the next entry of the layer, or says why it is refused.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), String> {
        self.entries += 1;
        self.bytes += entry.path.len() + entry.target.len();
        if self.entries > self.entries_max {
            return Err(format!(
                "the image has more than {} entries",
                self.entries_max
            ));
        }
        if self.bytes > NAMES_BYTES_MAX {
            return Err(format!(
                "the names of the image are longer than {NAMES_BYTES_MAX} bytes"
            ));
        }
        match entry.kind {
            Kind::Device => return Err("device nodes are not allowed".to_owned()),
            Kind::Fifo => return Err("pipes are not allowed".to_owned()),
            _ => {}
        }
        if entry.mode & 0o6000 != 0 && entry.kind == Kind::File && !self.set_id {
            return Err(
                "it has set-id bits, which validators run without; say --allow-setid to keep it"
                    .to_owned(),
            );
        }
        let parts = plain(&entry.path)?;
        let Some((name, parents)) = parts.split_last() else {
            // The root itself.
            return match entry.kind {
                Kind::Directory => Ok(()),
                _ => Err("it has no name".to_owned()),
            };
        };
        let parent = self.resolve(parents)?;
        if name.as_slice() == OPAQUE {
            return self.make_opaque(&parent);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.hide(&parent, hidden);
        }
        let path = join(&parent, name);
        let node = match entry.kind {
            Kind::Directory => Node::Directory,
            Kind::Symlink => Node::Link(entry.target.clone()),
            Kind::HardLink => self.hard_link(&entry.target)?,
            _ => Node::File,
        };
        if node != Node::Directory || self.node(&path) != Some(&Node::Directory) {
            self.remove(&path);
        }
        let layer = self.layer;
        self.known.insert(path, Standing { node, layer });
        Ok(())
    }

    fn node(&self, path: &[u8]) -> Option<&Node> {
        self.known.get(path).map(|standing| &standing.node)
    }

    fn hard_link(&self, target: &[u8]) -> Result<Node, String> {
        let parts = plain(target)?;
        let Some((name, parents)) = parts.split_last() else {
            return Err("it is a hard link to something that is not a file".to_owned());
        };
        let target = join(&self.resolve(parents)?, name);
        match self.node(&target) {
            Some(Node::File) => Ok(Node::File),
            Some(_) => Err("it is a hard link to something that is not a file".to_owned()),
            None => Err("it is a hard link to a file that is not there".to_owned()),
        }
    }

    fn hide(&mut self, parent: &[u8], hidden: &[u8]) -> Result<(), String> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err("it hides nothing".to_owned());
        }
        let path = join(parent, hidden);
        let standing = self.known.get(&path);
        if standing.is_none_or(|standing| standing.layer != self.layer) {
            self.remove(&path);
        }
        Ok(())
    }

    fn make_opaque(&mut self, parent: &[u8]) -> Result<(), String> {
        let mut below = parent.to_vec();
        if !below.is_empty() {
            below.push(b'/');
        }
        let lower: Vec<Path> = self
            .known
            .range(below.clone()..)
            .take_while(|(path, _)| path.starts_with(&below))
            .filter(|(_, standing)| standing.layer != self.layer)
            .map(|(path, _)| path.clone())
            .collect();
        for path in lower {
            self.known.remove(&path);
        }
        Ok(())
    }

    /// Forgets a path and all below it.
    fn remove(&mut self, path: &[u8]) {
        self.known.remove(path);
        let below = join(path, b"");
        let inner: Vec<Path> = self
            .known
            .range(below.clone()..)
            .take_while(|(known, _)| known.starts_with(&below))
            .map(|(known, _)| known.clone())
            .collect();
        for known in inner {
            self.known.remove(&known);
        }
    }

    /// Where a directory really lies, with every link on the way followed.
    fn resolve(&self, parts: &[Path]) -> Result<Path, String> {
        let outside = || "a link leads out of the image".to_owned();
        let mut done: Vec<Path> = Vec::new();
        let mut todo: Vec<Path> = parts.iter().rev().cloned().collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                done.pop().ok_or_else(outside)?;
                continue;
            }
            done.push(part);
            match self.node(&done.join(&b'/')) {
                Some(Node::File) => return Err("a part of its path is not a directory".to_owned()),
                Some(Node::Link(target)) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err("its links go round in a circle".to_owned());
                    }
                    if target.starts_with(b"/") {
                        return Err(outside());
                    }
                    done.pop();
                    todo.extend(split(target).rev().map(<[u8]>::to_vec));
                }
                Some(Node::Directory) | None => {}
            }
        }
        Ok(done.join(&b'/'))
    }
}

fn join(parent: &[u8], name: &[u8]) -> Path {
    if parent.is_empty() {
        name.to_vec()
    } else {
        [parent, b"/", name].concat()
    }
}

fn split(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

/// The parts of a path as it is written in an archive; `/` is the image's own root.
fn plain(path: &[u8]) -> Result<Vec<Path>, String> {
    let parts: Vec<Path> = split(path).map(<[u8]>::to_vec).collect();
    if parts.iter().any(|part| part == b"..") {
        return Err("its path leads out of the image by ..".to_owned());
    }
    if parts.iter().any(|part| part.len() > 255) {
        return Err("its name is too long".to_owned());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::{Entry, Kind, Names};

    fn entry(kind: Kind, path: &str, target: &str) -> Entry {
        Entry {
            path: path.into(),
            target: target.into(),
            kind,
            size: 0,
            mode: 0o644,
            mtime: 0,
            offset: 0,
        }
    }

    fn file(path: &str) -> Entry {
        entry(Kind::File, path, "")
    }

    fn link(path: &str, target: &str) -> Entry {
        entry(Kind::Symlink, path, target)
    }

    /// What is said to the last of the entries, each layer in a list of its own.
    fn last(layers: &[&[Entry]]) -> Result<(), String> {
        let mut names = Names::new(100, false);
        let mut said = Ok(());
        for layer in layers {
            names.begin_layer();
            for entry in *layer {
                assert_eq!(said, Ok(()), "only the last one may be refused");
                said = names.take(entry);
            }
        }
        said
    }

    #[track_caller]
    fn refused(layers: &[&[Entry]], word: &str) {
        let problem = last(layers).expect_err(word);
        assert!(problem.contains(word), "expected {word} in: {problem}");
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        refused(&[&[file("../evil")]], "..");
        refused(&[&[file("a/../../evil")]], "..");
        refused(&[&[link("a", "/etc"), file("a/passwd")]], "leads out");
        refused(&[&[link("a", "../../etc"), file("a/passwd")]], "leads out");
        refused(
            &[&[link("a", "/etc")], &[file("a/.wh.passwd")]],
            "leads out",
        );
        refused(
            &[&[link("a", "/etc")], &[file("a/.wh..wh..opq")]],
            "leads out",
        );
        refused(&[&[link("a", "b"), link("b", "a"), file("a/x")]], "circle");
        refused(&[&[file("a"), file("a/b")]], "not a directory");
        let deep = [link("d/up", ".."), link("out", "d/up/.."), file("out/x")];
        refused(&[&deep], "leads out");
    }

    #[test]
    fn links_that_stay_inside_may_be_passed_or_replaced() {
        assert_eq!(last(&[&[link("lib", "usr/lib"), file("lib/x")]]), Ok(()));
        assert_eq!(last(&[&[link("a", "/etc")], &[file("a")]]), Ok(()));
        let removed = [file(".wh.a"), file("a/b")];
        assert_eq!(last(&[&[link("a", "/etc")], &removed]), Ok(()));
        let opaque = [file("d/.wh..wh..opq"), file("d/a/b")];
        assert_eq!(last(&[&[link("d/a", "/etc")], &opaque]), Ok(()));
    }

    #[test]
    fn hard_links_reach_files_of_the_image_only() {
        let hard = |target: &str| entry(Kind::HardLink, "b", target);
        assert_eq!(last(&[&[file("a"), hard("a")]]), Ok(()));
        assert_eq!(last(&[&[file("a")], &[hard("/a")]]), Ok(()));
        refused(&[&[hard("/etc/passwd")]], "not there");
        refused(&[&[hard("../a")]], "..");
        refused(&[&[link("s", "/etc"), hard("s/passwd")]], "leads out");
        refused(&[&[link("s", "/etc/passwd"), hard("s")]], "not a file");
        refused(&[&[file("a")], &[file(".wh.a"), hard("a")]], "not there");
        let own = [file("a"), file(".wh.a"), hard("a")];
        assert_eq!(
            last(&[&[file("a")], &own]),
            Ok(()),
            "a whiteout is about lower layers"
        );
        let below = [file(".wh.d"), hard("d/a")];
        refused(&[&[file("d/a")], &below], "not there");
    }

    #[test]
    fn what_no_image_needs_is_refused() {
        refused(&[&[entry(Kind::Device, "dev/null", "")]], "device");
        refused(&[&[entry(Kind::Fifo, "pipe", "")]], "pipes");
        refused(&[&[file("a/.wh.")]], "hides nothing");
        refused(&[&[file("a/.wh...")]], "hides nothing");
        refused(&[&[file(&"x".repeat(256))]], "too long");
        let mut set_id = file("usr/bin/su");
        set_id.mode = 0o4755;
        refused(&[&[set_id.clone()]], "--allow-setid");
        assert_eq!(Names::new(1, true).take(&set_id), Ok(()));
        let mut names = Names::new(1, true);
        assert_eq!(names.take(&set_id), Ok(()));
        assert!(
            names.take(&set_id).is_err(),
            "more entries than the caps allow"
        );
    }
}
