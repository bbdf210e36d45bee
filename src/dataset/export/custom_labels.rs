//! The training manifest of Amazon Rekognition Custom Labels: whole frames with the boxes of their characters.
//!
//! A model that is to find characters in frames has to learn from frames, so those of the records are read from the
//! film again. A frame takes part only where everything in it is known: a figure without a box would teach the model
//! that nobody is there.
//!
//! Rules: Amazon Rekognition Custom Labels developer guide, "Object localization in manifest files" and "Guidelines and
//! quotas". Boxes are in pixels; all images lie in one bucket.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::{
    crop::{Fit, to_jpeg},
    dataset::{Dataset, FileHash, ShotId, by_person, from_jsonl, picture::dimensions, to_jsonl},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    source::{FrameSource, Sampling},
    store::{Key, PutMode, Store, slug},
    types::{BoundingBox, Outcome, Record},
};

/// The name of the format, as the command line takes it.
pub const NAME: &str = "custom-labels";
/// The manifest of the frames to train with, in the store.
pub const TRAIN: &str = "train.manifest";
/// The manifest of the frames to test with: those of shots that are held out.
pub const TEST: &str = "test.manifest";
/// Where the frames lie in the store.
const FRAMES: &str = "frames";

/// What the service takes of an image.
const FRAME: Fit = Fit { longer: 4096, shorter: 4096, quality: 92, bytes: 15 * 1024 * 1024 };
const SHORTEST_SIDE: u32 = 64;
const MOST_BOXES: usize = 50;
const MOST_LABELS: usize = 250;
/// Frames that are encoded and stored side by side.
const AT_ONCE: usize = 4;

/// How to write a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ManifestOptions {
    /// The address on S3 where the store's objects will lie. `None`: the store is there already.
    pub uri: Option<String>,
    /// Takes also frames that no person looked at.
    pub unreviewed: bool,
}

/// What was written, read back and found right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Address of the manifest to train with.
    pub train: String,
    /// Address of the manifest to test with, where some shots are held out.
    pub test: Option<String>,
    /// Frames to train with.
    pub train_frames: usize,
    /// Frames to test with.
    pub test_frames: usize,
    /// Boxes of each character.
    pub characters: BTreeMap<String, usize>,
    /// Frames that no person looked at, left out unless they were asked for.
    pub unreviewed: usize,
    /// Frames in which somebody is unnamed or was rejected: left out.
    pub uncertain: usize,
}

/// One line of a manifest: an image with its boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestLine {
    /// Address of the image on S3.
    #[serde(rename = "source-ref")]
    pub source_ref: String,
    /// Where somebody is.
    #[serde(rename = "bounding-box")]
    pub boxes: Boxes,
    /// Who that is.
    #[serde(rename = "bounding-box-metadata")]
    pub metadata: Metadata,
}

/// The boxes of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    /// The size of the image; the service wants a list of one.
    pub image_size: [ImageSize; 1],
    /// The boxes.
    pub annotations: Vec<Annotation>,
}

/// The size of an image in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSize {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Channels: 3.
    pub depth: u32,
}

/// A box in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotation {
    /// Whom it shows, by the class map of its line.
    pub class_id: u32,
    /// Top edge.
    pub top: u32,
    /// Left edge.
    pub left: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// Who is in the boxes of an image, and who says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// How sure each box is, in the order of the boxes.
    pub objects: Vec<Confidence>,
    /// The characters of this image by their numbers, which are the same in every line.
    #[serde(rename = "class-map")]
    pub class_map: BTreeMap<u32, String>,
    /// Always `groundtruth/object-detection`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `yes` where a person looked at it, `no` otherwise.
    #[serde(rename = "human-annotated")]
    pub human_annotated: String,
    /// When the last decision about it was made, in UTC.
    #[serde(rename = "creation-date")]
    pub creation_date: String,
    /// Who wrote the line; the service does not use it.
    #[serde(rename = "job-name")]
    pub job_name: String,
}

/// How sure a box is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confidence {
    /// 0..1; a box that a person accepted is certain.
    pub confidence: f32,
}

