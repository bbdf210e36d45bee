//! Time of `select`, `components`, `join` and `calibrate`: one axis varied at a time around 10,000 × 1,024 at 0.92.
//!
//! `cargo bench --bench dedupe -- select/film/rows` runs a part; names are `<search>/<data>/<axis>/<value>`.
//! `benches/README.md` has the figures.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ndarray::{Array2, ArrayView2};
use picchu::dedupe::{Options, calibrate, components, join, select};
use std::hint::black_box;

/// A small generator of numbers that are nearly normal.
struct Numbers(u64);

impl Numbers {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        (0..4).map(|_| self.uniform() - 0.5).sum::<f32>() * 3.0_f32.sqrt()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.uniform() * end as f32) as usize % end
    }
}

/// Rows like those of a film: a common mean, a spectrum that falls as a power, and shots of about 60 frames that
/// visit 40 scenes and come back to them. Frames of a shot drift; reflections hide the axes.
fn film(rows: usize, dim: usize) -> Array2<f32> {
    let mut numbers = Numbers(1);
    let spectrum = |power: f32, energy: f32| -> Vec<f32> {
        let all: f32 = (1..=dim).map(|j| (j as f32).powf(-power)).sum();
        (1..=dim).map(|j| ((j as f32).powf(-power) / all * energy).sqrt()).collect()
    };
    let (between, within) = (spectrum(1.0, 0.25), spectrum(0.7, 0.15));
    let mean: Vec<f32> = (0..dim).map(|_| numbers.normal() * (0.6 / dim as f32).sqrt()).collect();
    let mut draw = |scale: &[f32]| -> Vec<f32> { scale.iter().map(|s| s * numbers.normal()).collect() };
    let centres: Vec<_> = (0..40).map(|_| draw(&between)).collect();
    let mirrors: Vec<Vec<f32>> = (0..6).map(|_| draw(&vec![1.0; dim])).collect();
    let mut states: Vec<_> = (0..40).map(|_| draw(&within)).collect();
    let mut picks = Numbers(2);
    let (mut scene, mut drift) = (0, 0.0_f32);
    let mut x = Array2::zeros((rows, dim));
    for mut row in x.outer_iter_mut() {
        if picks.below(60) == 0 {
            scene = picks.below(40);
            drift = 0.02 + 0.4 * (scene as f32 / 40.0).powi(3);
        }
        let step = draw(&within);
        let keep = (1.0 - drift * drift).sqrt();
        let state = &mut states[scene];
        for j in 0..dim {
            state[j] = keep * state[j] + drift * step[j];
            row[j] = mean[j] + centres[scene][j] + state[j];
        }
        for mirror in &mirrors {
            let (mut product, mut length) = (0.0, 0.0);
            for (value, mirror) in row.iter().zip(mirror) {
                product += value * mirror;
                length += mirror * mirror;
            }
            row.iter_mut().zip(mirror).for_each(|(value, mirror)| *value -= 2.0 * product / length * mirror);
        }
    }
    x
}

/// Independent rows, a fifth of them close to an earlier one.
fn random(rows: usize, dim: usize) -> Array2<f32> {
    let mut numbers = Numbers(3);
    let mut x = Array2::from_shape_fn((rows, dim), |_| numbers.normal());
    for row in 1..rows {
        if numbers.below(5) == 0 {
            let (noise, earlier) = (0.1 + 0.4 * numbers.uniform(), numbers.below(row));
            let copy = x.row(earlier).mapv(|value| value + noise * numbers.normal());
            x.row_mut(row).assign(&copy);
        }
    }
    x
}

type Search = (&'static str, fn(ArrayView2<'_, f32>, f64, &Options) -> usize);

const SEARCHES: [Search; 4] = [
    ("select", |x, t, options| select(x, t, None, options).map_or(0, |found| found.kept.len())),
    ("components", |x, t, options| components(x, t, options).map_or(0, |found| found.count)),
    ("join", |x, t, options| join(x, t, options).map_or(0, |found| found.len())),
    ("calibrate", |x, _, options| calibrate(x, options).map_or(0, |found| found.join().len())),
];

type Data = (&'static str, fn(usize, usize) -> Array2<f32>);

const DATA: [Data; 2] = [("film", film), ("random", random)];

const BASE_ROWS: usize = 10_000;
const BASE_DIM: usize = 1024;
const BASE_THRESHOLD: f64 = 0.92;

/// Times every search on some rows; a search that takes minutes on them is left out.
fn measure(
    criterion: &mut Criterion,
    (data, make): Data,
    (axis, value): (&str, &str),
    (rows, dim): (usize, usize),
    min_similarity: f64,
    threads: usize,
) {
    let mut x = None;
    for (search, run) in SEARCHES {
        if search == "calibrate" && (rows > 50_000 || data == "random") {
            continue;
        }
        let mut group = criterion.benchmark_group(format!("{search}/{data}/{axis}"));
        group.sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(value), |bencher| {
            // Made here, so that what a filter leaves out costs nothing.
            let x = x.get_or_insert_with(|| make(rows, dim));
            let options = Options::default().threads(threads);
            bencher.iter(|| black_box(run(x.view(), min_similarity, &options)));
        });
        group.finish();
    }
}

fn benches(criterion: &mut Criterion) {
    for data in DATA {
        for rows in [1000, 10_000, 50_000, 200_000] {
            let at = ("rows", rows.to_string());
            measure(criterion, data, (at.0, &at.1), (rows, BASE_DIM), BASE_THRESHOLD, 2);
        }
        for dim in [256, 384, 3072] {
            let at = ("dim", dim.to_string());
            measure(criterion, data, (at.0, &at.1), (BASE_ROWS, dim), BASE_THRESHOLD, 2);
        }
        for threshold in [0.80, 0.86, 0.95, 0.98] {
            let at = ("threshold", threshold.to_string());
            measure(criterion, data, (at.0, &at.1), (BASE_ROWS, BASE_DIM), threshold, 2);
        }
        measure(criterion, data, ("threads", "1"), (BASE_ROWS, BASE_DIM), BASE_THRESHOLD, 1);
    }
}

criterion_group!(dedupe, benches);
criterion_main!(dedupe);
