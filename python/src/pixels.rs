//! Pictures on their way to Python.

use std::{io::Cursor, sync::Arc};

use image::{ImageReader, Limits, RgbImage, codecs::jpeg::JpegEncoder, imageops};
use numpy::{PyArray3, PyArrayMethods as _, ndarray::ArrayView3};
use picchu::{Error, ErrorKind, Result};
use pyo3::{prelude::*, types::PyBytes};

use crate::errors::{OrRaise as _, to_py};

/// Longest side and memory of a picture file that is shown: its header may claim any size.
const MOST: (u32, u64) = (16_384, 1 << 30);

/// A small JPEG file of a picture file, to show it.
#[pyfunction]
pub(crate) fn thumbnail<'py>(py: Python<'py>, body: &[u8], max_side: u32) -> PyResult<Bound<'py, PyBytes>> {
    let small = py.detach(|| jpeg(&decode(body)?, max_side)).or_raise(py)?;
    Ok(PyBytes::new(py, &small))
}

/// A picture that arrays look at.
#[pyclass(frozen, module = "picchu._picchu")]
struct Pixels {
    image: Arc<RgbImage>,
}

/// The pixels as a read-only array of shape (height, width, 3), without a copy.
pub(crate) fn array<'py>(py: Python<'py>, image: &Arc<RgbImage>) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let base = Bound::new(py, Pixels { image: Arc::clone(image) })?;
    // SAFETY: the pixels belong to `base`, which is frozen and holds the picture for as long as it lives.
    #[allow(unsafe_code)]
    unsafe {
        view(&base.get().image, base.clone().into_any())
    }
}

/// A read-only array over the pixels of a picture, which holds `base`.
///
/// # Safety
/// The picture must belong to `base`, and stay where it is, unchanged, for as long as `base` lives.
#[allow(unsafe_code)]
pub(crate) unsafe fn view<'py>(
    image: &RgbImage,
    base: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let shape = (image.height() as usize, image.width() as usize, 3);
    let view = ArrayView3::from_shape(shape, image.as_raw())
        .map_err(|e| to_py(base.py(), &Error::internal(format!("a picture of a wrong size: {e}"))))?;
    // SAFETY: the caller vouches for the pixels.
    let array = unsafe { PyArray3::borrow_from_array(&view, base) };
    array.readwrite().make_nonwriteable();
    Ok(array)
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
