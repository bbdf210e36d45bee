//! Pictures on their way to Python.

use std::io::Cursor;

use image::{ImageReader, Limits, RgbImage, codecs::jpeg::JpegEncoder, imageops};
use picchu::{Error, ErrorKind, Result};
use pyo3::{prelude::*, types::PyBytes};

use crate::errors::OrRaise as _;

/// Longest side and memory of a picture file that is shown: its header may claim any size.
const MOST: (u32, u64) = (16_384, 1 << 30);

/// A small JPEG file of a picture file, to show it.
#[pyfunction]
pub(crate) fn thumbnail<'py>(py: Python<'py>, body: &[u8], max_side: u32) -> PyResult<Bound<'py, PyBytes>> {
    let small = py.detach(|| jpeg(&decode(body)?, max_side)).or_raise(py)?;
    Ok(PyBytes::new(py, &small))
}

fn decode(body: &[u8]) -> Result<RgbImage> {
    let fail =
        |e: &dyn std::fmt::Display| Error::new(ErrorKind::Decode, format!("the picture cannot be read: {e}"));
    let mut reader = ImageReader::new(Cursor::new(body)).with_guessed_format().map_err(|e| fail(&e))?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MOST.0), Some(MOST.0));
    limits.max_alloc = Some(MOST.1);
    reader.limits(limits);
    Ok(reader.decode().map_err(|e| fail(&e))?.into_rgb8())
}

/// A JPEG file of the picture, scaled down so that its longer side has at most `max_side` pixels.
pub(crate) fn jpeg(picture: &RgbImage, max_side: u32) -> Result<Vec<u8>> {
    let (width, height) = picture.dimensions();
    let longest = width.max(height).max(1);
    let small;
    let picture = if longest > max_side {
        let side = |n: u32| (u64::from(n) * u64::from(max_side) / u64::from(longest)).max(1) as u32;
        small = imageops::thumbnail(picture, side(width), side(height));
        &small
    } else {
        picture
    };
    let mut body = Vec::new();
    JpegEncoder::new_with_quality(&mut body, 82)
        .encode_image(picture)
        .map_err(|e| Error::internal(format!("cannot write a JPEG picture: {e}")))?;
    Ok(body)
}
