//! The small picture in which the search happens: an area average of a frame, and sums over its rectangles.

use image::RgbImage;

use super::colours::{Blend, COLOURS, PARTS, Palette};

/// Pixels of the small picture, about (160×90).
const PIXELS: f32 = 14_400.0;

/// A rectangle of whole grid pixels: left, top, right and bottom, the last two exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::detect) struct Window {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

impl Window {
    pub(in crate::detect) fn width(self) -> i32 {
        self.right - self.left
    }

    pub(in crate::detect) fn height(self) -> i32 {
        self.bottom - self.top
    }

    pub(in crate::detect) fn area(self) -> f32 {
        (self.width().max(0) * self.height().max(0)) as f32
    }

    /// The smallest window around both.
    pub(in crate::detect) fn around(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// The window with so much more on each side, as far as `limits` reach.
    pub(in crate::detect) fn widened(self, dx: i32, dy: i32, limits: Self) -> Self {
        Self {
            left: (self.left - dx).max(limits.left),
            top: (self.top - dy).max(limits.top),
            right: (self.right + dx).min(limits.right),
            bottom: (self.bottom + dy).min(limits.bottom),
        }
    }

    pub(in crate::detect) fn overlap(self, other: Self) -> f32 {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
        .area()
    }

    /// Intersection over union.
    pub(in crate::detect) fn iou(self, other: Self) -> f32 {
        let overlap = self.overlap(other);
        overlap / (self.area() + other.area() - overlap).max(1.0)
    }
}

/// Size of the small picture for a frame: about [`PIXELS`] pixels of the frame's proportions.
pub(in crate::detect) fn grid_size(width: u32, height: u32, pixels: f32) -> (usize, usize) {
    let aspect = (width.max(1) as f32 / height.max(1) as f32).clamp(0.125, 8.0);
    let w = (pixels * aspect).sqrt().round().max(8.0);
    (w as usize, (pixels / w).round().max(8.0) as usize)
}

/// Averages a picture down to `size` pixels. `row` is a buffer that is kept between calls.
pub(in crate::detect) fn shrink(
    image: &RgbImage,
    size: (usize, usize),
    row: &mut Vec<u32>,
    out: &mut Vec<[u8; 3]>,
) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    out.clear();
    if width == 0 || height == 0 {
        out.resize(size.0 * size.1, [0; 3]);
        return;
    }
    row.clear();
    row.resize(width * 3, 0);
    let bounds = |i: usize, from: usize, to: usize| {
        let begin = (i * from / to).min(from - 1);
        (begin, ((i + 1) * from / to).max(begin + 1))
    };
    let bytes: &[u8] = image.as_raw();
    for y in 0..size.1 {
        let (top, bottom) = bounds(y, height, size.1);
        row.fill(0);
        for line in bytes[top * width * 3..bottom * width * 3].chunks_exact(width * 3) {
            for (sum, &v) in row.iter_mut().zip(line) {
                *sum += u32::from(v);
            }
        }
        for x in 0..size.0 {
            let (left, right) = bounds(x, width, size.0);
            let mut sum = [0_u32; 3];
            for pixel in row[left * 3..right * 3].chunks_exact(3) {
                for (s, v) in sum.iter_mut().zip(pixel) {
                    *s += v;
                }
            }
            let count = ((bottom - top) * (right - left)) as u32;
            out.push(sum.map(|s| ((s + count / 2) / count) as u8));
        }
    }
}

/// A frame averaged down to the size at which the search works.
pub(in crate::detect) fn small(image: &RgbImage) -> RgbImage {
    let (width, height) = grid_size(image.width(), image.height(), PIXELS);
    let (mut row, mut pixels) = (Vec::new(), Vec::new());
    shrink(image, (width, height), &mut row, &mut pixels);
    RgbImage::from_fn(width as u32, height as u32, |x, y| image::Rgb(pixels[y as usize * width + x as usize]))
}

/// A frame made ready for the search. The buffers are reused from frame to frame.
#[derive(Debug, Default)]
pub(in crate::detect) struct Grid {
    pub width: usize,
    pub height: usize,
    row: Vec<u32>,
    pixels: Vec<[u8; 3]>,
    pub blends: Vec<Blend>,
    /// For each corner, the amount of each palette colour above and to the left of it, in parts.
    sums: Vec<f32>,
}

