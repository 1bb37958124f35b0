//! Where an image comes from, in the notation that other tools use for it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `oci:DIR[:TAG]`: an OCI image layout.
    Oci(PathBuf, Option<String>),
    /// `oci-archive:FILE[:TAG]`: an OCI image layout in a tar archive.
    OciArchive(PathBuf, Option<String>),
    /// `docker-archive:FILE[:TAG]`: what `docker save` or `podman save` writes.
    DockerArchive(PathBuf, Option<String>),
    /// `rootfs:DIR`: the files of a root file system.
    RootfsDir(PathBuf),
    /// `rootfs:FILE`: a tar archive of them.
    RootfsTar(PathBuf),
}

impl Source {
    /// The directory or the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Oci(path, _) | Self::OciArchive(path, _) | Self::DockerArchive(path, _) => path,
            Self::RootfsDir(path) | Self::RootfsTar(path) => path,
        }
    }

    /// Which of several images of a source is meant.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Oci(_, tag) | Self::OciArchive(_, tag) | Self::DockerArchive(_, tag) => {
                tag.as_deref()
            }
            Self::RootfsDir(_) | Self::RootfsTar(_) => None,
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected oci:DIR, oci-archive:FILE, docker-archive:FILE, rootfs:DIR or rootfs:TAR, got '{text}'"
            )
        };
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        if rest.is_empty() {
            return Err(wrong());
        }
        let whole = PathBuf::from(rest);
        // A path may hold a colon itself: what is there is meant.
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) if !whole.exists() => (path.into(), Some(tag.to_owned())),
            _ => (whole.clone(), None),
        };
        match kind {
            "oci" => Ok(Self::Oci(path, tag)),
            "oci-archive" => Ok(Self::OciArchive(path, tag)),
            "docker-archive" => Ok(Self::DockerArchive(path, tag)),
            "rootfs" if whole.is_dir() => Ok(Self::RootfsDir(whole)),
            "rootfs" => Ok(Self::RootfsTar(whole)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Oci(..) => "oci",
            Self::OciArchive(..) => "oci-archive",
            Self::DockerArchive(..) => "docker-archive",
            Self::RootfsDir(_) | Self::RootfsTar(_) => "rootfs",
        };
        write!(out, "{kind}:{}", self.path().display())?;
        match self.tag() {
            Some(tag) => write!(out, ":{tag}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn sources_are_written_as_other_tools_write_them() {
        let parse = |text: &str| text.parse::<Source>();
        let oci = parse("oci:/no/such/dir:v1").expect("a source");
        assert_eq!(oci, Source::Oci("/no/such/dir".into(), Some("v1".into())));
        assert_eq!(oci.to_string(), "oci:/no/such/dir:v1");
        let tagged = parse("docker-archive:a.tar:name:v1").expect("a source");
        assert_eq!(tagged.tag(), Some("name:v1"));
        assert_eq!(parse("rootfs:/"), Ok(Source::RootfsDir("/".into())));
        assert_eq!(parse("rootfs:x.tar"), Ok(Source::RootfsTar("x.tar".into())));
        for wrong in ["", "oci", "oci:", "dir:/x", "/x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