/// Writes frames and manifests for a Custom Labels project into a store, reads them back as the service does, and
/// fails where anything differs. The films are those that the dataset was built from. Equal datasets give equal bytes.
///
/// ```no_run
/// # async fn f(dataset: picchu::Dataset) -> picchu::Result<()> {
/// use picchu::{config::{open_film, open_store}, dataset::export::custom_labels::{self, ManifestOptions}};
/// let store = open_store("s3://my-bucket/labels".as_ref())?;
/// let film = open_film("film.mp4".as_ref())?;
/// let done = custom_labels::write(&dataset, &[film], &store, &ManifestOptions::default()).await?;
/// println!("create the project's dataset from {}", done.train);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for a dataset without a frame that may train, for an address that is not
/// on S3, for too many characters; [`NotFound`](ErrorKind::NotFound) for a film that was not given or that has no such
/// frame any more.
pub async fn write(
    dataset: &Dataset,
    films: &[Arc<dyn FrameSource>],
    store: &Arc<dyn Store>,
    options: &ManifestOptions,
) -> Result<Written> {
    write_all(dataset, films, store, options).await.at(Stage::Export)
}

async fn write_all(
    dataset: &Dataset,
    films: &[Arc<dyn FrameSource>],
    store: &Arc<dyn Store>,
    options: &ManifestOptions,
) -> Result<Written> {
    let base = match &options.uri {
        Some(uri) => uri.trim_end_matches('/').to_owned(),
        None => store.uri(&Key::new(TRAIN)?).trim_end_matches(&format!("/{TRAIN}")).to_owned(),
    };
    check_address(&base)?;
    let (scenes, mut written) = scenes(dataset, options.unreviewed);
    if scenes.is_empty() {
        return Err(Error::invalid(nothing(&written)));
    }
    let classes = classes(&scenes)?;
    let mut lines: Vec<(Scene<'_>, ManifestLine)> = Vec::new();
    for (film, scenes) in by_film(scenes) {
        lines.extend(film_lines(dataset, films, film, scenes, store, &base, &classes).await?);
    }
    for (file, held_out) in [(TRAIN, false), (TEST, true)] {
        let part: Vec<ManifestLine> = lines
            .iter()
            .filter(|(scene, _)| scene.held_out == held_out)
            .map(|(_, line)| line.clone())
            .collect();
        let key = Key::new(file)?;
        if part.is_empty() {
            // An earlier export may have held something out.
            store.delete(&key).await?;
            continue;
        }
        store.put(&key, Bytes::from(to_jsonl(&part)?), PutMode::Overwrite).await?;
        prove(&**store, &key, &base, &part).await?;
        let address = format!("{base}/{file}");
        if held_out {
            (written.test, written.test_frames) = (Some(address), part.len());
        } else {
            (written.train, written.train_frames) = (address, part.len());
        }
    }
    if written.train_frames == 0 {
        return Err(Error::invalid("every frame is held out; there is nothing to train with"));
    }
    for (scene, _) in &lines {
        for record in &scene.records {
            *written.characters.entry(name_of(record)).or_default() += 1;
        }
    }
    Ok(written)
}

/// A frame with everybody in it.
#[derive(Clone, Debug)]
struct Scene<'a> {
    records: Vec<&'a Record>,
    /// Whether a person looked at every image that was cut from it and selected.
    reviewed: bool,
    /// When the last decision was made, in milliseconds since 1970 UTC.
    decided_ms: u64,
    held_out: bool,
}

impl Scene<'_> {
    fn film(&self) -> &str {
        &self.records[0].film
    }

    fn time(&self) -> Duration {
        self.records[0].frame.time
    }
}

fn name_of(record: &Record) -> String {
    record.character().unwrap_or_default().to_owned()
}

/// The frames that may take part, in the film's order, and how many may not.
fn scenes(dataset: &Dataset, unreviewed: bool) -> (Vec<Scene<'_>>, Written) {
    let mut frames: BTreeMap<(&str, Duration), Vec<&Record>> = BTreeMap::new();
    for record in dataset.records().iter().map(|record| dataset.corrected(record)) {
        frames.entry((&record.film, record.frame.time)).or_default().push(record);
    }
    let held_out_shots = dataset.split_of().map(|split| &split.held_out_shots);
    let (mut scenes, mut written) = (Vec::new(), Written::default());
    for records in frames.into_values() {
        let selected = |r: &&&Record| matches!(r.outcome, Outcome::Kept | Outcome::Uncaptioned { .. });
        let judged = |r: &&Record| dataset.judgement(&r.id);
        let rejected = records.iter().filter_map(judged).any(|j| j.rejected.is_some());
        if rejected || records.iter().any(|r| r.character().is_none()) {
            written.uncertain += 1;
            continue;
        }
        // Frames whose images are all covered by others' show nothing new.
        if !records.iter().any(|r| selected(&r)) {
            continue;
        }
        let reviewed = records.iter().filter(selected).all(|r| judged(r).is_some_and(by_person));
        if !reviewed {
            written.unreviewed += 1;
            if !unreviewed {
                continue;
            }
        }
        let shot = ShotId::of(records[0]);
        let held_out = held_out_shots.is_some_and(|shots| shot.is_some_and(|shot| shots.contains(&shot)));
        let decided_ms = records.iter().filter_map(judged).map(|j| j.decided_ms).max().unwrap_or(0);
        scenes.push(Scene { records, reviewed, decided_ms, held_out });
    }
    (scenes, written)
}

