//! Vectors that stand for crops.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2, Axis};

use crate::error::{Error, Result};

/// Unit rows, one a crop, all from one model with one dimension. Cloning is cheap.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    model: String,
    vectors: Arc<Array2<f32>>,
}

impl Embeddings {
    /// Takes rows of any non-zero norm and makes them unit rows.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a row that is zero or not finite.
    pub fn new(model: impl Into<String>, mut vectors: Array2<f32>) -> Result<Self> {
        unit_rows(&mut vectors)?;
        Ok(Self { model: model.into(), vectors: Arc::new(vectors) })
    }

    /// Takes rows that are unit rows already, as this crate wrote them.
    pub(crate) fn from_unit_rows(model: impl Into<String>, vectors: Array2<f32>) -> Self {
        Self { model: model.into(), vectors: Arc::new(vectors) }
    }

    /// The rows with these numbers, in this order.
    ///
    /// # Panics
    /// For a number that is not a row's.
    #[must_use]
    pub fn pick(&self, rows: &[usize]) -> Self {
        if rows.iter().copied().eq(0..self.len()) {
            return self.clone();
        }
        Self::from_unit_rows(&self.model, self.vectors.select(Axis(0), rows))
    }

    /// Id of the model, with version and dimension: only vectors of one id may be compared.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The rows, shape `(crops, dimensions)`.
    pub fn view(&self) -> ArrayView2<'_, f32> {
        self.vectors.view()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.vectors.nrows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of columns.
    pub fn dimensions(&self) -> usize {
        self.vectors.ncols()
    }
}

/// Scales each row to length 1, in double precision.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the first row that is zero or not finite.
pub fn unit_rows(vectors: &mut Array2<f32>) -> Result<()> {
    for (number, mut row) in vectors.rows_mut().into_iter().enumerate() {
        let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        if !norm.is_finite() || norm == 0.0 {
            return Err(Error::invalid(format!("row {number} cannot be normalised: its norm is {norm}")));
        }
        row.mapv_inplace(|v| (f64::from(v) / norm) as f32);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn rows_become_unit_and_bad_rows_are_named() {
        let e = Embeddings::new("m", arr2(&[[3.0, 4.0], [0.0, 2.0]])).unwrap();
        assert_eq!(e.view().row(0).to_vec(), vec![0.6, 0.8]);
        let error = Embeddings::new("m", arr2(&[[1.0, 0.0], [0.0, 0.0]])).unwrap_err();
        assert!(error.message().contains("row 1"));
    }
}
