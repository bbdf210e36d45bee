//! Kernels for cosine similarity: the only place with `unsafe` code (the view on numpy arrays aside).
//!
//! A [`Kernel`] is chosen once, at run time. Every kernel computes the same values, to the last bit: integer
//! products are exact, and floating-point sums are taken in one fixed order ([`scalar`] defines it).
//!
//! The work is done by one operation, [`Kernel::sieve`]: the 8-bit dot products of some rows with the 64 rows
//! of a [`Panel`], compared with limits. The products themselves never leave the registers.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod lines;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use lines::Lines;

/// Rows of a [`Panel`].
pub(crate) const LANES: usize = 64;

/// No code is beyond ±127, so that a product of two has no special case (−128 has).
pub(crate) const MAX_CODE: f32 = 127.0;

/// Longest code for which 32-bit sums cannot overflow in any kernel, with the limits of [`clamp_limit`].
pub(crate) const MAX_CODE_LENGTH: usize = 16_384;

/// Limits are held within ±2²⁹. A pair of which one is at the lower end is never excluded: codes of at most
/// [`MAX_CODE_LENGTH`] have products of at least −127² · 16,384 > −2²⁸, and the other limit is at most half
/// of a squared length, 2²⁷.
pub(crate) fn clamp_limit(limit: f64) -> i32 {
    const END: f64 = (1_i32 << 29) as f64;
    limit.floor().clamp(-END, END) as i32
}

/// 64 codes, aligned to a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [i8; 64]);

impl Line {
    pub(crate) const ZERO: Self = Self([0; 64]);
}

/// The codes in some lines.
pub(crate) fn codes(lines: &[Line]) -> &[i8] {
    // SAFETY: `Line` is `repr(C)` around `[i8; 64]`, whose size is its alignment: there is no padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * 64) }
}

/// The codes in some lines, to write.
pub(crate) fn codes_mut(lines: &mut [Line]) -> &mut [i8] {
    // SAFETY: as for `codes`; the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * 64) }
}

/// Rows of codes: a matrix whose rows begin at cache lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodeRows<'a> {
    lines: &'a [Line],
    lines_per_row: usize,
}

impl<'a> CodeRows<'a> {
    pub(crate) fn new(lines: &'a [Line], lines_per_row: usize) -> Self {
        assert!(lines_per_row > 0 && lines.len().is_multiple_of(lines_per_row));
        Self { lines, lines_per_row }
    }

    #[inline]
    pub(crate) fn row(&self, row: usize) -> &'a [Line] {
        &self.lines[row * self.lines_per_row..][..self.lines_per_row]
    }
}

/// What [`Kernel::quantise`] and [`Kernel::requantise`] find out about a row while they write its codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quantised {
    /// Squared length of (values − scale × codes).
    pub(crate) error_sq: f32,
    /// Squared length of the codes.
    pub(crate) length_sq: i32,
    /// Sum of the codes.
    pub(crate) sum: i32,
}

/// 64 rows of codes, interleaved so that one instruction meets 16 rows: for each step of four coordinates
/// come four lines, each of them with those four codes of 16 rows.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    kernel: Kernel,
    steps: usize,
    lines: Vec<Line>,
    /// Minus the limit of each row.
    bias: [i32; LANES],
}

impl Panel {
    /// Bias of a lane that holds no row: no product lifts it to a limit.
    const EMPTY: i32 = -(1 << 30);

    /// A panel without rows, for codes of `length` coordinates (a multiple of four).
    pub(crate) fn new(kernel: Kernel, length: usize) -> Self {
        assert!(length.is_multiple_of(4) && length <= MAX_CODE_LENGTH);
        let steps = length / 4;
        let mut panel =
            Self { kernel, steps, lines: vec![Line::ZERO; steps * 4], bias: [Self::EMPTY; LANES] };
        panel.clear();
        panel
    }

