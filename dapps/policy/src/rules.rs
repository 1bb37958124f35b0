//! The rule ids of this dapp, as its README lists them.

/// A path below `.gdo/` that nothing reads, or no plain file.
pub const PATH: &str = "path";
/// A roster file is malformed, or two members share a key.
pub const ROSTER: &str = "roster";
/// The policy is malformed or unsafe in itself.
pub const POLICY: &str = "policy";
/// A dapp's manifest is malformed, or is not that of its folder.
pub const DAPP: &str = "dapp";
/// A dapp's image is not complete.
pub const IMAGE: &str = "image";
/// A member, a key or a name changed in a way that the past forbids.
pub const HISTORY: &str = "history";
/// Together the files would leave nobody who could go on.
pub const LOCK_OUT: &str = "lock-out";
