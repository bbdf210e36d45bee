//! Short codes for rows, and the proof that they never exclude a pair wrongly.
//!
//! # The bound
//!
//! Write x, y for rows of norm 1. Then |x − y|² = 2 − 2 x·y, so "similarity at least t" is "distance at most
//! D", with D = √(2 − 2t). Every level of codes maps a row x to a vector of integers c(x) and knows three things:
//! a *stretch* a, and for each row an *error* ε(x), such that for all rows
//!
//! > |c(x) − c(y)| ≤ a |x − y| + ε(x) + ε(y).  (1)
//!
//! A pair is excluded if |c(x) − c(y)| > a D + ε(x) + ε(y): by (1) its distance is above D. To test that by
//! integers only, use convexity, (u + v)² ≤ ½ (2u)² + ½ (2v)² with u = aD/2 + ε(x) and v = aD/2 + ε(y): the pair is
//! excluded as well if |c(x) − c(y)|² > ½ (aD + 2ε(x))² + ½ (aD + 2ε(y))². With
//! |c(x) − c(y)|² = |c(x)|² + |c(y)|² − 2 c(x)·c(y) that is
//!
//! > c(x)·c(y) < g(x) + g(y), where g(x) = ½ |c(x)|² − ¼ (aD + 2ε(x))².  (2)
//!
//! Rounding g down only excludes less. So a level needs one integer *limit* for each row, and an integer product
//! for each pair.
//!
//! # The levels
//!
//! *Full* codes are q(x) = round((x − μ) / s), cut to ±127, for any vector μ and step s. With
//! e(x) = |x − μ − s q(x)|, measured for each row, the triangle inequality gives (1) with a = 1/s and
//! ε(x) = e(x)/s. It also bounds the distance from above: |x − y| ≤ s |q(x) − q(y)| + e(x) + e(y), which accepts
//! pairs without looking at the rows.
//!
//! *Sketches* are shorter. Let P be any integer matrix with spectral norm at most Λ, let p(x) = P q(x) (computed
//! exactly), and r(x) = round(p(x) / c), cut to ±127, with e′(x) = |p(x) − c r(x)|. Then
//! c |r(x) − r(y)| ≤ Λ |q(x) − q(y)| + e′(x) + e′(y), so (1) holds with a = Λ / (s c) and
//! ε(x) = (Λ e(x) / s + e′(x)) / c. The rows of P are the directions in which a sample of the rows differs most;
//! any other P would be as correct, but slower. Λ is bounded from P itself, see [`norm_bound`].
//!
//! # Rounding
//!
//! Norms and decisions are computed in `float64`. Codes come from `float32` arithmetic on x: their e(x) is
//! enlarged by a proven bound for its rounding error, see [`error_bound`]. Besides, the D that excludes is
//! that of t − 10⁻⁶ and the D that accepts is that of t + 10⁻⁶, so every pair that close to t is decided in
//! `float64`.

use super::rows::{Rows, check_norms, cosine, norm_sq};
use super::team::Team;
use super::{DedupeError, Options};
use crate::simd::{
    CodeRows, Kernel, LANES, Line, Lines, MAX_CODE, MAX_CODE_LENGTH, Panel, Quantised, clamp_limit, codes,
    codes_mut,
};
use ndarray::{Array2, ArrayView2, Axis, s};
use std::ops::Range;
use std::sync::Arc;

/// Pairs this close to the threshold are decided in `float64`.
const DECIDED_EXACTLY: f64 = 1e-6;

/// Rows that are encoded in one job; a multiple of the rows that kernels take together.
const BLOCK: usize = 192;

/// What there is to know about one row at one level.
#[derive(Debug, Clone, Copy, Default)]
struct Measure {
    /// ε of the module's documentation.
    error: f32,
    length_sq: i32,
    /// Of the kernel, for the sum of the codes.
    offset: i32,
}

/// The codes of all rows at one level.
#[derive(Debug, Clone)]
struct Level {
    /// Coordinates in use; the lines are padded with zeros.
    length: usize,
    lines_per_row: usize,
    /// a of the module's documentation.
    stretch: f64,
    lines: Lines,
    measures: Vec<Measure>,
}

impl Level {
    fn new(length: usize, stretch: f64) -> Self {
        let lines_per_row = length.div_ceil(64).max(1);
        Self { length, lines_per_row, stretch, lines: Lines::default(), measures: Vec::new() }
    }

