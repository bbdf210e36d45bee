//! A picture cut from a frame.

use std::sync::Arc;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::PixelRect;

/// A picture cut from a frame around one character. Cloning is cheap: the pixels are shared.
#[derive(Clone, Debug)]
pub struct Crop {
    /// The rectangle of the frame that was cut, in the frame's pixels. With the film it gives the crop again.
    pub rect: PixelRect,
    /// Output pixels per source pixel: 1 as a rule, above 1 only where the frame itself is too small.
    pub scale: f32,
    /// The pixels, 8-bit RGB.
    pub image: Arc<RgbImage>,
}

/// Measured quality of a crop. Every value is 0..1, higher is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Fine detail present for the amount of structure there is.
    pub sharpness: f32,
    /// Neither crushed to black nor burned to white.
    pub exposure: f32,
    /// How much of the character is inside the frame: 1 when its box touches no edge of the frame.
    pub completeness: f32,
    /// Size of the character in source pixels, against the size that a trainer uses.
    pub size: f32,
}

impl Quality {
    /// One number for `Keep::Best`, 0..1.
    pub fn score(self) -> f32 {
        0.35 * self.sharpness + 0.15 * self.exposure + 0.25 * self.completeness + 0.25 * self.size
    }
}