fn nothing(written: &Written) -> String {
    format!(
        "there is no frame to train with: {} were not looked at by a person (--unreviewed takes them), in {} somebody \
         is unnamed or was rejected",
        written.unreviewed, written.uncertain
    )
}

/// The characters by number, in the order of their names.
fn classes(scenes: &[Scene<'_>]) -> Result<BTreeMap<String, u32>> {
    let names: BTreeSet<String> = scenes.iter().flat_map(|s| s.records.iter().map(|r| name_of(r))).collect();
    if names.len() > MOST_LABELS {
        return Err(Error::invalid(format!(
            "{} characters are too many; Custom Labels takes {MOST_LABELS}",
            names.len()
        )));
    }
    Ok(names.into_iter().zip(0..).collect())
}

fn by_film(scenes: Vec<Scene<'_>>) -> BTreeMap<String, Vec<Scene<'_>>> {
    let mut films: BTreeMap<String, Vec<Scene<'_>>> = BTreeMap::new();
    for scene in scenes {
        films.entry(scene.film().to_owned()).or_default().push(scene);
    }
    films
}

/// Reads a film's frames again, stores them, and words their lines, in the film's order.
async fn film_lines<'a>(
    dataset: &Dataset,
    films: &[Arc<dyn FrameSource>],
    fingerprint: String,
    scenes: Vec<Scene<'a>>,
    store: &Arc<dyn Store>,
    base: &str,
    classes: &BTreeMap<String, u32>,
) -> Result<Vec<(Scene<'a>, ManifestLine)>> {
    let source = dataset.header().sources.iter().find(|s| s.film.fingerprint == fingerprint);
    let (header, settings) = source.map_or((&dataset.header().film, &dataset.header().settings), |source| {
        (&source.film, &source.settings)
    });
    let film = film_of(films, &fingerprint).await?.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!(
                "the film {} ({fingerprint}) is not among those given; name it with --film",
                header.info.name
            ),
        )
    })?;
    // Times are whole nanoseconds, and a picture may begin within one: the frame shown a moment later is it.
    let times = scenes.iter().flat_map(|s| [s.time(), s.time() + Duration::from_nanos(1)]).collect();
    let mut sampling = Sampling::at(times);
    sampling.max_side = settings.sampling.max_side;
    let mut wanted: BTreeMap<Duration, Scene<'a>> = scenes.into_iter().map(|s| (s.time(), s)).collect();
    let stem = slug(header.info.name.rsplit_once('.').map_or(&*header.info.name, |(stem, _)| stem));
    let found = film.frames(&sampling).try_filter_map(|frame| {
        let scene = wanted.remove(&frame.time);
        std::future::ready(Ok(scene.map(|scene| (scene, frame.image))))
    });
    let stem = stem.as_str();
    let mut putting = found
        .map_ok(|(scene, picture)| async move {
            let line = put_frame(&scene, picture, stem, store, base, classes).await?;
            Ok((scene, line))
        })
        .try_buffered(AT_ONCE)
        .boxed();
    let mut lines = Vec::new();
    while let Some(line) = putting.next().await {
        lines.push(line?);
    }
    drop(putting);
    match wanted.keys().next() {
        None => Ok(lines),
        Some(time) => Err(Error::new(
            ErrorKind::NotFound,
            format!("the film {} has no frame that begins at {} s", header.info.name, time.as_secs_f64()),
        )),
    }
}

async fn film_of<'a>(
    films: &'a [Arc<dyn FrameSource>],
    fingerprint: &str,
) -> Result<Option<&'a Arc<dyn FrameSource>>> {
    for film in films {
        if film.is_film(fingerprint).await? {
            return Ok(Some(film));
        }
    }
    Ok(None)
}

