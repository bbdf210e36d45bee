//! Scores any detector against labelled frames.
//!
//! ```sh
//! cargo run --release --example score_detector -- FRAMES LABELS.json CAST [--detector CHOICE] [--learn FOLDER] [--draw FOLDER] [--list]
//! ```
//!
//! - `FRAMES`: folder of pictures. `LABELS.json`: COCO, with the pictures' file names and a category a character.
//!   Only pictures that the labels list are scored; one without boxes is an empty frame.
//! - `CAST`: a cast file; or a folder that has one folder a character, named after it, with its reference pictures.
//! - `--detector`: its name, or JSON with options as in configuration files: `{"palette": {"max_per_frame": 2}}`.
//! - `--learn`: folder of pictures to learn the film from, if not `FRAMES`.
//! - `--draw`: writes each frame with its boxes: found green, found wrongly red, unsure yellow, missed blue. `--list`: prints each box.
//!
//! A box is right when its character is and its intersection over union with the label reaches 0.5 (0.3). `best` is
//! F1 with the threshold that suits these labels best, unsure boxes counted under their first alternative.
#![allow(clippy::print_stdout)]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use picchu::{
    Cast, Character, Error, Result,
    config::{DetectorChoice, Shared},
    source::ImageFolder,
    types::{BoundingBox, Detection, Frame},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Coco {
    images: Vec<CocoImage>,
    annotations: Vec<CocoBox>,
    categories: Vec<CocoCategory>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: u64,
    file_name: String,
    width: u32,
    height: u32,
}

#[derive(Deserialize)]
struct CocoBox {
    image_id: u64,
    category_id: u64,
    bbox: [f32; 4],
}

#[derive(Deserialize)]
struct CocoCategory {
    id: u64,
    name: String,
}

/// A labelled frame with what was found in it.
struct Scored {
    file: String,
    truth: Vec<(String, BoundingBox)>,
    found: Vec<Detection>,
}