    /// Takes all rows out.
    pub(crate) fn clear(&mut self) {
        self.bias = [Self::EMPTY; LANES];
        self.lines.fill(Line([self.kernel.flip(); 64]));
    }

    /// Puts a row in a lane; `limit` is the row's share of the limit, from [`clamp_limit`].
    pub(crate) fn set(&mut self, lane: usize, row: &[Line], limit: i32) {
        let flip = self.kernel.flip();
        let (group, slot) = (lane / 16, lane % 16);
        let (quads, _) = codes(row).as_chunks::<4>();
        for (lines, quad) in self.lines.chunks_exact_mut(4).zip(&quads[..self.steps]) {
            let place = &mut lines[group].0[slot * 4..slot * 4 + 4];
            for (to, from) in place.iter_mut().zip(quad) {
                *to = from ^ flip;
            }
        }
        self.bias[lane] = -limit;
    }

    /// Coordinates of the codes.
    #[cfg(test)]
    pub(crate) fn length(&self) -> usize {
        self.steps * 4
    }
}

/// A way to compute, for the processor at hand. All kernels give the same results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Unit);

// The kernels of other processors do not exist here, so a `Kernel` is the proof that its instructions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// The kernel without special instructions, which defines what the others have to compute.
    pub const SCALAR: Self = Self(Unit::Scalar);

    /// The kernels that this machine can run, fastest first.
    pub fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        // Miri interprets portable code only.
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if avx512 && avx2 {
                kernels.push(Self(Unit::Avx512Vnni));
            }
            if avx2 {
                kernels.push(Self(Unit::Avx2));
            }
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        if std::arch::is_aarch64_feature_detected!("neon") {
            kernels.push(Self(Unit::Neon));
        }
        kernels.push(Self::SCALAR);
        kernels
    }

    /// The fastest kernel that this machine can run.
    pub fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self::SCALAR)
    }

    /// The kernel of this name, if this machine can run it.
    ///
    /// ```
    /// use picchu::dedupe::Kernel;
    ///
    /// assert_eq!(Kernel::named("scalar"), Some(Kernel::SCALAR));
    /// assert_eq!(Kernel::named("abacus"), None);
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        Self::available().into_iter().find(|kernel| kernel.name() == name)
    }

    /// `avx512-vnni`, `avx2`, `neon` or `scalar`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Unit::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Unit::Neon => "neon",
        }
    }

    /// `vpdpbusd` multiplies unsigned with signed bytes: panels hold their codes plus 128, which is a flip of
    /// the highest bit, and [`Kernel::offset`] accounts for it.
    fn flip(self) -> i8 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => i8::MIN,
            _ => 0,
        }
    }

    /// What the flip of a panel adds to its product with a row of codes that have this sum: to be added to
    /// the row's limit for [`Kernel::sieve`], and taken off the results of [`Kernel::products`].
    pub(crate) fn offset(self, sum: i32) -> i32 {
        if self.flip() == 0 { 0 } else { 128 * sum }
    }

    /// Dot product in `float64`. Products of two `float32` are exact, and all kernels add them in one order.
    #[inline]
    pub(crate) fn dot(self, a: &[f32], b: &[f32]) -> f64 {
        assert_eq!(a.len(), b.len());
        match self.0 {
            Unit::Scalar => scalar::dot(a, b),
            // SAFETY: a `Kernel` of this kind is only made where its instructions were found, here and below.
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => unsafe { x86::dot_avx2(a, b) },
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => unsafe { x86::dot_avx512(a, b) },
            #[cfg(target_arch = "aarch64")]
            Unit::Neon => scalar::dot(a, b),
        }
    }

    /// Dot product of two rows of codes; `offset` is the [`Kernel::offset`] of the second.
    #[inline]
    // Only the unsigned products of AVX-512 are offset.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    pub(crate) fn dot_codes(self, a: &[Line], b: &[Line], offset: i32) -> i32 {
        assert_eq!(a.len(), b.len());
        match self.0 {
            Unit::Scalar => scalar::dot_codes(a, b),
            // SAFETY: as in `dot`.
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => unsafe { x86::dot_codes_avx2(a, b) },
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => unsafe { x86::dot_codes_avx512(a, b) - offset },
            #[cfg(target_arch = "aarch64")]
            Unit::Neon => unsafe { aarch64::dot_codes(a, b) },
        }
    }

    /// Writes the codes of `row × inverse_norm − mean` in steps of `scale`; codes beyond the row are zero.
    pub(crate) fn quantise(
        self,
        row: &[f32],
        mean: &[f32],
        inverse_norm: f32,
        scale: f32,
        to: &mut [Line],
    ) -> Quantised {
        assert_eq!(row.len(), mean.len());
        let to = codes_mut(to);
        match self.0 {
            Unit::Scalar => scalar::quantise(row, mean, inverse_norm, scale, to),
            // SAFETY: as in `dot`.
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => unsafe { x86::quantise_avx2(row, mean, inverse_norm, scale, to) },
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => unsafe { x86::quantise_avx512(row, mean, inverse_norm, scale, to) },
            #[cfg(target_arch = "aarch64")]
            Unit::Neon => scalar::quantise(row, mean, inverse_norm, scale, to),
        }
    }

    /// Writes the codes of `values` in steps of `scale`; codes beyond the values are zero.
    pub(crate) fn requantise(self, values: &[i32], scale: f32, to: &mut [Line]) -> Quantised {
        let to = codes_mut(to);
        match self.0 {
            Unit::Scalar => scalar::requantise(values, scale, to),
            // SAFETY: as in `dot`.
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => unsafe { x86::requantise_avx2(values, scale, to) },
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => unsafe { x86::requantise_avx512(values, scale, to) },
            #[cfg(target_arch = "aarch64")]
            Unit::Neon => scalar::requantise(values, scale, to),
        }
    }

    /// Which rows of a panel may belong to which `chosen` rows: bit `lane` of `hits[i]` is set if
    /// product(`chosen[i]`, lane) ≥ limit of `chosen[i]` + limit of lane. `limits` are by row number and hold
    /// the row's [`Kernel::offset`] already.
    pub(crate) fn sieve(
        self,
        panel: &Panel,
        rows: CodeRows<'_>,
        limits: &[i32],
        chosen: &[u32],
        hits: &mut [u64],
    ) {
        assert!(panel.kernel == self && chosen.len() == hits.len());
        assert!(rows.lines_per_row * 16 >= panel.steps);
        match self.0 {
            Unit::Scalar => scalar::sieve(panel, rows, limits, chosen, hits),
            // SAFETY: as in `dot`.
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => unsafe { x86::sieve_avx2(panel, rows, limits, chosen, hits) },
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => unsafe { x86::sieve_avx512(panel, rows, limits, chosen, hits) },
            #[cfg(target_arch = "aarch64")]
            Unit::Neon => unsafe { aarch64::sieve(panel, rows, limits, chosen, hits) },
        }
    }

    /// Products of some rows, from `first` on, with the rows of a panel, each plus the row's
    /// [`Kernel::offset`].
    pub(crate) fn products(
        self,
        panel: &Panel,
        rows: CodeRows<'_>,
        first: usize,
        products: &mut [[i32; LANES]],
    ) {
        assert!(panel.kernel == self && rows.lines_per_row * 16 >= panel.steps);
        match self.0 {
            Unit::Scalar => scalar::products(panel, rows, first, products),
            // SAFETY: as in `dot`.
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => unsafe { x86::products_avx2(panel, rows, first, products) },
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => unsafe { x86::products_avx512(panel, rows, first, products) },
            #[cfg(target_arch = "aarch64")]
            Unit::Neon => unsafe { aarch64::products(panel, rows, first, products) },
        }
    }
}
