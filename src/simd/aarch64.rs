//! NEON, which every 64-bit ARM processor has.
//!
//! Bytes are multiplied by widening (`smull`, then `sadalp`), which needs no extension; what is floating point
//! the compiler vectorises by itself.

use super::{CodeRows, LANES, Line, Panel, codes};
use std::arch::aarch64::{
    int8x16_t, int32x4_t, vaddq_s32, vaddvq_s32, vdupq_n_s32, vget_low_s8, vld1q_s8, vmull_high_s8, vmull_s8,
    vpadalq_s16, vpaddq_s32, vreinterpretq_s8_s32, vst1q_s32,
};

#[target_feature(enable = "neon")]
fn load(codes: &[i8; 16]) -> int8x16_t {
    // SAFETY: sixteen bytes are loaded, and the array has as many.
    unsafe { vld1q_s8(codes.as_ptr()) }
}

#[target_feature(enable = "neon")]
pub(super) fn dot_codes(a: &[Line], b: &[Line]) -> i32 {
    let (a, _) = codes(a).as_chunks::<16>();
    let (b, _) = codes(b).as_chunks::<16>();
    let mut sums = [vdupq_n_s32(0); 2];
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (load(a), load(b));
        sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(a), vget_low_s8(b)));
        sums[1] = vpadalq_s16(sums[1], vmull_high_s8(a, b));
    }
    vaddvq_s32(vaddq_s32(sums[0], sums[1]))
}

/// Products of a row with the sixteen lanes of one group, four lanes to a vector.
#[inline]
#[target_feature(enable = "neon")]
fn group_products(panel: &Panel, group: usize, row: &[Line]) -> [int32x4_t; 4] {
    let (quads, _) = codes(row).as_chunks::<4>();
    let mut sums = [[vdupq_n_s32(0); 2]; 4];
    for (lines, quad) in panel.lines.chunks_exact(4).zip(quads) {
        let (parts, _) = lines[group].0.as_chunks::<16>();
        let quad = vreinterpretq_s8_s32(vdupq_n_s32(i32::from_ne_bytes(quad.map(|code| code as u8))));
        for (sums, part) in sums.iter_mut().zip(parts) {
            let part = load(part);
            sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(part), vget_low_s8(quad)));
            sums[1] = vpadalq_s16(sums[1], vmull_high_s8(part, quad));
        }
    }
    sums.map(|[low, high]| vpaddq_s32(low, high))
}

#[target_feature(enable = "neon")]
fn row_products(panel: &Panel, row: &[Line], products: &mut [i32; LANES]) {
    for (group, products) in products.chunks_exact_mut(16).enumerate() {
        for (products, sums) in products.chunks_exact_mut(4).zip(group_products(panel, group, row)) {
            // SAFETY: four numbers of 32 bits are stored, and the slice has as many.
            unsafe { vst1q_s32(products.as_mut_ptr(), sums) };
        }
    }
}

#[target_feature(enable = "neon")]
pub(super) fn products(panel: &Panel, rows: CodeRows<'_>, first: usize, products: &mut [[i32; LANES]]) {
    for (i, products) in products.iter_mut().enumerate() {
        row_products(panel, rows.row(first + i), products);
    }
}

#[target_feature(enable = "neon")]
pub(super) fn sieve(panel: &Panel, rows: CodeRows<'_>, limits: &[i32], chosen: &[u32], hits: &mut [u64]) {
    let mut sums = [0; LANES];
    for (row, hits) in chosen.iter().zip(hits) {
        let row = *row as usize;
        row_products(panel, rows.row(row), &mut sums);
        let limit = limits[row];
        let reached = sums.iter().zip(&panel.bias).enumerate();
        *hits = reached.map(|(lane, (sum, bias))| u64::from(sum + bias >= limit) << lane).sum();
    }
}
