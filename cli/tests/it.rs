//! The commands that need no daemon, run as a user runs them.

#[path = "it/audit.rs"]
mod audit;
#[path = "it/authors.rs"]
mod authors;
#[path = "it/daemon.rs"]
mod daemon;
#[path = "it/images.rs"]
mod images;
#[path = "it/input.rs"]
mod input;
#[path = "it/reference.rs"]
mod reference;
#[path = "it/support.rs"]
mod support;
