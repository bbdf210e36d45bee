//! How much at once and how often: a semaphore, and token buckets whose rate a throttle lowers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::forward;
use crate::{
    caption::Captioner,
    detect::CharacterDetector,
    embed::Embedder,
    error::{Error, ErrorKind, Result},
    source::FrameSource,
    types::{Caption, CaptionRequest, Crop, Detection, Embeddings, Frame, ProviderInfo},
};

/// The lowest share of its rate to which throttles lower a bucket.
const FLOOR: f64 = 0.02;
/// What one throttle makes of the rate.
const LOWERED: f64 = 0.7;
/// What one success gives back of the full rate.
const RAISED: f64 = 0.01;
/// Throttles within this time of the last one answer the same excess and lower nothing further.
const SAME_EXCESS: Duration = Duration::from_millis(500);

/// So much in so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How much.
    pub amount: f64,
    /// In how long.
    pub per: Duration,
}

impl Rate {
    /// So much a second.
    pub const fn per_second(amount: f64) -> Self {
        Self { amount, per: Duration::from_secs(1) }
    }

    /// So much a minute.
    pub const fn per_minute(amount: f64) -> Self {
        Self { amount, per: Duration::from_mins(1) }
    }

    fn a_second(self) -> f64 {
        self.amount / self.per.as_secs_f64()
    }
}

/// What calls of one operation may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Calls at once.
    pub concurrency: usize,
    /// How often calls may begin.
    pub requests: Option<Rate>,
    /// How many tokens calls may use, for models that count them.
    pub tokens: Option<Rate>,
}

impl Limits {
    /// So many calls at once, as often as they come.
    pub const fn concurrency(concurrency: usize) -> Self {
        Self { concurrency, requests: None, tokens: None }
    }

    /// Sets how often calls may begin.
    #[must_use]
    pub const fn requests(mut self, rate: Rate) -> Self {
        self.requests = Some(rate);
        self
    }

    /// Sets how many tokens calls may use.
    #[must_use]
    pub const fn tokens(mut self, rate: Rate) -> Self {
        self.tokens = Some(rate);
        self
    }
}

/// Keeps calls within [`Limits`]. A [`Throttled`](ErrorKind::Throttled) answer lowers the rate at once, and successes
/// raise it again step by step.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> picchu::Result<()> {
/// use picchu::layers::{Limiter, Limits, Rate};
/// let limiter = Limiter::new(Limits::concurrency(4).requests(Rate::per_second(50.0)))?;
/// assert_eq!(limiter.run(0, async { Ok(1 + 1) }).await?, 2);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Limiter {
    permits: Semaphore,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

impl Limiter {
    /// A limiter of its own state: share it among all that share a quota.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for a concurrency of 0 and rates that are not above 0.
    pub fn new(limits: Limits) -> Result<Self> {
        let rates = [limits.requests, limits.tokens];
        if limits.concurrency == 0
            || rates.iter().flatten().any(|r| !(r.a_second() > 0.0 && r.a_second().is_finite()))
        {
            return Err(Error::new(ErrorKind::Config, format!("{limits:?} lets no call through")));
        }
        let now = Instant::now();
        Ok(Self {
            permits: Semaphore::new(limits.concurrency.min(Semaphore::MAX_PERMITS)),
            requests: limits.requests.map(|rate| Bucket::new(rate, now)),
            tokens: limits.tokens.map(|rate| Bucket::new(rate, now)),
        })
    }

    /// Runs a call when its turn has come. `tokens` is how many it will use, about.
    ///
    /// # Errors
    /// The call's.
    pub async fn run<T>(&self, tokens: u64, call: impl Future<Output = Result<T>>) -> Result<T> {
        let _permit = self.permits.acquire().await.map_err(|_| Error::internal("the limiter is closed"))?;
        for (bucket, amount) in [(&self.requests, 1.0), (&self.tokens, tokens as f64)] {
            let wait = bucket.as_ref().map_or(Duration::ZERO, |b| b.take(amount, Instant::now()));
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        let answer = call.await;
        for bucket in [&self.requests, &self.tokens].into_iter().flatten() {
            match &answer {
                Ok(_) => bucket.raise(),
                Err(e) if e.kind() == ErrorKind::Throttled => bucket.lower(Instant::now()),
                Err(_) => {}
            }
        }
        answer
    }

    /// Requests a second that are let through now, if they are limited.
    pub fn requests_per_second(&self) -> Option<f64> {
        self.requests.as_ref().map(|bucket| bucket.state().rate)
    }
}

/// A token bucket that gives places in a queue: a taker learns at once how long it has to wait.
#[derive(Debug)]
struct Bucket {
    full_rate: f64,
    capacity: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rate: f64,
    /// What is left; below 0 are the places that wait.
    level: f64,
    seen: Instant,
    lowered: Option<Instant>,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        // A little saved-up room makes good for late timers and lets through no noticeable burst.
        let capacity = (rate.amount / 20.0).max(1.0);
        let state = State { rate: rate.a_second(), level: capacity, seen: now, lowered: None };
        Self { full_rate: rate.a_second(), capacity, state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, and says how long to wait for it.
    fn take(&self, amount: f64, now: Instant) -> Duration {
        let mut state = self.state();
        let earned = now.duration_since(state.seen).as_secs_f64() * state.rate;
        state.level = (state.level + earned).min(self.capacity) - amount;
        state.seen = now;
        Duration::from_secs_f64((-state.level / state.rate).max(0.0))
    }

    fn lower(&self, now: Instant) {
        let mut state = self.state();
        if state.lowered.is_none_or(|then| now.duration_since(then) >= SAME_EXCESS) {
            state.rate = (state.rate * LOWERED).max(self.full_rate * FLOOR);
            state.lowered = Some(now);
        }
    }

    fn raise(&self) {
        let mut state = self.state();
        state.rate = (state.rate + self.full_rate * RAISED).min(self.full_rate);
    }
}

/// An implementation whose calls go through a [`Limiter`].
#[derive(Debug)]
pub struct Limited<T: ?Sized> {
    inner: Arc<T>,
    limiter: Arc<Limiter>,
    tokens: u64,
}

impl<T: ?Sized> Limited<T> {
    /// Limits `inner`.
    pub fn new(inner: Arc<T>, limiter: Arc<Limiter>) -> Self {
        Self { inner, limiter, tokens: 0 }
    }

