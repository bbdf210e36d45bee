//! What runs on this machine: decoding films, models of the user's own, training and drawing, servers that speak the `OpenAI` interface.

#[cfg(feature = "local-train")]
pub mod lora;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "http")]
pub mod openai;
#[cfg(feature = "review")]
pub mod review;
#[cfg(feature = "video")]
pub mod video;
#[cfg(feature = "http")]
pub mod web;
