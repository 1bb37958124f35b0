//! The hooks inside real pushes: stock git as client and server, and a daemon that speaks
//! `gdo_core::hook` from a thread of the test.

mod client;
mod daemon;
mod node;
mod push;
mod ssh;
mod trouble;
