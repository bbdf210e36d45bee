//! Implementations with help from outside the crate, on this machine.
