//! Rows as they are given, and the exact similarity of two of them.

use super::DedupeError;
use crate::simd::Kernel;
use ndarray::ArrayView2;
use std::borrow::Cow;

/// Rows one after the other. Borrowed where the layout allows, so that the input is not copied: rows keep
/// their norm, and similarities are divided by it.
#[derive(Debug, Clone)]
pub(super) struct Rows<'a> {
    values: Cow<'a, [f32]>,
    dim: usize,
    len: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn new(x: ArrayView2<'a, f32>) -> Result<Self, DedupeError> {
        let (len, dim) = x.dim();
        if len >= u32::MAX as usize {
            return Err(DedupeError::TooManyRows { rows: len });
        }
        let values = match x.to_slice() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(x.iter().copied().collect()),
        };
        Ok(Self { values, dim, len })
    }

    pub(super) fn empty(dim: usize) -> Self {
        Self { values: Cow::Owned(Vec::new()), dim, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.dim..][..self.dim]
    }

    pub(super) fn append(&mut self, other: &Rows<'_>) {
        self.values.to_mut().extend_from_slice(&other.values);
        self.len += other.len;
    }

    /// Moves a row to an earlier place, over the row that is there.
    pub(super) fn move_down(&mut self, from: usize, to: usize) {
        let dim = self.dim;
        self.values.to_mut().copy_within(from * dim..(from + 1) * dim, to * dim);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.to_mut().truncate(len * self.dim);
        self.len = len;
    }
}

/// Cosine from a dot product and two squared norms.
///
/// The root is taken of the product, not of each norm: √(n·n) is n without rounding, so equal rows have
/// similarity 1 exactly and are found at threshold 1. Squares of `float32` neither underflow nor overflow.
pub(super) fn cosine(dot: f64, norm_sq: f64, other_norm_sq: f64) -> f64 {
    (dot / (norm_sq * other_norm_sq).sqrt()).clamp(-1.0, 1.0)
}

/// Squared norm of a row; NaN, infinite or zero if the row is not valid.
pub(super) fn norm_sq(kernel: Kernel, row: &[f32]) -> f64 {
    kernel.dot(row, row)
}

/// Refuses the first row that has no direction.
pub(super) fn check_norms(norms_sq: &[f64]) -> Result<(), DedupeError> {
    match norms_sq.iter().position(|norm_sq| !norm_sq.is_finite() || *norm_sq == 0.0) {
        None => Ok(()),
        Some(row) if norms_sq[row] == 0.0 => Err(DedupeError::ZeroRow { row }),
        Some(row) => Err(DedupeError::NonFinite { row }),
    }
}
