//! Trying again where that can help.

use std::{hash::BuildHasher, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::forward;
use crate::{
    caption::Captioner,
    detect::CharacterDetector,
    embed::Embedder,
    error::{Error, Result},
    source::FrameSource,
    types::{Caption, CaptionRequest, Crop, Detection, Embeddings, Frame, ProviderInfo},
};

/// How often and after how long to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// The longest wait before the second attempt; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait before any attempt.
    pub longest_wait: Duration,
}

impl Default for Retry {
    /// Eight attempts, waits from a quarter of a second to 20 seconds: about a minute in all.
    fn default() -> Self {
        Self { attempts: 8, first_wait: Duration::from_millis(250), longest_wait: Duration::from_secs(20) }
    }
}

impl Retry {
    /// Calls until it succeeds, until the error is one that trying again cannot help, or until the attempts are
    /// used up. Waits are spread at random, so that callers who failed together do not come back together.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn run<T, F: Future<Output = Result<T>>>(&self, mut call: impl FnMut() -> F) -> Result<T> {
        let mut failures = 0;
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(e) => self.again(e, &mut failures).await?,
            }
        }
    }

    /// After a failed attempt: counts it, and waits before the next one. For work that keeps what it has between
    /// attempts; [`run`](Self::run) is simpler for what begins anew.
    ///
    /// # Errors
    /// The error, if trying again cannot help or the attempts are used up.
    pub async fn again(&self, error: Error, failures: &mut u32) -> Result<()> {
        *failures += 1;
        if error.is_retryable() && *failures < self.attempts {
            tokio::time::sleep(self.wait(*failures)).await;
            return Ok(());
        }
        Err(if *failures > 1 { error.with_context("attempts", *failures) } else { error })
    }

    /// Between half of the wait and all of it.
    fn wait(&self, attempt: u32) -> Duration {
        let longest = self.first_wait.saturating_mul(1 << (attempt - 1).min(16)).min(self.longest_wait);
        // Each hasher has its own random keys: enough to spread callers.
        let random = std::hash::RandomState::new().hash_one(attempt) >> 11;
        longest.mul_f64(0.5 + 0.5 * random as f64 / (1_u64 << 53) as f64)
    }
}

/// An implementation whose calls are tried again where that can help.
#[derive(Debug)]
pub struct Retried<T: ?Sized> {
    inner: Arc<T>,
    retry: Retry,
}

impl<T: ?Sized> Retried<T> {
    /// Tries `inner` again.
    pub fn new(inner: Arc<T>, retry: Retry) -> Self {
        Self { inner, retry }
    }
}

#[async_trait]
impl<T: CharacterDetector + ?Sized> CharacterDetector for Retried<T> {
    forward!(detector);

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        self.retry.run(|| self.inner.detect(frames)).await
    }

    async fn learn(&self, film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        let learned = self.inner.learn(film).await?;
        Ok(learned.map(|inner| Arc::new(Retried { inner, retry: self.retry }) as _))
    }
}

#[async_trait]
impl<T: Embedder + ?Sized> Embedder for Retried<T> {
    forward!(embedder);

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        self.retry.run(|| self.inner.embed(crops)).await
    }
}

#[async_trait]
impl<T: Captioner + ?Sized> Captioner for Retried<T> {
    forward!(captioner);

    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        self.retry.run(|| self.inner.caption(request)).await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::ErrorKind;

    async fn attempts(kind: ErrorKind, failures: u32) -> (bool, u32) {
        let calls = Cell::new(0);
        let outcome = Retry { attempts: 4, first_wait: Duration::from_micros(10), ..Retry::default() }
            .run(|| async {
                calls.set(calls.get() + 1);
                if calls.get() <= failures { Err(Error::new(kind, "no")) } else { Ok(()) }
            })
            .await;
        (outcome.is_ok(), calls.get())
    }

    #[tokio::test]
    async fn only_what_can_help_is_tried_again() {
        assert_eq!(attempts(ErrorKind::Throttled, 2).await, (true, 3));
        assert_eq!(attempts(ErrorKind::Unavailable, 9).await, (false, 4));
        assert_eq!(attempts(ErrorKind::PermissionDenied, 9).await, (false, 1));
    }

    #[test]
    fn waits_grow_and_end() {
        let retry = Retry::default();
        for attempt in 1..40 {
            let wait = retry.wait(attempt);
            assert!(wait <= retry.longest_wait && wait >= retry.first_wait / 2, "{attempt}: {wait:?}");
        }
    }
}
