//! Models of the user's own, on small files made here. They need the ONNX Runtime library (`make test` gets it); without
//! it the tests say that they were skipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use image::{Rgb, RgbImage};
use picchu::{
    Cast, CharacterDetector as _, Embedder as _, ErrorKind,
    detect::NearestReference,
    local::onnx::{OnnxDetector, OnnxEmbedder, OnnxOptions, OnnxRuntime},
    testing::{SyntheticFilm, conformance},
    types::{BoundingBox, Character, Crop, Frame, PixelRect},
};
use proptest::prelude::*;

use crate::onnx_file::{OnnxFile, Type};

/// The library, or a word on why the test is skipped. A library that was named has to be there.
fn runtime() -> Option<OnnxRuntime> {
    match OnnxRuntime::from_env() {
        Ok(runtime) => Some(runtime),
        Err(e) => {
            let named = std::env::var_os("ORT_DYLIB_PATH").is_some_and(|path| !path.is_empty());
            assert!(!named, "{e}");
            #[allow(clippy::print_stderr)]
            {
                eprintln!("skipped, there is no ONNX Runtime here: {e}");
            }
            None
        }
    }
}

/// A model and its description in a folder of their own.
struct Place(tempfile::TempDir);

impl Place {
    fn with(model: &OnnxFile, description: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.model(), model.encode()).unwrap();
        if !description.is_empty() {
            fs::write(place.0.path().join("model.json"), description).unwrap();
        }
        place
    }

    fn model(&self) -> PathBuf {
        self.0.path().join("model.onnx")
    }

    fn options(&self) -> OnnxOptions {
        OnnxOptions::new(self.model()).threads(1)
    }

    fn embedder(&self, runtime: &OnnxRuntime) -> picchu::Result<OnnxEmbedder> {
        OnnxEmbedder::load(runtime, &self.options())
    }

    fn detector(&self, runtime: &OnnxRuntime) -> picchu::Result<OnnxDetector> {
        OnnxDetector::load(runtime, &self.options(), &cast())
    }
}

fn cast() -> Cast {
    let character = |name: &str| Character { name: name.into(), ..Character::default() };
    Cast { characters: vec![character("Ana"), character("Bo")] }
}

/// The mean colour of each picture, 0..1: shape (pictures, 3).
fn mean_colour(pictures: i64, side: i64) -> OnnxFile {
    OnnxFile::default()
        .input("pixels", Type::Float, &[pictures, 3, side, side])
        .output("vector", Type::Float, &[pictures, 3])
        .node("GlobalAveragePool", &["pixels"], "pooled", &[])
        .node("Flatten", &["pooled"], "vector", &[])
}

/// The pixels as tokens: shape (pictures, pixels, 3).
fn pixels_as_tokens(side: i64) -> OnnxFile {
    OnnxFile::default()
        .input("pixels", Type::Float, &[-1, 3, side, side])
        .output("tokens", Type::Float, &[-1, side * side, 3])
        .integers("shape", &[0, 3, -1])
        .node("Reshape", &["pixels", "shape"], "rows", &[])
        .node("Transpose", &["rows"], "tokens", &[("perm", &[0, 2, 1])])
}

/// A detector whose numbers are a linear function of the picture's mean colour: `weights` and `biases` have a value for
/// each of the output's `shape` (without the pictures).
fn linear_detector(pictures: i64, shape: [i64; 2], weights: &[[f32; 3]], biases: &[f32]) -> OnnxFile {
    let count = shape[0] * shape[1];
    let columns: Vec<f32> = (0..3).flat_map(|channel| weights.iter().map(move |w| w[channel])).collect();
    OnnxFile::default()
        .input("images", Type::Float, &[pictures, 3, 64, 64])
        .output("output0", Type::Float, &[pictures, shape[0], shape[1]])
        .node("GlobalAveragePool", &["images"], "pooled", &[])
        .node("Flatten", &["pooled"], "colour", &[])
        .floats("weights", &[3, count], &columns)
        .floats("biases", &[count], biases)
        .node("MatMul", &["colour", "weights"], "product", &[])
        .node("Add", &["product", "biases"], "flat", &[])
        .integers("shape", &[-1, shape[0], shape[1]])
        .node("Reshape", &["flat", "shape"], "output0", &[])
}

