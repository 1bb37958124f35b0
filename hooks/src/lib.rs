//! Git's side of a push: what runs inside `git receive-pack` and behind `sshd`.
//!
//! Git stays the server of the wire. It calls two hooks, and both are thin relays to the daemon:
//! [`pre_receive_main`] asks for the cheap checks while the objects are in quarantine, and
//! [`proc_receive_main`] hands over the commands once they have migrated. They speak
//! [`gdo_core::hook`] over the unix socket `run/hook.sock`: one line of JSON there, lines of JSON
//! back. [`install`] writes the scripts through which git finds them, and [`ssh`] is the forced
//! command of an SSH login. All of it starts in a few milliseconds: no async runtime, no git
//! library, no database.
//!
//! **Invariants**: the daemon owns the work, so a hook that is killed loses nothing but its
//! audience; without a daemon every push is refused with the command that starts it; no text of
//! the daemon or of a client reaches a shell, and none reaches a terminal unfiltered.

pub mod error;
pub mod install;
pub mod pkt_line;
pub mod socket;
pub mod ssh;

mod environment;
mod pre_receive;
mod proc_receive;
mod relay;
mod screen;

pub use pre_receive::pre_receive_main;
pub use proc_receive::proc_receive_main;
