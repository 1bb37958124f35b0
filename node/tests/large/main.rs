//! Large files and images over HTTP: what well-behaved clients get, and what the others get.

mod connections;
mod fuzz;
mod lfs;
mod objects;
mod registry;
mod server;