fn frame(width: u32, height: u32, colour: [u8; 3]) -> Frame {
    Frame::new(0, Duration::ZERO, RgbImage::from_pixel(width, height, Rgb(colour)))
}

fn crop(image: RgbImage) -> Crop {
    let rect = PixelRect::new(0, 0, image.width(), image.height());
    Crop { rect, scale: 1.0, image: Arc::new(image) }
}

fn speckled(seed: u32, side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| {
        let v = x.wrapping_mul(31).wrapping_add(y.wrapping_mul(57)).wrapping_add(seed * 101);
        Rgb([(v % 251) as u8, (v / 3 % 241) as u8, (v / 7 % 239) as u8])
    })
}

const PLAIN: &str = r#"{"kind":"embedder","default_min_similarity":0.99}"#;

#[tokio::test]
async fn an_encoder_gives_the_vectors_of_its_model() {
    let Some(runtime) = runtime() else { return };
    let norms =
        r#"{"kind":"embedder","default_min_similarity":0.97,"mean":[0.5,0.25,0.0],"std":[0.5,0.25,2.0]}"#;
    for pictures in [-1, 1, 4] {
        let place = Place::with(&mean_colour(pictures, 8), norms);
        let embedder = place.embedder(&runtime).unwrap();
        assert_eq!(embedder.dimensions(), 3);
        assert!((embedder.default_min_similarity() - 0.97).abs() < 1e-9);
        let crops: Vec<Crop> = (0..5).map(|seed| crop(speckled(seed, 8))).collect();
        let rows = embedder.embed(&crops).await.unwrap();
        assert_eq!(rows.model(), embedder.info().model);
        for (crop, row) in crops.iter().zip(rows.view().rows()) {
            let mut mean = [0.0f64; 3];
            for pixel in crop.image.pixels() {
                for channel in 0..3 {
                    let (mid, width) = ([0.5, 0.25, 0.0][channel], [0.5, 0.25, 2.0][channel]);
                    mean[channel] += (f64::from(pixel[channel]) / 255.0 - mid) / width / 64.0;
                }
            }
            let norm = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
            for (channel, value) in row.iter().enumerate() {
                assert!(
                    (f64::from(*value) - mean[channel] / norm).abs() < 1e-5,
                    "{pictures}: {row} {mean:?}"
                );
            }
        }
        conformance::embedder(&embedder).await;
    }
}

#[tokio::test]
async fn tokens_are_pooled_as_asked() {
    let Some(runtime) = runtime() else { return };
    let picture = speckled(3, 8);
    let cls = Place::with(&pixels_as_tokens(8), r#"{"pool":"cls","default_threshold":0.9,"dim":3}"#);
    let row = cls.embedder(&runtime).unwrap().describe(&[&picture]).unwrap();
    let first = picture.get_pixel(0, 0);
    for channel in 0..3 {
        assert!((row[[0, channel]] - f32::from(first[channel]) / 255.0).abs() < 1e-6);
    }
    let mean = Place::with(&pixels_as_tokens(8), r#"{"pool":"mean","default_threshold":0.9}"#);
    let means = Place::with(&mean_colour(1, 8), PLAIN);
    let a = mean.embedder(&runtime).unwrap().describe(&[&picture]).unwrap();
    let b = means.embedder(&runtime).unwrap().describe(&[&picture]).unwrap();
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6), "{a} {b}");
}

