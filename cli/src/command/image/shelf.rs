//! The images that stand in a tree of the ledger.

use gdo_core::id::ObjectId;
use gdo_core::path::RepoPath;
use gdo_ledger::Ledger;
use gdo_runtime::ImageError;
use gdo_runtime::image::describe::{Description, describe};

use crate::error::CommandError;

/// Every layout has one of these at its root.
const MARKER: &str = "oci-layout";
/// No document of an image is larger.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// The folders that hold an image layout, sorted.
pub(super) fn folders(ledger: &Ledger, tree: &ObjectId) -> Result<Vec<RepoPath>, CommandError> {
    let mut found = Vec::new();
    for (path, _) in ledger.files_below(tree, "", usize::MAX)? {
        let folder = path.as_str().strip_suffix(MARKER);
        let Some(folder) = folder.and_then(|folder| folder.strip_suffix('/')) else {
            continue;
        };
        found.push(folder.parse().map_err(CommandError::unknown)?);
    }
    Ok(found)
}

/// Describes the image in a folder of a tree.
pub(super) fn description(
    ledger: &Ledger,
    tree: &ObjectId,
    folder: &RepoPath,
) -> Result<Description, ImageError> {
    describe(&|name: &str| {
        let damaged = |problem: String| ImageError::Damaged {
            digest: name.to_owned(),
            problem,
        };
        let path: RepoPath = format!("{folder}/{name}")
            .parse()
            .map_err(|error: gdo_core::error::FormatError| damaged(error.to_string()))?;
        let standing = ledger.entry(tree, &path);
        match standing.map_err(|error| damaged(error.to_string()))? {
            gdo_ledger::Standing::File(entry) => ledger
                .read_blob(&entry.id, DOCUMENT_BYTES_MAX)
                .map(Some)
                .map_err(|error| damaged(error.to_string())),
            _ => Ok(None),
        }
    })
}

/// An error where a folder holds no image.
pub(super) fn absent(folder: &RepoPath, known: &[RepoPath]) -> CommandError {
    let known: Vec<&str> = known.iter().map(RepoPath::as_str).collect();
    let hint = if known.is_empty() {
        "the ledger has no images; 'gdo image import' brings one".to_owned()
    } else {
        format!("the ledger has: {}", known.join(", "))
    };
    CommandError::usage(format!("there is no image in {folder}")).hint(hint)
}
