//! Amazon's services: one [`AwsContext`] for all of them, one place that maps their errors.

#[cfg(feature = "aws-bedrock")]
pub mod bedrock;
mod context;
mod error;
#[cfg(feature = "aws-rekognition")]
pub mod rekognition;
#[cfg(feature = "aws-s3")]
mod s3;

pub use self::context::{AwsContext, AwsSettings};
#[cfg(feature = "aws-s3")]
pub use self::s3::{Encryption, S3Film, S3Place, S3Store};
// Builds with `aws` alone have no client that could fail.
#[allow(unused_imports)]
pub(crate) use self::error::service_error;
