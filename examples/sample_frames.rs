//! Samples a film and says how many frames came, as one line of JSON: a row for comparisons with other readers.
//!
//! `cargo run --release --example sample_frames -- film.mp4 1.0 [max_side]` takes one frame a second.

// A program talks on standard output.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use picchu::{Error, Result, Sampling, local::video::VideoFile};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or_else(|| Error::invalid("which film?"))?;
    let number = |text: Option<String>| text.and_then(|text| text.parse::<f64>().ok());
    let mut sampling = Sampling::rate(number(arguments.next()).unwrap_or(1.0))?;
    if let Some(side) = number(arguments.next()).filter(|side| *side > 0.0) {
        sampling = sampling.max_side(side as u32);
    }
    let started = Instant::now();
    let mut frames = VideoFile::open(path)?.read(&sampling)?;
    let (mut count, mut worst) = (0_u64, 0.0_f64);
    for frame in frames.by_ref() {
        let frame = frame?;
        let wanted = match &sampling.policy {
            picchu::Policy::Every(interval) => frame.index as f64 * interval.as_secs_f64(),
            _ => frame.time.as_secs_f64(),
        };
        worst = worst.max((wanted - frame.time.as_secs_f64()).abs());
        count += 1;
    }
    let counts = frames.counts().unwrap_or_default();
    println!(
        r#"{{"n": {count}, "wall": {:.4}, "late": {worst:.4}, "packets": {}, "decoded": {}, "planned": {}}}"#,
        started.elapsed().as_secs_f64(),
        counts.packets,
        counts.decoded,
        counts.planned
    );
    Ok(())
}
