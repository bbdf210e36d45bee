//! Which frames to take, as settings say it.

use serde::{Deserialize, Serialize};

use crate::{error::Result, source::Sampling};

/// Which frames to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SampleChoice {
    /// At equal distances, [`fps`](super::Config::fps) a second.
    #[default]
    Every,
    /// Every frame at which the decoder can start.
    Keyframes,
    /// So many frames of each shot, spread over it.
    Shots {
        /// Frames of a shot, at most.
        per_shot: u32,
    },
    /// The sharpest frame of each stretch of a shot.
    Sharpest {
        /// Length of a stretch in seconds.
        window: f64,
    },
    /// One frame of each held drawing.
    Drawings,
}

impl SampleChoice {
    /// As a sampling; `fps` counts for [`Every`](Self::Every) alone.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for numbers out of range.
    pub fn build(self, fps: f64) -> Result<Sampling> {
        match self {
            Self::Every => Sampling::rate(fps),
            Self::Keyframes => Ok(Sampling::keyframes()),
            Self::Shots { per_shot } => Sampling::shots(per_shot),
            Self::Sharpest { window } => Sampling::sharpest(window),
            Self::Drawings => Ok(Sampling::drawings()),
        }
    }
}
