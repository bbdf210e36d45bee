//! Boxes: normalised ones, as detectors give them, and integer ones, as crops are cut.

use serde::{Deserialize, Serialize};

/// A box in ratios of the picture's size: left, top, width and height, each 0..1 once [clamped](Self::clamped).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundingBox {
    /// Left edge, as a ratio of the picture's width.
    pub left: f32,
    /// Top edge, as a ratio of the picture's height.
    pub top: f32,
    /// Width, as a ratio of the picture's width.
    pub width: f32,
    /// Height, as a ratio of the picture's height.
    pub height: f32,
}

impl BoundingBox {
    /// The whole picture.
    pub const FULL: Self = Self { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };

    /// A box from its left edge, top edge, width and height.
    pub const fn new(left: f32, top: f32, width: f32, height: f32) -> Self {
        Self { left, top, width, height }
    }

    /// A pixel rectangle as ratios of a picture of `width` × `height` pixels.
    pub fn from_pixels(rect: PixelRect, width: u32, height: u32) -> Self {
        let (w, h) = (width.max(1) as f32, height.max(1) as f32);
        Self::new(rect.x as f32 / w, rect.y as f32 / h, rect.width as f32 / w, rect.height as f32 / h)
    }

    /// The same box in ratios of a window, both of them in one unit.
    #[must_use]
    pub fn relative_to(self, window: Self) -> Self {
        Self::new(
            (self.left - window.left) / window.width,
            (self.top - window.top) / window.height,
            self.width / window.width,
            self.height / window.height,
        )
    }

    /// Right edge.
    pub fn right(self) -> f32 {
        self.left + self.width
    }

    /// Bottom edge.
    pub fn bottom(self) -> f32 {
        self.top + self.height
    }

    /// Area as a ratio of the picture's.
    pub fn area(self) -> f32 {
        self.width.max(0.0) * self.height.max(0.0)
    }

    /// Whether every number is finite and the box has an area.
    pub fn is_valid(self) -> bool {
        [self.left, self.top, self.width, self.height].iter().all(|v| v.is_finite())
            && self.width > 0.0
            && self.height > 0.0
    }

    /// The part inside the picture; services may report boxes that leave it. `None` if nothing remains.
    #[must_use]
    pub fn clamped(self) -> Option<Self> {
        if !self.is_valid() {
            return None; // `max` and `min` would turn a NaN into a plausible edge
        }
        let (left, top) = (self.left.max(0.0), self.top.max(0.0));
        let (right, bottom) = (self.right().min(1.0), self.bottom().min(1.0));
        let inside = Self::new(left, top, right - left, bottom - top);
        inside.is_valid().then_some(inside)
    }

    /// Intersection over union, 0..1.
    pub fn iou(self, other: Self) -> f32 {
        let overlap = self.overlap(other);
        let union = self.area() + other.area() - overlap;
        if union > 0.0 { overlap / union } else { 0.0 }
    }

    /// Area of the intersection.
    pub fn overlap(self, other: Self) -> f32 {
        let width = self.right().min(other.right()) - self.left.max(other.left);
        let height = self.bottom().min(other.bottom()) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    /// The smallest whole-pixel rectangle that holds this box in a picture of `width` × `height` pixels.
    /// `None` if the box lies outside the picture or has no area.
    pub fn to_pixels(self, width: u32, height: u32) -> Option<PixelRect> {
        let inside = self.clamped()?;
        let (w, h) = (width as f32, height as f32);
        // A hair of tolerance keeps 0.1 + 0.2 from claiming one more column of pixels.
        let x = (inside.left * w + 1e-3).floor().clamp(0.0, w) as u32;
        let y = (inside.top * h + 1e-3).floor().clamp(0.0, h) as u32;
        let right = (inside.right() * w - 1e-3).ceil().clamp(0.0, w) as u32;
        let bottom = (inside.bottom() * h - 1e-3).ceil().clamp(0.0, h) as u32;
        (right > x && bottom > y).then(|| PixelRect { x, y, width: right - x, height: bottom - y })
    }
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PixelRect {
    /// Left edge in pixels.
    pub x: u32,
    /// Top edge in pixels.
    pub y: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl PixelRect {
    /// A rectangle from its left edge, top edge, width and height, in pixels.
    pub const fn new(x: u32, y: u32, width: u32, height: u32) -> Self {
        Self { x, y, width, height }
    }

    /// Right edge, exclusive.
    pub fn right(self) -> u32 {
        self.x + self.width
    }

    /// Bottom edge, exclusive.
    pub fn bottom(self) -> u32 {
        self.y + self.height
    }

    /// Number of pixels.
    pub fn area(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_that_leave_the_picture_are_clamped() {
        let inside = BoundingBox::new(-0.1, 0.5, 0.4, 0.7).clamped().unwrap();
        assert!((inside.left).abs() < 1e-6 && (inside.width - 0.3).abs() < 1e-6);
        assert!((inside.bottom() - 1.0).abs() < 1e-6);
        assert!(BoundingBox::new(1.2, 0.0, 0.3, 0.3).clamped().is_none());
        assert!(BoundingBox::new(f32::NAN, 0.0, 0.3, 0.3).clamped().is_none());
    }

    #[test]
    fn pixels_cover_the_box_and_round_trip() {
        let rect = PixelRect::new(13, 7, 301, 199);
        for (w, h) in [(640, 360), (1920, 1080), (321, 209)] {
            assert_eq!(BoundingBox::from_pixels(rect, w, h).to_pixels(w, h), Some(rect));
        }
        assert_eq!(BoundingBox::FULL.to_pixels(10, 20), Some(PixelRect::new(0, 0, 10, 20)));
    }

    #[test]
    fn iou_of_a_box_with_itself_is_one() {
        let a = BoundingBox::new(0.1, 0.1, 0.5, 0.5);
        assert!((a.iou(a) - 1.0).abs() < 1e-6);
        assert!(a.iou(BoundingBox::new(0.7, 0.7, 0.2, 0.2)).abs() < 1e-6);
    }
}
