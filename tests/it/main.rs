//! One binary for all integration tests.

#![allow(clippy::unwrap_used)]

#[cfg(feature = "aws-a2i")]
mod a2i;
mod architecture;
#[cfg(all(feature = "aws-bedrock", feature = "aws-s3", feature = "cli"))]
mod batch;
#[cfg(feature = "aws-bedrock")]
mod bedrock;
mod build_command;
#[cfg(all(feature = "aws-rekognition", feature = "aws-bedrock"))]
mod cloud_command;
mod conformance;
mod dataset;
mod dedupe;
#[cfg(feature = "video")]
mod evaluate;
#[cfg(feature = "aws")]
mod fake_aws;
#[cfg(feature = "aws-s3")]
mod fake_s3;
#[cfg(feature = "sagemaker")]
mod fake_sagemaker;
mod kill;
mod label_studio;
#[cfg(feature = "aws-rekognition")]
mod live_aws;
#[cfg(all(feature = "local-train", feature = "video"))]
mod lora;
#[cfg(feature = "aws-s3")]
mod moto;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "onnx")]
mod onnx_file;
#[cfg(feature = "http")]
mod openai;
mod pipeline;
#[cfg(feature = "aws-rekognition")]
mod rekognition;
#[cfg(all(feature = "aws-s3", feature = "http", feature = "video"))]
mod remote_film;
mod review;
#[cfg(feature = "aws-s3")]
mod s3;
#[cfg(feature = "sagemaker")]
mod sagemaker;
mod shots;
#[cfg(feature = "aws-train")]
mod train;
#[cfg(feature = "video")]
mod video;
#[cfg(all(feature = "aws-s3", feature = "video"))]
mod worker;
