//! What one picture shows, and how sharp it is.

use image::RgbImage;

use crate::types::Content;

/// Luma (BT.601) of each pixel.
fn luma(picture: &RgbImage) -> Vec<u8> {
    let pixels = picture.as_raw().as_chunks::<3>().0;
    pixels
        .iter()
        .map(|&[r, g, b]| ((u32::from(r) * 77 + u32::from(g) * 150 + u32::from(b) * 29) >> 8) as u8)
        .collect()
}

/// How sharp a picture is, 0..1: how much its strongest edges lose when they are blurred once more.
///
/// Contrast and the amount of texture cancel out, since each edge is compared with itself; grain does not count,
/// since only strong edges do and they are smoothed first. Pictures of one size can be compared.
pub(in crate::source) fn sharpness(picture: &RgbImage) -> f32 {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width < 16 || height < 16 {
        return 0.0;
    }
    let fine = blur::<1>(&luma(picture).iter().map(|&l| u16::from(l) << 4).collect::<Vec<_>>(), width);
    let rough = blur::<2>(&blur::<2>(&fine, width), width);
    let slope = |plane: &[u16], at: usize| {
        u32::from(plane[at + 1].abs_diff(plane[at - 1]))
            + u32::from(plane[at + width].abs_diff(plane[at - width]))
    };
    let inside = || (4..height - 4).flat_map(|y| (4..width - 4).map(move |x| y * width + x));
    // The tenth of all pixels with the steepest slopes, by a histogram of the blurred slopes.
    let mut steepness = [0_u32; 1024];
    for at in inside() {
        steepness[(slope(&rough, at) >> 3).min(1023) as usize] += 1;
    }
    let wanted = (inside().count() / 10).max(1) as u32;
    let (mut least, mut counted) = (1023, 0);
    while least > 1 && counted + steepness[least] < wanted {
        counted += steepness[least];
        least -= 1;
    }
    let (mut before, mut after) = (0_u64, 0_u64);
    for at in inside() {
        let blurred = slope(&rough, at);
        if (blurred >> 3) as usize >= least {
            before += u64::from(slope(&fine, at));
            after += u64::from(blurred);
        }
    }
    if before == 0 { 0.0 } else { (1.0 - after as f32 / before as f32).clamp(0.0, 1.0) }
}

/// Means over squares of 2 × `R` + 1 pixels; a picture's border of `R` pixels stays as it is.
fn blur<const R: usize>(plane: &[u16], width: usize) -> Vec<u16> {
    let size = 2 * R + 1;
    let mut rows = plane.to_vec();
    for (line, out) in plane.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
        for (window, out) in line.windows(size).zip(&mut out[R..]) {
            *out = (window.iter().map(|&v| u32::from(v)).sum::<u32>() / size as u32) as u16;
        }
    }
    let mut both = rows.clone();
    let height = plane.len() / width;
    for y in R..height - R {
        let out = &mut both[y * width..(y + 1) * width];
        for (x, out) in out.iter_mut().enumerate() {
            let sum: u32 = (0..size).map(|k| u32::from(rows[(y + k - R) * width + x])).sum();
            *out = (sum / size as u32) as u16;
        }
    }
    both
}

/// Least share of a picture in one colour that makes it empty.
const EMPTY: f32 = 0.985;
/// Least share of a page in one colour.
const PAGE: f32 = 0.72;