#[tokio::test]
async fn a_model_that_mixes_its_group_gets_one_picture_at_a_time() {
    let Some(runtime) = runtime() else { return };
    // The mean over the pictures of a call is added to each: the answer depends on the others.
    let model = OnnxFile::default()
        .input("pixels", Type::Float, &[-1, 3, 8, 8])
        .output("vector", Type::Float, &[-1, 3])
        .node("GlobalAveragePool", &["pixels"], "pooled", &[])
        .node("Flatten", &["pooled"], "colour", &[])
        .node("ReduceMean", &["colour"], "all", &[("axes", &[0])])
        .node("Add", &["colour", "all"], "vector", &[]);
    let embedder = Place::with(&model, PLAIN).embedder(&runtime).unwrap();
    assert_eq!(embedder.info().max_batch, 1);
    conformance::embedder(&embedder).await;
    // One that says any number, but has the number 1 built in.
    let model = OnnxFile::default()
        .input("pixels", Type::Float, &[-1, 3, 8, 8])
        .output("vector", Type::Float, &[-1, 192])
        .integers("shape", &[1, 192])
        .node("Reshape", &["pixels", "shape"], "vector", &[]);
    let embedder = Place::with(&model, PLAIN).embedder(&runtime).unwrap();
    assert_eq!((embedder.info().max_batch, embedder.dimensions()), (1, 192));
    conformance::embedder(&embedder).await;
}

#[tokio::test]
async fn yolo_boxes_come_back_in_ratios_of_the_frame() {
    let Some(runtime) = runtime() else { return };
    // Columns are boxes. A frame of 128 × 64 lies in rows 16 to 48 of the input.
    #[rustfmt::skip]
    let biases = [
        32.0, 33.0, 16.0,  60.0, // centre x
        32.0, 32.0, 32.0,  46.0, // centre y
        32.0, 32.0, 16.0,  40.0, // width
        16.0, 16.0, 32.0,  40.0, // height
         0.9,  0.8,  0.0,   0.1, // Ana
         0.0,  0.0,  0.0,   0.6, // person
    ];
    let mut weights = [[0.0; 3]; 24];
    weights[16 + 2] = [0.5, 0.0, 0.0]; // the third box is Ana as far as the picture is red
    let model = linear_detector(-1, [6, 4], &weights, &biases).metadata("names", "{0: 'ANA', 1: 'person'}");
    let place = Place::with(&model, "");
    let detector = place.detector(&runtime).unwrap();
    assert_eq!(detector.classes(), ["ANA", "person"]);
    let answers = detector.detect(&[frame(128, 64, [255, 0, 0]), frame(128, 64, [0, 0, 255])]).await.unwrap();
    let summary: Vec<Vec<_>> = answers
        .iter()
        .map(|found| found.iter().map(|d| (d.character.as_deref(), d.label.as_deref())).collect())
        .collect();
    let (ana, person) = ((Some("Ana"), Some("ANA")), (None, Some("person")));
    assert_eq!(summary, [vec![ana, person, ana], vec![ana, person]], "the second box covers the first");
    let near = |a: BoundingBox, b: BoundingBox| {
        [(a.left, b.left), (a.top, b.top), (a.width, b.width), (a.height, b.height)]
            .iter()
            .all(|(a, b)| (a - b).abs() < 1e-5)
    };
    let first = &answers[0][0];
    assert!(near(first.bounding_box, BoundingBox::new(0.25, 0.25, 0.5, 0.5)), "{first:?}");
    assert!((first.confidence - 0.9).abs() < 1e-4);
    // Left of 40, beyond the right and lower edges of the frame: clamped.
    let clamped = BoundingBox::new(0.625, 0.3125, 0.375, 0.6875);
    assert!(near(answers[0][1].bounding_box, clamped), "{:?}", answers[0][1]);
    // Half of the input is the border's grey.
    let red = f32::midpoint(1.0, 114.0 / 255.0);
    assert!((answers[0][2].confidence - 0.5 * red).abs() < 1e-4);
    conformance::detector(&detector, &SyntheticFilm::new(4)).await;
}

