//! The bounds of `space`, on rows that are easy and rows that are not.

use super::*;
use ndarray::Array2;

/// A small generator of numbers in (−1, 1).
fn numbers(mut seed: u64) -> impl FnMut() -> f64 {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as f64 / 2.0_f64.powi(30) - 1.0
    }
}

/// Rows of up to eight kinds in one matrix: around a common mean with a falling spectrum, random, with one value,
/// equal, nearly equal, tiny and huge.
fn awkward_rows(len: usize, dim: usize, kinds: usize, seed: u64) -> Array2<f32> {
    let mut next = numbers(seed);
    let common: Vec<f64> = (0..dim).map(|_| next()).collect();
    let mut x = Array2::zeros((len, dim));
    for (i, mut row) in x.outer_iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            let spectrum = 3.0 / ((j + 1) as f64).sqrt();
            *value = match i % kinds {
                0..4 => common[j] + spectrum * next(),
                4 => next(),
                5 => f64::from(u8::from(j == i * 7 % dim)),
                6 => common[j] + 1e-5 * next(),
                _ => 1e-42 * (common[j] * 100.0).round() + 1e-42,
            } as f32;
        }
        if i % 16 == 1 {
            row *= 1e30;
        }
    }
    x
}

fn prepare(kernel: Kernel, x: &Array2<f32>, sketch_for: Option<f64>) -> Prepared<'_> {
    let rows = Rows::new(x.view()).unwrap();
    let options = Options::default();
    let space = Space::fit(kernel, &rows, sketch_for);
    Prepared::new(space, rows, &Team::new(&options, 0).unwrap()).unwrap()
}

/// Distance of two rows that are scaled to norm 1, in `float64`.
fn true_distance(x: &Array2<f32>, a: usize, b: usize) -> f64 {
    let norm = |row: usize| x.row(row).iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let (norm_a, norm_b) = (norm(a), norm(b));
    let (a, b) = (x.row(a), x.row(b));
    let apart = a.iter().zip(b).map(|(a, b)| (f64::from(*a) / norm_a - f64::from(*b) / norm_b).powi(2));
    apart.sum::<f64>().sqrt()
}

#[test]
fn no_bound_is_ever_passed() {
    let mut sketches = false;
    for (len, dim, kinds, seed) in [(96, 7, 8, 1), (220, 700, 8, 2), (200, 700, 4, 3)] {
        let x = awkward_rows(len, dim, kinds, seed);
        for similarity in [0.3, 0.97, 1.0 - 1e-9] {
            let prepared = prepare(Kernel::best(), &x, Some(farthest(similarity)));
            let cut = Cut::new(&prepared, similarity);
            let mut least_slack = f64::INFINITY;
            for a in 0..len {
                for b in 0..a {
                    let apart = true_distance(&x, a, b);
                    for (level, limits) in prepared.levels.iter().zip(&cut.levels) {
                        let errors = f64::from(level.measures[a].error) + f64::from(level.measures[b].error);
                        let codes_apart = level.apart_sq(prepared.kernel(), a, b).sqrt();
                        let slack = level.stretch * apart + errors - codes_apart;
                        assert!(slack >= 0.0, "{slack} for {a} and {b} at length {}", level.length);
                        least_slack = least_slack.min(slack);
                        let product = level.product(prepared.kernel(), a, b);
                        if product < limits[a] + limits[b] {
                            assert!(apart > distance(similarity), "{a} and {b} are excluded at {apart}");
                        }
                        if level.length == dim {
                            assert!(apart <= (codes_apart + errors) / level.stretch);
                        }
                    }
                    if cut.certain(&prepared, a, b) {
                        assert!(apart < distance(similarity));
                    }
                }
            }
            assert!(least_slack.is_finite());
            sketches |= prepared.has_sketches();
        }
    }
    assert!(sketches);
}

#[test]
fn sketches_are_found_and_exclude_most() {
    let mut next = numbers(4);
    let centres = Array2::from_shape_fn((60, 512), |(_, j)| next() / (1.0 + j as f64));
    let x = Array2::from_shape_fn((600, 512), |(i, j)| (centres[[i % 60, j]] + 0.002 * next()) as f32);
    let prepared = prepare(Kernel::best(), &x, Some(farthest(0.95)));
    assert!(prepared.has_sketches());
    let cut = Cut::new(&prepared, 0.95);
    let level = &prepared.levels[0];
    let through =
        |a: usize, b: usize| level.product(prepared.kernel(), a, b) >= cut.levels[0][a] + cut.levels[0][b];
    let left: usize = (0..600).map(|a| (0..a).filter(|b| through(a, *b)).count()).sum();
    assert!(left < 600 * 599 / 2 / 10, "{left}");
}

#[test]
fn the_norm_of_a_matrix_is_bounded() {
    let mut next = numbers(5);
    for similar in [0.0, 1.0] {
        let mut lines = vec![Line::ZERO; 40];
        let common: Vec<f64> = (0..64).map(|_| next()).collect();
        for row in lines.chunks_exact_mut(1) {
            for (code, common) in codes_mut(row).iter_mut().zip(&common) {
                *code = ((next() + similar * common) * 60.0) as i8;
            }
        }
        let rows = CodeRows::new(&lines, 1);
        let bound = norm_bound(Kernel::best(), rows, 40);
        for tries in 0..50 {
            let vector: Vec<f64> =
                common.iter().map(|common| if tries == 0 { *common } else { next() }).collect();
            let norm_sq: f64 = vector.iter().map(|value| value * value).sum();
            let image_sq: f64 = (0..40)
                .map(|row| {
                    let values = codes(rows.row(row)).iter().zip(&vector);
                    values.map(|(code, value)| f64::from(*code) * value).sum::<f64>().powi(2)
                })
                .sum();
            assert!(image_sq <= bound * bound * norm_sq);
        }
    }
}

#[test]
fn kernels_prepare_the_same() {
    let x = awkward_rows(220, 700, 4, 6);
    let expected = prepare(Kernel::SCALAR, &x, Some(farthest(1.0 - 1e-9)));
    assert!(expected.has_sketches());
    for kernel in Kernel::available() {
        let found = prepare(kernel, &x, Some(farthest(1.0 - 1e-9)));
        assert_eq!(found.levels.len(), expected.levels.len());
        for (level, expected) in found.levels.iter().zip(&expected.levels) {
            assert_eq!(codes(&level.lines), codes(&expected.lines));
        }
        assert_eq!(found.norms_sq, expected.norms_sq);
    }
}
