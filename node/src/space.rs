//! Whether there is room on the disk for what follows from a proposal.
//!
//! A node that cannot write stops, because it must keep what it signs. So nothing is begun that is
//! likely to end there: while little room is left, proposals are refused and nothing is lost.

use std::path::Path;

use crate::push::PushRefusal;

/// What must be free: a block, a checkpoint and their refs and logs take far less.
const FREE_BYTES_MIN: u64 = 4 << 20;

/// What is free on the file system that holds `dir`, in bytes.
///
/// # Errors
/// The system does not tell.
pub fn free_bytes(dir: &Path) -> nix::Result<u64> {
    let found = nix::sys::statvfs::statvfs(dir)?;
    Ok(found
        .blocks_available()
        .saturating_mul(found.fragment_size()))
}

/// Refuses if the file system that holds `dir` is all but full.
///
/// # Errors
/// How much is free, and what was expected.
pub fn check(dir: &Path) -> Result<(), PushRefusal> {
    match free_bytes(dir) {
        Ok(free) => check_free(free),
        Err(error) => {
            tracing::warn!(%error, "it cannot be told how full the disk is");
            Ok(())
        }
    }
}

fn check_free(bytes: u64) -> Result<(), PushRefusal> {
    if bytes >= FREE_BYTES_MIN {
        return Ok(());
    }
    let reason = format!(
        "the node's disk is full: {} KiB are free, expected {} KiB",
        bytes >> 10,
        FREE_BYTES_MIN >> 10
    );
    let hint = "nothing was taken; push again when its operator has made room".to_owned();
    Err(PushRefusal::new(reason, [hint]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposals_are_refused_while_little_room_is_left() {
        assert!(check_free(FREE_BYTES_MIN).is_ok());
        let refusal = check_free(FREE_BYTES_MIN - 1).expect_err("too little");
        assert!(refusal.reason.contains("expected 4096 KiB"), "{refusal:?}");
    }
}
