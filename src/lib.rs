//! picchu: from a film to a character-consistent image model.

pub mod dedupe;
mod simd;
