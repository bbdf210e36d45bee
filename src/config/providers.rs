//! Which implementation does a stage's work: the choices that the command line, configuration files and Python share.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::references;
use crate::{
    caption::{Captioner, MeasuredCaptioner},
    detect::{CharacterDetector, PaletteDetector},
    embed::{Embedder, LayoutEmbedder},
    error::Result,
    types::Cast,
};

/// Who finds and names the characters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum DetectorChoice {
    /// [`PaletteDetector`]: by the colours of reference pictures.
    Palette {},
}

impl Default for DetectorChoice {
    fn default() -> Self {
        Self::Palette {}
    }
}

impl DetectorChoice {
    /// The detector, looking for a cast.
    ///
    /// # Errors
    /// For a wrong cast and for reference pictures that are missing or unreadable.
    pub fn open(&self, cast: &Cast) -> Result<Arc<dyn CharacterDetector>> {
        match self {
            Self::Palette {} => Ok(Arc::new(PaletteDetector::new(references(cast)?)?)),
        }
    }
}

/// Who turns crops into vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum EmbedderChoice {
    /// [`LayoutEmbedder`]: from pixels alone.
    Layout {},
}

impl Default for EmbedderChoice {
    fn default() -> Self {
        Self::Layout {}
    }
}

impl EmbedderChoice {
    /// The embedder.
    ///
    /// # Errors
    /// None of the embedders that need nothing from outside.
    pub fn open(&self) -> Result<Arc<dyn Embedder>> {
        match self {
            Self::Layout {} => Ok(Arc::new(LayoutEmbedder::new())),
        }
    }
}

/// Who words the captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CaptionerChoice {
    /// [`MeasuredCaptioner`]: sentences over what was measured.
    Measured {},
}

impl Default for CaptionerChoice {
    fn default() -> Self {
        Self::Measured {}
    }
}

impl CaptionerChoice {
    /// The captioner.
    ///
    /// # Errors
    /// None of the captioners that need nothing from outside.
    pub fn open(&self) -> Result<Arc<dyn Captioner>> {
        match self {
            Self::Measured {} => Ok(Arc::new(MeasuredCaptioner::new())),
        }
    }
}
