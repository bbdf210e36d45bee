//! What is spent, by the item that is bought, and an end to it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::{
    caption::Captioner,
    detect::CharacterDetector,
    embed::Embedder,
    error::{Error, ErrorKind, Result},
    source::FrameSource,
    types::{Caption, CaptionRequest, Crop, Detection, Embeddings, Frame, PriceTable, ProviderInfo, Usage},
};

/// Counts what is used and what it costs by a [`PriceTable`], and refuses what would go over a budget.
///
/// ```
/// use picchu::{layers::Meter, types::{PriceTable, Usage}};
/// let meter = Meter::new(PriceTable::built_in()).budget(0.0015);
/// let one = Usage { requests: 1, images: 1, ..Usage::default() };
/// meter.begin("rekognition/image", &one)?.settle(&one);
/// assert_eq!(meter.total().images, 1);
/// let refused = meter.begin("rekognition/image", &one).unwrap_err();
/// assert_eq!(refused.kind(), picchu::ErrorKind::QuotaExceeded);
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Debug)]
pub struct Meter {
    prices: PriceTable,
    budget: Option<f64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: BTreeMap<String, Usage>,
    /// US dollars that calls under way will cost, about.
    reserved: f64,
}

impl Default for Meter {
    /// A meter with the built-in prices.
    fn default() -> Self {
        Self::new(PriceTable::built_in())
    }
}

impl Meter {
    /// A meter with nothing on it.
    pub fn new(prices: PriceTable) -> Self {
        Self { prices, budget: None, state: Mutex::default() }
    }

    /// Sets how many US dollars may be spent. Items without a known price are counted and not limited.
    #[must_use]
    pub fn budget(mut self, usd: f64) -> Self {
        self.budget = Some(usd);
        self
    }

    /// The prices.
    pub fn prices(&self) -> &PriceTable {
        &self.prices
    }

    /// Announces a call and what it will use, about. Settle the charge when the call is paid; a charge that is
    /// dropped cost nothing.
    ///
    /// # Errors
    /// [`QuotaExceeded`](ErrorKind::QuotaExceeded) when the call could go over the budget; nothing was spent then.
    pub fn begin<'a>(&'a self, item: &'a str, expected: &Usage) -> Result<Charge<'a>> {
        let usd = self.prices.cost(item, expected).unwrap_or(0.0);
        let mut state = self.state();
        let spent: f64 = state.used.values().map(|u| u.usd).sum();
        if let Some(budget) = self.budget
            && usd > 0.0
            && spent + state.reserved + usd > budget * (1.0 + 1e-9)
        {
            return Err(Error::new(
                ErrorKind::QuotaExceeded,
                format!(
                    "the budget of {budget:.2} US dollars is used up ({spent:.4} spent, {:.4} under way); what is \
                     paid is kept, and the same command with a larger budget goes on from there",
                    state.reserved
                ),
            ));
        }
        state.reserved += usd;
        Ok(Charge { meter: self, item, usd })
    }

    /// Counts a use without a reservation.
    pub fn record(&self, item: &str, used: &Usage) {
        let priced = self.priced(item, used);
        *self.state().used.entry(item.to_owned()).or_default() += priced;
    }

    /// A use with its price by the table; requests without a known price are counted as such.
    pub fn priced(&self, item: &str, used: &Usage) -> Usage {
        match self.prices.cost(item, used) {
            Some(usd) => Usage { usd, ..*used },
            None => Usage { usd: 0.0, unpriced_requests: used.requests, ..*used },
        }
    }

    /// What was used, by item.
    pub fn by_item(&self) -> BTreeMap<String, Usage> {
        self.state().used.clone()
    }

