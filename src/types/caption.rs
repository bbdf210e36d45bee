//! Words for a crop.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{BoundingBox, Crop, ProviderInfo, Record, Usage};

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

impl CaptionRequest {
    /// The first question about a record whose image was read.
    pub(crate) fn first(record: &Record, image: RgbImage) -> Option<Self> {
        let crop = record.crop.as_ref()?;
        Some(Self {
            record: record.id.clone(),
            crop: Crop { rect: crop.rect, scale: crop.scale, image: image.into() },
            subjects: record.subjects.clone(),
            attempt: 0,
            refusal: None,
        })
    }
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
    /// Rules of variety that it breaks, where no wording was found that breaks none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What it answers; none in datasets of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

impl Caption {
    /// A caption that cost nothing.
    pub fn new(text: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            model: model.into(),
            usage: Usage::default(),
            faults: Vec::new(),
            asked: None,
        }
    }

    /// Sets what it cost.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }
}

/// The question that a caption answers, as far as its record does not tell it: with the record, the picture and the cast,
/// it can be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Name of the captioner, for example `bedrock`.
    pub captioner: String,
    /// Its settings, with the hash of what shapes its prompts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub settings: String,
    /// `sha256:` and the hash of the prompt as the model got it; none where no model is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// 0 at first; one more for each time the caption had to be worded anew.
    #[serde(default)]
    pub attempt: u32,
    /// Why the wording before was refused, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

impl Asked {
    /// A request to a captioner.
    pub fn new(captioner: &ProviderInfo, request: &CaptionRequest) -> Self {
        Self {
            captioner: captioner.name.clone(),
            settings: captioner.settings.clone(),
            prompt: None,
            attempt: request.attempt,
            refusal: request.refusal.clone(),
        }
    }
}

/// A rule that a caption breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which rule.
    pub rule: LintRule,
    /// What is wrong, in words fit for a prompt that asks for another wording.
    pub message: String,
}

/// A rule for captions; `picchu::caption::Linter` says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LintRule {
    /// 3 to 1,024 characters.
    Length,
    /// One line of plain text.
    Plain,
    /// Names a subject.
    Name,
    /// Names nobody else.
    Stranger,
    /// Leaves fixed looks out.
    Looks,
    /// Begins with what happens.
    Opener,
    /// Is no other caption's text.
    Equal,
    /// Has not nearly the words of another caption.
    NearIdentical,
    /// Begins otherwise than most.
    WornOpener,
    /// Has no phrase that is everywhere.
    WornPhrase,
}

impl LintRule {
    /// Whether a caption that breaks it never enters a dataset.
    pub fn is_strict(self) -> bool {
        !matches!(self, Self::NearIdentical | Self::WornOpener | Self::WornPhrase)
    }

    /// The rule's stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Plain => "plain",
            Self::Name => "name",
            Self::Stranger => "stranger",
            Self::Looks => "looks",
            Self::Opener => "opener",
            Self::Equal => "equal",
            Self::NearIdentical => "near_identical",
            Self::WornOpener => "worn_opener",
            Self::WornPhrase => "worn_phrase",
        }
    }
}

/// Why a selected image has no caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoCaption {
    /// The model refused, or a content filter did.
    Refused,
    /// No wording passed the rules.
    Unfit,
    /// No answer could be read, or the request was not accepted.
    Failed,
}

impl NoCaption {
    /// The reason's stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unfit => "unfit",
            Self::Failed => "failed",
        }
    }
}
