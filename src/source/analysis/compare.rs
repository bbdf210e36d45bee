//! How far two small pictures show the same.

use super::thumbnail::Thumbnail;

/// Cells along the side of a block that is looked for in the other picture.
const BLOCK: usize = 8;
/// How far a block is looked for, in cells: a tenth of the picture's longer side in each direction.
const REACH: isize = 8;
/// Correlation from which two pictures may show the same in another light.
const SAME_SCENE: f32 = 0.5;

/// Share of a picture's blocks that cannot be found anywhere near their place in the picture before: 0 where things
/// merely moved, 1 where nothing is left.
///
/// A block is found where it differs by little for its own contrast, so that dark and pale pictures count like
/// others; where only the light has changed, as in a fade, the picture before is first brought into the same light.
pub(super) fn unmatched(before: &Thumbnail, after: &Thumbnail) -> f32 {
    let as_it_is = missing(before, after);
    if as_it_is == 0.0 || correlation(before, after) < SAME_SCENE {
        return as_it_is;
    }
    // The one with more contrast is brought down: brought up, the other would show its grain.
    let in_one_light = if before.deviation > after.deviation {
        missing(&before.in_the_light_of(after), after)
    } else {
        missing(before, &after.in_the_light_of(before))
    };
    as_it_is.min(in_one_light)
}

fn missing(before: &Thumbnail, after: &Thumbnail) -> f32 {
    let grid = after.grid;
    let (width, height) = (BLOCK.min(grid.width), BLOCK.min(grid.height));
    let floor = (0.1 * before.deviation.max(after.deviation)).clamp(1.0, 3.0);
    let (mut missing, mut blocks) = (0_u32, 0_u32);
    for y in starts(grid.height, height) {
        for x in starts(grid.width, width) {
            let block = Block { x, y, width, height };
            blocks += 1;
            if !block.is_found(before, after, floor) {
                missing += 1;
            }
        }
    }
    missing as f32 / blocks.max(1) as f32
}

/// Where blocks begin: side by side, the last one at the edge.
fn starts(length: usize, block: usize) -> impl Iterator<Item = usize> {
    (0..length.div_ceil(block)).map(move |n| (n * block).min(length - block))
}

#[derive(Clone, Copy)]
struct Block {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Block {
    fn is_found(self, before: &Thumbnail, after: &Thumbnail, floor: f32) -> bool {
        let area = (self.width * self.height) as f32;
        let allowed = (floor.max(0.3 * self.contrast(after)) * area) as u32;
        let fits = |dx, dy| {
            self.difference(&before.luma, &after.luma, after.grid.width, dx, dy) <= allowed
                && self.colours_fit(before, after, dx, dy, allowed)
        };
        // Most blocks of most pictures are where they were.
        if fits(0, 0) {
            return true;
        }
        let inside = |at: usize, by: isize, size: usize, length: usize| {
            let at = at as isize + by;
            at >= 0 && at as usize + size <= length
        };
        for dy in (-REACH..=REACH).filter(|&dy| inside(self.y, dy, self.height, after.grid.height)) {
            for dx in (-REACH..=REACH).filter(|&dx| inside(self.x, dx, self.width, after.grid.width)) {
                if fits(dx, dy) {
                    return true;
                }
            }
        }
        false
    }

    /// Mean absolute deviation of luma within the block.
    fn contrast(self, picture: &Thumbnail) -> f32 {
        let rows = || {
            (self.y..self.y + self.height).map(|y| {
                let start = y * picture.grid.width + self.x;
                &picture.luma[start..start + self.width]
            })
        };
        let area = (self.width * self.height) as u32;
        let mean = (rows().flatten().map(|&l| u32::from(l)).sum::<u32>() / area) as u8;
        rows().flatten().map(|&l| u32::from(l.abs_diff(mean))).sum::<u32>() as f32 / area as f32
    }

    /// Sum of absolute differences to the block moved by (dx, dy) in the picture before.
    fn difference(self, before: &[u8], after: &[u8], stride: usize, dx: isize, dy: isize) -> u32 {
        let mut sum = 0;
        for y in self.y..self.y + self.height {
            let here = y * stride + self.x;
            let there = here.wrapping_add_signed(dy * stride as isize + dx);
            let (here, there) = (&after[here..here + self.width], &before[there..there + self.width]);
            if let (Ok(a), Ok(b)) = (<&[u8; BLOCK]>::try_from(here), <&[u8; BLOCK]>::try_from(there)) {
                sum += a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            } else {
                sum += here.iter().zip(there).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            }
        }
        sum
    }