    /// What was used in all.
    pub fn total(&self) -> Usage {
        self.state().used.values().fold(Usage::default(), |mut sum, used| {
            sum += *used;
            sum
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way.
#[derive(Debug)]
#[must_use = "a charge that is dropped counts as a call that cost nothing"]
pub struct Charge<'a> {
    meter: &'a Meter,
    item: &'a str,
    usd: f64,
}

impl Charge<'_> {
    /// The call is done and used so much.
    pub fn settle(self, used: &Usage) {
        self.meter.record(self.item, used);
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.meter.state().reserved -= self.usd;
    }
}

/// An implementation whose calls are counted by a [`Meter`], as one item of its price table.
#[derive(Debug)]
pub struct Metered<T: ?Sized> {
    inner: Arc<T>,
    meter: Arc<Meter>,
    item: String,
    expected: Usage,
}

impl<T: ?Sized> Metered<T> {
    /// Meters `inner` as `item`; one frame, crop or caption is expected to use `expected`.
    pub fn new(inner: Arc<T>, meter: Arc<Meter>, item: impl Into<String>, expected: Usage) -> Self {
        Self { inner, meter, item: item.into(), expected }
    }

    fn price_of_one(&self) -> Option<f64> {
        self.meter.prices().cost(&self.item, &self.expected)
    }
}

#[async_trait]
impl<T: CharacterDetector + ?Sized> CharacterDetector for Metered<T> {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    fn price(&self) -> Option<f64> {
        self.price_of_one()
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let used = self.expected.times(frames.len() as u64);
        let charge = self.meter.begin(&self.item, &used)?;
        let answers = self.inner.detect(frames).await?;
        charge.settle(&used);
        Ok(answers)
    }

    async fn learn(&self, film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        let learned = self.inner.learn(film).await?;
        Ok(learned.map(|inner| {
            Arc::new(Metered::new(inner, Arc::clone(&self.meter), self.item.clone(), self.expected)) as _
        }))
    }
}

#[async_trait]
impl<T: Embedder + ?Sized> Embedder for Metered<T> {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    fn price(&self) -> Option<f64> {
        self.price_of_one()
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    fn default_min_similarity(&self) -> f64 {
        self.inner.default_min_similarity()
    }

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        let used = self.expected.times(crops.len() as u64);
        let charge = self.meter.begin(&self.item, &used)?;
        let rows = self.inner.embed(crops).await?;
        charge.settle(&used);
        Ok(rows)
    }
}

#[async_trait]
impl<T: Captioner + ?Sized> Captioner for Metered<T> {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    fn price(&self) -> Option<f64> {
        self.price_of_one()
    }

    fn usage_of_one(&self) -> Usage {
        self.expected
    }

    /// The caption says what it used; the meter adds what that costs.
    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        let charge = self.meter.begin(&self.item, &self.expected)?;
        let mut caption = self.inner.caption(request).await?;
        charge.settle(&caption.usage);
        caption.usage = self.meter.priced(&self.item, &caption.usage);
        Ok(caption)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> Meter {
        Meter::new(
            PriceTable::from_toml(
                "[[price]]\nitem = \"a\"\nunit = \"request\"\nusd = 0.01\nsource = \"s\"\ndate = \"2026-11-01\"\n",
            )
            .unwrap(),
        )
    }

    const ONE: Usage =
        Usage { requests: 1, images: 0, input_tokens: 0, output_tokens: 0, usd: 0.0, unpriced_requests: 0 };

    #[test]
    fn calls_under_way_count_against_the_budget() {
        let meter = meter().budget(0.02);
        let first = meter.begin("a", &ONE).unwrap();
        let second = meter.begin("a", &ONE).unwrap();
        assert_eq!(meter.begin("a", &ONE).unwrap_err().kind(), ErrorKind::QuotaExceeded);
        // A call that failed cost nothing and makes room.
        drop(second);
        meter.begin("a", &ONE).unwrap().settle(&ONE);
        first.settle(&ONE);
        assert!(meter.begin("a", &ONE).is_err());
        assert!((meter.total().usd - 0.02).abs() < 1e-12);
    }

    #[test]
    fn unknown_prices_are_counted_as_unknown() {
        let meter = meter();
        meter.begin("b", &ONE).unwrap().settle(&ONE);
        let total = meter.total();
        assert_eq!((total.requests, total.unpriced_requests, total.usd), (1, 1, 0.0));
    }
}