async fn put_frame(
    scene: &Scene<'_>,
    picture: Arc<RgbImage>,
    stem: &str,
    store: &Arc<dyn Store>,
    base: &str,
    classes: &BTreeMap<String, u32>,
) -> Result<ManifestLine> {
    let body = crate::blocking(move || to_jpeg(&picture, FRAME)).await?;
    let hash = FileHash::of(&body);
    let (width, height) = dimensions(&body, &scene.records[0].id)?;
    let key = Key::new(format!("{FRAMES}/{stem}-{:08}-{}.jpg", scene.time().as_millis(), hash.short(8)))?;
    store.put(&key, Bytes::from(body), PutMode::Overwrite).await?;
    let mut line = ManifestLine {
        source_ref: format!("{base}/{key}"),
        boxes: Boxes { image_size: [ImageSize { width, height, depth: 3 }], annotations: Vec::new() },
        metadata: Metadata {
            objects: Vec::new(),
            class_map: BTreeMap::new(),
            kind: "groundtruth/object-detection".into(),
            human_annotated: if scene.reviewed { "yes" } else { "no" }.into(),
            creation_date: utc(scene.decided_ms),
            job_name: "picchu".into(),
        },
    };
    for record in &scene.records {
        let name = name_of(record);
        let class_id = classes[&name];
        let Some(annotation) = annotation(record.detection.bounding_box, width, height, class_id) else {
            return Err(Error::internal(format!("the box of record {} lies outside its frame", record.id)));
        };
        line.boxes.annotations.push(annotation);
        let confidence = if scene.reviewed { 1.0 } else { record.detection.confidence };
        line.metadata.objects.push(Confidence { confidence });
        line.metadata.class_map.insert(class_id, name);
    }
    check_line(&line).map_err(|why| Error::invalid(format!("{key}: {why}")))?;
    Ok(line)
}

fn annotation(bounding_box: BoundingBox, width: u32, height: u32, class_id: u32) -> Option<Annotation> {
    let rect = bounding_box.to_pixels(width, height)?;
    Some(Annotation { class_id, top: rect.y, left: rect.x, width: rect.width, height: rect.height })
}

/// Reads a manifest as strictly as the service does.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) names the line: unknown or missing members, images in two buckets, boxes
/// that leave their image, boxes of nobody.
pub fn read(body: &[u8]) -> Result<Vec<ManifestLine>> {
    let lines: Vec<ManifestLine> = from_jsonl(body, "manifest").at(Stage::Export)?;
    let mut classes: BTreeMap<u32, &str> = BTreeMap::new();
    for (number, line) in lines.iter().enumerate() {
        let refuse =
            |why: String| Error::invalid(format!("manifest, line {}: {why}", number + 1)).at(Stage::Export);
        check_line(line).map_err(refuse)?;
        if bucket(&line.source_ref) != bucket(&lines[0].source_ref) {
            return Err(refuse(format!("{} lies in another bucket than the first image", line.source_ref)));
        }
        for (&id, name) in &line.metadata.class_map {
            let known = classes.entry(id).or_insert(name);
            if known != name {
                return Err(refuse(format!("class {id} is {name}, and {known} in a line before")));
            }
        }
    }
    Ok(lines)
}

fn bucket(address: &str) -> Option<&str> {
    address.strip_prefix("s3://")?.split('/').next().filter(|bucket| !bucket.is_empty())
}

fn check_address(address: &str) -> Result<()> {
    if bucket(address).is_some() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{address} is not on S3, and Custom Labels reads images only there; write to an s3:// address, or say with \
         --uri s3://bucket/prefix where the files will lie"
    )))
}