    fn rows(&self) -> CodeRows<'_> {
        CodeRows::new(&self.lines, self.lines_per_row)
    }

    /// Product of the codes of two rows.
    fn product(&self, kernel: Kernel, a: usize, b: usize) -> i32 {
        kernel.dot_codes(self.rows().row(a), self.rows().row(b), self.measures[b].offset)
    }

    /// Squared distance of the codes of two rows.
    fn apart_sq(&self, kernel: Kernel, a: usize, b: usize) -> f64 {
        let lengths_sq = f64::from(self.measures[a].length_sq) + f64::from(self.measures[b].length_sq);
        lengths_sq - 2.0 * f64::from(self.product(kernel, a, b))
    }

    /// g of the module's documentation, for the rows from `first` on.
    fn limits(&self, distance: f64, first: usize) -> impl Iterator<Item = i32> {
        let reach = self.stretch * distance;
        self.measures[first..].iter().map(move |measure| limit(measure, reach))
    }

    fn grow(&mut self, rows: usize) {
        self.lines.resize(rows * self.lines_per_row);
        self.measures.resize(rows, Measure::default());
    }

    fn move_down(&mut self, from: usize, to: usize) {
        let lines = self.lines_per_row;
        self.lines.copy_within(from * lines..(from + 1) * lines, to * lines);
        self.measures[to] = self.measures[from];
    }
}

fn limit(measure: &Measure, reach: f64) -> i32 {
    let reach = reach + 2.0 * f64::from(measure.error);
    clamp_limit(0.5 * f64::from(measure.length_sq) - 0.25 * reach * reach)
}

/// Upper bound for the error of the full codes of a row, from the computed square of it.
///
/// Each value is off by at most 5 · 2⁻²⁴ of the magnitudes that meet in it (the inverse norm, the product, the two
/// differences and the product with the scale), whose vectors have norms of at most 1, 1 and 2; the sum of squares
/// is off by a factor of at most 1 + (length / 32 + 8) · 2⁻²⁴.
fn error_bound(error_sq: f32, length: usize) -> f64 {
    f64::from(error_sq).sqrt() * (1.0 + length as f64 * 1e-7 + 1e-5) + 3e-6
}

/// A float that is not below the number.
fn round_up(value: f64) -> f32 {
    (value as f32).next_up()
}

/// How rows are encoded. Depends on the data for speed only.
#[derive(Debug, Clone)]
pub(super) struct Space {
    kernel: Kernel,
    mean: Vec<f32>,
    scale: f32,
    basis: Option<Basis>,
}

/// P of the module's documentation.
#[derive(Debug, Clone)]
struct Basis {
    panels: Vec<Panel>,
    /// c of the module's documentation.
    scale: f32,
    sketches: Vec<Sketch>,
}

/// The first coordinates of a basis.
#[derive(Debug, Clone, Copy)]
struct Sketch {
    length: usize,
    /// Λ of the module's documentation.
    norm: f64,
}

/// Unit rows of a sample, without the mean.
fn sample(kernel: Kernel, rows: &Rows<'_>, count: usize, shift: f64, length: usize) -> Array2<f32> {
    let mut sample = Array2::zeros((count, length));
    let step = rows.len() as f64 / count as f64;
    for (i, mut to) in sample.outer_iter_mut().enumerate() {
        let row = rows.row((((i as f64 + shift) * step) as usize).min(rows.len() - 1));
        let inverse_norm = 1.0 / norm_sq(kernel, row).sqrt();
        // Rows that are not valid are found later; here they are zero.
        if inverse_norm.is_finite() && inverse_norm > 0.0 {
            for (to, value) in to.iter_mut().zip(row) {
                *to = (f64::from(*value) * inverse_norm) as f32;
            }
        }
    }
    sample
}

impl Space {
    /// A space for these rows. With `sketch_for`, a distance at which most pairs are to be excluded, sketches
    /// are added if they pay.
    pub(super) fn fit(kernel: Kernel, rows: &Rows<'_>, sketch_for: Option<f64>) -> Self {
        let length = rows.dim().min(MAX_CODE_LENGTH);
        let count = rows.len().min((rows.len() / 32).clamp(64, 512));
        let mut space = Self { kernel, mean: vec![0.0; length], scale: 1.0, basis: None };
        if count == 0 {
            return space;
        }
        let mut sample_rows = sample(kernel, rows, count, 0.0, length);
        if let Some(mean) = sample_rows.mean_axis(Axis(0)) {
            sample_rows -= &mean;
            space.mean = mean.to_vec();
        }
        let widest = sample_rows.iter().fold(0.0_f32, |widest, value| widest.max(value.abs()));
        // The lower end keeps products of equal rows within the integers; it is far below any threshold's D.
        space.scale = widest.max(1e-4) / MAX_CODE;
        if let Some(distance) = sketch_for {
            let test = sample(kernel, rows, count.min(160), 0.5, length);
            // More directions cost more to find: they are tried if a few leave many pairs over.
            for longest in [64, 192] {
                let Some(directions) = principal_directions(&sample_rows, longest) else { break };
                let (basis, rest) = space.choose_sketches(&directions, &test, distance);
                space.basis = basis;
                if rest < 0.05 || directions.nrows() < longest {
                    break;
                }
            }
        }
        space
    }

    fn full_stretch(&self) -> f64 {
        1.0 / f64::from(self.scale)
    }

    fn sketch_stretch(&self, basis: &Basis, sketch: Sketch) -> f64 {
        sketch.norm / (f64::from(self.scale) * f64::from(basis.scale))
    }

