//! Vectors that stand for crops, so that likeness is a number.

mod layout;

use async_trait::async_trait;

use crate::{
    error::Result,
    types::{Crop, Embeddings, ProviderInfo},
};

pub use layout::LayoutEmbedder;

/// Maps crops to vectors.
///
/// # Contract
/// - One unit row a crop, in the order of the input, all with [`dimensions`](Self::dimensions) columns.
/// - Equal crops give equal rows, whatever else is in the batch.
/// - Vectors of one [`model`](ProviderInfo::model) may be compared with each other and with nothing else.
#[async_trait]
pub trait Embedder: std::fmt::Debug + Send + Sync + 'static {
    /// Which embedder this is, with its model and settings.
    fn info(&self) -> ProviderInfo;

    /// What one crop costs in US dollars, about: 0 for what runs on this machine, `None` where the price is not known.
    fn price(&self) -> Option<f64> {
        Some(0.0)
    }

    /// Length of a vector.
    fn dimensions(&self) -> usize;

    /// The similarity at which two crops count as near-duplicates, for this embedder. Thresholds do not carry
    /// over from one embedder to another.
    fn default_min_similarity(&self) -> f64;

    /// Embeds a batch of at most [`max_batch`](ProviderInfo::max_batch) crops.
    ///
    /// # Errors
    /// All or nothing: an error means that no crop of the batch was answered.
    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings>;
}
