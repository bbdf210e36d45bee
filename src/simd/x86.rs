//! AVX-512 with VNNI, and AVX2.
//!
//! Functions with `target_feature` are safe to call from one another; the one unsafe call into each is in
//! `Kernel`. What is unsafe inside are loads through pointers, without a bounds check in the innermost loop.

use super::{CodeRows, LANES, Line, Panel, Quantised, scalar};
use std::arch::x86_64::{
    __m256i, __m512i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_abs_epi8, _mm256_add_epi32,
    _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cmpgt_epi32, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_movemask_ps, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_storeu_si256, _mm512_add_epi32,
    _mm512_cmpge_epi32_mask, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_reduce_add_epi32,
    _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512, _mm512_xor_si512,
};

/// Rows that go through a panel together: 6 × 4 sums, 4 lines and 1 row fit the 32 registers.
const TOGETHER: usize = 6;

/// Starts of rows that have at least as many codes as the panel has coordinates.
type Starts<const R: usize> = [*const i32; R];

fn starts<const R: usize>(panel: &Panel, rows: [&[Line]; R]) -> Starts<R> {
    rows.map(|row| {
        assert!(row.len() * 16 >= panel.steps);
        row.as_ptr().cast()
    })
}

// ---------------------------------------------------------------- AVX-512

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
pub(super) fn dot_avx512(a: &[f32], b: &[f32]) -> f64 {
    scalar::dot(a, b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
pub(super) fn quantise_avx512(
    row: &[f32],
    mean: &[f32],
    inverse_norm: f32,
    scale: f32,
    to: &mut [i8],
) -> Quantised {
    scalar::quantise(row, mean, inverse_norm, scale, to)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
pub(super) fn requantise_avx512(values: &[i32], scale: f32, to: &mut [i8]) -> Quantised {
    scalar::requantise(values, scale, to)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load_512(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes.
    unsafe { _mm512_loadu_si512(std::ptr::from_ref(line).cast()) }
}

/// The product, plus the offset of `b`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dot_codes_avx512(a: &[Line], b: &[Line]) -> i32 {
    let flip = _mm512_set1_epi8(i8::MIN);
    let add = |sum, a, b| _mm512_dpbusd_epi32(sum, _mm512_xor_si512(load_512(a), flip), load_512(b));
    let mut sums = [_mm512_setzero_si512(); 4];
    let (a_fours, a_rest) = a.as_chunks::<4>();
    let (b_fours, b_rest) = b.as_chunks::<4>();
    for (a, b) in a_fours.iter().zip(b_fours) {
        for i in 0..4 {
            sums[i] = add(sums[i], &a[i], &b[i]);
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sums[0] = add(sums[0], a, b);
    }
    let sum = _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
    _mm512_reduce_add_epi32(sum)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn tile_512<const R: usize>(panel: &Panel, rows: Starts<R>, sums: &mut [[__m512i; 4]; R]) {
    let lines: *const Line = panel.lines.as_ptr();
    for step in 0..panel.steps {
        for group in 0..4 {
            // SAFETY: the panel has four lines for each step.
            let line = unsafe { load_512(&*lines.add(step * 4 + group)) };
            for (row, sums) in rows.iter().zip(sums.iter_mut()) {
                // SAFETY: `starts` saw to it that each row has four codes for each step.
                let quad = _mm512_set1_epi32(unsafe { row.add(step).read() });
                sums[group] = _mm512_dpbusd_epi32(sums[group], line, quad);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn bias_512(panel: &Panel) -> [__m512i; 4] {
    let (groups, _) = panel.bias.as_chunks::<16>();
    // SAFETY: sixteen numbers of 32 bits are 64 bytes.
    [0, 1, 2, 3].map(|group| unsafe { _mm512_loadu_si512(groups[group].as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sieve_some_512<const R: usize>(
    panel: &Panel,
    bias: [__m512i; 4],
    rows: CodeRows<'_>,
    limits: &[i32],
    chosen: &[u32; R],
    hits: &mut [u64; R],
) {
    let mut sums = [bias; R];
    tile_512(panel, starts(panel, chosen.map(|row| rows.row(row as usize))), &mut sums);
    for ((sums, row), hits) in sums.iter().zip(chosen).zip(hits) {
        let limit = _mm512_set1_epi32(limits[*row as usize]);
        let masks = sums.map(|sum| u64::from(_mm512_cmpge_epi32_mask(sum, limit)));
        *hits = masks[0] | masks[1] << 16 | masks[2] << 32 | masks[3] << 48;
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn sieve_avx512(
    panel: &Panel,
    rows: CodeRows<'_>,
    limits: &[i32],
    chosen: &[u32],
    hits: &mut [u64],
) {
    let bias = bias_512(panel);
    let (chosen, chosen_rest) = chosen.as_chunks::<TOGETHER>();
    let (hits, hits_rest) = hits.as_chunks_mut::<TOGETHER>();
    for (chosen, hits) in chosen.iter().zip(hits) {
        sieve_some_512(panel, bias, rows, limits, chosen, hits);
    }
    for (chosen, hits) in chosen_rest.iter().zip(hits_rest) {
        sieve_some_512(panel, bias, rows, limits, &[*chosen], std::array::from_mut(hits));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn some_products_512<const R: usize>(
    panel: &Panel,
    rows: CodeRows<'_>,
    first: usize,
    products: &mut [[i32; LANES]; R],
) {
    let mut sums = [[_mm512_setzero_si512(); 4]; R];
    tile_512(panel, starts(panel, std::array::from_fn(|i| rows.row(first + i))), &mut sums);
    for (products, sums) in products.iter_mut().zip(sums) {
        for (products, sum) in products.chunks_exact_mut(16).zip(sums) {
            // SAFETY: sixteen numbers of 32 bits are 64 bytes.
            unsafe { _mm512_storeu_si512(products.as_mut_ptr().cast(), sum) };
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn products_avx512(
    panel: &Panel,
    rows: CodeRows<'_>,
    mut first: usize,
    products: &mut [[i32; LANES]],
) {
    let (together, rest) = products.as_chunks_mut::<TOGETHER>();
    for products in together {
        some_products_512(panel, rows, first, products);
        first += TOGETHER;
    }
    for products in rest {
        some_products_512(panel, rows, first, std::array::from_mut(products));
        first += 1;
    }
}

// ---------------------------------------------------------------- AVX2

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_avx2(a: &[f32], b: &[f32]) -> f64 {
    scalar::dot(a, b)
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn quantise_avx2(
    row: &[f32],
    mean: &[f32],
    inverse_norm: f32,
    scale: f32,
    to: &mut [i8],
) -> Quantised {
    scalar::quantise(row, mean, inverse_norm, scale, to)
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn requantise_avx2(values: &[i32], scale: f32, to: &mut [i8]) -> Quantised {
    scalar::requantise(values, scale, to)
}

/// Half a line.
#[target_feature(enable = "avx2")]
fn load_256(line: &Line, half: usize) -> __m256i {
    // SAFETY: 32 bytes are loaded, and the slice has as many.
    unsafe { _mm256_loadu_si256(line.0[half * 32..half * 32 + 32].as_ptr().cast()) }
}

/// Adds the products of bytes, by fours. `vpmaddubsw` wants one unsigned side, so the sign moves to the
/// other; codes are within ±127, so that two products, at most 32,258, fit 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn add_products_256(sum: __m256i, a: __m256i, a_abs: __m256i, b: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(a_abs, _mm256_sign_epi8(b, a));
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[target_feature(enable = "avx2")]
pub(super) fn dot_codes_avx2(a: &[Line], b: &[Line]) -> i32 {
    let mut sums = [_mm256_setzero_si256(); 2];
    for (a, b) in a.iter().zip(b) {
        for (half, sum) in sums.iter_mut().enumerate() {
            let a = load_256(a, half);
            *sum = add_products_256(*sum, a, _mm256_abs_epi8(a), load_256(b, half));
        }
    }
    let sum = _mm256_add_epi32(sums[0], sums[1]);
    let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b00_00_11_10>(sum));
    _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32::<1>(sum)))
}

/// Sums of the rows with the 16 lanes of one group.
#[inline]
#[target_feature(enable = "avx2")]
fn tile_256<const R: usize>(panel: &Panel, group: usize, rows: Starts<R>, sums: &mut [[__m256i; 2]; R]) {
    let lines: *const Line = panel.lines.as_ptr();
    for step in 0..panel.steps {
        // SAFETY: the panel has four lines for each step.
        let line = unsafe { &*lines.add(step * 4 + group) };
        let halves = [load_256(line, 0), load_256(line, 1)];
        for (row, sums) in rows.iter().zip(sums.iter_mut()) {
            // SAFETY: `starts` saw to it that each row has four codes for each step.
            let quad = _mm256_set1_epi32(unsafe { row.add(step).read() });
            let quad_abs = _mm256_abs_epi8(quad);
            for (sum, half) in sums.iter_mut().zip(halves) {
                *sum = add_products_256(*sum, quad, quad_abs, half);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn sieve_some_256<const R: usize>(
    panel: &Panel,
    rows: CodeRows<'_>,
    limits: &[i32],
    chosen: &[u32; R],
    hits: &mut [u64; R],
) {
    let starts = starts(panel, chosen.map(|row| rows.row(row as usize)));
    hits.fill(0);
    for (group, bias) in panel.bias.chunks_exact(16).enumerate() {
        // SAFETY: eight numbers of 32 bits are 32 bytes, and there are sixteen.
        let bias = [0, 8].map(|at| unsafe { _mm256_loadu_si256(bias[at..at + 8].as_ptr().cast()) });
        let mut sums = [bias; R];
        tile_256(panel, group, starts, &mut sums);
        for ((sums, row), hits) in sums.iter().zip(chosen).zip(hits.iter_mut()) {
            let limit = _mm256_set1_epi32(limits[*row as usize]);
            for (half, sum) in sums.iter().enumerate() {
                let below = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, *sum)));
                *hits |= u64::from(!below as u8) << (group * 16 + half * 8);
            }
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn sieve_avx2(
    panel: &Panel,
    rows: CodeRows<'_>,
    limits: &[i32],
    chosen: &[u32],
    hits: &mut [u64],
) {
    let (chosen, chosen_rest) = chosen.as_chunks::<4>();
    let (hits, hits_rest) = hits.as_chunks_mut::<4>();
    for (chosen, hits) in chosen.iter().zip(hits) {
        sieve_some_256(panel, rows, limits, chosen, hits);
    }
    for (chosen, hits) in chosen_rest.iter().zip(hits_rest) {
        sieve_some_256(panel, rows, limits, &[*chosen], std::array::from_mut(hits));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn some_products_256<const R: usize>(
    panel: &Panel,
    rows: CodeRows<'_>,
    first: usize,
    products: &mut [[i32; LANES]; R],
) {
    let starts = starts(panel, std::array::from_fn(|i| rows.row(first + i)));
    for group in 0..4 {
        let mut sums = [[_mm256_setzero_si256(); 2]; R];
        tile_256(panel, group, starts, &mut sums);
        for (products, sums) in products.iter_mut().zip(sums) {
            let products = &mut products[group * 16..group * 16 + 16];
            for (products, sum) in products.chunks_exact_mut(8).zip(sums) {
                // SAFETY: eight numbers of 32 bits are 32 bytes.
                unsafe { _mm256_storeu_si256(products.as_mut_ptr().cast(), sum) };
            }
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn products_avx2(
    panel: &Panel,
    rows: CodeRows<'_>,
    mut first: usize,
    products: &mut [[i32; LANES]],
) {
    let (together, rest) = products.as_chunks_mut::<4>();
    for products in together {
        some_products_256(panel, rows, first, products);
        first += 4;
    }
    for products in rest {
        some_products_256(panel, rows, first, std::array::from_mut(products));
        first += 1;
    }
}
