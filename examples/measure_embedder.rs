//! How well the layout embedder tells near-duplicates from different pictures, on your own frames.
//!
//! Give one folder of frames (in order of time) for each scene; scenes must not show the same drawing:
//!
//! ```text
//! ffmpeg -i film.mp4 -ss 10 -t 8 -vf fps=4 scene-1/%04d.png
//! cargo run --release --example measure_embedder -- scene-1 scene-2 scene-3
//! ```
//!
//! Duplicates are the centre of each frame under small changes; different pictures are pairs from two scenes.
#![allow(clippy::print_stdout, missing_docs)]

use std::{error::Error, io::Cursor, path::PathBuf, time::Instant};

use image::{
    ImageFormat, Rgb, RgbImage,
    codecs::jpeg::JpegEncoder,
    imageops::{FilterType, crop_imm, fast_blur, resize},
};
use picchu::embed::LayoutEmbedder;

const THRESHOLDS: [f32; 5] = [0.85, 0.90, 0.92, 0.94, 0.96];

const CORE: [&str; 6] =
    ["shift up", "shift down", "half size", "JPEG quality 30", "8 % brighter", "slight blur"];

struct Picture {
    scene: usize,
    file: PathBuf,
    vector: Vec<f32>,
    core: Vec<Vec<f32>>,
    hard: Vec<Vec<f32>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let scenes: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if scenes.len() < 2 {
        return Err("usage: measure_embedder SCENE_FOLDER SCENE_FOLDER...".into());
    }
    let mut pictures = Vec::new();
    let mut last = None;
    for (scene, folder) in scenes.iter().enumerate() {
        let mut files: Vec<_> =
            std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        files.sort();
        for file in files {
            let frame = image::open(&file)?.to_rgb8();
            pictures.push(measure(scene, &frame, file)?);
            last = Some(frame);
        }
    }

    let similarities = |of: fn(&Picture) -> &[Vec<f32>]| -> Vec<f32> {
        pictures.iter().flat_map(|p| of(p).iter().map(|v| dot(&p.vector, v))).collect()
    };
    let (core, hard) = (similarities(|p| &p.core), similarities(|p| &p.hard));
    let mut next = Vec::new();
    let mut other = Vec::new();
    let mut alike = Vec::new();
    for (i, a) in pictures.iter().enumerate() {
        for (j, b) in pictures.iter().enumerate().skip(i + 1) {
            if a.scene != b.scene {
                other.push(dot(&a.vector, &b.vector));
                alike.push((dot(&a.vector, &b.vector), i, j));
            } else if j == i + 1 {
                next.push(dot(&a.vector, &b.vector));
            }
        }
    }
    println!(
        "{} pictures of {} scenes; pairs: core {}, hard {}, next picture {}, other scene {}",
        pictures.len(),
        scenes.len(),
        core.len(),
        hard.len(),
        next.len(),
        other.len()
    );
    println!("min_similarity    core    hard    next    other scene (false)");
    for threshold in THRESHOLDS {
        let count = |v: &[f32]| v.iter().filter(|s| **s >= threshold).count();
        let share = |v: &[f32]| count(v) as f32 / v.len().max(1) as f32;
        println!(
            "{threshold:>14.2}  {:.4}  {:.4}  {:.4}  {} of {}",
            share(&core),
            share(&hard),
            share(&next),
            count(&other),
            other.len()
        );
    }
    println!("most alike of two scenes (look at them: do they show the same drawing after all?):");
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (similarity, i, j) in alike.into_iter().take(5) {
        println!("  {similarity:.4}  {}  {}", pictures[i].file.display(), pictures[j].file.display());
    }
    println!("least alike under small changes:");
    let mut worst: Vec<_> = core.iter().enumerate().collect();
    worst.sort_by(|a, b| a.1.total_cmp(b.1));
    for (number, similarity) in worst.into_iter().take(3) {
        let (picture, change) = (&pictures[number / CORE.len()], CORE[number % CORE.len()]);
        println!("  {similarity:.4}  {change}  {}", picture.file.display());
    }

    if let Some(frame) = last {
        let crop = resize(&frame, 512, 512, FilterType::Triangle);
        let small = resize(&frame, 96, 64, FilterType::Triangle);
        println!(
            "time of one description: {:.3} ms for 512×512, {:.3} ms for {}×{}, {:.3} ms for 96×64",
            time(&crop),
            time(&frame),
            frame.width(),
            frame.height(),
            time(&small)
        );
    }
    Ok(())
}

/// Describes the centre of a frame and its changed copies.
fn measure(scene: usize, frame: &RgbImage, file: PathBuf) -> Result<Picture, Box<dyn Error>> {
    let (width, height) = (frame.width() * 4 / 5, frame.height() * 4 / 5);
    let (x, y) = ((frame.width() - width) / 2, (frame.height() - height) / 2);
    let window = |dx: f32, dy: f32, zoom: f32| {
        let (w, h) = ((width as f32 / zoom) as u32, (height as f32 / zoom) as u32);
        let left = (x + (width - w) / 2) as f32 + dx;
        let top = (y + (height - h) / 2) as f32 + dy;
        crop_imm(frame, left.round() as u32, top.round() as u32, w, h).to_image()
    };
    let image = window(0.0, 0.0, 1.0);
    let shift = 2.0 * frame.height() as f32 / 720.0; // pixels at 720 lines
    let far = 0.015 * width as f32;
    let scaled = |share: f32| {
        let side = |v: u32| ((v as f32 * share) as u32).max(1);
        resize(&image, side(width), side(height), FilterType::Triangle)
    };
    let bright = RgbImage::from_fn(width, height, |x, y| {
        Rgb(image.get_pixel(x, y).0.map(|v| (f32::from(v) * 1.08).min(255.0) as u8))
    });
    let core: [RgbImage; CORE.len()] = [
        window(shift, -shift, 1.0),
        window(-shift, shift, 1.0),
        scaled(0.5),
        recompressed(&image, 30)?,
        bright,
        fast_blur(&image, 1.2),
    ];
    let hard = [window(far, 0.0, 1.0), window(0.0, 0.0, 1.06), scaled(0.35)];
    Ok(Picture {
        scene,
        file,
        vector: unit(&image),
        core: core.iter().map(unit).collect(),
        hard: hard.iter().map(unit).collect(),
    })
}

fn recompressed(image: &RgbImage, quality: u8) -> Result<RgbImage, Box<dyn Error>> {
    let mut bytes = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image)?;
    Ok(image::load_from_memory_with_format(bytes.get_ref(), ImageFormat::Jpeg)?.to_rgb8())
}

fn unit(image: &RgbImage) -> Vec<f32> {
    let vector = LayoutEmbedder::describe(image);
    let norm = dot(&vector, &vector).sqrt();
    vector.iter().map(|v| v / norm).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Milliseconds for one description, the best of many.
fn time(image: &RgbImage) -> f64 {
    let once = || {
        let start = Instant::now();
        std::hint::black_box(LayoutEmbedder::describe(std::hint::black_box(image)));
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..50).map(|_| once()).fold(f64::INFINITY, f64::min)
}
