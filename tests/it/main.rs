//! One binary for all integration tests.

#![allow(clippy::unwrap_used)]

mod architecture;
mod build_command;
mod conformance;
mod dedupe;
mod pipeline;
#[cfg(feature = "video")]
mod video;
