//! What a detector found in a frame.

use serde::{Deserialize, Serialize};

use super::BoundingBox;

/// A box in a frame, with the character it shows, or the honest answer that this is unsure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Where, in ratios of the frame, clamped to it.
    pub bounding_box: BoundingBox,
    /// Who, by the name in the cast. `None`: somebody is there, but the detector is unsure who.
    pub character: Option<String>,
    /// How sure the detector is of the character (or of the box, when unsure who), 0..1.
    pub confidence: f32,
    /// What was seen in general terms, for detectors that tell, for example `Person`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Other characters it could be, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// Which detector or which step of it decided.
    pub decided_by: String,
}

/// Another character that a box could show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// Name in the cast.
    pub character: String,
    /// How likely, 0..1.
    pub confidence: f32,
}