    /// Sets how many tokens a call uses, about.
    #[must_use]
    pub fn tokens(mut self, tokens: u64) -> Self {
        self.tokens = tokens;
        self
    }
}

#[async_trait]
impl<T: CharacterDetector + ?Sized> CharacterDetector for Limited<T> {
    forward!(detector);

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        self.limiter.run(self.tokens, self.inner.detect(frames)).await
    }

    async fn learn(&self, film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        let learned = self.inner.learn(film).await?;
        let limiter = Arc::clone(&self.limiter);
        Ok(learned.map(|inner| Arc::new(Limited { inner, limiter, tokens: self.tokens }) as _))
    }
}

#[async_trait]
impl<T: Embedder + ?Sized> Embedder for Limited<T> {
    forward!(embedder);

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        self.limiter.run(self.tokens, self.inner.embed(crops)).await
    }
}

#[async_trait]
impl<T: Captioner + ?Sized> Captioner for Limited<T> {
    forward!(captioner);

    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        self.limiter.run(self.tokens, self.inner.caption(request)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the last of many places comes, if all are asked for at once.
    fn last_of(rate: Rate, places: usize, amount: f64) -> f64 {
        let now = Instant::now();
        let bucket = Bucket::new(rate, now);
        (0..places).map(|_| bucket.take(amount, now).as_secs_f64()).fold(0.0, f64::max)
    }

    #[test]
    fn calls_begin_no_more_often_than_the_rate() {
        let seconds = last_of(Rate::per_second(50.0), 600, 1.0);
        assert!((11.9..=12.0).contains(&seconds), "{seconds} s");
        // A model that counts tokens: 31 calls of 2,000 at 60,000 a minute.
        let seconds = last_of(Rate::per_minute(60_000.0), 31, 2_000.0);
        assert!((58.0..=62.0).contains(&seconds), "{seconds} s");
    }

    #[test]
    fn idle_time_saves_up_no_burst() {
        let start = Instant::now();
        let bucket = Bucket::new(Rate::per_second(50.0), start);
        let later = start + Duration::from_hours(1);
        let at_once = (0..50).filter(|_| bucket.take(1.0, later).is_zero()).count();
        assert!(at_once <= 3, "{at_once} at once");
    }

    #[test]
    fn a_throttle_lowers_the_rate_and_successes_bring_it_back() {
        let start = Instant::now();
        let bucket = Bucket::new(Rate::per_second(50.0), start);
        bucket.lower(start);
        bucket.lower(start + Duration::from_millis(100));
        let lowered = bucket.state().rate;
        assert!((lowered - 35.0).abs() < 1e-9, "throttles of one moment count once: {lowered}");
        bucket.lower(start + Duration::from_secs(1));
        assert!((bucket.state().rate - 24.5).abs() < 1e-9);
        for second in 0..1000 {
            bucket.lower(start + Duration::from_secs(2 + second));
        }
        assert!(bucket.state().rate >= 1.0, "something always goes through");
        for _ in 0..100 {
            bucket.raise();
        }
        assert!((bucket.state().rate - 50.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn no_more_calls_at_once_than_allowed() {
        let limiter = Limiter::new(Limits::concurrency(2)).unwrap();
        let most = std::sync::atomic::AtomicUsize::new(0);
        let calls = (0..10).map(|_| {
            limiter.run(0, async {
                most.fetch_max(2 - limiter.permits.available_permits(), std::sync::atomic::Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(())
            })
        });
        futures::future::try_join_all(calls).await.unwrap();
        assert_eq!(most.into_inner(), 2);
        assert!(Limiter::new(Limits::concurrency(0)).is_err());
        assert!(Limiter::new(Limits::concurrency(1).requests(Rate::per_second(0.0))).is_err());
    }
}
