//! Taking the pixels.

use std::sync::Arc;

use image::{
    ExtendedColorType, ImageEncoder, RgbImage,
    codecs::png::{self, CompressionType, PngEncoder},
    imageops::{FilterType, resize},
};

use super::Plan;
use crate::{
    error::{Error, Result},
    types::{Crop, Frame},
};

/// Cuts a planned picture from its frame. The pixels are copied as they are; only a plan with another
/// [`scale`](Plan::scale) than 1 resamples them (`CatmullRom` to enlarge, `Lanczos3` to shrink).
///
/// The plan must have been made for a frame of this size; of a window that leaves the frame, the part inside is
/// taken and stretched.
pub fn cut(frame: &Frame, plan: &Plan) -> Crop {
    let window = copy(&frame.image, plan);
    let image = if window.dimensions() == (plan.width, plan.height) {
        window
    } else {
        let filter = if plan.scale > 1.0 { FilterType::CatmullRom } else { FilterType::Lanczos3 };
        resize(&window, plan.width, plan.height, filter)
    };
    Crop { rect: plan.rect, scale: plan.scale, image: Arc::new(image) }
}

fn copy(from: &RgbImage, plan: &Plan) -> RgbImage {
    let (x, y) = (plan.rect.x.min(from.width()), plan.rect.y.min(from.height()));
    let width = plan.rect.width.min(from.width() - x);
    let height = plan.rect.height.min(from.height() - y);
    let stride = from.width() as usize * 3;
    let columns = x as usize * 3..(x + width) as usize * 3;
    let mut window = RgbImage::new(width, height);
    if width == 0 || height == 0 {
        return window;
    }
    let rows = from.as_raw().chunks_exact(stride).skip(y as usize);
    for (to, row) in window.chunks_exact_mut(width as usize * 3).zip(rows) {
        to.copy_from_slice(&row[columns.clone()]);
    }
    window
}

/// A picture as a PNG file. Equal pictures give equal files: a dataset names its images by their hash.
pub(crate) fn to_png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    PngEncoder::new_with_quality(&mut body, CompressionType::Fast, png::FilterType::Adaptive)
        .write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(|e| Error::internal(format!("cannot write a PNG picture: {e}")))?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::Rgb;

    use super::*;
    use crate::types::PixelRect;

    fn frame(width: u32, height: u32) -> Frame {
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
        Frame::new(0, Duration::ZERO, image)
    }

    #[test]
    fn pixels_are_copied_exactly() {
        let frame = frame(200, 100);
        let rect = PixelRect::new(30, 20, 50, 40);
        let crop = cut(&frame, &Plan { rect, width: 50, height: 40, scale: 1.0 });
        assert_eq!(crop.image.dimensions(), (50, 40));
        for (x, y, pixel) in crop.image.enumerate_pixels() {
            assert_eq!(pixel, frame.image.get_pixel(x + 30, y + 20));
        }
    }

    #[test]
    fn a_scale_gives_the_planned_size() {
        let frame = frame(200, 100);
        let rect = PixelRect::new(0, 0, 100, 100);
        for (side, scale) in [(256, 2.56), (50, 0.5)] {
            let crop = cut(&frame, &Plan { rect, width: side, height: side, scale });
            assert_eq!(crop.image.dimensions(), (side, side));
            assert_eq!(crop.rect, rect);
        }
    }

    #[test]
    fn a_plan_for_another_frame_does_not_panic() {
        let rect = PixelRect::new(190, 90, 100, 100);
        let crop = cut(&frame(200, 100), &Plan { rect, width: 100, height: 100, scale: 1.0 });
        assert_eq!(crop.image.dimensions(), (100, 100));
        let rect = PixelRect::new(500, 500, 100, 100);
        let crop = cut(&frame(200, 100), &Plan { rect, width: 100, height: 100, scale: 1.0 });
        assert_eq!(crop.image.dimensions(), (100, 100));
    }
}