    fn levels(&self) -> Vec<Level> {
        let full = Level::new(self.mean.len(), self.full_stretch());
        let sketches = self.basis.iter().flat_map(|basis| {
            let level = |sketch: &Sketch| Level::new(sketch.length, self.sketch_stretch(basis, *sketch));
            basis.sketches.iter().map(level)
        });
        sketches.chain(std::iter::once(full)).collect()
    }

    /// Codes of a row; `spare` is for rows whose norm is beyond `float32`.
    fn encode(&self, row: &[f32], norm_sq: f64, to: &mut [Line], spare: &mut Vec<f32>) -> Measure {
        let row = &row[..self.mean.len()];
        let inverse_norm = 1.0 / norm_sq.sqrt();
        let quantised = if (1e-30..=1e30).contains(&inverse_norm) {
            self.kernel.quantise(row, &self.mean, inverse_norm as f32, self.scale, to)
        } else if inverse_norm.is_finite() && inverse_norm > 0.0 {
            spare.clear();
            spare.extend(row.iter().map(|value| (f64::from(*value) * inverse_norm) as f32));
            self.kernel.quantise(spare, &self.mean, 1.0, self.scale, to)
        } else {
            return Measure::default();
        };
        let error = error_bound(quantised.error_sq, row.len()) / f64::from(self.scale);
        let offset = self.kernel.offset(quantised.sum);
        Measure { error: round_up(error), length_sq: quantised.length_sq, offset }
    }

    fn sketch(
        &self,
        basis: &Basis,
        sketch: Sketch,
        full: Measure,
        projected: &[i32],
        to: &mut [Line],
    ) -> Measure {
        let Quantised { error_sq, length_sq, sum } =
            self.kernel.requantise(&projected[..sketch.length], basis.scale, to);
        let scale = f64::from(basis.scale);
        // Conversion to `float32` and three operations: off by 2⁻²² of the projected length at most.
        let rounding = (f64::from(error_sq).sqrt() + scale * f64::from(length_sq).sqrt()) * 1e-6;
        let rounded = f64::from(error_sq).sqrt() * 1.0001 + rounding;
        let error = (sketch.norm * f64::from(full.error) + rounded) / scale;
        Measure { error: round_up(error), length_sq, offset: self.kernel.offset(sum) }
    }

    /// Projects some rows of full codes, one after the other.
    fn project(&self, panels: &[Panel], full: CodeRows<'_>, measures: &[Measure], to: &mut Projected) {
        to.width = panels.len() * LANES;
        to.products.resize(measures.len(), [0; LANES]);
        to.values.resize(measures.len() * to.width, 0);
        for (at, panel) in panels.iter().enumerate() {
            self.kernel.products(panel, full, 0, &mut to.products);
            let values = to.values.chunks_exact_mut(to.width);
            for ((products, measure), values) in to.products.iter().zip(measures).zip(values) {
                for (value, product) in values[at * LANES..].iter_mut().zip(products) {
                    *value = product - measure.offset;
                }
            }
        }
    }

    /// Rounds a basis to integers and takes the lengths of sketches that make a search cheapest, going by
    /// rows that were not used to fit the basis; or none. Also says which share of pairs the longest leaves over.
    fn choose_sketches(
        &self,
        basis: &Array2<f32>,
        test: &Array2<f32>,
        distance: f64,
    ) -> (Option<Basis>, f64) {
        const STEP: usize = 32;
        // In cycles: a coordinate of a pair in a sieve, and a pair that comes through it.
        const COORDINATE: f64 = 1.0 / 96.0;
        const PAIR: f64 = 40.0;

        let longest = basis.nrows() / STEP * STEP;
        let widest = basis.iter().fold(0.0_f32, |widest, value| widest.max(value.abs()));
        if longest == 0 || widest == 0.0 {
            return (None, 1.0);
        }
        let lines = self.mean.len().div_ceil(64);
        let mut rounded = vec![Line::ZERO; longest * lines];
        for (row, to) in basis.outer_iter().zip(rounded.chunks_exact_mut(lines)) {
            for (value, to) in row.iter().zip(codes_mut(to)) {
                *to = (value * (MAX_CODE / widest)).round() as i8;
            }
        }
        let rounded = CodeRows::new(&rounded, lines);
        let mut panels = Vec::new();
        for first in (0..longest).step_by(LANES) {
            let mut panel = Panel::new(self.kernel, lines * 64);
            for lane in 0..LANES.min(longest - first) {
                panel.set(lane, rounded.row(first + lane), 0);
            }
            panels.push(panel);
        }

        // The test rows, encoded and projected.
        let mut spare = Vec::new();
        let mut full = vec![Line::ZERO; test.nrows() * lines];
        let measures: Vec<Measure> = test
            .outer_iter()
            .zip(full.chunks_exact_mut(lines))
            .map(|(row, to)| {
                row.to_slice().map_or_else(Measure::default, |row| self.encode(row, 1.0, to, &mut spare))
            })
            .collect();
        let mut projected = Projected::default();
        self.project(&panels, CodeRows::new(&full, lines), &measures, &mut projected);
        let widest = projected.values.iter().fold(0, |widest, value| widest.max(value.abs()));
        let mut basis = Basis { panels, scale: (widest as f32 / MAX_CODE).max(1.0), sketches: Vec::new() };

        let mut sketches = Vec::new();
        let mut best = (self.mean.len() as f64 * COORDINATE, None);
        for length in (STEP..=longest).step_by(STEP) {
            let sketch = Sketch { length, norm: norm_bound(self.kernel, rounded, length) };
            let mut level = Level::new(length, self.sketch_stretch(&basis, sketch));
            level.grow(test.nrows());
            let values = projected.values.chunks_exact(projected.width);
            for (i, (full, values)) in measures.iter().zip(values).enumerate() {
                let to = &mut level.lines[i * level.lines_per_row..][..level.lines_per_row];
                level.measures[i] = self.sketch(&basis, sketch, *full, values, to);
            }
            let limits: Vec<i32> = level.limits(distance, 0).collect();
            let through = |i: usize, j: usize| level.product(self.kernel, i, j) >= limits[i] + limits[j];
            let through: usize = (0..test.nrows()).map(|i| (0..i).filter(|j| through(i, *j)).count()).sum();
            let share = through as f64 / (test.nrows() * (test.nrows() - 1) / 2).max(1) as f64;
            let cost = length as f64 * COORDINATE + share * PAIR;
            if cost < best.0 {
                best = (cost, Some(sketches.len()));
            }
            sketches.push((sketch, share));
        }
        let rest = sketches.last().map_or(1.0, |(_, share)| *share);
        let Some(best) = best.1 else { return (None, rest) };
        let (first, share) = sketches[best];
        basis.sketches.push(first);
        if let Some((longest, rest)) = sketches.last()
            && longest.length >= first.length + STEP
            && *rest < 0.8 * share
        {
            basis.sketches.push(*longest);
        }
        let longest = basis.sketches.iter().map(|sketch| sketch.length).max().unwrap_or(0);
        basis.panels.truncate(longest.div_ceil(LANES));
        (Some(basis), rest)
    }
}

