//! One binary for all integration tests.

mod architecture;
mod build_command;
mod conformance;
mod pipeline;