impl Grid {
    /// Takes a new frame.
    pub(in crate::detect) fn load(&mut self, image: &RgbImage, palette: &Palette) {
        let size = grid_size(image.width(), image.height(), PIXELS);
        (self.width, self.height) = size;
        shrink(image, size, &mut self.row, &mut self.pixels);
        self.blends.clear();
        self.blends.extend(self.pixels.iter().map(|&p| palette.blend(p)));
        let stride = (self.width + 1) * COLOURS;
        self.sums.resize((self.height + 1) * stride, 0.0);
        self.sums[..stride].fill(0.0);
        for (y, blends) in self.blends.chunks_exact(self.width).enumerate() {
            let (above, here) = self.sums[y * stride..(y + 2) * stride].split_at_mut(stride);
            here[..COLOURS].fill(0.0);
            let mut left = [0.0_f32; COLOURS];
            let corners = here[COLOURS..].chunks_exact_mut(COLOURS);
            for ((corner, up), blend) in corners.zip(above[COLOURS..].chunks_exact(COLOURS)).zip(blends) {
                for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
                    left[usize::from(colour) % COLOURS] += f32::from(parts);
                }
                for ((c, u), l) in corner.iter_mut().zip(up).zip(&left) {
                    *c = u + l;
                }
            }
        }
    }

    /// The amount of each palette colour above row `y` between two columns, in parts.
    #[inline]
    pub(in crate::detect) fn above(&self, y: i32, left: i32, right: i32) -> [f32; COLOURS] {
        let at = |x: i32| {
            let begin = (y as usize * (self.width + 1) + x as usize) * COLOURS;
            &self.sums[begin..begin + COLOURS]
        };
        let (l, r) = (at(left), at(right));
        std::array::from_fn(|k| r[k] - l[k])
    }

    /// The amount of each palette colour in a window, in parts.
    pub(in crate::detect) fn histogram(&self, w: Window) -> [f32; COLOURS] {
        let (above, below) = (self.above(w.top, w.left, w.right), self.above(w.bottom, w.left, w.right));
        std::array::from_fn(|k| below[k] - above[k])
    }

    /// How much the pixels of a window differ from their mean, in levels of 0..=255: what is flat, or faded to black
    /// or white, stays near 0.
    pub(in crate::detect) fn spread(&self, w: Window) -> f32 {
        let (mut sums, mut squares, mut count) = ([0_u32; 3], 0_u64, 0_u32);
        for y in w.top..w.bottom {
            let row = y as usize * self.width;
            for pixel in &self.pixels[row + w.left as usize..row + w.right as usize] {
                for (sum, &v) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(v);
                    squares += u64::from(v) * u64::from(v);
                }
                count += 1;
            }
        }
        let count = count.max(1) as f32;
        let means: f32 = sums.iter().map(|&s| (s as f32 / count).powi(2)).sum();
        (squares as f32 / count - means).max(0.0).sqrt()
    }

    /// The window that covers the whole picture.
    pub(in crate::detect) fn full(&self) -> Window {
        Window { left: 0, top: 0, right: self.width as i32, bottom: self.height as i32 }
    }
}

/// Sums of one number a pixel over any rectangle.
#[derive(Debug, Default)]
pub(in crate::detect) struct Map {
    width: usize,
    values: Vec<u32>,
    sums: Vec<u32>,
}

impl Map {
    /// Takes the strength of each palette colour, 0..=255, and gives each pixel its blend of them.
    pub(in crate::detect) fn load(&mut self, grid: &Grid, strength: &[u8; COLOURS]) {
        self.width = grid.width;
        self.values.clear();
        self.values.extend(grid.blends.iter().map(|b| {
            (0..3)
                .map(|i| u32::from(strength[usize::from(b.colours[i])]) * u32::from(b.parts[i]))
                .sum::<u32>()
        }));
        let stride = grid.width + 1;
        self.sums.resize((grid.height + 1) * stride, 0);
        self.sums[..stride].fill(0);
        for (y, values) in self.values.chunks_exact(grid.width).enumerate() {
            let (above, here) = self.sums[y * stride..(y + 2) * stride].split_at_mut(stride);
            here[0] = 0;
            let mut left = 0;
            for ((corner, up), value) in here[1..].iter_mut().zip(&above[1..]).zip(values) {
                left += value;
                *corner = up + left;
            }
        }
    }