#[tokio::test]
async fn boxes_after_suppression_are_taken_as_they_are() {
    let Some(runtime) = runtime() else { return };
    #[rustfmt::skip]
    let biases = [
        0.0, 16.0, 32.0, 48.0, 0.8, 1.0,
        1.0, 16.0, 33.0, 48.0, 0.7, 1.0,
        0.0,  0.0,  0.0,  0.0, 0.0, 0.0,
    ];
    let model = linear_detector(1, [3, 6], &[[0.0; 3]; 18], &biases);
    for description in
        [r#"{"names":["cat","bo"]}"#, r#"{"kind":"yolo-end2end","names":{"0":"cat","1":"bo"}}"#]
    {
        let place = Place::with(&model, description);
        let detector = place.detector(&runtime).unwrap();
        let found = detector.detect_in(&RgbImage::new(128, 64)).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].character.as_deref(), Some("Bo"));
        assert!((found[0].bounding_box.width - 0.5).abs() < 1e-6 && found[0].bounding_box.top.abs() < 1e-6);
        conformance::detector(&detector, &SyntheticFilm::new(4)).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What the library answers, decoded here from its definition, is what the detector answers.
    #[test]
    fn detectors_answer_as_their_definition(
        boxes in proptest::collection::vec((0.0f32..64.0, 0.0f32..64.0, 4.0f32..40.0, 4.0f32..40.0), 9),
        scores in proptest::collection::vec(0.0f32..0.8, 18),
        colour in proptest::array::uniform3(0u8..=255),
        pull in -0.2f32..0.2,
    ) {
        let Some(runtime) = runtime() else { return Ok(()) };
        let columns = |f: fn(&(f32, f32, f32, f32)) -> f32| boxes.iter().map(f).collect::<Vec<_>>();
        let biases = [columns(|b| b.0), columns(|b| b.1), columns(|b| b.2), columns(|b| b.3), scores.clone()].concat();
        let mut weights = vec![[0.0; 3]; 54];
        weights[36..].fill([pull, 0.0, 0.0]);
        let model = linear_detector(1, [6, 9], &weights, &biases);
        let place = Place::with(&model, r#"{"names":["Ana","thing"],"max_iou":0.45}"#);
        let found = place.detector(&runtime).unwrap().detect_in(&RgbImage::from_pixel(64, 64, Rgb(colour)));
        let shift = pull * f32::from(colour[0]) / 255.0;
        let shifted: Vec<f32> = scores.iter().map(|s| s + shift).collect();
        let found = found.unwrap();
        // Class, score and corners of each box, best first; then the definition of suppression.
        let mut all: Vec<(usize, f32, [f32; 4])> = boxes
            .iter()
            .enumerate()
            .map(|(n, &(x, y, w, h))| {
                let class = usize::from(shifted[9 + n] > shifted[n]);
                (class, shifted[9 * class + n], [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0])
            })
            .collect();
        all.retain(|b| b.1 >= 0.25);
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        let iou = |a: &[f32; 4], b: &[f32; 4]| {
            let overlap = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
            let area = |c: &[f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
            overlap(0) * overlap(1) / (area(a) + area(b) - overlap(0) * overlap(1))
        };
        let mut kept: Vec<(usize, f32, [f32; 4])> = Vec::new();
        for candidate in all {
            if kept.iter().all(|k| k.0 != candidate.0 || iou(&k.2, &candidate.2) <= 0.45) {
                kept.push(candidate);
            }
        }
        kept.retain(|k| BoundingBox::new(k.2[0], k.2[1], 1e-3, 1e-3).left < 64.0);
        prop_assert_eq!(found.len(), kept.len());
        for (a, (class, score, corners)) in found.iter().zip(&kept) {
            prop_assert_eq!(a.character.is_some(), *class == 0);
            prop_assert!((a.confidence - score).abs() < 1e-4);
            let left = (corners[0] / 64.0).max(0.0);
            let bottom = (corners[3] / 64.0).min(1.0);
            prop_assert!((a.bounding_box.left - left).abs() < 1e-4);
            prop_assert!((a.bounding_box.bottom() - bottom).abs() < 1e-4);
        }
    }
}

/// What is loaded, and which word its refusal must hold.
fn refused(runtime: &OnnxRuntime, detector: bool, model: &OnnxFile, description: &str, word: &str) {
    let place = Place::with(model, description);
    let error = if detector { place.detector(runtime).err() } else { place.embedder(runtime).err() };
    let error = error.unwrap_or_else(|| panic!("loaded, though {word:?} was expected"));
    let text = error.to_string();
    assert!(text.contains(word), "{word:?} is missing: {text}");
    assert!(text.contains("model.onnx") && text.contains("onnx:"), "{text}");
    assert!(
        matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::Config),
        "{error:?}"
    );
}

#[test]
fn models_that_do_not_fit_are_refused_in_words() {
    let Some(runtime) = runtime() else { return };
    let encoder = |shape: &[i64], ty: Type| {
        OnnxFile::default().input("x", ty, shape).output("y", ty, shape).node("Identity", &["x"], "y", &[])
    };
    let no =
        |model: &OnnxFile, description: &str, word: &str| refused(&runtime, false, model, description, word);
    no(&mean_colour(1, 8), "", "default_min_similarity");
    no(&mean_colour(1, 8), r#"{"default_min_similarity":2}"#, "default_min_similarity is 2");
    no(&mean_colour(1, 8), r#"{"default_min_similarity":0.9,"dim":512}"#, "dim is 512");
    no(&mean_colour(1, 8), r#"{"default_min_similarity":0.9,"pool":"cls"}"#, "pool is given");
    no(&mean_colour(1, 8), r#"{"default_min_similarity":0.9,"size":[8,9]}"#, "[8, 9]");
    no(&mean_colour(1, 8), r#"{"default_min_similarity":0.9,"output":"other"}"#, "\"vector\"");
    no(&mean_colour(1, 8), r#"{"default_min_similarity":0.9,"input":"other"}"#, "\"pixels\"");
    no(&mean_colour(1, 8), r#"{"default_min_similarity":0.9,"layout":"nhwc"}"#, "3 channels");
    no(&mean_colour(1, 8), r#"{"kind":"yolo-raw","default_min_similarity":0.9}"#, "detectors");
    no(&mean_colour(500, 8), PLAIN, "500 pictures");
    no(&pixels_as_tokens(8), PLAIN, "pool");
    no(&encoder(&[1, 3, 8], Type::Float), PLAIN, "pictures × 3 × height × width");
    no(&encoder(&[1, 4, 8, 8], Type::Float), PLAIN, "3 channels");
    no(&encoder(&[1, 3, -1, -1], Type::Float), PLAIN, "\"size\"");
    no(&encoder(&[1, 3, 5000, 8], Type::Float), PLAIN, "1 to 4096");
    no(&encoder(&[1, 3, 8, 8], Type::Float16), PLAIN, "half");
    no(&encoder(&[1, 3, 8, 8], Type::Uint8), PLAIN, "32-bit floats");
    no(&encoder(&[1, 3, 8, 8], Type::Float), PLAIN, "a vector, or tokens");
    let two = mean_colour(1, 8).input("input_ids", Type::Int64, &[1, 77]);
    no(&two, PLAIN, "input_ids");
    let integers = OnnxFile::default()
        .input("x", Type::Float, &[1, 3, 8, 8])
        .output("y", Type::Int64, &[1, 3, 8, 8])
        .cast("x", "y", Type::Int64);
    no(&integers, PLAIN, "32-bit floats");
    let huge = OnnxFile::default()
        .input("x", Type::Float, &[1, 3, 8, 8])
        .output("y", Type::Float, &[1, 1 << 40, 1 << 40])
        .node("Identity", &["x"], "y", &[]);
    no(&huge, PLAIN, "");
    let unknown = OnnxFile::default()
        .input("x", Type::Float, &[1, 3, 8, 8])
        .output("y", Type::Float, &[1, 3])
        .node("NoSuchStep", &["x"], "y", &[]);
    no(&unknown, PLAIN, "NoSuchStep");
}

#[test]
fn detectors_that_do_not_fit_are_refused_in_words() {
    let Some(runtime) = runtime() else { return };
    let model = |shape: [i64; 2]| {
        let count = (shape[0] * shape[1]) as usize;
        linear_detector(1, shape, &vec![[0.0; 3]; count], &vec![0.1; count])
    };
    let no =
        |model: &OnnxFile, description: &str, word: &str| refused(&runtime, true, model, description, word);
    no(&model([6, 9]), "", "names");
    no(&model([6, 9]), r#"{"names":["a","b","c"]}"#, "2 classes, but \"names\" has 3");
    no(&model([6, 9]), r#"{"kind":"yolo-end2end","names":["a"]}"#, "6 columns");
    no(&model([6, 9]), r#"{"kind":"embedder","names":["a","b"]}"#, "encoders");
    no(&model([6, 9]), r#"{"names":["a","b"],"pool":"cls"}"#, "pool");
    no(&model([90, 7]), r#"{"names":["a","b"]}"#, "v8");
    no(&mean_colour(1, 8), r#"{"names":["a","b"]}"#, "(4 + classes) × boxes");
    no(&model([6, 9]).metadata("names", "{0: 'a'"), "", "names");
    no(&model([6, 9]).metadata("names", "{0: 'a', 1: 'b'}").metadata("task", "segment"), "", "segment");
    let logits = linear_detector(1, [5, 1], &[[0.0; 3]; 5], &[32.0, 32.0, 8.0, 8.0, 5.0]);
    no(&logits, r#"{"names":["a"]}"#, "sigmoid");
}

#[test]
fn files_that_are_no_models_are_refused_in_words() {
    let Some(runtime) = runtime() else { return };
    let whole = mean_colour(1, 8).encode();
    let place = Place::with(&mean_colour(1, 8), PLAIN);
    let damaged: Vec<Vec<u8>> =
        vec![Vec::new(), b"not a model".to_vec(), whole[..whole.len() / 2].to_vec(), vec![0xff; 4096]];
    for body in damaged {
        fs::write(place.model(), &body).unwrap();
        let error = place.embedder(&runtime).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("not a model that ONNX Runtime can read"), "{error}");
    }
    // Any byte may be broken: an answer or an error, never a panic.
    for at in (0..whole.len()).step_by(7) {
        let mut body = whole.clone();
        body[at] ^= 0x55;
        fs::write(place.model(), &body).unwrap();
        let _ = place.embedder(&runtime);
    }
    let missing = OnnxEmbedder::load(&runtime, &OnnxOptions::new("nowhere.onnx")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let weights = OnnxDetector::load(&runtime, &OnnxOptions::new("yolo11n.pt"), &cast()).unwrap_err();
    assert!(weights.message().contains("export"), "{weights}");
    let folder = OnnxEmbedder::load(&runtime, &OnnxOptions::new(place.0.path())).unwrap_err();
    assert!(folder.message().contains("not a file"), "{folder}");
    let threads = OnnxEmbedder::load(&runtime, &place.options().threads(0)).unwrap_err();
    assert!(threads.message().contains("threads is 0"), "{threads}");
}

#[test]
fn ids_tell_models_and_settings_apart() {
    let Some(runtime) = runtime() else { return };
    let a = Place::with(&mean_colour(1, 8), PLAIN).embedder(&runtime).unwrap().info();
    assert_eq!(a, Place::with(&mean_colour(1, 8), PLAIN).embedder(&runtime).unwrap().info());
    let other = Place::with(&mean_colour(1, 16), PLAIN).embedder(&runtime).unwrap().info();
    assert_ne!(a.model, other.model);
    let stretched = r#"{"default_min_similarity":0.99,"fit":"stretch"}"#;
    let settings = Place::with(&mean_colour(1, 8), stretched).embedder(&runtime).unwrap().info();
    assert_eq!(a.model, settings.model);
    assert_ne!(a.settings, settings.settings);
}

#[tokio::test]
async fn people_get_names_by_their_likeness_to_references() {
    let Some(runtime) = runtime() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut cast = cast();
    for (character, colour) in cast.characters.iter_mut().zip([[220, 30, 30], [30, 30, 220]]) {
        let path = dir.path().join(format!("{}.png", character.name));
        RgbImage::from_pixel(40, 60, Rgb(colour)).save(&path).unwrap();
        character.references = vec![path];
    }
    // One box, the left half of the picture.
    let biases = [16.0, 32.0, 32.0, 64.0, 0.9];
    let model = linear_detector(1, [5, 1], &[[0.0; 3]; 5], &biases).metadata("names", "{0: 'person'}");
    let place = Place::with(&model, "");
    let detector = OnnxDetector::load(&runtime, &place.options(), &cast).unwrap();
    assert!(!detector.knows(&cast));
    let encoder = Place::with(&mean_colour(-1, 8), PLAIN).embedder(&runtime).unwrap();
    let named = NearestReference::new(Arc::new(detector), Arc::new(encoder), &cast).unwrap();
    let half = |colour: [u8; 3]| {
        let picture = RgbImage::from_fn(64, 64, |x, _| Rgb(if x < 32 { colour } else { [128; 3] }));
        Frame::new(0, Duration::ZERO, picture)
    };
    let frames = [half([200, 40, 40]), half([40, 40, 200]), half([120, 30, 120])];
    let mut names = Vec::new();
    for frame in &frames {
        let answer = named.detect(std::slice::from_ref(frame)).await.unwrap();
        names.push(answer[0][0].character.clone());
    }
    assert_eq!(names, [Some("Ana".to_owned()), Some("Bo".to_owned()), None]);
}

fn picchu(arguments: &[&str], library: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_picchu"))
        .args(arguments)
        .env("ORT_DYLIB_PATH", library)
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn the_command_line_runs_models() {
    let Some(runtime) = runtime() else { return };
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film");
    fs::create_dir(&film).unwrap();
    for n in 0..4 {
        speckled(n, 600).save(film.join(format!("{n}.png"))).unwrap();
    }
    let cast = dir.path().join("cast.toml");
    fs::write(&cast, "[[characters]]\nname = \"Ana\"\n").unwrap();
    let boxes = [32.0, 32.0, 40.0, 60.0, 0.9];
    let model = linear_detector(1, [5, 1], &[[0.0; 3]; 5], &boxes).metadata("names", "{0: 'Ana'}");
    let encoder = r#"{"pool":"mean","default_min_similarity":0.9999999}"#;
    let (detector, encoder) = (Place::with(&model, ""), Place::with(&pixels_as_tokens(8), encoder));
    let path = |p: &Path| p.to_str().unwrap().to_owned();
    let arguments = [
        "build".to_owned(),
        path(&film),
        "--cast".into(),
        path(&cast),
        "--out".into(),
        path(&dir.path().join("out")),
        "--detector".into(),
        format!("onnx:{}", path(&detector.model())),
        "--embedder".into(),
        format!("onnx:{}", path(&encoder.model())),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (done, text) = picchu(&arguments, runtime.library());
    assert!(done && text.contains("Ana: in"), "{text}");
    let header = fs::read_to_string(dir.path().join("out/picchu.json")).unwrap();
    assert!(header.contains("model-") && header.contains("cosine at 0.9999999"), "{header}");

    let (done, text) = picchu(&arguments, &dir.path().join("nowhere"));
    assert!(!done && text.contains("pip install onnxruntime"), "{text}");
}
