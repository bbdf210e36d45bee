//! `model.json`: how pictures go into a model and what comes out, checked before anything is run.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Largest file of a description: it holds a few numbers and names.
const MAX_SPEC_BYTES: u64 = 4 << 20;
/// Longest side of a model's input in pixels.
const MAX_SIDE: u32 = 4096;
/// Most classes and most values of a vector.
pub(super) const MAX_WIDTH: usize = 65_536;

/// The description of a model: `yolo.json` beside `yolo.onnx`. What is left out is taken from the model itself, where it
/// tells, or has the default of its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSpec {
    /// What kind of model it is. A detector's kind can be told from its output.
    pub kind: Option<ModelKind>,
    /// Width and height of the input in pixels. Needed where the model leaves them open.
    pub size: Option<[u32; 2]>,
    /// How a picture is brought to that size.
    pub fit: Option<Fit>,
    /// How pixels are interpolated.
    pub resample: Option<Resample>,
    /// Brightness of the border that [`Fit::Letterbox`] adds, 0 to 255.
    pub fill: Option<u8>,
    /// Factor for pixel values of 0 to 255, before `mean` and `std`: 1/255 unless given.
    pub scale: Option<f32>,
    /// What is then taken off each channel.
    pub mean: Option<[f32; 3]>,
    /// What each channel is then divided by.
    pub std: Option<[f32; 3]>,
    /// Order of the input's axes.
    pub layout: Option<Layout>,
    /// Order of the channels.
    pub color: Option<Channels>,
    /// Name of the input; the only one unless given.
    pub input: Option<String>,
    /// Name of the output; the only one, or the first, unless given.
    pub output: Option<String>,
    /// Detectors: the classes' names, by number.
    pub names: Option<Names>,
    /// Detectors: boxes below this score are dropped.
    pub min_confidence: Option<f32>,
    /// Detectors of the kind `yolo-raw`: of two boxes of a class that overlap more than this, the better one stays.
    pub max_iou: Option<f32>,
    /// Detectors: most boxes of a frame.
    pub max_detections: Option<usize>,
    /// Encoders: how tokens become one vector.
    pub pool: Option<Pool>,
    /// Encoders: length of a vector.
    pub dim: Option<usize>,
    /// Encoders: the similarity from which two crops count as near-duplicates.
    #[serde(alias = "default_threshold")]
    pub default_min_similarity: Option<f64>,
}

/// What a model does, and what its output looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ModelKind {
    /// Boxes as YOLO v8 and v11 export them: 1 × (4 + classes) × boxes, centre and size in pixels, scores 0..1.
    YoloRaw,
    /// Boxes after the model's own suppression: 1 × boxes × 6, corners in pixels, score, class.
    #[serde(rename = "yolo-end2end")]
    YoloEnd2end,
    /// A vector a picture: pictures × values, or pictures × tokens × values.
    Embedder,
}

/// How a picture is brought to the model's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The whole picture in its own aspect, in the middle of a plain border.
    Letterbox,
    /// The whole picture, out of its aspect if need be.
    Stretch,
    /// The middle of the picture: the shorter side fits and the longer one is cut.
    ShorterSideCrop,
}

/// How pixels are interpolated; each averages where a picture is made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resample {
    /// Straight lines between pixels.
    Bilinear,
    /// Curves between pixels (Catmull-Rom), as Pillow does.
    Bicubic,
}

/// Order of the input's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Pictures, channels, rows, columns.
    Nchw,
    /// Pictures, rows, columns, channels.
    Nhwc,
}

/// Order of the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The first token.
    Cls,
    /// The mean of all tokens.
    Mean,
}

/// The classes' names, as a list or by number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// In the order of the classes.
    List(Vec<String>),
    /// By number, as JSON writes it; every number from 0 must be there.
    Map(BTreeMap<String, String>),
}

