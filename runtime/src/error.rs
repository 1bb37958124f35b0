//! Everything that can go wrong before a validator has said anything.
//!
//! None of these is a verdict: the node turns each into an inconclusive run (P-26) and says why.

use std::io;
use std::path::PathBuf;

use gdo_core::pointer::Pointer;

/// Why an image could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file could not be read or written.
    #[error("{action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The directory is not an OCI image layout.
    #[error("{path} is not an OCI image layout: {problem}", path = path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
        /// What is missing or malformed.
        problem: String,
    },
    /// A file does not hold what its digest says.
    #[error("blob {digest} of the image is damaged: {problem}")]
    Damaged {
        /// The digest by which the file is named.
        digest: String,
        /// What differs.
        problem: String,
    },
    /// A layer stands in the tree as a pointer, and its bytes are not on this machine.
    #[error("layer {pointer} of the image is not here: {hint}")]
    Missing {
        /// The layer.
        pointer: Pointer,
        /// What to do, or where it was looked for.
        hint: String,
    },
    /// The image has no variant for this machine; another node may have it (P-26).
    #[error(
        "the image has no variant for {wanted}, only for {found}: add one to index.json, or let a \
         node with another architecture run it"
    )]
    NoPlatform {
        /// This machine's platform, for example `linux/arm64`.
        wanted: String,
        /// The platforms the image has, separated by commas.
        found: String,
    },
    /// The image uses a feature this version does not read.
    #[error("the image uses {what}, which this version cannot read: {hint}")]
    Unsupported {
        /// The feature.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// What is to be imported is not what it is said to be, or not one image.
    #[error("{place}: {problem}")]
    Source {
        /// What is to be imported, as it was named.
        place: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A layer holds something that a validator's image must not hold.
    #[error("layer {layer} is refused at {path:?}: {problem}")]
    Refused {
        /// Digest of the layer.
        layer: String,
        /// Path within the layer, as it was written there.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The image is larger than the node allows.
    #[error("the image is too large: {what} is over {max}")]
    TooLarge {
        /// What was counted, for example `unpacked size in bytes`.
        what: &'static str,
        /// The cap.
        max: u64,
    },
}

impl ImageError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> ImageError {
        let path = path.into();
        move |source| ImageError::Io {
            action,
            path,
            source,
        }
    }
}

/// Why a validator could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A file or system call outside of the container failed.
    #[error("{action}: {source}")]
    Io {
        /// What was tried, with the path.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The helper process ended or answered nonsense before it gave an outcome.
    #[error("the sandbox helper {program} was lost: {problem}", program = program.display())]
    HelperLost {
        /// The helper's executable.
        program: PathBuf,
        /// What was seen.
        problem: String,
    },
    /// The container could not be made or its command could not be started.
    #[error("the container could not be started: {0}")]
    Start(String),
    /// The request contradicts itself or names something that is not there.
    #[error("the run request is refused: {0}")]
    Request(String),
    /// The sandbox was stopped.
    #[error("the sandbox was stopped")]
    Stopped,
    /// Another process, or another sandbox of this one, works in the same directory.
    #[error("{path} is in use by another gdo process: is the node already running?", path = path.display())]
    InUse {
        /// The state directory.
        path: PathBuf,
    },
    /// `runtime.isolation = "full"` and this machine cannot isolate that much.
    #[error(
        "this machine cannot isolate validators fully, missing: {}; see `gdo doctor`, or set \
         runtime.isolation = \"degraded\" in node.toml", .missing.join(", ")
    )]
    Isolation {
        /// The names of what is missing.
        missing: Vec<String>,
    },
}

impl SandboxError {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> SandboxError {
        let action = action.into();
        move |source| SandboxError::Io { action, source }
    }
}
