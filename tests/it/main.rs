//! Integration tests, in one binary.

mod dedupe;
