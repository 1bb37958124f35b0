//! placeholder

pub mod http;