impl Scored {
    /// Prints each box with its overlap with the label of its name.
    fn list(&self) {
        for d in &self.found {
            let who = name(d, true).unwrap_or("?");
            let own = self.truth.iter().filter(|(n, _)| n == who);
            let iou = own.map(|(_, b)| b.iou(d.bounding_box)).fold(0.0, f32::max);
            let sure = if d.character.is_some() { "named " } else { "unsure" };
            println!("{} {sure} {who} confidence {:.3} IoU {iou:.2}", self.file, d.confidence);
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut paths = Vec::new();
    let (mut learn, mut draw, mut list, mut choice) = (None, None, false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--learn" => learn = arguments.next().map(PathBuf::from),
            "--detector" => choice = arguments.next(),
            "--list" => list = true,
            "--draw" => draw = arguments.next().map(PathBuf::from),
            _ => paths.push(PathBuf::from(argument)),
        }
    }
    let [frames, labels, cast] = &paths[..] else {
        return Err(Error::invalid(
            "usage: score_detector FRAMES LABELS.json CAST [--detector CHOICE] [--learn FOLDER] [--draw FOLDER] [--list]",
        ));
    };
    let coco: Coco = serde_json::from_slice(&read(labels)?)
        .map_err(|e| Error::invalid(format!("{} is not COCO JSON: {e}", labels.display())))?;
    let cast = open_cast(cast)?;
    // Labels of anybody outside the cast do not count: a frame with extras alone is an empty frame.
    let names: Vec<String> = cast.names().map(Into::into).collect();
    let choice = match &choice {
        Some(json) if json.starts_with('{') => serde_json::from_str(json)
            .map_err(|e| Error::invalid(format!("{json} is no choice of a detector: {e}")))?,
        Some(name) => DetectorChoice::named(name)?,
        None => DetectorChoice::default(),
    };
    let mut detector = choice.open(&Shared::new(cast)).await?;
    let film = ImageFolder::open(learn.as_ref().unwrap_or(frames))?;
    let started = Instant::now();
    if let Some(learned) = detector.learn(&film).await? {
        detector = learned;
        println!("learned from {} in {:.1?}", learn.as_ref().unwrap_or(frames).display(), started.elapsed());
    }
    println!("{}", detector.info().model);

    let mut scored = Vec::new();
    let mut times = Vec::new();
    for image in &coco.images {
        let path = frames.join(&image.file_name);
        let picture = open(&path)?.into_rgb8();
        let frame = Frame::new(image.id, Duration::ZERO, picture);
        let started = Instant::now();
        let found = detector.detect(std::slice::from_ref(&frame)).await?.remove(0);
        times.push(started.elapsed());
        let truth = coco
            .annotations
            .iter()
            .filter(|a| a.image_id == image.id)
            .filter_map(|a| {
                let name = &coco.categories.iter().find(|c| c.id == a.category_id)?.name;
                names.contains(name).then_some(())?;
                let (w, h) = (image.width as f32, image.height as f32);
                let [x, y, width, height] = a.bbox;
                Some((name.clone(), BoundingBox::new(x / w, y / h, width / w, height / h)))
            })
            .collect();
        let one = Scored { file: image.file_name.clone(), truth, found };
        if let Some(folder) = &draw {
            drawn(&one, &frame)
                .save(folder.join(&one.file))
                .map_err(|e| Error::invalid(format!("cannot write into {}: {e}", folder.display())))?;
        }
        if list {
            one.list();
        }
        scored.push(one);
    }
    times.sort_unstable();
    report(&scored, &names);
    println!(
        "time per frame: median {:.1} ms, slowest {:.1} ms",
        times[times.len() / 2].as_secs_f64() * 1e3,
        times[times.len() - 1].as_secs_f64() * 1e3
    );
    Ok(())
}

fn report(scored: &[Scored], names: &[String]) {
    println!(
        "{:<12} {:>5} {:>5} | IoU 0.5: P     R     F1    best | IoU 0.3: P     R     F1    best",
        "character", "boxes", "found"
    );
    for who in names.iter().map(|n| Some(n.as_str())).chain([None]) {
        let is = |name: &str| who.is_none_or(|w| w == name);
        let truths = scored.iter().flat_map(|s| &s.truth).filter(|(n, _)| is(n)).count();
        let found =
            scored.iter().flat_map(|s| &s.found).filter(|d| d.character.as_deref().is_some_and(is)).count();
        print!("{:<12} {truths:>5} {found:>5}", who.unwrap_or("all"));
        for iou in [0.5, 0.3] {
            let (precision, recall, f1) = quality(scored, iou, 0.0, false, &is);
            let best = (0..=100)
                .map(|c| quality(scored, iou, c as f32 / 100.0, true, &is).2)
                .fold(0.0_f32, f32::max);
            print!(" |          {precision:.3} {recall:.3} {f1:.3} {best:.3}");
        }
        println!();
    }
    let named: Vec<(&Scored, &Detection)> = scored
        .iter()
        .flat_map(|s| s.found.iter().map(move |d| (s, d)))
        .filter(|(_, d)| d.character.is_some())
        .collect();
    let mistaken = named.iter().filter(|(s, d)| wrong_name(s, d)).count();
    for who in names {
        for other in names {
            let count = named
                .iter()
                .filter(|(s, d)| d.character.as_ref() == Some(who) && mistaken_for(s, d) == Some(other))
                .count();
            if count > 0 {
                println!("{other} was called {who} {count} times");
            }
        }
    }
    let empty: Vec<&Scored> = scored.iter().filter(|s| s.truth.is_empty()).collect();
    let haunted = empty.iter().filter(|s| s.found.iter().any(|d| d.character.is_some())).count();
    let unsure = scored.iter().flat_map(|s| &s.found).filter(|d| d.character.is_none()).count();
    println!(
        "named boxes {}, with another's name {mistaken} ({:.1} %); empty frames {}, with a named box {haunted}; \
         unsure boxes {unsure}",
        named.len(),
        100.0 * mistaken as f32 / named.len().max(1) as f32,
        empty.len(),
    );
}

/// Whether a named box lies on another character.
fn wrong_name(scored: &Scored, found: &Detection) -> bool {
    mistaken_for(scored, found).is_some()
}

/// The character on which a box with another's name lies.
fn mistaken_for<'a>(scored: &'a Scored, found: &Detection) -> Option<&'a String> {
    let nearest = scored
        .truth
        .iter()
        .map(|(n, b)| (n, b.iou(found.bounding_box)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, iou)| *iou >= 0.3);
    nearest.map(|(name, _)| name).filter(|name| Some(*name) != found.character.as_ref())
}

