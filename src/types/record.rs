//! One line of a dataset: a candidate image with its whole lineage.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BoundingBox, Caption, Detection, NoCaption, PixelRect, Quality, Subject, frame::seconds};

/// A candidate for training, from the film's frame to its caption. One line of `records.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Unique in the dataset and stable between runs: film, time in milliseconds, number at that time.
    pub id: String,
    /// Fingerprint of the film.
    pub film: String,
    /// Which frame it was cut from.
    pub frame: FrameRecord,
    /// What the detector answered.
    pub detection: Detection,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The image, where one was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<CropRecord>,
    /// Every named character in the image, the record's own first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// Which embedding stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingRow>,
    /// Its caption, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<Caption>,
}

impl Record {
    /// The character that the crop was cut for, if the detector was sure.
    pub fn character(&self) -> Option<&str> {
        self.detection.character.as_deref()
    }

    /// The detector's box in ratios of the record's image, as far as it is inside; `None` where there is no image or
    /// nothing of the box is in it.
    pub fn box_in_image(&self) -> Option<BoundingBox> {
        let window = BoundingBox::from_pixels(self.crop.as_ref()?.rect, self.frame.width, self.frame.height);
        self.detection.bounding_box.relative_to(window).clamped()
    }

    /// Whether dedupe kept it.
    pub fn is_kept(&self) -> bool {
        self.outcome == Outcome::Kept
    }
}

/// The frame of a record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameRecord {
    /// Number of the sample.
    pub index: u64,
    /// Presentation time in seconds.
    #[serde(with = "seconds")]
    pub time: Duration,
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// Number of the film's shot that it belongs to, where the film was looked at for shots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shot: Option<u32>,
    /// Number of the film's drawing that it shows, where the film was looked at for shots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawing: Option<u32>,
}

/// The image of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CropRecord {
    /// Key of the image in the dataset, for example `images/film-00012000-0.png`.
    pub image: String,
    /// `sha256:` and the hash of the image file.
    pub sha256: String,
    /// Size of the image file in bytes.
    pub size_bytes: u64,
    /// Rectangle of the frame that was cut, in the frame's pixels.
    pub rect: PixelRect,
    /// Width of the image in pixels.
    pub width: u32,
    /// Height of the image in pixels.
    pub height: u32,
    /// Output pixels per source pixel.
    pub scale: f32,
    /// Measured quality.
    pub quality: Quality,
    /// How bright the image is on average, 0 black to 1 white; not measured in datasets of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub light: Option<f32>,
}

/// The embedding of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingRow {
    /// Id of the model, with version and dimension.
    pub model: String,
    /// Row in `embeddings.npy`.
    pub row: u32,
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Selected for the dataset.
    Kept,
    /// A kept record shows the same; nothing was deleted.
    Duplicate {
        /// Id of the kept record that covers it.
        covered_by: String,
        /// Cosine similarity to that record, -1..1.
        similarity: f32,
    },
    /// Somebody is there, but the detector is unsure who. Waits for review.
    Unsure,
    /// Left out by a rule, for example because the character is too small.
    Skipped {
        /// Which rule, in words.
        reason: String,
    },
    /// Selected, but no caption could be had. A person may still write one.
    Uncaptioned {
        /// What stood in the way.
        why: NoCaption,
        /// The last try, in words.
        reason: String,
    },
    /// Could not be processed; the run went on.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

impl Outcome {
    /// The outcome's name, as in `records.jsonl`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Duplicate { .. } => "duplicate",
            Self::Unsure => "unsure",
            Self::Skipped { .. } => "skipped",
            Self::Uncaptioned { .. } => "uncaptioned",
            Self::Failed { .. } => "failed",
        }
    }
}
