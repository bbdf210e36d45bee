//! Words for a crop.

use serde::{Deserialize, Serialize};

use super::{BoundingBox, Crop, Usage};

/// What a captioner is asked: the picture, who is in it, and how to vary.
#[derive(Clone, Debug)]
pub struct CaptionRequest {
    /// Id of the record, for messages and for a repeatable choice of words.
    pub record: String,
    /// The picture that the caption will stand beside.
    pub crop: Crop,
    /// The named characters in the picture, the crop's own first.
    pub subjects: Vec<Subject>,
    /// 0 at first; one more for each time the caption has to be worded anew.
    pub attempt: u32,
    /// Why the last wording was refused, if it was.
    pub refusal: Option<String>,
}

/// A named character in a crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Name in the cast.
    pub character: String,
    /// Where, in ratios of the crop.
    pub bounding_box: BoundingBox,
}

/// A caption, who made it, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caption {
    /// The text, 3 to 1,024 characters.
    pub text: String,
    /// Model or method that wrote it.
    pub model: String,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Usage::is_free")]
    pub usage: Usage,
}
