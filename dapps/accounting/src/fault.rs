//! What is wrong in one file, before it is known which file that is.

use std::fmt;

use gdo_dapp_sdk::report::Report;

/// The rule ids of this dapp, as its README lists them.
pub mod rule {
    /// The text is not of the subset that both stock tools read.
    pub const SYNTAX: &str = "syntax";
    /// The path is none of this dapp's, or the file cannot be read.
    pub const PATH: &str = "path";
    /// The transaction's id is not its file's name.
    pub const ID: &str = "id";
    /// The id stands in two files.
    pub const DUPLICATE: &str = "duplicate-id";
    /// The external reference stands in two files.
    pub const EXT: &str = "ext-reused";
    /// The date is not that of the directory.
    pub const DATE: &str = "date";
    /// The account is not declared.
    pub const ACCOUNT: &str = "undeclared-account";
    /// The commodity is not declared.
    pub const COMMODITY: &str = "undeclared-commodity";
    /// More decimals than the commodity has, or more digits than a book can hold.
    pub const PRECISION: &str = "precision";
    /// The postings of a commodity do not add up to zero.
    pub const UNBALANCED: &str = "unbalanced";
    /// The poster may not do this to this account.
    pub const POSTER: &str = "poster";
    /// A balance would be below its floor.
    pub const FLOOR: &str = "floor";
    /// An append-only record would lower a floored balance, or somebody else's float.
    pub const FLOAT: &str = "float";
    /// The period is closed.
    pub const CLOSED: &str = "closed-period";
    /// The closing does not agree with the books.
    pub const CLOSE: &str = "close";
    /// A definition is malformed or missing.
    pub const DEFINITION: &str = "definition";
    /// `acct/main.journal` does not include what it must.
    pub const INCLUDE: &str = "include";
}

/// A broken rule at a line; line 0 speaks of the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1, or 0.
    pub line: usize,
    /// One of [`rule`].
    pub rule: &'static str,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Fault {
    /// A fault at a line.
    pub fn new(line: usize, rule: &'static str, message: impl fmt::Display) -> Self {
        Self {
            line,
            rule,
            message: message.to_string(),
        }
    }
}

/// Reports a fault at its file, and at its line if it has one.
pub(crate) fn tell(report: &mut Report, path: &str, fault: &Fault) {
    if fault.line == 0 {
        report.file(path, fault.rule, &fault.message);
    } else {
        report.line(path, fault.line, fault.rule, &fault.message);
    }
}
