//! Words for crops.

mod answer;
mod facts;
mod lint;
mod measured;
mod prompt;
mod vision;

use async_trait::async_trait;

use crate::{
    error::Result,
    types::{Caption, CaptionRequest, ProviderInfo, Usage},
};

pub use answer::Answer;
pub use lint::{
    Counted, LengthReport, LintFinding, LintReport, LintRules, Linter, Look, NearIdentical, check,
};
pub(crate) use lint::{Item, mentioned, report};
pub use measured::MeasuredCaptioner;
pub use prompt::{CAPTION_TOOL, CaptionPrompt, Prompt, Tone};
pub use vision::{Told, VisionCaptioner, VisionModel};

/// Fewest and most characters of a caption, as the strictest trainer counts them.
pub const CAPTION_CHARS: (usize, usize) = (3, 1024);

/// Describes a crop.
///
/// # Contract
/// - The text has 3 to 1,024 characters and names the request's subjects and nobody else.
/// - Equal requests give equal captions where the model allows it; another
///   [`attempt`](CaptionRequest::attempt) asks for another wording.
#[async_trait]
pub trait Captioner: std::fmt::Debug + Send + Sync + 'static {
    /// Which captioner this is, with its model and settings.
    fn info(&self) -> ProviderInfo;

    /// What one caption costs in US dollars, about: 0 for what runs on this machine, `None` where the price is not known.
    fn price(&self) -> Option<f64> {
        Some(0.0)
    }

    /// What one caption uses, about; nothing for what runs on this machine.
    fn usage_of_one(&self) -> Usage {
        Usage::default()
    }

    /// Describes one crop.
    ///
    /// # Errors
    /// [`ContentFiltered`](crate::ErrorKind::ContentFiltered) where the model refused; otherwise as the service says.
    async fn caption(&self, request: &CaptionRequest) -> Result<Caption>;
}
