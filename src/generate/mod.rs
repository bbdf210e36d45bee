//! Drawing images with a model.

pub mod evaluate;
mod storyboard;

use async_trait::async_trait;

pub use self::storyboard::{DrawnImage, DrawnPanel, Panel, Storyboard};

use crate::{
    error::Result,
    types::{GenerateRequest, Generated, ProviderInfo},
};

/// Draws images.
///
/// # Contract
/// - At most [`count`](GenerateRequest::count) images come back; fewer when the service blocked some.
/// - Each image carries the request that makes it again: its own seed and a count of 1.
#[async_trait]
pub trait Generator: std::fmt::Debug + Send + Sync + 'static {
    /// Which generator this is.
    fn info(&self) -> ProviderInfo;

    /// What drawing costs in US dollars, about: 0 for what runs on this machine, `None` where the price is not known.
    fn price(&self, request: &GenerateRequest) -> Option<f64> {
        let _ = request;
        Some(0.0)
    }

    /// Draws.
    ///
    /// # Errors
    /// [`ContentFiltered`](crate::ErrorKind::ContentFiltered) when every image was blocked.
    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<Generated>>;
}
