//! What runs on this machine: decoding films, models of the user's own.

#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "video")]
pub mod video;
#[cfg(feature = "http")]
pub mod web;
