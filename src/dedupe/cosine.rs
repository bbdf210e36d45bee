//! Choosing by cosine similarity.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Candidates, DedupeError, Deduper, Options, Selection, select};
use crate::{
    error::{Error, ErrorKind, Result},
    types::ProviderInfo,
};

/// Which of several near-duplicates stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first in the film.
    First,
    /// The one of the best quality; the first among equals.
    #[default]
    Best,
}

/// Keeps crops that are less similar than a threshold to every other kept one.
///
/// ```
/// use picchu::dedupe::{CosineDeduper, Keep};
/// let deduper = CosineDeduper::at(0.94)?.keep(Keep::First);
/// assert!(CosineDeduper::at(1.5).is_err());
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CosineDeduper {
    min_similarity: Option<f64>,
    keep: Keep,
    options: Options,
}

impl CosineDeduper {
    /// Two crops are near-duplicates from this cosine similarity on. [`default`](Self::default) takes the embedder's
    /// own threshold.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) unless the threshold lies above -1 and is at most 1.
    pub fn at(min_similarity: f64) -> Result<Self> {
        if !(min_similarity > -1.0 && min_similarity <= 1.0) {
            return Err(Error::invalid(format!(
                "min_similarity is {min_similarity}; it must be above -1 and at most 1 (higher is stricter)"
            )));
        }
        Ok(Self { min_similarity: Some(min_similarity), ..Self::default() })
    }

    /// Which of several near-duplicates stays.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// The deduper that calls itself so, threshold and all; `None` if it is another one.
    pub fn known_as(info: &ProviderInfo) -> Option<Self> {
        let (min_similarity, keep) = info.model.strip_prefix("cosine at ")?.split_once(", keep ")?;
        let keep = match keep {
            "first" => Keep::First,
            "best" => Keep::Best,
            _ => return None,
        };
        Some(Self::at(min_similarity.parse().ok()?).ok()?.keep(keep))
    }

    /// The threshold, where one was chosen.
    pub fn min_similarity(&self) -> Option<f64> {
        self.min_similarity
    }

    /// Which of several stays.
    pub fn kept(&self) -> Keep {
        self.keep
    }

    /// Threads, kernel and memory of the search.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }
}

#[async_trait]
impl Deduper for CosineDeduper {
    fn info(&self, default_min_similarity: f64) -> ProviderInfo {
        let min_similarity = self.min_similarity.unwrap_or(default_min_similarity);
        let keep = match self.keep {
            Keep::First => "first",
            Keep::Best => "best",
        };
        ProviderInfo::new("cosine", format!("cosine at {min_similarity}, keep {keep}"))
    }

    async fn dedupe(&self, candidates: Candidates) -> Result<Selection> {
        let min_similarity = self.min_similarity.unwrap_or(candidates.default_min_similarity);
        let (keep, options) = (self.keep, self.options.clone());
        crate::blocking(move || {
            let order = (keep == Keep::Best).then(|| best_first(&candidates.quality));
            Ok(select(candidates.embeddings.view(), min_similarity, order.as_deref(), &options)?)
        })
        .await
    }
}

/// Rows by falling quality; equal ones keep the film's order.
pub(super) fn best_first(quality: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..quality.len() as u32).collect();
    order.sort_by(|&a, &b| quality[b as usize].total_cmp(&quality[a as usize]).then(a.cmp(&b)));
    order
}

impl From<DedupeError> for Error {
    fn from(e: DedupeError) -> Self {
        let kind = match e {
            DedupeError::Cancelled => ErrorKind::Cancelled,
            DedupeError::MemoryBudget { .. } => ErrorKind::QuotaExceeded,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, e.to_string()).with_source(e)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::types::Embeddings;

    fn candidates(quality: Vec<f32>) -> Candidates {
        let rows = arr2(&[[1.0, 0.0], [0.999, 0.01], [0.0, 1.0]]);
        Candidates { embeddings: Embeddings::new("m", rows).unwrap(), quality, default_min_similarity: 0.9 }
    }

    #[tokio::test]
    async fn first_or_best_of_a_group_stays() {
        let first = CosineDeduper::at(0.95).unwrap().keep(Keep::First);
        assert_eq!(first.dedupe(candidates(vec![0.1, 0.9, 0.5])).await.unwrap().kept, vec![0, 2]);
        let best = CosineDeduper::default();
        let selection = best.dedupe(candidates(vec![0.1, 0.9, 0.5])).await.unwrap();
        assert_eq!((selection.kept, selection.covered_by), (vec![1, 2], vec![1, 1, 2]));
        let tie = best.dedupe(candidates(vec![0.5, 0.5, 0.5])).await.unwrap();
        assert_eq!(tie.kept, vec![0, 2]);
    }

    #[test]
    fn thresholds_out_of_range_are_refused() {
        for t in [1.5, -1.0, f64::NAN] {
            assert!(CosineDeduper::at(t).unwrap_err().message().contains("higher is stricter"), "{t}");
        }
    }
}