/// What the service would refuse about one line.
fn check_line(line: &ManifestLine) -> Result<(), String> {
    let [ImageSize { width, height, depth }] = line.boxes.image_size;
    let (boxes, metadata) = (&line.boxes.annotations, &line.metadata);
    if bucket(&line.source_ref).is_none() {
        return Err(format!("{} is no address on S3", line.source_ref));
    }
    if width.min(height) < SHORTEST_SIDE || width.max(height) > FRAME.longer || depth != 3 {
        return Err(format!(
            "an image of {width}×{height}; {SHORTEST_SIDE} to {} pixels a side are taken",
            FRAME.longer
        ));
    }
    if boxes.is_empty() || boxes.len() > MOST_BOXES || boxes.len() != metadata.objects.len() {
        return Err(format!("{} boxes with {} confidences", boxes.len(), metadata.objects.len()));
    }
    if metadata.kind != "groundtruth/object-detection" || !matches!(&*metadata.human_annotated, "yes" | "no")
    {
        return Err("type or human-annotated is not what the service takes".into());
    }
    for b in boxes {
        let inside = |from: u32, size: u32, whole: u32| {
            size > 0 && from.checked_add(size).is_some_and(|end| end <= whole)
        };
        if !inside(b.left, b.width, width) || !inside(b.top, b.height, height) {
            return Err(format!("{b:?} leaves its image of {width}×{height}"));
        }
        if !metadata.class_map.contains_key(&b.class_id) {
            return Err(format!("class {} has no name", b.class_id));
        }
    }
    Ok(())
}

/// Reads a manifest and its images back from the store, and compares.
async fn prove(store: &dyn Store, key: &Key, base: &str, expected: &[ManifestLine]) -> Result<()> {
    let differs = |what: String| Error::internal(format!("{key} would not be read as it was meant: {what}"));
    let lines = read(&store.get(key).await?)?;
    if lines != expected {
        return Err(differs("its lines differ".into()));
    }
    let mut images = stream::iter(lines)
        .map(|line| async move {
            let name = line.source_ref.strip_prefix(base).unwrap_or_default().trim_start_matches('/');
            let body = store.get(&Key::new(name)?).await?;
            Ok::<_, Error>((dimensions(&body, name)?, body.len(), line))
        })
        .buffered(AT_ONCE)
        .boxed();
    while let Some(image) = images.next().await {
        let ((width, height), bytes, line) = image?;
        if line.boxes.image_size != [ImageSize { width, height, depth: 3 }] || bytes > FRAME.bytes {
            return Err(differs(format!("{} has {width}×{height} pixels, {bytes} bytes", line.source_ref)));
        }
    }
    Ok(())
}

/// A time in UTC as the service writes it: `2026-01-31T09:05:00.000`.
fn utc(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    // Years begin in March here, so that the leap day comes last; 719,468 days lie between 1 March of year 0 and 1970.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{date:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}", rest % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000"),
            (951_782_400_000, "2000-02-29T00:00:00.000"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999"),
            (1_795_530_896_007, "2026-11-24T14:34:56.007"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000"),
        ] {
            assert_eq!(utc(ms), expected);
        }
    }

    fn line() -> ManifestLine {
        ManifestLine {
            source_ref: "s3://bucket/frames/a.jpg".into(),
            boxes: Boxes {
                image_size: [ImageSize { width: 640, height: 360, depth: 3 }],
                annotations: vec![Annotation { class_id: 1, top: 10, left: 600, width: 40, height: 350 }],
            },
            metadata: Metadata {
                objects: vec![Confidence { confidence: 1.0 }],
                class_map: [(1, "Mayu".into())].into(),
                kind: "groundtruth/object-detection".into(),
                human_annotated: "yes".into(),
                creation_date: utc(0),
                job_name: "picchu".into(),
            },
        }
    }

    #[test]
    fn the_reader_is_as_strict_as_the_service() {
        let good = to_jsonl(&[line()]).unwrap();
        assert_eq!(read(&good).unwrap(), [line()]);
        let text = String::from_utf8(good).unwrap();
        for (from, to) in [
            ("\"left\":600", "\"left\":601"),
            ("\"height\":350", "\"height\":0"),
            ("\"class_id\":1", "\"class_id\":2"),
            ("\"image_size\":[{\"width\":640", "\"image_size\":[{\"width\":6400"),
            ("s3://bucket/", "/bucket/"),
            ("\"objects\":[{\"confidence\":1.0}]", "\"objects\":[]"),
            ("object-detection", "image-classification"),
            ("source-ref", "image-ref"),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(read(text.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        let elsewhere = text.replace("s3://bucket", "s3://other");
        assert!(
            read(format!("{text}{elsewhere}").as_bytes()).unwrap_err().message().contains("another bucket")
        );
        let renamed = text.replace("Mayu", "Ana");
        assert!(
            read(format!("{text}{renamed}").as_bytes()).unwrap_err().message().contains("class 1 is Ana")
        );
    }
}