/// The name under which a box counts: its character, or for an unsure one its first alternative.
fn name(found: &Detection, with_unsure: bool) -> Option<&str> {
    found
        .character
        .as_deref()
        .or_else(|| found.alternatives.first().filter(|_| with_unsure).map(|a| a.character.as_str()))
}

/// Precision, recall and F1 over all frames.
fn quality(
    scored: &[Scored],
    iou: f32,
    floor: f32,
    with_unsure: bool,
    is: &impl Fn(&str) -> bool,
) -> (f32, f32, f32) {
    let (mut right, mut found, mut wanted) = (0, 0, 0);
    for one in scored {
        let mut open: Vec<&(String, BoundingBox)> = one.truth.iter().filter(|(n, _)| is(n)).collect();
        wanted += open.len();
        let mut boxes: Vec<&Detection> = one.found.iter().filter(|d| d.confidence >= floor).collect();
        boxes.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        for detection in boxes {
            let Some(name) = name(detection, with_unsure).filter(|n| is(n)) else { continue };
            found += 1;
            let hit = open.iter().position(|(n, b)| n == name && b.iou(detection.bounding_box) >= iou);
            if let Some(hit) = hit {
                open.remove(hit);
                right += 1;
            }
        }
    }
    let ratio = |of: usize| if of == 0 { 0.0 } else { right as f32 / of as f32 };
    let f1 = if found + wanted == 0 { 0.0 } else { 2.0 * right as f32 / (found + wanted) as f32 };
    (ratio(found), ratio(wanted), f1)
}

/// Reads the cast: a file, or a folder a character.
fn open_cast(place: &Path) -> Result<Cast> {
    if place.is_file() {
        return Cast::load(place);
    }
    let list = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io("read the folder", folder, e))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        paths.sort();
        Ok(paths)
    };
    let mut characters = Vec::new();
    for folder in list(place)?.into_iter().filter(|p| p.is_dir()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        characters.push(Character { name, references: list(&folder)?, ..Character::default() });
    }
    Ok(Cast { characters })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io("read", path, e))
}

fn open(path: &Path) -> Result<image::DynamicImage> {
    image::load_from_memory(&read(path)?)
        .map_err(|e| Error::invalid(format!("cannot read the picture {}: {e}", path.display())))
}

/// The frame with its boxes.
fn drawn(scored: &Scored, frame: &Frame) -> image::RgbImage {
    let mut picture = (*frame.image).clone();
    for (name, b) in &scored.truth {
        let missed = !scored
            .found
            .iter()
            .any(|d| d.character.as_deref() == Some(name) && d.bounding_box.iou(*b) >= 0.5);
        if missed {
            outline(&mut picture, *b, [40, 80, 255]);
        }
    }
    for d in &scored.found {
        let right = scored
            .truth
            .iter()
            .any(|(n, b)| d.character.as_ref() == Some(n) && d.bounding_box.iou(*b) >= 0.5);
        let colour = match (&d.character, right) {
            (None, _) => [255, 230, 0],
            (Some(_), true) => [0, 230, 0],
            (Some(_), false) => [255, 0, 0],
        };
        outline(&mut picture, d.bounding_box, colour);
    }
    picture
}

fn outline(picture: &mut image::RgbImage, b: BoundingBox, colour: [u8; 3]) {
    let Some(r) = b.to_pixels(picture.width(), picture.height()) else { return };
    let thick = (picture.width() / 200).max(2);
    for y in r.y..r.bottom() {
        for x in r.x..r.right() {
            let inner =
                x >= r.x + thick && x + thick < r.right() && y >= r.y + thick && y + thick < r.bottom();
            if !inner {
                picture.put_pixel(x, y, image::Rgb(colour));
            }
        }
    }
}
