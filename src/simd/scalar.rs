//! Portable code: the oracle for the kernels, and the body of those that a compiler vectorises well.
//!
//! The functions marked `inline(always)` are compiled again, with more instructions, in `x86`.
#![expect(clippy::inline_always, reason = "without it they are compiled without the caller's instructions")]

use super::{CodeRows, LANES, Line, MAX_CODE, Panel, Quantised, codes};

/// Partial sums of a floating-point sum: enough to keep wide and deep units busy.
const PARTS: usize = 32;

/// Adds up partial sums, halving; the order is part of the result.
#[inline(always)]
fn fold<T: Copy + std::ops::AddAssign>(mut parts: [T; PARTS]) -> T {
    let mut width = PARTS / 2;
    while width > 0 {
        for i in 0..width {
            let other = parts[i + width];
            parts[i] += other;
        }
        width /= 2;
    }
    parts[0]
}

#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut parts = [0.0_f64; PARTS];
    let (a_chunks, a_rest) = a.as_chunks::<PARTS>();
    let (b_chunks, b_rest) = b.as_chunks::<PARTS>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..PARTS {
            parts[i] += f64::from(a[i]) * f64::from(b[i]);
        }
    }
    for ((part, a), b) in parts.iter_mut().zip(a_rest).zip(b_rest) {
        *part += f64::from(*a) * f64::from(*b);
    }
    fold(parts)
}

pub(super) fn dot_codes(a: &[Line], b: &[Line]) -> i32 {
    codes(a).iter().zip(codes(b)).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// Adding this to a number within ±2²² leaves the nearest integer in the lowest bits.
const TO_INTEGER: f32 = 12_582_912.0;

/// Nearest code of a value that is given in steps of the scale, and the code as a number.
#[inline(always)]
fn nearest_code(value: f32) -> (i32, f32) {
    let shifted = value.clamp(-MAX_CODE, MAX_CODE) + TO_INTEGER;
    (shifted.to_bits().wrapping_sub(TO_INTEGER.to_bits()) as i32, shifted - TO_INTEGER)
}

#[inline(always)]
pub(super) fn quantise(row: &[f32], mean: &[f32], inverse_norm: f32, scale: f32, to: &mut [i8]) -> Quantised {
    let inverse_scale = 1.0 / scale;
    let mut parts = [0.0_f32; PARTS];
    let (mut lengths, mut sums) = ([0_i32; PARTS], [0_i32; PARTS]);
    let (to, padding) = to.split_at_mut(row.len());
    padding.fill(0);
    let (row, row_rest) = row.as_chunks::<PARTS>();
    let (mean, mean_rest) = mean.as_chunks::<PARTS>();
    let (to, to_rest) = to.as_chunks_mut::<PARTS>();
    for ((row, mean), to) in row.iter().zip(mean).zip(to) {
        for i in 0..PARTS {
            let value = row[i] * inverse_norm - mean[i];
            let (code, number) = nearest_code(value * inverse_scale);
            let error = value - number * scale;
            parts[i] += error * error;
            lengths[i] += code * code;
            sums[i] += code;
            to[i] = code as i8;
        }
    }
    for (i, ((row, mean), to)) in row_rest.iter().zip(mean_rest).zip(to_rest).enumerate() {
        let value = row * inverse_norm - mean;
        let (code, number) = nearest_code(value * inverse_scale);
        let error = value - number * scale;
        parts[i] += error * error;
        lengths[i] += code * code;
        sums[i] += code;
        *to = code as i8;
    }
    Quantised { error_sq: fold(parts), length_sq: fold(lengths), sum: fold(sums) }
}

#[inline(always)]
pub(super) fn requantise(values: &[i32], scale: f32, to: &mut [i8]) -> Quantised {
    let inverse_scale = 1.0 / scale;
    let mut parts = [0.0_f32; PARTS];
    let (mut lengths, mut sums) = ([0_i32; PARTS], [0_i32; PARTS]);
    let (to, padding) = to.split_at_mut(values.len());
    padding.fill(0);
    for (values, to) in values.chunks(PARTS).zip(to.chunks_mut(PARTS)) {
        for (i, (value, to)) in values.iter().zip(to).enumerate() {
            let value = *value as f32;
            let (code, number) = nearest_code(value * inverse_scale);
            let error = value - number * scale;
            parts[i] += error * error;
            lengths[i] += code * code;
            sums[i] += code;
            *to = code as i8;
        }
    }
    Quantised { error_sq: fold(parts), length_sq: fold(lengths), sum: fold(sums) }
}

/// Products with every lane, begun with `sums`.
fn add_products(panel: &Panel, row: &[Line], sums: &mut [i32; LANES]) {
    let (quads, _) = codes(row).as_chunks::<4>();
    for (lines, quad) in panel.lines.chunks_exact(4).zip(quads) {
        for (sums, line) in sums.chunks_exact_mut(16).zip(lines) {
            let (lanes, _) = line.0.as_chunks::<4>();
            for (sum, lane) in sums.iter_mut().zip(lanes) {
                for (a, b) in quad.iter().zip(lane) {
                    *sum += i32::from(*a) * i32::from(*b);
                }
            }
        }
    }
}

pub(super) fn products(panel: &Panel, rows: CodeRows<'_>, first: usize, products: &mut [[i32; LANES]]) {
    for (i, products) in products.iter_mut().enumerate() {
        products.fill(0);
        add_products(panel, rows.row(first + i), products);
    }
}

pub(super) fn sieve(panel: &Panel, rows: CodeRows<'_>, limits: &[i32], chosen: &[u32], hits: &mut [u64]) {
    for (row, hits) in chosen.iter().zip(hits) {
        let row = *row as usize;
        let mut sums = panel.bias;
        add_products(panel, rows.row(row), &mut sums);
        let limit = limits[row];
        *hits = sums.iter().enumerate().map(|(lane, sum)| u64::from(*sum >= limit) << lane).sum();
    }
}
