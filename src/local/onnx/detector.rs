//! A detector of the user's own.

use std::sync::Arc;

use async_trait::async_trait;
use image::RgbImage;
use sha2::{Digest, Sha256};

use super::{
    OnnxOptions, OnnxRuntime,
    boxes::{best_first, decode_end2end, decode_raw, suppress},
    metadata,
    model::Model,
    network::{Defaults, Network, PictureAnswer},
    spec::{Fit, ModelKind, ModelSpec, Names, Resample},
};
use crate::{
    blocking,
    detect::CharacterDetector,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    types::{Cast, Detection, Frame, ProviderInfo},
};

/// What YOLO's own tools use.
const MIN_CONFIDENCE: f32 = 0.25;
const MAX_IOU: f32 = 0.7;
const MAX_DETECTIONS: usize = 300;

/// Finds characters with a detector of the user's own: a YOLO export, with or without suppression in the graph.
///
/// A class that has the name of a character (whatever its case) names that character. Other classes, such as
/// `person`, give boxes with that label whose character is unsure: [`NearestReference`](crate::detect::NearestReference)
/// names them by reference pictures.
///
/// ```no_run
/// use picchu::{Cast, local::onnx::{OnnxDetector, OnnxOptions, OnnxRuntime}};
/// let cast = Cast::load("cast.toml")?;
/// let detector = OnnxDetector::load(&OnnxRuntime::from_env()?, &OnnxOptions::new("yolo.onnx"), &cast)?;
/// println!("{:?}", detector.classes());
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OnnxDetector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    network: Network,
    kind: ModelKind,
    names: Vec<String>,
    /// The character of each class, where it is one.
    characters: Vec<Option<String>>,
    min_confidence: f32,
    max_iou: f32,
    max_detections: usize,
}

impl OnnxDetector {
    /// Loads a model, checks that it is a detector that picchu understands, and runs it once.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a missing file, [`InvalidInput`](ErrorKind::InvalidInput) for one that is
    /// broken or whose shapes, outputs or names do not fit together, [`Unsupported`](ErrorKind::Unsupported) for models
    /// of another kind. The message says what is wrong and what to do.
    pub fn load(runtime: &OnnxRuntime, options: &OnnxOptions, cast: &Cast) -> Result<Self> {
        let load = || Inner::load(runtime, options, cast);
        super::guarded(load)
            .map_err(|e| e.with_provider("onnx").with_context("model", options.model.display()))
            .at(Stage::Detect)
            .map(|inner| Self(Arc::new(inner)))
    }

    /// The names of the model's classes, in its order.
    pub fn classes(&self) -> &[String] {
        &self.0.names
    }

    /// Whether every character of a cast has a class of its own.
    pub fn knows(&self, cast: &Cast) -> bool {
        cast.names().all(|name| self.0.characters.iter().flatten().any(|known| known == name))
    }

    /// Finds characters in one picture. A sync function for callers that have a thread of their own.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) when the model cannot be run.
    pub fn detect_in(&self, picture: &RgbImage) -> Result<Vec<Detection>> {
        let answers = self.0.network.forward(&[picture])?;
        answers.iter().map(|answer| self.0.detections(answer)).next().unwrap_or(Ok(Vec::new()))
    }
}