/// Room for projected rows.
#[derive(Debug, Default)]
struct Projected {
    products: Vec<[i32; LANES]>,
    values: Vec<i32>,
    width: usize,
}

/// Directions in which a sample differs most, as rows, the most telling first: three rounds of orthogonal
/// iteration on the sample's products. Rough is good enough: any directions give a valid bound.
fn principal_directions(sample: &Array2<f32>, wanted: usize) -> Option<Array2<f32>> {
    let wanted = wanted.min(sample.nrows() / 2).min(sample.ncols() / 2);
    if wanted < 32 {
        return None;
    }
    let products = sample.dot(&sample.t());
    let stride = sample.nrows() / wanted;
    let mut weights = products.slice(s![.., ..;stride]).slice(s![.., ..wanted]).to_owned();
    for _ in 0..3 {
        weights = products.dot(&orthonormal(&weights.view())?);
    }
    // Once more, for what rounding left: the more orthonormal, the smaller Λ.
    let directions = orthonormal(&sample.t().dot(&weights).view())?;
    Some(orthonormal(&directions.view())?.reversed_axes())
}

/// An orthonormal basis of the columns, column by column; none if they are too few.
fn orthonormal(columns: &ArrayView2<'_, f32>) -> Option<Array2<f32>> {
    // With C = L Lᵀ the product of the columns, columns · L⁻ᵀ are orthonormal.
    let gram = columns.t().dot(columns).mapv(f64::from);
    let size = gram.nrows();
    let ridge = 1e-6 * gram.diag().iter().fold(0.0_f64, |widest, value| widest.max(*value));
    let mut lower = Array2::<f64>::zeros((size, size));
    for i in 0..size {
        for j in 0..=i {
            let known = lower.slice(s![i, ..j]).dot(&lower.slice(s![j, ..j]));
            let rest = gram[[i, j]] - known;
            if i == j {
                // Rounding may leave less than nothing of a column that the others explain.
                let root = (rest.max(0.0) + ridge).sqrt();
                if !(root > 0.0 && root.is_finite()) {
                    return None;
                }
                lower[[i, i]] = root;
            } else {
                lower[[i, j]] = rest / lower[[j, j]];
            }
        }
    }
    // The inverse of L, row by row: with L X = 1, row i of X is (1ᵢ − Σ Lᵢⱼ Xⱼ) / Lᵢᵢ.
    let mut inverse = Array2::<f64>::zeros((size, size));
    for i in 0..size {
        let (known, mut rest) = inverse.view_mut().split_at(Axis(0), i);
        let mut row = rest.row_mut(0);
        for (factor, known) in lower.row(i).iter().zip(known.outer_iter()) {
            row.scaled_add(-factor, &known);
        }
        row[i] += 1.0;
        row /= lower[[i, i]];
    }
    Some(columns.dot(&inverse.mapv(|value| value as f32).t()))
}

