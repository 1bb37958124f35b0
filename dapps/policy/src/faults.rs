//! How faults are reported, and how much of a file is read to find them.

use gdo_core::error::FileError;
use gdo_dapp_sdk::report::Report;

/// The largest roster file, policy or manifest.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Reports a fault of the core at its file and line.
pub(crate) fn tell(report: &mut Report, rule: &str, fault: &FileError) {
    match fault.line {
        Some(line) => report.line(&fault.file, line, rule, &fault.message),
        None => report.file(&fault.file, rule, &fault.message),
    }
}