impl Inner {
    fn load(runtime: &OnnxRuntime, options: &OnnxOptions, cast: &Cast) -> Result<Self> {
        let spec = options.description()?;
        spec.only_for(false)?;
        let network = Network::load(runtime, options, &spec, |model| Defaults {
            fit: Fit::Letterbox,
            resample: Resample::Bilinear,
            size: model.metadata("imgsz").as_deref().and_then(metadata::size),
        })?;
        let model = &network.model;
        if let Some(task) = model.metadata("task").filter(|task| task != "detect") {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the model was exported for the task {task:?}; picchu reads the task \"detect\""),
            ));
        }
        let kind = kind(model, &spec)?;
        let names = names(model, &spec, kind)?;
        let by_lower = |name: &str| {
            let lower = name.trim().to_lowercase();
            cast.names().find(|c| c.to_lowercase() == lower).map(str::to_owned)
        };
        let characters = names.iter().map(|name| by_lower(name)).collect();
        let detector = Self {
            kind,
            names,
            characters,
            min_confidence: spec.min_confidence.unwrap_or(MIN_CONFIDENCE),
            max_iou: spec.max_iou.unwrap_or(MAX_IOU),
            max_detections: spec.max_detections.unwrap_or(MAX_DETECTIONS),
            network,
        };
        // Open axes show their sizes only in an answer.
        let grey = RgbImage::from_pixel(64, 64, image::Rgb([114; 3]));
        for answer in detector.network.forward(&[&grey])? {
            detector.detections(&answer)?;
        }
        Ok(detector)
    }

    fn detections(&self, answer: &PictureAnswer) -> Result<Vec<Detection>> {
        let classes = self.names.len();
        let wrong = |expected: &str| {
            Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the model answered {:?} for a picture; {classes} classes need {expected} (is \"names\" complete?)",
                    answer.shape
                ),
            ))
        };
        let found = match (self.kind, &answer.shape[..]) {
            (ModelKind::YoloEnd2end, [_, 6]) => {
                best_first(decode_end2end(&answer.values, classes, self.min_confidence)?, self.max_detections)
            }
            (ModelKind::YoloEnd2end, _) => return wrong("rows of 6"),
            (_, &[rows, boxes]) if rows == 4 + classes => {
                let found = decode_raw(&answer.values, classes, boxes, self.min_confidence)?;
                suppress(found, self.max_iou, self.max_detections)
            }
            _ => return wrong(&format!("{} rows", 4 + classes)),
        };
        let detections = found.into_iter().filter_map(|found| {
            Some(Detection {
                bounding_box: answer.placement.to_picture(found.corners).clamped()?,
                character: self.characters[found.class].clone(),
                confidence: found.score,
                label: Some(self.names[found.class].clone()),
                alternatives: Vec::new(),
                decided_by: "onnx".to_owned(),
            })
        });
        Ok(detections.collect())
    }
}

/// Which kind of output it is, from the description or else from its shape.
fn kind(model: &Model, spec: &ModelSpec) -> Result<ModelKind> {
    let shape = &model.output_shape;
    let [_, rows, columns] = shape[..] else {
        return Err(Error::invalid(format!(
            "the model's output has the shape {shape:?}; a detector answers pictures × (4 + classes) × boxes \
             (yolo-raw) or pictures × boxes × 6 (yolo-end2end)"
        )));
    };
    let by_shape = if columns == 6 { ModelKind::YoloEnd2end } else { ModelKind::YoloRaw };
    let kind = spec.kind.unwrap_or(by_shape);
    match kind {
        ModelKind::YoloEnd2end if columns != 6 && columns >= 0 => Err(Error::invalid(format!(
            "the model's output has the shape {shape:?}; the kind yolo-end2end has 6 columns. Without suppression in \
             the graph the kind is yolo-raw"
        ))),
        ModelKind::YoloRaw if rows > columns && columns > 4 => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the model's output has the shape {shape:?}: boxes before classes, as YOLO v5 exports it; picchu reads \
                 the output of v8 and later, (4 + classes) × boxes"
            ),
        )),
        kind => Ok(kind),
    }
}

/// The classes' names, from the description or else from the model.
fn names(model: &Model, spec: &ModelSpec, kind: ModelKind) -> Result<Vec<String>> {
    let told = model.metadata("names").as_deref().and_then(metadata::names);
    let names = match (&spec.names, told) {
        (Some(names), _) => names.list()?,
        (None, Some(told)) => {
            Names::Map(told.into_iter().map(|(number, name)| (number.to_string(), name)).collect()).list()?
        }
        (None, None) => {
            return Err(Error::invalid(format!(
                "the model does not tell the names of its classes; say \"names\": [\"…\"] in the description ({})",
                super::DESCRIPTION
            )));
        }
    };
    let rows = model.output_shape[1];
    if kind == ModelKind::YoloRaw && rows >= 0 && rows != 4 + names.len() as i64 {
        return Err(Error::invalid(format!(
            "the model's output has the shape {:?}, so {} classes, but \"names\" has {}",
            model.output_shape,
            rows - 4,
            names.len()
        )));
    }
    Ok(names)
}

#[async_trait]
impl CharacterDetector for OnnxDetector {
    fn info(&self) -> ProviderInfo {
        let inner = &*self.0;
        let settings = serde_json::json!([
            inner.network.preparation,
            inner.kind,
            inner.names,
            inner.characters,
            inner.min_confidence,
            inner.max_iou,
            inner.max_detections,
        ]);
        let hash = crate::source::sha256_string(Sha256::new_with_prefix(settings.to_string()));
        ProviderInfo::new("onnx", inner.network.model.id()).settings(hash).max_batch(inner.network.group())
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let (inner, frames) = (Arc::clone(&self.0), frames.to_vec());
        blocking(move || {
            let pictures: Vec<&RgbImage> = frames.iter().map(|frame| &*frame.image).collect();
            inner.network.forward(&pictures)?.iter().map(|answer| inner.detections(answer)).collect()
        })
        .await
        .map_err(|e: Error| e.with_provider("onnx"))
    }
}
