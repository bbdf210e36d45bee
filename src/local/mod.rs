//! What runs on this machine: decoding films.

#[cfg(feature = "video")]
pub mod video;