    fn colours_fit(self, before: &Thumbnail, after: &Thumbnail, dx: isize, dy: isize, allowed: u32) -> bool {
        let stride = after.grid.width;
        let blue = self.difference(&before.blue, &after.blue, stride, dx, dy);
        let red = self.difference(&before.red, &after.red, stride, dx, dy);
        // Colours are stored with less care than brightness.
        blue + red <= 2 * allowed + 2 * (self.width * self.height) as u32
    }
}

/// Correlation of two pictures' brightness, -1..=1: near 1 where only the light has changed. Pictures of one colour
/// correlate with each other where they are of one brightness, and with nothing else.
pub(super) fn correlation(a: &Thumbnail, b: &Thumbnail) -> f32 {
    if a.deviation.max(b.deviation) < 2.0 && (a.mean - b.mean).abs() < 10.0 {
        return 1.0;
    }
    if a.deviation < 0.5 || b.deviation < 0.5 {
        return 0.0;
    }
    let sum: f32 =
        a.luma.iter().zip(&b.luma).map(|(&x, &y)| (f32::from(x) - a.mean) * (f32::from(y) - b.mean)).sum();
    sum / (a.luma.len() as f32 * a.deviation * b.deviation)
}

/// Whether both show the same drawing: no cell has visibly changed. Compression and grain vanish in a cell's mean.
pub(super) fn same_drawing(a: &Thumbnail, b: &Thumbnail) -> bool {
    let mut slight = 0;
    for cell in 0..a.luma.len() {
        let colour = a.blue[cell].abs_diff(b.blue[cell]).max(a.red[cell].abs_diff(b.red[cell]));
        match a.luma[cell].abs_diff(b.luma[cell]).max(colour) {
            0..=3 => {}
            4..=8 => slight += 1,
            _ => return false,
        }
        if slight > 4 {
            return false;
        }
    }
    true
}

/// How a picture lies between two others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blend {
    /// Share of the later picture: 0 is the earlier one, 1 the later one.
    pub(super) share: f32,
    /// What the blend does not explain where little moves, in parts of what lies between the two pictures: 0 is a
    /// perfect blend.
    pub(super) rest: f32,
    /// Root mean square of what lies between the two pictures, in levels of 0..=255.
    pub(super) span: f32,
}

/// The best blend of `a` and `b` for `m`, by least squares; all as [`Thumbnail::coarse`].
pub(super) fn blend(a: &[f32], m: &[f32], b: &[f32]) -> Blend {
    let (mut along, mut whole, mut own) = (0.0_f32, 0.0_f32, 0.0_f32);
    for ((a, m), b) in a.iter().zip(m).zip(b) {
        let (span, step) = (b - a, m - a);
        along += span * step;
        whole += span * span;
        own += step * step;
    }
    if whole <= f32::EPSILON {
        return Blend { share: 0.0, rest: 1.0, span: 0.0 };
    }
    let share = along / whole;
    let mut rest = ((own - share * along).max(0.0) / whole).sqrt();
    if rest < 0.6 {
        rest = rest_of_the_still(a, m, b, share, whole);
    }
    Blend { share, rest, span: (whole / a.len().max(1) as f32).sqrt() }
}

/// What a blend does not explain of the places where little moves: the worst of seven parts is left out.
fn rest_of_the_still(a: &[f32], m: &[f32], b: &[f32], share: f32, whole: f32) -> f32 {
    let mut rests: Vec<f32> =
        a.iter().zip(m).zip(b).map(|((a, m), b)| (m - a - share * (b - a)).powi(2)).collect();
    let kept = rests.len() * 6 / 7;
    if kept > 0 && kept < rests.len() {
        rests.select_nth_unstable_by(kept, f32::total_cmp);
    }
    (rests[..kept].iter().sum::<f32>() / whole).sqrt()
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::source::analysis::thumbnail::Grid;

    /// Blobs of light on grey, moved by whole pixels.
    fn picture(seed: u32, dx: i32, light: f32) -> Thumbnail {
        let picture = RgbImage::from_fn(320, 180, |x, y| {
            let (x, y) = ((x as i32 + dx) as f32, y as f32);
            let mut value = 90.0;
            for blob in 0..14_u32 {
                let hash = (seed * 31 + blob).wrapping_mul(2_654_435_761);
                let (cx, cy) = ((hash % 320) as f32, (hash / 320 % 180) as f32);
                let size = 8.0 + (hash / 57_600 % 30) as f32;
                let far = ((x - cx).powi(2) + (y - cy).powi(2)) / (size * size);
                value += if hash & 1 == 0 { 90.0 } else { -70.0 } * (-far).exp();
            }
            Rgb([(value * light).clamp(0.0, 255.0) as u8; 3])
        });
        Thumbnail::new(Grid { width: 80, height: 45 }, &picture)
    }

    #[test]
    fn moved_pictures_match_and_other_pictures_do_not() {
        let a = picture(1, 0, 1.0);
        assert!(unmatched(&a, &a).abs() < 1e-6);
        assert!(unmatched(&a, &picture(1, 20, 1.0)) < 0.25, "{}", unmatched(&a, &picture(1, 20, 1.0)));
        assert!(unmatched(&a, &picture(2, 0, 1.0)) > 0.6, "{}", unmatched(&a, &picture(2, 0, 1.0)));
        // As dark as in a cellar.
        let (dark, other) = (picture(1, 0, 0.1), picture(2, 0, 0.1));
        assert!(unmatched(&dark, &other) > 0.5, "{}", unmatched(&dark, &other));
    }

    #[test]
    fn correlation_sees_through_a_change_of_light() {
        let a = picture(1, 0, 1.0);
        assert!(correlation(&a, &picture(1, 0, 0.4)) > 0.98);
        assert!(correlation(&a, &picture(2, 0, 1.0)) < 0.6);
    }

    #[test]
    fn blends_are_told_from_motion() {
        let (a, b) = (picture(1, 0, 1.0).coarse(), picture(2, 0, 1.0).coarse());
        let mixed: Vec<f32> = a.iter().zip(&b).map(|(a, b)| 0.7 * a + 0.3 * b).collect();
        let found = blend(&a, &mixed, &b);
        assert!((found.share - 0.3).abs() < 0.01 && found.rest < 0.01, "{found:?}");
        let moved = blend(&a, &picture(1, 80, 1.0).coarse(), &picture(1, 160, 1.0).coarse());
        assert!(moved.rest > 0.4, "{moved:?}");
        assert!(blend(&a, &a, &a).rest > 0.5, "no span, no blend");
    }
}
