//! The commands, one file each.

pub mod chunks;
pub mod dapp;
pub mod doctor;
pub mod image;
pub mod init;
pub mod log;
pub mod node;
pub mod note;
pub mod policy;
pub mod proposals;
pub mod reference;
pub mod roster;
pub mod show;
pub mod ssh;
pub mod status;
pub mod verify;