/// An upper bound for the spectral norm of the matrix with these first rows.
///
/// For H = P Pᵀ and any h, the norm of P squared is at most h + ‖H − h‖, and for the symmetric M = H − h,
/// ‖M‖² = ‖M²‖ is at most the Frobenius norm of M².
fn norm_bound(kernel: Kernel, rows: CodeRows<'_>, count: usize) -> f64 {
    let mut gram = Array2::<f64>::zeros((count, count));
    for i in 0..count {
        let sum = codes(rows.row(i)).iter().map(|code| i32::from(*code)).sum();
        let offset = kernel.offset(sum);
        for j in 0..=i {
            let product = f64::from(kernel.dot_codes(rows.row(j), rows.row(i), offset));
            gram[[i, j]] = product;
            gram[[j, i]] = product;
        }
    }
    let middle = gram.diag().sum() / count as f64;
    gram.diag_mut().map_inplace(|value| *value -= middle);
    let square = gram.dot(&gram);
    let frobenius = square.iter().map(|value| value * value).sum::<f64>().sqrt();
    // The factor covers the rounding of these sums.
    (middle + frobenius.sqrt()).sqrt() * (1.0 + 1e-9)
}

/// Rows with their codes.
#[derive(Debug, Clone)]
pub(super) struct Prepared<'a> {
    space: Arc<Space>,
    rows: Rows<'a>,
    norms_sq: Vec<f64>,
    /// Sketches from the shortest on, then the full codes.
    levels: Vec<Level>,
}

/// The part of a job's output at one level.
type LevelPart<'l> = (&'l mut [Line], &'l mut [Measure]);

impl<'a> Prepared<'a> {
    pub(super) fn new(space: Space, rows: Rows<'a>, team: &Team<'_>) -> Result<Self, DedupeError> {
        let levels = space.levels();
        let mut prepared = Self { space: Arc::new(space), rows, norms_sq: Vec::new(), levels };
        prepared.encode_from(0, team)?;
        Ok(prepared)
    }

    /// Rows of another origin, in the same space.
    pub(super) fn beside(&self, rows: Rows<'a>, team: &Team<'_>) -> Result<Self, DedupeError> {
        let space = Arc::clone(&self.space);
        let mut prepared = Self { levels: space.levels(), space, rows, norms_sq: Vec::new() };
        prepared.encode_from(0, team)?;
        Ok(prepared)
    }

    /// Adds rows; on an error none is added, and the number of the row is that in `rows`.
    pub(super) fn append(&mut self, rows: &Rows<'_>, team: &Team<'_>) -> Result<(), DedupeError> {
        let first = self.len();
        self.rows.append(rows);
        let done = self.encode_from(first, team);
        if done.is_err() {
            self.truncate(first);
        }
        done
    }

