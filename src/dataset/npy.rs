//! `embeddings.npy`: a float32 matrix as numpy reads it.

use std::io::Cursor;

use ndarray::{Array2, ArrayView2};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};

use crate::error::{Error, Result};

/// The bytes of an `.npy` file.
pub(crate) fn to_npy(vectors: &ArrayView2<'_, f32>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    vectors.write_npy(&mut body).map_err(|e| Error::internal(format!("cannot write an .npy file: {e}")))?;
    Ok(body)
}

/// The matrix in an `.npy` file.
pub(crate) fn from_npy(body: &[u8]) -> Result<Array2<f32>> {
    Array2::read_npy(Cursor::new(body))
        .map_err(|e| Error::invalid(format!("not a float32 matrix in .npy form: {e}")).with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_round_trip_also_empty_ones() {
        for shape in [(0, 4), (3, 2)] {
            let m = Array2::from_shape_fn(shape, |(i, j)| (i * 10 + j) as f32);
            assert_eq!(from_npy(&to_npy(&m.view()).unwrap()).unwrap(), m);
        }
        assert!(from_npy(b"\x93NUMPY").is_err());
    }
}
