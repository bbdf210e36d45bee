//! Amazon's services: one [`AwsContext`] for all of them, one place that maps their errors.

#[cfg(feature = "aws-a2i")]
pub mod a2i;
#[cfg(feature = "aws-bedrock")]
pub mod bedrock;
mod context;
mod error;
#[cfg(any(feature = "aws-rekognition", feature = "aws-train"))]
mod guard;
#[cfg(feature = "sagemaker")]
mod json_service;
mod keys;
#[cfg(feature = "aws-rekognition")]
pub mod rekognition;
#[cfg(feature = "aws-s3")]
mod s3;
#[cfg(feature = "sagemaker")]
pub mod sagemaker;
mod services;
#[cfg(feature = "aws-sqs")]
mod sqs;
#[cfg(any(feature = "aws-rekognition", feature = "aws-train"))]
mod tagged;

#[cfg(feature = "aws-s3")]
pub use self::s3::{Encryption, S3Film, S3Object, S3Place, S3Store};
#[cfg(feature = "aws-sqs")]
pub use self::sqs::{Message, Queue};
#[cfg(any(feature = "aws-rekognition", feature = "aws-train"))]
pub use self::tagged::Tagged;
pub use self::{
    context::{AwsContext, AwsSettings},
    keys::{KeySource, Keys, use_keys},
    services::{ServiceAnswer, ask_services},
};
// Builds with `aws` alone have no client that could fail.
#[allow(unused_imports)]
pub(crate) use self::error::service_error;
