//! What services charge: a table with a date and a source for every price, which users may override.

use serde::{Deserialize, Serialize};

use super::Usage;
use crate::error::{Error, Result};

/// What a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unit {
    /// A request.
    Request,
    /// A picture sent.
    Image,
    /// A token read.
    InputToken,
    /// A token written.
    OutputToken,
    /// An hour, or an hour of one unit of capacity.
    Hour,
    /// A month.
    Month,
}

/// One price, with where it was read and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// What is bought: `rekognition/image`, or `bedrock/` and the id of a model.
    pub item: String,
    /// What is counted.
    pub unit: Unit,
    /// US dollars for one; `None` says that the price is not known.
    #[serde(default)]
    pub usd: Option<f64>,
    /// Where the price was read.
    pub source: String,
    /// When, as year, month, day.
    pub date: String,
}

/// Prices by item and unit. Later entries override earlier ones.
///
/// ```
/// use picchu::types::{PriceTable, Unit, Usage};
/// let prices = PriceTable::built_in();
/// assert!(prices.usd("rekognition/image", Unit::Image).is_some());
/// assert_eq!(prices.usd("bedrock/a-model-of-tomorrow", Unit::InputToken), None);
///
/// let mine = "[[price]]\nitem = \"rekognition/image\"\nunit = \"image\"\nusd = 0.0008\nsource = \"my contract\"\n\
///             date = \"2026-11-01\"\n";
/// let usage = Usage { requests: 10, images: 10, ..Usage::default() };
/// let cost = prices.with(PriceTable::from_toml(mine)?).cost("rekognition/image", &usage);
/// assert!((cost.unwrap() - 0.008).abs() < 1e-9);
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    #[serde(rename = "price", default)]
    prices: Vec<Price>,
}

impl PriceTable {
    /// The prices that come with picchu: us-east-1, in US dollars, each with its date. Check them before you rely on
    /// them.
    ///
    /// # Panics
    /// Never: the table is checked by a test.
    pub fn built_in() -> Self {
        Self::from_toml(include_str!("prices.toml")).unwrap_or_default()
    }

    /// A table in TOML, as `prices.toml` in the sources.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) says what is wrong, also for a price below 0.
    pub fn from_toml(text: &str) -> Result<Self> {
        let table: Self = toml::from_str(text)
            .map_err(|e| Error::invalid(format!("the price table is not understood: {}", e.message())))?;
        match table.prices.iter().find(|p| p.usd.is_some_and(|usd| !usd.is_finite() || usd < 0.0)) {
            Some(price) => Err(Error::invalid(format!("the price of {} is below 0", price.item))),
            None => Ok(table),
        }
    }

    /// This table with the entries of another, which count where both have one.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.prices.extend(other.prices);
        self
    }

    /// The entries, later ones over earlier ones.
    pub fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// The price of one unit; `None` if it is not known.
    pub fn usd(&self, item: &str, unit: Unit) -> Option<f64> {
        self.prices.iter().rev().find(|p| p.item == item && p.unit == unit).and_then(|p| p.usd)
    }

    /// What a use of an item costs; `None` if nothing of it has a known price.
    pub fn cost(&self, item: &str, usage: &Usage) -> Option<f64> {
        let units = [
            (Unit::Request, usage.requests),
            (Unit::Image, usage.images),
            (Unit::InputToken, usage.input_tokens),
            (Unit::OutputToken, usage.output_tokens),
        ];
        let known: Vec<f64> = units
            .iter()
            .filter_map(|&(unit, count)| self.usd(item, unit).map(|usd| usd * count as f64))
            .collect();
        (!known.is_empty()).then(|| known.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_whole() {
        let table = PriceTable::from_toml(include_str!("prices.toml")).unwrap();
        assert_eq!(table, PriceTable::built_in());
        for price in table.prices() {
            assert!(!price.source.is_empty(), "{price:?} has no source");
            assert_eq!(price.date.len(), 10, "{price:?} has no date");
        }
    }

    #[test]
    fn an_unknown_price_is_told_from_a_price_of_nothing() {
        let usage = Usage { requests: 3, ..Usage::default() };
        let table = PriceTable::from_toml(
            "[[price]]\nitem = \"a\"\nunit = \"request\"\nsource = \"s\"\ndate = \"2026-11-01\"\n[[price]]\n\
             item = \"b\"\nunit = \"request\"\nusd = 0\nsource = \"s\"\ndate = \"2026-11-01\"\n",
        )
        .unwrap();
        assert_eq!((table.cost("a", &usage), table.cost("b", &usage)), (None, Some(0.0)));
        assert!(PriceTable::from_toml("[[price]]\nitem = 3").is_err());
    }
}
