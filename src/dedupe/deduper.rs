//! The stage that chooses which crops are worth keeping.

use async_trait::async_trait;

use super::Selection;
use crate::{
    error::Result,
    types::{Embeddings, ProviderInfo},
};

/// The whole set to choose from: keeping the best of a group needs the group.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// One unit row a candidate, in the film's order.
    pub embeddings: Embeddings,
    /// One number a candidate, 0..1, higher is better.
    pub quality: Vec<f32>,
    /// The similarity at which this embedder's vectors count as near-duplicates.
    pub default_min_similarity: f64,
}

/// Chooses among candidates.
///
/// # Contract
/// - No two kept candidates are as similar as the threshold, and every dropped one names a kept one that is: there is
///   no chaining.
/// - Equal candidates give equal selections, whatever the number of threads.
/// - Nothing is deleted: the answer is a proposal that another threshold changes.
#[async_trait]
pub trait Deduper: std::fmt::Debug + Send + Sync + 'static {
    /// Which deduper this is, with its settings, when the embedder's own threshold is `default_min_similarity`.
    fn info(&self, default_min_similarity: f64) -> ProviderInfo;

    /// Chooses.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for rows that are zero or not finite.
    async fn dedupe(&self, candidates: Candidates) -> Result<Selection>;
}