    fn encode_from(&mut self, first: usize, team: &Team<'_>) -> Result<(), DedupeError> {
        struct Job<'j> {
            first: usize,
            norms_sq: &'j mut [f64],
            levels: Vec<LevelPart<'j>>,
        }
        let (space, rows) = (&*self.space, &self.rows);
        self.norms_sq.resize(rows.len(), 0.0);
        let mut parts: Vec<_> = self
            .levels
            .iter_mut()
            .map(|level| {
                level.grow(rows.len());
                let lines = level.lines_per_row;
                level.lines[first * lines..]
                    .chunks_mut(BLOCK * lines)
                    .zip(level.measures[first..].chunks_mut(BLOCK))
            })
            .collect();
        let mut jobs = Vec::new();
        for (block, norms_sq) in self.norms_sq[first..].chunks_mut(BLOCK).enumerate() {
            let levels = parts.iter_mut().filter_map(Iterator::next).collect();
            jobs.push(Job { first: first + block * BLOCK, norms_sq, levels });
        }
        team.map(jobs, |mut job| {
            let Some((full, sketches)) = job.levels.split_last_mut() else { return };
            let lines = full.0.len() / job.norms_sq.len();
            let mut spare = Vec::new();
            for (i, norm) in job.norms_sq.iter_mut().enumerate() {
                let row = rows.row(job.first + i);
                *norm = norm_sq(space.kernel, row);
                full.1[i] = space.encode(row, *norm, &mut full.0[i * lines..][..lines], &mut spare);
            }
            if let Some(basis) = &space.basis {
                let mut projected = Projected::default();
                space.project(&basis.panels, CodeRows::new(full.0, lines), full.1, &mut projected);
                for (sketch, (lines, measures)) in basis.sketches.iter().zip(sketches) {
                    let per_row = lines.len() / measures.len();
                    let values = projected.values.chunks_exact(projected.width);
                    for (((lines, measure), full), values) in lines
                        .chunks_exact_mut(per_row)
                        .zip(measures.iter_mut())
                        .zip(full.1.iter())
                        .zip(values)
                    {
                        *measure = space.sketch(basis, *sketch, *full, values, lines);
                    }
                }
            }
        })?;
        check_norms(&self.norms_sq[first..])
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn rows(&self) -> &Rows<'a> {
        &self.rows
    }

    pub(super) fn kernel(&self) -> Kernel {
        self.space.kernel
    }

    /// An order in which similar rows are close: by the nearest of some pivots, and pivots by a walk from each to
    /// the nearest that is left. Any order is correct.
    pub(super) fn coherent_order(&self, team: &Team<'_>) -> Result<Vec<u32>, DedupeError> {
        const PIVOTS: usize = 256;
        let len = self.len();
        let mut order: Vec<u32> = (0..len as u32).collect();
        if len < 4 * PIVOTS || !self.has_sketches() {
            return Ok(order);
        }
        let (kernel, level) = (self.space.kernel, &self.levels[0]);
        let pivots = self.walk((0..PIVOTS).map(|i| i * len / PIVOTS).collect());
        let mut panels = Vec::new();
        for rows in pivots.chunks(LANES) {
            let mut panel = self.panel();
            for (lane, row) in rows.iter().enumerate() {
                panel.set(lane, level.rows().row(*row), 0);
            }
            panels.push((panel, rows));
        }
        let blocks: Vec<_> = (0..len).step_by(BLOCK).map(|first| first..len.min(first + BLOCK)).collect();
        let nearest = team.map(blocks, |block| {
            let mut nearest = vec![(i32::MAX, 0_u32); block.len()];
            let mut products = vec![[0; LANES]; block.len()];
            for (at, (panel, rows)) in panels.iter().enumerate() {
                kernel.products(panel, level.rows(), block.start, &mut products);
                for (nearest, products) in nearest.iter_mut().zip(&products) {
                    for (lane, (row, product)) in rows.iter().zip(products).enumerate() {
                        // Half the squared distance, up to what depends on the row alone.
                        let apart = level.measures[*row].length_sq / 2 - product;
                        *nearest = (*nearest).min((apart, (at * LANES + lane) as u32));
                    }
                }
            }
            nearest
        })?;
        let nearest: Vec<u32> = nearest.into_iter().flatten().map(|(_, pivot)| pivot).collect();
        order.sort_by_key(|row| nearest[*row as usize]);
        Ok(order)
    }

    /// Puts rows in the order of a walk from each to the nearest that is left.
    fn walk(&self, mut rows: Vec<usize>) -> Vec<usize> {
        for i in 1..rows.len() {
            let apart =
                |at: &usize| self.levels[0].apart_sq(self.space.kernel, rows[i - 1], rows[*at]) as i64;
            if let Some(nearest) = (i..rows.len()).min_by_key(apart) {
                rows.swap(i, nearest);
            }
        }
        rows
    }

    /// Whether there are sketches, which make a sieve many times cheaper.
    pub(super) fn has_sketches(&self) -> bool {
        self.levels.len() > 1
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
        self.norms_sq.truncate(len);
        for level in &mut self.levels {
            level.lines.resize(len * level.lines_per_row);
            level.measures.truncate(len);
        }
    }

    /// Moves a row to an earlier place, over the row that is there.
    pub(super) fn move_down(&mut self, from: usize, to: usize) {
        self.rows.move_down(from, to);
        self.norms_sq[to] = self.norms_sq[from];
        for level in &mut self.levels {
            level.move_down(from, to);
        }
    }

    /// The similarity of two rows, in `float64`.
    pub(super) fn similarity(&self, a: usize, b: usize) -> f64 {
        let dot = self.space.kernel.dot(self.rows.row(a), self.rows.row(b));
        cosine(dot, self.norms_sq[a], self.norms_sq[b])
    }

    /// The similarity of a row with one of another origin.
    pub(super) fn similarity_beside(&self, a: usize, other: &Prepared<'_>, b: usize) -> f64 {
        let dot = self.space.kernel.dot(self.rows.row(a), other.rows.row(b));
        cosine(dot, self.norms_sq[a], other.norms_sq[b])
    }

    /// An empty panel for the codes that a sieve uses.
    pub(super) fn panel(&self) -> Panel {
        Panel::new(self.space.kernel, self.levels[0].length.next_multiple_of(4))
    }
}

/// The limits of all rows for one threshold.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    min_similarity: f64,
    /// Limits for the sieve, with the kernel's offset.
    sieve: Vec<i32>,
    /// Limits for the full codes, with the kernel's offset; empty without sketches.
    full: Vec<i32>,
    /// Limits by level.
    levels: Vec<Vec<i32>>,
}

/// The sieve's side of rows in another order.
#[derive(Debug)]
pub(super) struct Reordered {
    lines: Vec<Line>,
    lines_per_row: usize,
    limits: Vec<i32>,
}

impl Reordered {
    /// Which rows of a panel may reach the threshold with the rows at some places, 240 at most.
    pub(super) fn sieve(&self, kernel: Kernel, panel: &Panel, places: Range<usize>, hits: &mut [u64]) {
        let rows = CodeRows::new(&self.lines[places.start * self.lines_per_row..], self.lines_per_row);
        kernel.sieve(panel, rows, &self.limits[places.clone()], &COUNTING[..places.len()], hits);
    }
}

/// The first numbers.
const COUNTING: [u32; 240] = {
    let mut numbers = [0; 240];
    let mut i = 0;
    while i < 240 {
        numbers[i] = i as u32;
        i += 1;
    }
    numbers
};

