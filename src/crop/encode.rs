//! Pictures as services take them: within their limits, in JPEG.

use std::borrow::Cow;

use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::jpeg::JpegEncoder, imageops};

use crate::error::{Error, Result};

/// How large a picture may be. Pictures are scaled down, never up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Most pixels of the longer side.
    pub longer: u32,
    /// Most pixels of the shorter side; more is not looked at.
    pub shorter: u32,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// Most bytes of the file; the quality is lowered, then the size, until it fits.
    pub bytes: usize,
}

/// A picture in JPEG, scaled down to fit.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a picture without pixels, or that cannot be made to fit.
pub fn to_jpeg(image: &RgbImage, fit: Fit) -> Result<Vec<u8>> {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::invalid("the picture has no pixels"));
    }
    let (longer, shorter) = (f64::from(width.max(height)), f64::from(width.min(height)));
    let mut scale = (f64::from(fit.longer) / longer).min(f64::from(fit.shorter) / shorter).min(1.0);
    let mut quality = fit.quality.clamp(1, 100);
    for _ in 0..12 {
        let body = encode(&scaled(image, scale), quality)?;
        if body.len() <= fit.bytes {
            return Ok(body);
        }
        if quality > 60 {
            quality -= 15;
        } else {
            scale *= 0.7;
        }
    }
    Err(Error::invalid(format!("a picture of {width}×{height} does not fit into {} bytes", fit.bytes)))
}

fn scaled(image: &RgbImage, scale: f64) -> Cow<'_, RgbImage> {
    if scale >= 1.0 {
        return Cow::Borrowed(image);
    }
    let side = |of: u32| ((f64::from(of) * scale).round() as u32).max(1);
    let (width, height) = (side(image.width()), side(image.height()));
    Cow::Owned(imageops::resize(image, width, height, imageops::FilterType::CatmullRom))
}

fn encode(image: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    JpegEncoder::new_with_quality(&mut body, quality)
        .write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(|e| Error::internal(format!("cannot write a JPEG picture: {e}")))?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIT: Fit = Fit { longer: 200, shorter: 100, quality: 90, bytes: 1 << 20 };

    fn size(image: &RgbImage, fit: Fit) -> (u32, u32) {
        let decoded = image::load_from_memory(&to_jpeg(image, fit).unwrap()).unwrap();
        (decoded.width(), decoded.height())
    }

    #[test]
    fn pictures_are_scaled_down_and_never_up() {
        assert_eq!(size(&RgbImage::new(400, 50), FIT), (200, 25));
        assert_eq!(size(&RgbImage::new(300, 300), FIT), (100, 100));
        assert_eq!(size(&RgbImage::new(20, 30), FIT), (20, 30));
        assert_eq!(size(&RgbImage::new(4000, 1), FIT), (200, 1));
        assert!(to_jpeg(&RgbImage::new(0, 3), FIT).is_err());
    }

    #[test]
    fn files_fit_into_the_bytes() {
        let noise = RgbImage::from_fn(180, 90, |x, y| {
            let v = x.wrapping_mul(2_654_435_761).wrapping_add(y.wrapping_mul(40_503)).wrapping_mul(x ^ y);
            image::Rgb([v as u8, (v >> 8) as u8, (v >> 16) as u8])
        });
        let fit = Fit { bytes: 4000, ..FIT };
        assert!(to_jpeg(&noise, fit).unwrap().len() <= 4000);
        assert!(to_jpeg(&noise, Fit { bytes: 10, ..FIT }).is_err());
    }
}