impl Names {
    /// The names in the order of the classes.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for none, for too many, and for a gap in the numbers.
    pub fn list(&self) -> Result<Vec<String>> {
        let names = match self {
            Self::List(names) => names.clone(),
            Self::Map(names) => {
                let mut numbered = BTreeMap::new();
                for (number, name) in names {
                    let class: usize = number.parse().map_err(|_| {
                        Error::invalid(format!(
                            "names has the class {number:?}; number the classes from 0 on"
                        ))
                    })?;
                    numbered.insert(class, name.clone());
                }
                if let Some(gap) = (0..numbered.len()).find(|class| !numbered.contains_key(class)) {
                    return Err(Error::invalid(format!("names has no class {gap}; number them from 0 on")));
                }
                numbered.into_values().collect()
            }
        };
        if names.is_empty() || names.len() > MAX_WIDTH {
            return Err(Error::invalid(format!(
                "names has {} classes; 1 to {MAX_WIDTH} are allowed",
                names.len()
            )));
        }
        Ok(names)
    }
}

impl ModelSpec {
    /// Reads the description that lies beside a model under the model's name with the ending `.json`. A model
    /// without one has an empty description.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a file that is not a description; the message names the field.
    pub fn beside(model: &Path) -> Result<Self> {
        let path = model.with_extension("json");
        if path.exists() { Self::load(&path) } else { Ok(Self::default()) }
    }

