//! What a Rekognition detector may be told.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Options of a [`RekognitionDetector`](super::RekognitionDetector). Confidences and similarities are 0..1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RekognitionOptions {
    /// Labels to look for on behalf of characters that have none in the cast.
    pub labels: Vec<String>,
    /// Labels below this confidence are left out by the service.
    pub min_confidence: f32,
    /// Most labels of a frame.
    pub max_labels: u32,
    /// Whether a frame without any of the labels is taken to show nobody, and costs one call. Turn this off for films
    /// whose characters the service does not know as persons or animals.
    pub labels_first: bool,
    /// The collection of faces that `picchu cast enrol` filled; without one, faces are not looked at.
    pub collection: Option<String>,
    /// Whether to search users, which join the faces of a character, instead of single faces.
    pub search_users: bool,
    /// Faces less similar than this do not match.
    pub min_similarity: f32,
    /// How much more similar than the next character the first must be; below that the answer is "unsure".
    pub min_lead: f32,
    /// Room around a face when it is cut for the search, as a fraction of its box on each side.
    pub face_margin: f32,
    /// How a face's box grows to its character where no label's box holds it.
    pub character: FaceGrowth,
    /// A trained model for what labels and faces leave unsure.
    pub custom_labels: Option<CustomLabelsOptions>,
    /// Calls at once, of each operation.
    pub concurrency: usize,
    /// Calls a second of each image operation; the Region's documented quota where it is `None`.
    pub calls_per_second: Option<f64>,
    /// Where frames are put for the service to read, in the bucket's Region; sent with each call where it is `None`.
    pub frames_at: Option<FramesAt>,
}

impl Default for RekognitionOptions {
    fn default() -> Self {
        Self {
            labels: vec!["Person".into()],
            min_confidence: 0.55,
            max_labels: 100,
            labels_first: true,
            collection: None,
            search_users: false,
            min_similarity: 0.8,
            min_lead: 0.03,
            face_margin: 0.4,
            character: FaceGrowth::default(),
            custom_labels: None,
            concurrency: 16,
            calls_per_second: None,
            frames_at: None,
        }
    }
}

/// From a face to its character, in sizes of the face.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaceGrowth {
    /// On each side, in widths.
    pub sides: f32,
    /// Above, in heights: hair.
    pub above: f32,
    /// Below, in heights: the body.
    pub below: f32,
}

impl Default for FaceGrowth {
    /// A drawn figure of four to five heads.
    fn default() -> Self {
        Self { sides: 0.9, above: 0.6, below: 3.5 }
    }
}

/// A trained Custom Labels model, whose labels are the names of the cast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomLabelsOptions {
    /// ARN of the model's version.
    pub version: String,
    /// ARN of its project, which starting needs.
    #[serde(default)]
    pub project: Option<String>,
    /// Whether to start the version for the run and to stop it after. **A running version bills by the hour**.
    #[serde(default)]
    pub start: bool,
    /// How many inference units to start, 1 to 5.
    #[serde(default = "one")]
    pub inference_units: u32,
    /// Labels below this confidence do not count; the model's own thresholds where it is `None`.
    #[serde(default)]
    pub min_confidence: Option<f32>,
    /// How often to look whether a version has started, in seconds.
    #[serde(default = "ten_seconds")]
    pub poll_seconds: f64,
}

fn one() -> u32 {
    1
}

fn ten_seconds() -> f64 {
    10.0
}

impl CustomLabelsOptions {
    /// A version that runs already.
    pub fn running(version: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            project: None,
            start: false,
            inference_units: one(),
            min_confidence: None,
            poll_seconds: ten_seconds(),
        }
    }
}

/// A place in S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FramesAt {
    /// The bucket.
    pub bucket: String,
    /// What the keys begin with, without a slash at the end.
    #[serde(default)]
    pub prefix: String,
}

impl RekognitionOptions {
    /// Refuses what makes no sense or what the service would refuse for every frame.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the option.
    pub fn validate(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid(what));
        for (name, value) in [
            ("min_confidence", self.min_confidence),
            ("min_similarity", self.min_similarity),
            ("min_lead", self.min_lead),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return refuse(format!("{name} is {value}; it must be 0 to 1"));
            }
        }
        if !(0.0..=4.0).contains(&self.face_margin) {
            return refuse(format!("face_margin is {}; it must be 0 to 4", self.face_margin));
        }
        let growth = [self.character.sides, self.character.above, self.character.below];
        if growth.iter().any(|g| !(0.0..=20.0).contains(g)) {
            return refuse(format!("{:?} is out of range; each must be 0 to 20", self.character));
        }
        if !(1..=1000).contains(&self.max_labels) {
            return refuse(format!("max_labels is {}; it must be 1 to 1000", self.max_labels));
        }
        if let Some(id) = &self.collection
            && !is_collection_id(id)
        {
            return refuse(format!(
                "{id:?} is not the id of a collection: letters, digits, '_', '.' and '-'"
            ));
        }
        if let Some(model) = &self.custom_labels {
            if !model.version.starts_with("arn:") || !model.version.contains("/version/") {
                return refuse(format!("{:?} is not the ARN of a model's version", model.version));
            }
            if !(1..=5).contains(&model.inference_units) {
                return refuse(format!("inference_units is {}; it must be 1 to 5", model.inference_units));
            }
            if model.start && model.project.is_none() {
                return refuse("starting a model needs the ARN of its project".into());
            }
        }
        Ok(())
    }
}

pub(super) fn is_collection_id(id: &str) -> bool {
    (1..=255).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
