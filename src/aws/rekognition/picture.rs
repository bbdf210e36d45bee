//! Pictures as the service takes them: JPEG within its limits.

use std::sync::Arc;

use aws_sdk_rekognition::types::{Image, S3Object};
use aws_smithy_types::Blob;
use bytes::Bytes;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, RgbImage, codecs::jpeg::JpegEncoder, imageops};
use sha2::{Digest, Sha256};

use super::FramesAt;
use crate::{
    error::{Error, Result},
    store::{Key, PutMode, Store},
    types::{BoundingBox, PixelRect},
};

/// Shortest side that the service takes.
pub(super) const MIN_SIDE: u32 = 80;

/// JPEG qualities, best first.
const QUALITIES: [u8; 6] = [92, 85, 75, 65, 50, 35];

/// What an operation takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_bytes: usize,
    pub(super) max_side: u32,
}

/// `DetectLabels` and the face operations.
pub(super) const IMAGE: Limits = Limits { max_bytes: 5 * 1024 * 1024, max_side: 10_000 };
/// `DetectCustomLabels`: smaller.
pub(super) const CUSTOM: Limits = Limits { max_bytes: 4 * 1024 * 1024, max_side: 4096 };

/// A picture in the best quality that fits; scaled down only where no quality does.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for pictures with a side below 80 pixels.
pub(super) fn encode(picture: &RgbImage, limits: Limits) -> Result<Vec<u8>> {
    let (width, height) = picture.dimensions();
    if width.min(height) < MIN_SIDE {
        return Err(Error::invalid(format!(
            "the picture has {width}×{height} pixels; Rekognition takes none with a side below {MIN_SIDE}"
        )));
    }
    let mut scaled = None;
    if width.max(height) > limits.max_side {
        scaled = Some(shrink(picture, f64::from(limits.max_side) / f64::from(width.max(height))));
    }
    loop {
        let current = scaled.as_ref().unwrap_or(picture);
        let mut smallest = usize::MAX;
        for quality in QUALITIES {
            let body = jpeg(current, quality)?;
            if body.len() <= limits.max_bytes {
                return Ok(body);
            }
            smallest = body.len();
        }
        if current.width().min(current.height()) <= MIN_SIDE {
            return Err(Error::invalid(format!("the picture cannot be made smaller than {smallest} bytes")));
        }
        scaled = Some(shrink(current, (limits.max_bytes as f64 / smallest as f64).sqrt().min(0.9)));
    }
}

fn shrink(picture: &RgbImage, factor: f64) -> RgbImage {
    let side = |pixels: u32| ((f64::from(pixels) * factor) as u32).max(MIN_SIDE);
    let (width, height) = (side(picture.width()), side(picture.height()));
    DynamicImage::from(picture.clone())
        .resize_exact(width, height, imageops::FilterType::Triangle)
        .into_rgb8()
}

fn jpeg(picture: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    JpegEncoder::new_with_quality(&mut body, quality)
        .write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|e| Error::internal(format!("cannot write a JPEG picture: {e}")))?;
    Ok(body)
}

/// A picture for a request, encoded away from the async threads.
pub(super) async fn image(picture: &Arc<RgbImage>, limits: Limits, frames: Option<&Frames>) -> Result<Image> {
    let picture = Arc::clone(picture);
    let body = crate::blocking(move || encode(&picture, limits)).await?;
    match frames {
        None => Ok(Image::builder().bytes(Blob::new(body)).build()),
        Some(frames) => {
            let object = frames.put(body).await?;
            Ok(Image::builder().s3_object(object).build())
        }
    }
}

/// Where frames are put for the service to read.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) at: FramesAt,
    /// Writes below the prefix.
    pub(super) store: Arc<dyn Store>,
}

impl Frames {
    /// Puts a picture under the hash of its content: the same picture has one object.
    async fn put(&self, body: Vec<u8>) -> Result<S3Object> {
        let hash = crate::source::sha256_string(Sha256::new_with_prefix(&body));
        let key = Key::new(format!("{}.jpg", &hash["sha256:".len()..][..32]))?;
        let name =
            if self.at.prefix.is_empty() { key.to_string() } else { format!("{}/{key}", self.at.prefix) };
        self.store.put(&key, Bytes::from(body), PutMode::Overwrite).await?;
        Ok(S3Object::builder().bucket(&self.at.bucket).name(name).build())
    }
}

/// The part of a frame around a face, with a margin, widened to what the service takes and inside the frame.
/// `None` where the frame itself is too small.
pub(super) fn around(face: BoundingBox, margin: f32, width: u32, height: u32) -> Option<PixelRect> {
    if width.min(height) < MIN_SIDE {
        return None;
    }
    let grown = BoundingBox::new(
        face.left - margin * face.width,
        face.top - margin * face.height,
        face.width * (1.0 + 2.0 * margin),
        face.height * (1.0 + 2.0 * margin),
    );
    let rect = grown.to_pixels(width, height)?;
    let (x, w) = widen(rect.x, rect.width, width);
    let (y, h) = widen(rect.y, rect.height, height);
    Some(PixelRect::new(x, y, w, h))
}

/// A stretch of at least the shortest side, about the same middle, within `0..whole`.
fn widen(start: u32, length: u32, whole: u32) -> (u32, u32) {
    if length >= MIN_SIDE {
        return (start, length);
    }
    let start = (start + length / 2).saturating_sub(MIN_SIDE / 2).min(whole - MIN_SIDE);
    (start, MIN_SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels that no encoder can make small.
    fn noise(width: u32, height: u32) -> RgbImage {
        let mut state = 1_u32;
        RgbImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [_, r, g, b] = state.to_le_bytes();
            image::Rgb([r, g, b])
        })
    }

    #[test]
    fn pictures_take_the_best_quality_that_fits_and_shrink_only_then() {
        let picture = noise(400, 300);
        let at = |max_bytes| encode(&picture, Limits { max_bytes, max_side: 10_000 }).unwrap();
        let (best, middle, tiny) = (at(1 << 30), at(100_000), at(9_000));
        assert!(middle.len() <= 100_000 && tiny.len() <= 9_000 && best.len() > middle.len());
        let size = |body: &[u8]| image::load_from_memory(body).unwrap().into_rgb8().dimensions();
        assert_eq!((size(&best), size(&middle)), ((400, 300), (400, 300)));
        assert!(size(&tiny).0 < 400);
        let long = encode(&noise(900, 90), Limits { max_bytes: 1 << 20, max_side: 450 }).unwrap();
        assert_eq!(size(&long).0, 450);
        assert!(encode(&noise(79, 200), IMAGE).is_err());
    }

    #[test]
    fn faces_are_cut_large_enough_and_inside_the_frame() {
        for face in [
            BoundingBox::new(0.0, 0.0, 0.02, 0.02),
            BoundingBox::new(-0.05, 0.4, 0.1, 0.2),
            BoundingBox::new(0.97, 0.97, 0.1, 0.1),
            BoundingBox::new(0.3, 0.3, 0.4, 0.5),
        ] {
            let rect = around(face, 0.4, 640, 360).unwrap();
            assert!(rect.width >= MIN_SIDE && rect.height >= MIN_SIDE, "{face:?}: {rect:?}");
            assert!(rect.right() <= 640 && rect.bottom() <= 360, "{face:?}: {rect:?}");
        }
        assert_eq!(around(BoundingBox::FULL, 0.4, 79, 360), None);
    }
}