fn distance(similarity: f64) -> f64 {
    (2.0 - 2.0 * similarity).max(0.0).sqrt()
}

/// Distance beyond which no pair has this similarity, nor one within 10⁻⁶ of it.
pub(super) fn farthest(min_similarity: f64) -> f64 {
    distance(min_similarity - DECIDED_EXACTLY)
}

impl Cut {
    pub(super) fn new(prepared: &Prepared<'_>, min_similarity: f64) -> Self {
        let levels = vec![Vec::new(); prepared.levels.len()];
        let mut cut = Self { min_similarity, sieve: Vec::new(), full: Vec::new(), levels };
        cut.extend(prepared);
        cut
    }

    pub(super) fn min_similarity(&self) -> f64 {
        self.min_similarity
    }

    /// Adds the limits of rows that were added.
    pub(super) fn extend(&mut self, prepared: &Prepared<'_>) {
        let first = self.sieve.len();
        let distance = farthest(self.min_similarity);
        for (limits, level) in self.levels.iter_mut().zip(&prepared.levels) {
            limits.extend(level.limits(distance, first));
        }
        let with_offset = |at: usize| {
            let measures = prepared.levels[at].measures[first..].iter();
            self.levels[at][first..].iter().zip(measures).map(|(limit, measure)| limit + measure.offset)
        };
        self.sieve.extend(with_offset(0));
        if prepared.has_sketches() {
            self.full.extend(with_offset(prepared.levels.len() - 1));
        }
    }

    pub(super) fn move_down(&mut self, from: usize, to: usize) {
        self.sieve[to] = self.sieve[from];
        if let Some(limit) = self.full.get(from).copied() {
            self.full[to] = limit;
        }
        for limits in &mut self.levels {
            limits[to] = limits[from];
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.sieve.truncate(len);
        self.full.truncate(len);
        for limits in &mut self.levels {
            limits.truncate(len);
        }
    }

    /// Codes and limits of the sieve for rows in another order, so that neighbours are close in memory.
    pub(super) fn reorder(&self, prepared: &Prepared<'_>, order: &[u32]) -> Reordered {
        let level = &prepared.levels[0];
        let (mut lines, mut limits) = (Vec::with_capacity(level.lines.len()), Vec::new());
        for row in order {
            lines.extend_from_slice(level.rows().row(*row as usize));
            limits.push(self.sieve[*row as usize]);
        }
        Reordered { lines, lines_per_row: level.lines_per_row, limits }
    }

    /// An empty panel for the full codes, and what [`Cut::sieve_full`] needs; none if the sieve has them.
    pub(super) fn full_panel(&self, prepared: &Prepared<'_>, rows: &[u32]) -> Option<Panel> {
        let level = prepared.levels[1..].last()?;
        let limits = self.levels.last()?;
        let mut panel = Panel::new(prepared.space.kernel, level.length.next_multiple_of(4));
        for (lane, row) in rows.iter().enumerate() {
            panel.set(lane, level.rows().row(*row as usize), limits[*row as usize]);
        }
        Some(panel)
    }

    /// As [`Cut::sieve`], with full codes.
    pub(super) fn sieve_full(
        &self,
        prepared: &Prepared<'_>,
        panel: &Panel,
        chosen: &[u32],
        hits: &mut [u64],
    ) {
        if let Some(level) = prepared.levels.last() {
            prepared.space.kernel.sieve(panel, level.rows(), &self.full, chosen, hits);
        }
    }

    /// Puts a row in a panel.
    pub(super) fn set(&self, prepared: &Prepared<'_>, panel: &mut Panel, lane: usize, row: usize) {
        panel.set(lane, prepared.levels[0].rows().row(row), self.levels[0][row]);
    }

    /// Which rows of a panel may reach the threshold with which chosen rows; all those that do are among them.
    pub(super) fn sieve(&self, prepared: &Prepared<'_>, panel: &Panel, chosen: &[u32], hits: &mut [u64]) {
        prepared.space.kernel.sieve(panel, prepared.levels[0].rows(), &self.sieve, chosen, hits);
    }

    /// Whether a pair that came through the sieve comes through the other levels.
    pub(super) fn possible(&self, prepared: &Prepared<'_>, a: usize, b: usize) -> bool {
        prepared
            .levels
            .iter()
            .zip(&self.levels)
            .skip(1)
            .all(|(level, limits)| level.product(prepared.space.kernel, a, b) >= limits[a] + limits[b])
    }

    /// The similarity of a pair that came through the sieve, if it reaches the threshold.
    pub(super) fn confirm(&self, prepared: &Prepared<'_>, a: usize, b: usize) -> Option<f64> {
        if self.possible(prepared, a, b) { self.reached(prepared, a, b) } else { None }
    }

    /// The similarity of a pair, if it reaches the threshold.
    pub(super) fn reached(&self, prepared: &Prepared<'_>, a: usize, b: usize) -> Option<f64> {
        let similarity = prepared.similarity(a, b);
        (similarity >= self.min_similarity).then_some(similarity)
    }

    /// Whether a pair reaches the threshold.
    pub(super) fn connects(&self, prepared: &Prepared<'_>, a: usize, b: usize) -> bool {
        self.certain(prepared, a, b) || self.reached(prepared, a, b).is_some()
    }

    /// Whether the full codes prove that a pair reaches the threshold.
    fn certain(&self, prepared: &Prepared<'_>, a: usize, b: usize) -> bool {
        let Some(level) = prepared.levels.last() else { return false };
        // Codes of a part of the coordinates say nothing about the rest.
        if level.length < prepared.rows.dim() {
            return false;
        }
        let (x, y) = (level.measures[a], level.measures[b]);
        let within = distance(self.min_similarity + DECIDED_EXACTLY) * level.stretch;
        let within = within - f64::from(x.error) - f64::from(y.error);
        within > 0.0 && level.apart_sq(prepared.space.kernel, a, b) < within * within
    }
}

/// A search for the nearest row of each row, by a threshold that rises with what is found.
///
/// The thresholds differ by row, so (2) does not apply: with e the largest error in a panel, a pair is excluded if
/// |c(x) − c(y)| > a D + ε(x) + e, where D is the distance of the nearest row so far. That is
/// c(x)·c(y) < ½ |c(x)|² − ½ (a D + ε(x) + e)² + ½ |c(y)|².
pub(super) struct Nearest<'p> {
    prepared: &'p Prepared<'p>,
    panels: Vec<Panel>,
    /// Largest error of each panel.
    errors: Vec<f32>,
}

