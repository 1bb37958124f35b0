//! Real containers on the machine that runs the tests: nothing here is simulated.
//!
//! The images are made by the tests themselves, as OCI layouts around Debian's static busybox
//! (package `busybox-static`).

mod breakout;
mod contract;
mod hostile;
mod images;
mod import;
mod lifecycle;
mod rootless;
mod sources;
mod support;
