//! Finding the characters of the cast in frames.

mod nearest;
mod palette;
mod scene;
mod suggest;
mod track;

use std::sync::Arc;

use async_trait::async_trait;
pub use nearest::NearestReference;
pub use palette::{PaletteDetector, PaletteOptions, Reference};
pub(crate) use scene::View;
pub use suggest::{Group, Sighting, SuggestOptions, suggest_cast};
pub use track::SETTLE_VERSION;
pub(crate) use track::{REACH, Seen, settle};

use crate::{
    error::Result,
    source::FrameSource,
    types::{Detection, Frame, ProviderInfo},
};

/// Finds characters in frames and names them from the cast.
///
/// # Contract
/// - The answer is aligned with the input: one list of detections a frame, empty where nobody is there.
/// - Boxes are clamped to the frame; confidences lie in 0..1.
/// - A detector that cannot tell who it sees answers a [`Detection`] without a character. It never guesses.
/// - Equal frames give equal answers: [`info`](Self::info) names everything that they depend on.
#[async_trait]
pub trait CharacterDetector: std::fmt::Debug + Send + Sync + 'static {
    /// Which detector this is, with its model and settings.
    fn info(&self) -> ProviderInfo;

    /// What one frame costs in US dollars, about: 0 for what runs on this machine, `None` where the price is not known.
    fn price(&self) -> Option<f64> {
        Some(0.0)
    }

    /// Detects in a batch of at most [`max_batch`](ProviderInfo::max_batch) frames.
    ///
    /// # Errors
    /// All or nothing: an error means that no frame of the batch was answered.
    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>>;

    /// Learns from the film before it is searched: the pipeline calls this once and then uses the detector that
    /// comes back, if one does. Detectors that need no such look keep the default.
    ///
    /// # Errors
    /// When the film cannot be read or holds too little to learn from.
    async fn learn(&self, film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        let _ = film;
        Ok(None)
    }
}
