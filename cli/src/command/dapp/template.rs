//! What a new dapp starts with.

use clap::ValueEnum;

/// The language of a new dapp.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Language {
    /// A shell script over a static busybox
    Shell,
    /// A Python program over Debian's Python
    Python,
    /// A static Rust binary
    Rust,
}

/// A file of a template: path, content, whether it runs.
pub(super) type File = (&'static str, &'static str, bool);

const OCI_LAYOUT: &str = include_str!("../../../../dapps/oci-layout.sh");

const COMMON: [File; 9] = [
    (
        "dapp.toml",
        include_str!("../../../templates/dapp.toml"),
        false,
    ),
    (
        "README.md",
        include_str!("../../../templates/README.md"),
        false,
    ),
    ("oci-layout.sh", OCI_LAYOUT, true),
    (".gitignore", "/image/\n", false),
    (
        "cases/pass/base/@NAME@/hours.md",
        "# Opening hours\nMon to Fri 9:00\n",
        false,
    ),
    (
        "cases/pass/candidate/@NAME@/hours.md",
        "# Opening hours\nMon to Sat 9:00\n",
        false,
    ),
    ("cases/pass/expect", "pass\n", false),
    (
        "cases/fail-no-title/candidate/@NAME@/hours.md",
        "Mon to Fri 9:00\n",
        false,
    ),
    (
        "cases/fail-no-title/expect",
        "fail\n@NAME@/hours.md:1: expected a title\n",
        false,
    ),
];

const SHELL: [File; 2] = [
    (
        "validate.sh",
        include_str!("../../../templates/shell/validate.sh"),
        true,
    ),
    (
        "image.sh",
        include_str!("../../../templates/shell/image.sh"),
        true,
    ),
];

const PYTHON: [File; 2] = [
    (
        "validate.py",
        include_str!("../../../templates/python/validate.py"),
        false,
    ),
    (
        "image.sh",
        include_str!("../../../templates/python/image.sh"),
        true,
    ),
];

const RUST: [File; 3] = [
    (
        "main.rs",
        include_str!("../../../templates/rust/main.rs"),
        false,
    ),
    (
        "Cargo.toml",
        include_str!("../../../templates/rust/Cargo.toml.in"),
        false,
    ),
    (
        "image.sh",
        include_str!("../../../templates/rust/image.sh"),
        true,
    ),
];

impl Language {
    /// The program that the author edits.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Shell => "validate.sh",
            Self::Python => "validate.py",
            Self::Rust => "main.rs",
        }
    }

    /// The files of a new dapp.
    pub(super) fn files(self) -> impl Iterator<Item = File> {
        let own: &[File] = match self {
            Self::Shell => &SHELL,
            Self::Python => &PYTHON,
            Self::Rust => &RUST,
        };
        COMMON.into_iter().chain(own.iter().copied())
    }
}
