//! A picture made so small that a film's worth of them can be compared.

use image::RgbImage;

/// Cells along the longer side.
pub(super) const SIDE: usize = 80;

/// How many cells a film's pictures are brought down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Grid {
    /// Cells of a whole number of pixels, [`SIDE`] along the longer side; fewer for pictures smaller than that.
    pub(super) fn of(picture: &RgbImage) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let cell = width.max(height).div_ceil(SIDE).max(1);
        Self { width: (width / cell).max(1), height: (height / cell).max(1) }
    }

    fn cells(self) -> usize {
        self.width * self.height
    }
}

/// Mean brightness and colour of each cell of a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Thumbnail {
    pub(super) grid: Grid,
    /// Luma (BT.601) in 0..=255.
    pub(super) luma: Vec<u8>,
    /// The two colour differences, 128 for grey.
    pub(super) blue: Vec<u8>,
    pub(super) red: Vec<u8>,
    /// Mean luma.
    pub(super) mean: f32,
    /// Standard deviation of luma: the picture's contrast.
    pub(super) deviation: f32,
    /// Larger standard deviation of the two colour differences.
    pub(super) colour_deviation: f32,
}

impl Thumbnail {
    /// Brings a picture of any size down to the grid.
    pub(super) fn new(grid: Grid, picture: &RgbImage) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let (mut luma, mut blue, mut red) =
            (vec![0; grid.cells()], vec![0; grid.cells()], vec![0; grid.cells()]);
        let pixels = picture.as_raw();
        let column = |x: usize| x * width / grid.width;
        let row = |y: usize| y * height / grid.height;
        for y in 0..grid.height {
            let (top, bottom) = (row(y), row(y + 1).max(row(y) + 1).min(height));
            for x in 0..grid.width {
                let (left, right) = (column(x), column(x + 1).max(column(x) + 1).min(width));
                let mut sum = [0_u32; 3];
                for line in top..bottom {
                    let line = &pixels[(line * width + left) * 3..(line * width + right) * 3];
                    for pixel in line.as_chunks::<3>().0 {
                        for (sum, value) in sum.iter_mut().zip(pixel) {
                            *sum += u32::from(*value);
                        }
                    }
                }
                let count = ((bottom - top) * (right - left)).max(1) as f32;
                let [r, g, b] = sum.map(|s| s as f32 / count);
                let light = 0.299 * r + 0.587 * g + 0.114 * b;
                let cell = y * grid.width + x;
                luma[cell] = (light + 0.5) as u8;
                blue[cell] = (0.564 * (b - light) + 128.5) as u8;
                red[cell] = (0.713 * (r - light) + 128.5) as u8;
            }
        }
        let (mean, deviation) = moments(&luma);
        let colour_deviation = moments(&blue).1.max(moments(&red).1);
        Self { grid, luma, blue, red, mean, deviation, colour_deviation }
    }

    /// Whether the picture shows nothing.
    pub(super) fn is_flat(&self) -> bool {
        self.deviation < 2.5 && self.colour_deviation < 2.5
    }

    /// Whether the picture shows next to nothing.
    pub(super) fn is_blank(&self) -> bool {
        self.deviation < 5.0 && self.colour_deviation < 5.0
    }

    /// The same picture with another one's brightness and contrast.
    pub(super) fn in_the_light_of(&self, other: &Self) -> Self {
        let gain = (other.deviation / self.deviation.max(0.1)).min(20.0);
        let map = |from: f32, to: f32| -> [u8; 256] {
            std::array::from_fn(|level| ((level as f32 - from) * gain + to).round().clamp(0.0, 255.0) as u8)
        };
        let (light, colour) = (map(self.mean, other.mean), map(128.0, 128.0));
        let through = |plane: &[u8], map: &[u8; 256]| plane.iter().map(|&v| map[v as usize]).collect();
        Self {
            luma: through(&self.luma, &light),
            blue: through(&self.blue, &colour),
            red: through(&self.red, &colour),
            mean: other.mean,
            deviation: other.deviation,
            colour_deviation: self.colour_deviation * gain,
            grid: self.grid,
        }
    }

    /// Brightness and colours of groups of 2 × 2 cells: what a blend of two pictures is measured on, since moving
    /// things move less there.
    pub(super) fn coarse(&self) -> Vec<f32> {
        let (width, height) = ((self.grid.width / 2).max(1), (self.grid.height / 2).max(1));
        let mut coarse = Vec::with_capacity(width * height * 3);
        for plane in [&self.luma, &self.blue, &self.red] {
            for y in 0..height {
                for x in 0..width {
                    let at = |dx: usize, dy: usize| {
                        let (x, y) =
                            ((2 * x + dx).min(self.grid.width - 1), (2 * y + dy).min(self.grid.height - 1));
                        f32::from(plane[y * self.grid.width + x])
                    };
                    coarse.push((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4.0);
                }
            }
        }
        coarse
    }
}

/// Mean and standard deviation.
fn moments(values: &[u8]) -> (f32, f32) {
    let count = values.len().max(1) as f32;
    let (mut sum, mut squares) = (0_u64, 0_u64);
    for &value in values {
        sum += u64::from(value);
        squares += u64::from(value) * u64::from(value);
    }
    let mean = sum as f32 / count;
    (mean, (squares as f32 / count - mean * mean).max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn cells_are_means_whatever_the_pictures_size() {
        let wide = RgbImage::from_fn(320, 180, |x, _| if x < 160 { Rgb([0; 3]) } else { Rgb([200, 100, 0]) });
        let grid = Grid::of(&wide);
        assert_eq!(grid, Grid { width: 80, height: 45 });
        let thumbnail = Thumbnail::new(grid, &wide);
        assert_eq!((thumbnail.luma[0], thumbnail.luma[79]), (0, 119));
        assert!(thumbnail.red[79] > 180 && thumbnail.blue[79] < 65);
        let other = RgbImage::from_pixel(7, 300, Rgb([90; 3]));
        let fitted = Thumbnail::new(grid, &other);
        assert!(fitted.luma.iter().all(|&l| l == 90) && fitted.is_blank());
        for (width, height) in [(1, 1), (3, 2), (1, 500), (640, 1)] {
            let picture = RgbImage::from_pixel(width, height, Rgb([10; 3]));
            let thumbnail = Thumbnail::new(Grid::of(&picture), &picture);
            assert!(thumbnail.luma.iter().all(|&l| l == 10), "{width}×{height}");
            assert!(!thumbnail.coarse().is_empty());
        }
    }
}
