//! Who did the work and what it cost.

use serde::{Deserialize, Serialize};

/// Names an implementation exactly enough that equal values mean equal answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProviderInfo {
    /// Name of the implementation, for example `palette`.
    pub name: String,
    /// Model and version, for example `palette-v1`.
    pub model: String,
    /// Hash of every setting that changes the answers.
    pub settings: String,
    /// How many items one call takes at the most.
    pub max_batch: usize,
}

impl ProviderInfo {
    /// An implementation with a model, no settings, that takes one item a call.
    pub fn new(name: impl Into<String>, model: impl Into<String>) -> Self {
        Self { name: name.into(), model: model.into(), settings: String::new(), max_batch: 1 }
    }

    /// Sets the hash of the settings.
    #[must_use]
    pub fn settings(mut self, settings: impl Into<String>) -> Self {
        self.settings = settings.into();
        self
    }

    /// Sets how many items one call takes.
    #[must_use]
    pub fn max_batch(mut self, max_batch: usize) -> Self {
        self.max_batch = max_batch.max(1);
        self
    }
}

/// What calls consumed. Adds up with `+=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Paid requests.
    pub requests: u64,
    /// Pictures sent.
    pub images: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Price in US dollars, as far as prices are known.
    pub usd: f64,
    /// Requests whose price is not known, and not in `usd`.
    #[serde(skip_serializing_if = "is_zero")]
    pub unpriced_requests: u64,
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// What so many of the same consume.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self {
            requests: self.requests * count,
            images: self.images * count,
            input_tokens: self.input_tokens * count,
            output_tokens: self.output_tokens * count,
            usd: self.usd * count as f64,
            unpriced_requests: self.unpriced_requests * count,
        }
    }

    /// Whether nothing was consumed.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.images += other.images;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.usd += other.usd;
        self.unpriced_requests += other.unpriced_requests;
    }
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}