    /// For each pixel, whether it stays below a level, 0..=1.
    pub(in crate::detect) fn below(&self, level: f32, out: &mut Vec<bool>) {
        let floor = (level * 255.0 * f32::from(PARTS)) as u32;
        out.clear();
        out.extend(self.values.iter().map(|&v| v < floor));
    }

    /// The sum over a window, as a ratio of its highest possible value times the number of pixels.
    #[inline]
    pub(in crate::detect) fn sum(&self, w: Window) -> f32 {
        let at = |x: i32, y: i32| self.sums[y as usize * (self.width + 1) + x as usize];
        let sum = at(w.right, w.bottom) + at(w.left, w.top) - at(w.left, w.bottom) - at(w.right, w.top);
        sum as f32 * (1.0 / (255.0 * f32::from(PARTS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_keeps_proportions_and_survives_extremes() {
        assert_eq!(grid_size(1280, 720, PIXELS), (160, 90));
        assert_eq!(grid_size(720, 1280, PIXELS), (90, 160));
        for (w, h) in [(1, 1), (1, 5000), (5000, 1), (0, 0)] {
            let (gw, gh) = grid_size(w, h, PIXELS);
            assert!(gw >= 8 && gh >= 8 && gw * gh < 20_000, "{w}×{h}: {gw}×{gh}");
            assert_eq!(small(&RgbImage::new(w, h)).dimensions(), (gw as u32, gh as u32));
        }
    }

    #[test]
    fn shrinking_averages() {
        let stripes = RgbImage::from_fn(640, 360, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 200 }; 3]));
        assert!(small(&stripes).pixels().all(|p| p.0 == [100; 3]));
        let same = small(&stripes);
        assert_eq!(small(&same), same, "a small picture stays as it is");
    }

    #[test]
    fn flat_places_have_no_spread() {
        let image = RgbImage::from_fn(160, 90, |x, y| match (x < 80, (x + y) % 2) {
            (true, odd) => image::Rgb([odd as u8 * 3; 3]),
            (false, odd) => image::Rgb([odd as u8 * 200, 0, 0]),
        });
        let mut grid = Grid::default();
        grid.load(&image, &Palette::learn(&[], 1));
        let half = |left| Window { left, top: 0, right: left + 80, bottom: 90 };
        assert!(grid.spread(half(0)) < 3.0 && (grid.spread(half(80)) - 100.0).abs() < 1.0);
        assert!(grid.spread(Window::default()).abs() < 1e-6);
    }

    #[test]
    fn sums_over_windows_agree_with_counting() {
        let image = RgbImage::from_fn(320, 180, |x, y| image::Rgb([(x / 2) as u8, y as u8, (x ^ y) as u8]));
        let samples: Vec<_> =
            image.pixels().step_by(7).map(|p| super::super::colours::scaled_lab(p.0)).collect();
        let palette = Palette::learn(&samples, 3);
        let (mut grid, mut map) = (Grid::default(), Map::default());
        grid.load(&image, &palette);
        let strength = std::array::from_fn(|k| (k * 3) as u8);
        map.load(&grid, &strength);
        let w = Window { left: 13, top: 20, right: 77, bottom: 61 };
        let (mut amounts, mut sum) = ([0.0_f32; COLOURS], 0_u32);
        for y in 20..61 {
            for blend in &grid.blends[y * grid.width + 13..y * grid.width + 77] {
                for i in 0..3 {
                    let k = usize::from(blend.colours[i]);
                    amounts[k] += f32::from(blend.parts[i]);
                    sum += u32::from(strength[k]) * u32::from(blend.parts[i]);
                }
            }
        }
        let (upper, lower) = (grid.above(w.top, 13, 77), grid.above(w.bottom, 13, 77));
        for k in 0..COLOURS {
            assert!((lower[k] - upper[k] - amounts[k]).abs() < 0.5, "colour {k}");
        }
        assert!((map.sum(w) - sum as f32 / (255.0 * 16.0)).abs() < 1e-2);
    }
}
