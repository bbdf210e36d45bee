//! The tasks of the project: one an image.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::{
    BOX, CAPTION, CHARACTER, IMAGE,
    config::{choice, choices, config},
};
use crate::{
    dataset::{Dataset, box_in_percent, review_page::small},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    types::{CropRecord, Record},
};

/// Pictures read ahead.
const READ_AHEAD: usize = 8;

/// How to make the project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where Label Studio finds the pictures.
    pub pictures: Pictures,
    /// Only images that no person decided about yet.
    pub unreviewed: bool,
}

/// Where Label Studio finds the pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pictures {
    /// In the tasks themselves, as JPEG files of at most `side` pixels a side. Nothing has to be set up.
    Embedded {
        /// Longest side in pixels, 64 to 2048.
        side: u32,
    },
    /// Below an address, followed by the image's key in the dataset (`images/…`): `/data/local-files/?d=film/dataset` for
    /// Label Studio's local files, `s3://bucket/film` for a storage that it is connected to, or `https://…`.
    At(String),
}

impl Default for Pictures {
    fn default() -> Self {
        Self::Embedded { side: 1024 }
    }
}

/// What a project in Label Studio is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// How many tasks there are.
    pub count: usize,
    /// The tasks as JSON, to import.
    pub tasks: Vec<u8>,
    /// The labeling interface, for *Settings, Labeling Interface, Code*.
    pub config: String,
}

impl Dataset {
    /// The images that people are to decide about, as a project of Label Studio: those that were selected, or that nobody
    /// could name. Each task has the record's id in `data` and in `meta`, and a prediction with the name, the box and the
    /// caption that count so far. Equal datasets and options give equal bytes.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is nothing to decide about, [`InvalidInput`](ErrorKind::InvalidInput)
    /// for options out of range, for images that are not those that were written, and for names that Label Studio could
    /// not tell apart.
    pub async fn label_studio_project(&self, options: &Options) -> Result<Project> {
        match &options.pictures {
            Pictures::Embedded { side } if !(64..=2048).contains(side) => {
                return Err(
                    Error::invalid(format!("side is {side}; it must be 64 to 2048")).at(Stage::Review)
                );
            }
            Pictures::At(address) if address.trim().is_empty() => {
                return Err(Error::invalid("the address of the pictures is empty").at(Stage::Review));
            }
            _ => {}
        }
        let config = config(&choices(self)?);
        let wanted: Vec<_> =
            self.for_review(options.unreviewed).map(|record| self.task(record, &options.pictures)).collect();
        let tasks: Vec<Value> =
            stream::iter(wanted).buffered(READ_AHEAD).try_collect().await.at(Stage::Review)?;
        if tasks.is_empty() {
            let message =
                "there is nothing to review: no image was selected or is unsure, or all were reviewed";
            return Err(Error::new(ErrorKind::NotFound, message).at(Stage::Review));
        }
        let body = serde_json::to_vec_pretty(&tasks)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")).at(Stage::Review))?;
        Ok(Project { count: tasks.len(), tasks: body, config })
    }

    async fn task(&self, raw: &Record, pictures: &Pictures) -> Result<Value> {
        let record = self.corrected(raw);
        let Some(crop) = &record.crop else {
            return Err(Error::internal(format!("record {} has no image", record.id)));
        };
        let picture = match pictures {
            Pictures::At(address) => {
                let slash = if address.ends_with(['/', '=']) { "" } else { "/" };
                format!("{address}{slash}{}", crop.image)
            }
            Pictures::Embedded { side } => {
                let (image, side) = (self.image(record).await?, *side);
                let encode = move || Ok(BASE64_STANDARD.encode(small(&image, side)?));
                format!("data:image/jpeg;base64,{}", crate::blocking(encode).await?)
            }
        };
        let shown = self.shown(raw);
        let (detection, frame) = (&raw.detection, &raw.frame);
        Ok(json!({
            "data": {
                "record": raw.id,
                IMAGE: picture,
                CHARACTER: shown.character.as_deref().unwrap_or_default(),
                CAPTION: shown.caption.as_deref().unwrap_or_default(),
                "outcome": raw.outcome.as_str(),
                "detected": detection.character.as_deref().unwrap_or_default(),
                "confidence": detection.confidence,
                "time": frame.time.as_secs_f64(),
                "frame": {"width": frame.width, "height": frame.height},
                "frame_box": detection.bounding_box,
            },
            "meta": {"record": raw.id, "film": raw.film, "image": crop.image, "sha256": crop.sha256},
            "predictions": [{
                "model_version": detection.decided_by,
                "score": detection.confidence,
                "result": predicted(record, crop, shown.character.as_deref(), shown.caption.as_deref()),
            }],
        }))
    }
}

/// The answer so far, as Label Studio writes answers: what a person begins with.
fn predicted(
    record: &Record,
    crop: &CropRecord,
    character: Option<&str>,
    caption: Option<&str>,
) -> Vec<Value> {
    let region = |name: &str, kind: &str, value: Value| json!({"id": name, "from_name": name, "to_name": IMAGE, "type": kind, "value": value});
    let mut place = box_in_percent(record);
    place["rotation"] = 0.into();
    let mut own = region(BOX, "rectangle", place);
    own["original_width"] = crop.width.into();
    own["original_height"] = crop.height.into();
    own["image_rotation"] = 0.into();
    let mut result = vec![own];
    result.extend(character.map(|name| region(CHARACTER, "choices", json!({"choices": [choice(name)]}))));
    result.extend(caption.map(|text| region(CAPTION, "textarea", json!({"text": [text]}))));
    result
}
