//! Where an image stands in the tree.

use clap::Args;
use gdo_core::dapp::DAPPS_DIR;
use gdo_core::id::{DappName, Digest};
use gdo_core::path::RepoPath;

use crate::error::CommandError;

/// Where images stand that belong to no dapp.
pub(super) const IMAGES_DIR: &str = ".gdo/images";
/// No name is longer.
const NAME_BYTES_MAX: usize = 64;

/// Which image.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// The image: it stands in .gdo/images/NAME
    #[arg(value_name = "NAME", required_unless_present_any = ["dapp", "path"])]
    name: Option<String>,
    /// The image of a dapp instead
    #[arg(long, value_name = "DAPP", conflicts_with_all = ["name", "path"])]
    dapp: Option<DappName>,
    /// The image in this folder of the tree instead
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    path: Option<String>,
}

impl Which {
    /// The folder of the image, from the root of the tree.
    pub(super) fn folder(&self) -> Result<RepoPath, CommandError> {
        folder(
            self.name.as_deref(),
            self.dapp.as_ref(),
            self.path.as_deref(),
        )
    }
}

/// The folder of an image that is named in one of three ways.
pub(super) fn folder(
    name: Option<&str>,
    dapp: Option<&DappName>,
    path: Option<&str>,
) -> Result<RepoPath, CommandError> {
    let text = match (name, dapp, path) {
        (_, _, Some(path)) => path.trim_end_matches('/').to_owned(),
        (_, Some(dapp), None) => format!("{DAPPS_DIR}/{dapp}/image"),
        (Some(name), None, None) => {
            check(name)?;
            format!("{IMAGES_DIR}/{name}")
        }
        (None, None, None) => return Err(CommandError::usage("no image is named")),
    };
    text.parse().map_err(CommandError::usage)
}

/// The folder of an image and what it is copied from or to: with `--dapp` or `--path` the first of
/// the two words is left out.
pub(super) fn pair<'a>(
    words: [Option<&'a str>; 2],
    dapp: Option<&DappName>,
    path: Option<&str>,
) -> Result<(RepoPath, &'a str), CommandError> {
    let is_named = dapp.is_some() || path.is_some();
    match words {
        [Some(name), Some(other)] if !is_named => Ok((folder(Some(name), None, None)?, other)),
        [Some(other), None] if is_named => Ok((folder(None, dapp, path)?, other)),
        [_, Some(_)] => Err(CommandError::usage(
            "the image is named twice: by NAME and by --dapp or --path",
        )),
        _ => Err(CommandError::usage(
            "expected an image and what to copy it from or to",
        )),
    }
}

/// The name and the digest of an image that was pushed to a node: `NAME@sha256:HEX`.
pub(super) fn pushed(image: &str) -> Result<(&str, &str), CommandError> {
    let wrong = || {
        CommandError::usage(format!(
            "expected NAME@sha256: and 64 hexadecimal digits, got '{image}'"
        ))
        .hint("'gdo image list' in the node directory shows what was pushed")
    };
    let (name, digest) = image.split_once('@').ok_or_else(wrong)?;
    let hex = digest.strip_prefix("sha256:").ok_or_else(wrong)?;
    hex.parse::<Digest>().map_err(|_| wrong())?;
    check(name)?;
    Ok((name, digest))
}

/// Names are those that a registry takes, without slashes.
fn check(name: &str) -> Result<(), CommandError> {
    let is_word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = name.as_bytes();
    let edges = [bytes.first(), bytes.last()];
    let fits = bytes.len() <= NAME_BYTES_MAX
        && edges.iter().all(|edge| edge.is_some_and(|c| is_word(*c)))
        && bytes.iter().all(|c| is_word(*c) || b"._-".contains(c))
        && bytes
            .windows(2)
            .all(|pair| is_word(pair[0]) || is_word(pair[1]));
    if fits {
        return Ok(());
    }
    Err(CommandError::usage(format!(
        "an image cannot be named '{name}', expected a-z and 0-9 with single '.', '_' or '-' between them, at most {NAME_BYTES_MAX}"
    )))
}

#[cfg(test)]
mod tests {
    use super::folder;

    fn named(name: &str) -> Option<String> {
        folder(Some(name), None, None)
            .ok()
            .map(|path| path.as_str().to_owned())
    }

    #[test]
    fn an_image_stands_in_the_folder_of_its_name() {
        assert_eq!(
            named("debian-12.5_slim").as_deref(),
            Some(".gdo/images/debian-12.5_slim")
        );
        for wrong in ["", "A", "a/b", ".a", "a-", "a--b", "a b", &"a".repeat(65)] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
        let dapp = "policy".parse().expect("a name");
        let of_dapp = folder(None, Some(&dapp), None)
            .map_err(|_| ())
            .expect("a folder");
        assert_eq!(of_dapp.as_str(), ".gdo/dapps/policy/image");
        let free = folder(None, None, Some("jobs/x/image/"))
            .map_err(|_| ())
            .expect("a folder");
        assert_eq!(free.as_str(), "jobs/x/image");
        assert!(folder(None, None, Some("../x")).is_err());
    }
}