    /// Reads a description.
    ///
    /// # Errors
    /// As [`beside`](Self::beside), and [`NotFound`](ErrorKind::NotFound) for a missing file.
    pub fn load(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path).map_err(|e| Error::io("read the description", path, e))?.len();
        if size > MAX_SPEC_BYTES {
            return Err(Error::invalid(format!(
                "{} has {size} bytes; that is not the description of a model",
                path.display()
            )));
        }
        let body = std::fs::read(path).map_err(|e| Error::io("read the description", path, e))?;
        let spec: Self = serde_json::from_slice(&body).map_err(|e| {
            Error::invalid(format!("{} is not the description of a model: {e}", path.display()))
                .with_source(e)
        })?;
        spec.check().map_err(|e| Error::invalid(format!("{}: {}", path.display(), e.message())))?;
        Ok(spec)
    }

    /// Checks that every value that is given makes sense.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) names the field, its value and what is allowed.
    pub fn check(&self) -> Result<()> {
        let refuse = |field: &str, value: String, allowed: &str| {
            Err(Error::invalid(format!("{field} is {value}; it must be {allowed}")))
        };
        if let Some(size) = self.size
            && size.iter().any(|side| !(1..=MAX_SIDE).contains(side))
        {
            return refuse("size", format!("{size:?}"), "[width, height], each 1 to 4096");
        }
        if let Some(scale) = self.scale
            && !(scale.is_finite() && scale > 0.0)
        {
            return refuse("scale", scale.to_string(), "above 0, for example 0.00392156862745098 for 1/255");
        }
        if let Some(mean) = self.mean
            && !mean.iter().all(|v| v.is_finite())
        {
            return refuse("mean", format!("{mean:?}"), "three finite numbers");
        }
        if let Some(std) = self.std
            && !std.iter().all(|v| v.is_finite() && *v > 0.0)
        {
            return refuse("std", format!("{std:?}"), "three numbers above 0");
        }
        for (field, value) in [("min_confidence", self.min_confidence), ("max_iou", self.max_iou)] {
            if let Some(value) = value
                && !(0.0..=1.0).contains(&value)
            {
                return refuse(field, value.to_string(), "0 to 1");
            }
        }
        if let Some(most) = self.max_detections
            && !(1..=10_000).contains(&most)
        {
            return refuse("max_detections", most.to_string(), "1 to 10000");
        }
        if let Some(dim) = self.dim
            && !(1..=MAX_WIDTH).contains(&dim)
        {
            return refuse("dim", dim.to_string(), "1 to 65536");
        }
        if let Some(least) = self.default_min_similarity
            && !(least > -1.0 && least <= 1.0)
        {
            return refuse("default_min_similarity", least.to_string(), "above -1 and at most 1");
        }
        self.names.as_ref().map_or(Ok(()), |names| names.list().map(drop))
    }

    /// The same without the words of the other kind of model.
    pub(super) fn only_for(&self, embedder: bool) -> Result<()> {
        let strangers: &[(&str, bool)] = if embedder {
            &[
                ("names", self.names.is_some()),
                ("min_confidence", self.min_confidence.is_some()),
                ("max_iou", self.max_iou.is_some()),
                ("max_detections", self.max_detections.is_some()),
            ]
        } else {
            &[
                ("pool", self.pool.is_some()),
                ("dim", self.dim.is_some()),
                ("default_min_similarity", self.default_min_similarity.is_some()),
            ]
        };
        let (asked, other) = if embedder { ("an encoder", "detectors") } else { ("a detector", "encoders") };
        match (self.kind, embedder) {
            (Some(ModelKind::Embedder), false)
            | (Some(ModelKind::YoloRaw | ModelKind::YoloEnd2end), true) => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("kind says that this model belongs to {other}, but {asked} is asked for"),
                ));
            }
            _ => {}
        }
        match strangers.iter().find(|(_, given)| *given) {
            Some((field, _)) => {
                Err(Error::invalid(format!("{field} is for {other}, but {asked} is asked for; leave it out")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<ModelSpec> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("m.json"), json).unwrap();
        ModelSpec::beside(&dir.path().join("m.onnx"))
    }

    #[test]
    fn a_description_is_read_as_it_is_documented() {
        let spec = parse(
            r#"{"kind":"embedder","size":[224,224],"fit":"shorter-side-crop","resample":"bicubic",
                "scale":0.00392156862745098,"mean":[0.48145466,0.4578275,0.40821073],
                "std":[0.26862954,0.26130258,0.27577711],"layout":"nchw","color":"rgb","input":"pixel_values",
                "output":"image_embeds","pool":null,"dim":512,"default_threshold":0.95}"#,
        )
        .unwrap();
        assert_eq!(spec.kind, Some(ModelKind::Embedder));
        assert_eq!(spec.default_min_similarity, Some(0.95));
        spec.only_for(true).unwrap();
        assert!(spec.only_for(false).unwrap_err().message().contains("detector"));
        assert_eq!(parse(r#"{"kind":"yolo-end2end"}"#).unwrap().kind, Some(ModelKind::YoloEnd2end));
        assert_eq!(ModelSpec::beside(Path::new("nowhere.onnx")).unwrap(), ModelSpec::default());
    }

    #[test]
    fn wrong_descriptions_name_the_field() {
        for (json, field) in [
            ("", "not the description"),
            ("3", "not the description"),
            (r#"{"kind":"yolo"}"#, "yolo-raw"),
            (r#"{"stride":32}"#, "stride"),
            (r#"{"size":[0,224]}"#, "size"),
            (r#"{"size":[224,99999]}"#, "size"),
            (r#"{"scale":0}"#, "scale"),
            (r#"{"mean":[1e99,0,0]}"#, "mean"),
            (r#"{"std":[1,0,1]}"#, "std"),
            (r#"{"min_confidence":1.5}"#, "min_confidence"),
            (r#"{"max_iou":-1}"#, "max_iou"),
            (r#"{"max_detections":0}"#, "max_detections"),
            (r#"{"dim":0}"#, "dim"),
            (r#"{"default_min_similarity":1.2}"#, "default_min_similarity"),
            (r#"{"names":[]}"#, "names"),
            (r#"{"names":{"0":"a","2":"b"}}"#, "no class 1"),
            (r#"{"names":{"cat":"0"}}"#, "the class \"cat\""),
        ] {
            let error = parse(json).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{json}");
            assert!(error.message().contains(field) && error.message().contains("m.json"), "{json}: {error}");
        }
    }

    #[test]
    fn names_are_lists_or_maps() {
        let list = parse(r#"{"names":["cat","dog"]}"#).unwrap().names.unwrap();
        let map = parse(r#"{"names":{"1":"dog","0":"cat"}}"#).unwrap().names.unwrap();
        assert_eq!(list.list().unwrap(), map.list().unwrap());
        let many: Vec<String> = (0..12).map(|n| format!("\"{n}\":\"class {n}\"")).collect();
        let many = parse(&format!("{{\"names\":{{{}}}}}", many.join(","))).unwrap().names.unwrap();
        assert_eq!(many.list().unwrap()[10], "class 10", "by number, not by letters");
    }
}
