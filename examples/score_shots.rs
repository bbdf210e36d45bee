//! How well shots are found, on films whose cuts are known, and what the look at a film costs.
//!
//! ```text
//! cargo run --release --example score_shots -- examples/film/two_friends.mp4 examples/film/shots.json
//! ```
//!
//! Labels are in seconds: `{"cuts": [3.5], "dissolves": [{"start": 6.2, "end": 6.8}]}`. Without labels the shots are
//! printed.
#![allow(clippy::print_stdout, missing_docs)]

use std::{error::Error, time::Instant};

use futures::StreamExt;
use picchu::{Sampling, config::open_film, source::analyse, types::TransitionKind};
use serde::Deserialize;

#[derive(Deserialize)]
struct Labels {
    cuts: Vec<f64>,
    #[serde(default)]
    dissolves: Vec<Stretch>,
}

#[derive(Deserialize)]
struct Stretch {
    start: f64,
    end: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path = arguments.next().ok_or("usage: score_shots FILM [LABELS]")?;
    let film = open_film(path.as_ref())?;
    let clock = Instant::now();
    let analysis = analyse(&*film).await?;
    let looked = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    film.frames(&Sampling::all().max_side(320)).for_each(|_| async {}).await;
    let decoded = clock.elapsed().as_secs_f64();
    println!("looked at {} pictures in {looked:.2} s; decoding alone {decoded:.2} s", analysis.pictures);

    let transitions: Vec<_> = analysis.shots.iter().filter_map(|shot| shot.transition).collect();
    let Some(labels) = arguments.next() else {
        for transition in transitions {
            println!("{transition:?}");
        }
        return Ok(());
    };
    let labels: Labels = serde_json::from_slice(&std::fs::read(labels)?)?;
    let of = |kind: TransitionKind| -> Vec<(f64, f64)> {
        let found = transitions.iter().filter(move |t| t.kind == kind);
        found.map(|t| (t.start.as_secs_f64(), t.end.as_secs_f64())).collect()
    };
    // Within one picture.
    let rate = film.probe().await?.frame_rate.unwrap_or(24.0);
    let cuts: Vec<(f64, f64)> = labels.cuts.iter().map(|&cut| (cut, cut)).collect();
    let near = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() <= 1.02 / rate;
    println!("cuts      {}", score(&of(TransitionKind::Cut), &cuts, near));
    let dissolves: Vec<(f64, f64)> = labels.dissolves.iter().map(|d| (d.start, d.end)).collect();
    // Half of the shorter one is shared.
    let shares =
        |a: (f64, f64), b: (f64, f64)| a.1.min(b.1) - a.0.max(b.0) >= 0.5 * (a.1 - a.0).min(b.1 - b.0);
    println!("dissolves {}", score(&of(TransitionKind::Dissolve), &dissolves, shares));
    Ok(())
}

/// Found, wrong and missed, each label counted once.
fn score(
    found: &[(f64, f64)],
    labels: &[(f64, f64)],
    fits: impl Fn((f64, f64), (f64, f64)) -> bool,
) -> String {
    let mut free: Vec<(f64, f64)> = found.to_vec();
    let mut right = 0;
    for &label in labels {
        if let Some(at) = free.iter().position(|&f| fits(f, label)) {
            free.swap_remove(at);
            right += 1;
        }
    }
    let (wrong, missed) = (free.len(), labels.len() - right);
    let f1 = 2.0 * right as f64 / (2.0 * right as f64 + wrong as f64 + missed as f64).max(1.0);
    format!("{right} found, {wrong} wrong, {missed} missed, F1 {f1:.3}")
}
