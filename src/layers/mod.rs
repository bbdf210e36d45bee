//! Layers around implementations: the same trait outside and inside.
//!
//! Outside in the order is **cache, retry, limit, meter**, provider: what is known already asks nobody; a wait between
//! attempts holds no place; every attempt counts against the rate; and what is paid is metered where it is paid.
//!
//! Each layer is a part that works for any call ([`Cache`], [`Retry`], [`Limiter`], [`Meter`]), and a decorator that
//! puts it around a detector, an embedder or a captioner. A service whose one answer takes several calls uses the parts.
//!
//! ```
//! # use picchu::testing::FakeCaptioner;
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> picchu::Result<()> {
//! use std::sync::Arc;
//! use picchu::{Captioner, layers::{Cache, Cached, Limited, Limiter, Limits, Rate, Retried, Retry}, store::MemoryStore};
//!
//! let limiter = Arc::new(Limiter::new(Limits::concurrency(8).requests(Rate::per_minute(250.0)))?);
//! let limited = Limited::new(Arc::new(FakeCaptioner), limiter).tokens(2_000);
//! let retried = Retried::new(Arc::new(limited), Retry::default());
//! let captioner: Arc<dyn Captioner> =
//!     Arc::new(Cached::new(Arc::new(retried), Arc::new(Cache::new(Arc::new(MemoryStore::new())))));
//! # Ok(()) }
//! ```

mod cache;
mod limit;
mod meter;
mod retry;

#[cfg(feature = "aws-bedrock")]
pub(crate) use self::cache::row_bytes;
pub use self::{
    cache::{Cache, CacheKey, Cached},
    limit::{Limited, Limiter, Limits, Rate},
    meter::{Charge, Meter, Metered},
    retry::{Retried, Retry},
};

/// The methods of a trait that a layer hands through unchanged.
macro_rules! forward {
    (detector) => {
        fn info(&self) -> ProviderInfo {
            self.inner.info()
        }

        fn price(&self) -> Option<f64> {
            self.inner.price()
        }
    };
    (embedder) => {
        forward!(detector);

        fn dimensions(&self) -> usize {
            self.inner.dimensions()
        }

        fn default_min_similarity(&self) -> f64 {
            self.inner.default_min_similarity()
        }
    };
    (captioner) => {
        forward!(detector);

        fn usage_of_one(&self) -> crate::types::Usage {
            self.inner.usage_of_one()
        }
    };
}
use forward;