/// What a picture shows. Black bars around it do not count.
pub(super) fn content(picture: &RgbImage) -> Content {
    let (width, plane) = (picture.width() as usize, luma(picture));
    let Some((rows, columns)) = lit(&plane, width) else { return Content::Black };
    let region = || rows.clone().flat_map(|y| columns.clone().map(move |x| y * width + x));
    let mut histogram = [0_u32; 256];
    let mut pixels = 0_u32;
    for at in region() {
        histogram[plane[at] as usize] += 1;
        pixels += 1;
    }
    let around = |level: usize| histogram[level.saturating_sub(8)..=(level + 8).min(255)].iter().sum::<u32>();
    let ground = (0..256).max_by_key(|&level| around(level)).unwrap_or_default();
    if (around(ground) as f32) < PAGE * pixels as f32 {
        return Content::Picture;
    }
    // One brightness may still be many colours.
    let rgb = picture.as_raw().as_chunks::<3>().0;
    let on_ground = |at: usize| (plane[at] as usize).abs_diff(ground) <= 8;
    let mut sums = [0_u64; 3];
    let mut count = 0;
    for at in region().filter(|&at| on_ground(at)) {
        sums.iter_mut().zip(rgb[at]).for_each(|(sum, value)| *sum += u64::from(value));
        count += 1;
    }
    let mean = sums.map(|sum| (sum / count.max(1)) as u8);
    let is_ground = |at: usize| on_ground(at) && rgb[at].iter().zip(mean).all(|(a, b)| a.abs_diff(b) <= 20);
    let share = region().filter(|&at| is_ground(at)).count() as f32 / pixels as f32;
    let mask =
        Mask { width: columns.len(), height: rows.len(), ink: region().map(|at| !is_ground(at)).collect() };
    if share >= PAGE && mask.is_writing(plane.len() / width) {
        Content::Writing
    } else if share < EMPTY {
        Content::Picture
    } else if ground < 24 {
        Content::Black
    } else {
        Content::Flat
    }
}

type Span = std::ops::Range<usize>;

/// The rows and columns that are not black bars; `None` for a black picture.
fn lit(plane: &[u8], width: usize) -> Option<(Span, Span)> {
    const DARK: u8 = 28;
    let height = plane.len() / width.max(1);
    let row = |y: &usize| plane[y * width..(y + 1) * width].iter().any(|&l| l > DARK);
    let (top, bottom) = ((0..height).find(row)?, (0..height).rfind(row)? + 1);
    let column = |x: &usize| (top..bottom).any(|y| plane[y * width + x] > DARK);
    let (left, right) = ((0..width).find(column)?, (0..width).rfind(column)? + 1);
    // What is narrower than bars leave is a light in the dark, not a picture with bars.
    let wide = (right - left) * 2 >= width && (bottom - top) * 2 >= height;
    Some(if wide { (top..bottom, left..right) } else { (0..height, 0..width) })
}

/// What is not of the page's colour.
struct Mask {
    width: usize,
    height: usize,
    ink: Vec<bool>,
}

impl Mask {
    /// Whether the ink is letters: many small pieces of thin strokes. Drawings have large pieces or filled ones.
    fn is_writing(&self, picture_height: usize) -> bool {
        let ink = self.ink.iter().filter(|&&i| i).count();
        if ink < 40 {
            return false;
        }
        let thick = (1..self.height.saturating_sub(1))
            .flat_map(|y| (1..self.width.saturating_sub(1)).map(move |x| (x, y)))
            .filter(|&(x, y)| (y - 1..=y + 1).all(|y| (x - 1..=x + 1).all(|x| self.ink[y * self.width + x])))
            .count();
        if thick * 5 > ink * 2 {
            return false;
        }
        let (mut small, mut pieces) = (0, 0);
        let mut seen = vec![false; self.ink.len()];
        for start in 0..self.ink.len() {
            if self.ink[start] && !seen[start] {
                let (pixels, height) = self.piece(start, &mut seen);
                pieces += 1;
                if height * 8 <= picture_height {
                    small += pixels;
                }
            }
        }
        pieces >= 4 && small * 10 >= ink * 9
    }

    /// Pixels and height of the connected piece of ink around a pixel.
    fn piece(&self, start: usize, seen: &mut [bool]) -> (usize, usize) {
        let mut open = vec![start];
        seen[start] = true;
        let (mut pixels, mut top, mut bottom) = (0, usize::MAX, 0);
        while let Some(at) = open.pop() {
            let (x, y) = (at % self.width, at / self.width);
            pixels += 1;
            (top, bottom) = (top.min(y), bottom.max(y));
            for ny in y.saturating_sub(1)..=(y + 1).min(self.height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(self.width - 1) {
                    let next = ny * self.width + nx;
                    if self.ink[next] && !seen[next] {
                        seen[next] = true;
                        open.push(next);
                    }
                }
            }
        }
        (pixels, bottom - top + 1)
    }
}
