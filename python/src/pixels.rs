//! Pictures on their way to Python.

use image::{RgbImage, codecs::jpeg::JpegEncoder, imageops};
use picchu::{Error, Result};

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
