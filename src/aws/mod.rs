//! Amazon's services: one [`AwsContext`] for all of them, one place that maps their errors.

mod context;
mod error;

pub use self::context::{AwsContext, AwsSettings};
// Builds with `aws` alone have no client that could fail.
#[allow(unused_imports)]
pub(crate) use self::error::service_error;
