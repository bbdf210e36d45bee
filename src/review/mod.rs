//! People's decisions about records: who decides, what counts of it, and how logs of several people become one.

mod form;
mod judgement;
mod log;
mod moment;

use async_trait::async_trait;

#[cfg(feature = "review")]
pub(crate) use self::form::check;
pub(crate) use self::{
    form::{Form, Shown},
    moment::parse_moment,
};
pub use self::{
    judgement::Judgement,
    log::{Conflict, MergedLog, conflicts, merge_logs},
};
use crate::{
    error::Result,
    types::{Crop, Record, Review},
};

/// Somebody, or a rule, that decides about records.
///
/// # Contract
/// - `None` means: no decision; the record stays as it is.
/// - A review names the record it was asked about.
#[async_trait]
pub trait Reviewer: std::fmt::Debug + Send + Sync + 'static {
    /// Decides about one record.
    ///
    /// # Errors
    /// When no decision could be had.
    async fn review(&self, record: &Record, crop: &Crop) -> Result<Option<Review>>;
}