impl<'p> Nearest<'p> {
    pub(super) fn new(prepared: &'p Prepared<'_>) -> Self {
        let level = &prepared.levels[0];
        let (mut panels, mut errors) = (Vec::new(), Vec::new());
        for (at, measures) in level.measures.chunks(LANES).enumerate() {
            let mut panel = prepared.panel();
            for (lane, measure) in measures.iter().enumerate() {
                let limit = clamp_limit(0.5 * f64::from(measure.length_sq));
                panel.set(lane, level.rows().row(at * LANES + lane), limit);
            }
            panels.push(panel);
            errors.push(measures.iter().fold(0.0_f32, |widest, measure| widest.max(measure.error)));
        }
        Self { prepared, panels, errors }
    }

    /// Similarity of each row of a block with the nearest row before it; NaN if there is none.
    pub(super) fn earlier(&self, block: Range<usize>, options: &Options) -> Result<Vec<f64>, DedupeError> {
        let panels = (0..block.end.div_ceil(LANES)).rev();
        self.nearest(block, panels, options, |row, other| other < row)
    }

    /// Similarity of each row of a block with the nearest row after it; NaN if there is none.
    pub(super) fn later(&self, block: Range<usize>, options: &Options) -> Result<Vec<f64>, DedupeError> {
        let panels = block.start / LANES..self.panels.len();
        self.nearest(block, panels, options, |row, other| other > row)
    }

    fn nearest(
        &self,
        block: Range<usize>,
        panels: impl Iterator<Item = usize>,
        options: &Options,
        counts: impl Fn(usize, usize) -> bool,
    ) -> Result<Vec<f64>, DedupeError> {
        let level = &self.prepared.levels[0];
        let rows: Vec<u32> = block.clone().map(|row| row as u32).collect();
        let mut found = vec![f64::NAN; rows.len()];
        let mut reaches = vec![f64::INFINITY; rows.len()];
        let mut limits = vec![0; block.end];
        let mut hits = vec![0; rows.len()];
        for at in panels {
            options.check_cancelled()?;
            for (row, reach) in block.clone().zip(&reaches) {
                let measure = level.measures[row];
                let reach = reach * level.stretch + f64::from(measure.error) + f64::from(self.errors[at]);
                limits[row] =
                    clamp_limit(0.5 * f64::from(measure.length_sq) - 0.5 * reach * reach) + measure.offset;
            }
            self.prepared.space.kernel.sieve(&self.panels[at], level.rows(), &limits, &rows, &mut hits);
            for (i, row) in block.clone().enumerate() {
                let mut hits = hits[i];
                while hits != 0 {
                    let other = at * LANES + hits.trailing_zeros() as usize;
                    hits &= hits - 1;
                    if !counts(row, other) || !self.within(row, other, reaches[i]) {
                        continue;
                    }
                    let similarity = self.prepared.similarity(row, other);
                    if found[i].is_nan() || similarity > found[i] {
                        found[i] = similarity;
                        reaches[i] = farthest(similarity);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether no level excludes that two rows are this close.
    fn within(&self, row: usize, other: usize, distance: f64) -> bool {
        self.prepared.levels.iter().skip(1).all(|level| {
            let (x, y) = (level.measures[row], level.measures[other]);
            let reach = level.stretch * distance + f64::from(x.error) + f64::from(y.error);
            level.apart_sq(self.prepared.space.kernel, row, other) <= reach * reach
        })
    }
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
