//! How good a character looks in its frame.

use image::RgbImage;

use crate::types::{BoundingBox, Frame, PixelRect, Quality};

/// Side in pixels that trainers use; a character of this many source pixels a side has full marks for size.
pub const TRAINING_SIDE: f32 = 512.0;

/// Scan lines of the box that are looked at, at most, in each direction.
const LINES: usize = 256;
/// Least rise of an edge, in luma levels.
const RISE: i32 = 24;
/// Fewest edges that tell something of a direction.
const EDGES: u64 = 24;
/// Range of luma, from the 5th to the 95th percentile, that earns full marks for exposure.
const FULL_RANGE: f32 = 160.0;
/// Steepness of edges (share of the rise within one pixel) of a picture that is out of focus, and of a crisp one.
const STEEPNESS: (f32, f32) = (0.18, 0.45);

/// Measures how good a character looks: 0..1 each, higher is better, the same on every run.
///
/// `bbox` is the character's own box in ratios of the frame, as detected (the part that leaves the frame counts as
/// missing); `others` are the boxes of everybody else in the frame. Everything is measured on the frame's pixels,
/// before any resizing. A box with no area inside the frame has zero marks.
///
/// - **Sharpness**: how steep the edges are, whatever their number: on each clear edge of the box's inner ellipse
///   the steepest pixel step over the rise around it, the median of them, mapped from out of focus (0.18) to crisp
///   (0.45). Flat drawings are not punished for lacking texture, and blurred foliage gains nothing by being busy.
///   Of the two directions the softer one counts, so that motion blur shows. Without clear edges it is 0.
/// - **Exposure**: the range from the 5th to the 95th percentile of luma, full marks from 160 levels, so
///   that a picture that fades out loses to its neighbours, less the share
///   beyond 30 % of pixels that are crushed to black (≤ 8) or burned to white (≥ 250).
/// - **Completeness**: the share of the box inside the frame, times 0.6 if it touches the frame's top, 0.7 for each
///   side and 0.8 for the bottom, times 1 less half the share that other boxes cover (who stands in front is not
///   known).
/// - **Size**: the root of the visible area in source pixels against [`TRAINING_SIDE`].
///
/// ```
/// use std::time::Duration;
/// use image::{Rgb, RgbImage};
/// use picchu::{crop::measure, types::{BoundingBox, Frame}};
///
/// let checks = RgbImage::from_fn(640, 360, |x, y| Rgb(if (x / 20 + y / 20) % 2 == 0 { [40; 3] } else { [210; 3] }));
/// let quality = measure(&Frame::new(0, Duration::ZERO, checks), BoundingBox::new(0.3, 0.2, 0.4, 0.6), &[]);
/// assert!(quality.sharpness > 0.9 && quality.exposure > 0.9);
/// assert_eq!(quality.completeness, 1.0);
/// ```
pub fn measure(frame: &Frame, bbox: BoundingBox, others: &[BoundingBox]) -> Quality {
    let (Some(visible), Some(rect)) = (bbox.clamped(), bbox.to_pixels(frame.width(), frame.height())) else {
        return Quality::default();
    };
    let luma = Luma::of(frame, rect);
    Quality {
        sharpness: sharpness(&luma),
        exposure: exposure(&luma),
        completeness: completeness(bbox, visible, others),
        size: ((rect.area() as f32).sqrt() / TRAINING_SIDE).min(1.0),
    }
}

/// How bright a picture is on average: luma, 0 black to 1 white.
pub fn light(picture: &RgbImage) -> f32 {
    let sum: u64 = picture.as_raw().chunks_exact(3).map(|p| u64::from(luma(p))).sum();
    let pixels = u64::from(picture.width()) * u64::from(picture.height());
    (sum as f64 / (pixels.max(1) * 255) as f64) as f32
}

/// The brightness of a pixel.
fn luma(rgb: &[u8]) -> u8 {
    ((u32::from(rgb[0]) * 77 + u32::from(rgb[1]) * 150 + u32::from(rgb[2]) * 29 + 128) >> 8) as u8
}

/// The brightness of a rectangle's pixels.
struct Luma {
    width: usize,
    height: usize,
    values: Vec<u8>,
}

impl Luma {
    fn of(frame: &Frame, rect: PixelRect) -> Self {
        let (width, height) = (rect.width as usize, rect.height as usize);
        let stride = frame.width() as usize * 3;
        let columns = rect.x as usize * 3..rect.right() as usize * 3;
        let mut values = Vec::with_capacity(width * height);
        for row in frame.image.as_raw().chunks_exact(stride).skip(rect.y as usize).take(height) {
            values.extend(row[columns.clone()].chunks_exact(3).map(luma));
        }
        Self { width, height, values }
    }
}

fn sharpness(luma: &Luma) -> f32 {
    let Luma { width, height, ref values } = *luma;
    let across = Edges::scan(values, height, width, width, 1);
    let down = Edges::scan(values, width, height, 1, width);
    let steepness = match (across.median(), down.median()) {
        (Some(a), Some(b)) => a.min(b),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return 0.0,
    };
    ((steepness - STEEPNESS.0) / (STEEPNESS.1 - STEEPNESS.0)).clamp(0.0, 1.0)
}

/// A histogram of how steep the edges along one direction are, in 64ths of their rise.
struct Edges {
    bins: [u64; 65],
    count: u64,
}

impl Edges {
    /// Looks along `lines` lines that are `line_step` values apart, each of `length` values `step` apart.
    fn scan(values: &[u8], lines: usize, length: usize, line_step: usize, step: usize) -> Self {
        let mut edges = Self { bins: [0; 65], count: 0 };
        let mut line = vec![0u8; length];
        for number in (0..lines).step_by(lines.div_ceil(LINES)) {
            // The chord of the inner ellipse: the corners of a box seldom show the character.
            let off = (number as f32 + 0.5) / lines as f32 * 2.0 - 1.0;
            let half = ((1.0 - off * off).max(0.0).sqrt() * length as f32 / 2.0) as usize;
            let (from, until) = (length / 2 - half.min(length / 2), (length / 2 + half).min(length));
            if until < from + 8 {
                continue;
            }
            for (to, from) in line.iter_mut().zip(values[number * line_step..].iter().step_by(step)) {
                *to = *from;
            }
            edges.line(&line[from..until]);
        }
        edges
    }

    /// Adds the edges of one line: the steepest step of each monotone rise or fall, over the change around it.
    fn line(&mut self, line: &[u8]) {
        let value = |i: usize| i32::from(line[i]);
        let mut start = 0;
        while start + 1 < line.len() {
            let sign = (value(start + 1) - value(start)).signum();
            let mut end = start + 1;
            let (mut steepest, mut at) = (0, start);
            while end < line.len() && (value(end) - value(end - 1)) * sign > 0 {
                let step = (value(end) - value(end - 1)).abs();
                if step > steepest {
                    (steepest, at) = (step, end);
                }
                end += 1;
            }
            if sign != 0 {
                let around = (value(at.saturating_sub(5).max(start)) - value((at + 4).min(end - 1))).abs();
                if around >= RISE {
                    self.bins[(steepest * 64 / around) as usize] += 1;
                    self.count += 1;
                }
            }
            start = end.max(start + 1) - usize::from(sign != 0);
        }
    }

    /// The median steepness, if there are enough edges to tell.
    fn median(&self) -> Option<f32> {
        let mut left = self.count / 2;
        let bin = self.bins.iter().position(|&n| {
            let here = n > left;
            left = left.saturating_sub(n);
            here
        });
        (self.count >= EDGES).then_some((bin? as f32 + 0.5) / 64.0)
    }
}

fn exposure(luma: &Luma) -> f32 {
    let mut histogram = [0u64; 256];
    for &value in &luma.values {
        histogram[usize::from(value)] += 1;
    }
    let total = luma.values.len().max(1) as u64;
    let percentile = |share: u64| {
        let mut sum = 0;
        histogram.iter().position(|&n| {
            sum += n;
            sum * 100 >= total * share
        })
    };
    let range = percentile(95).unwrap_or(0) as f32 - percentile(5).unwrap_or(0) as f32;
    let clipped = histogram[..=8].iter().chain(&histogram[250..]).sum::<u64>() as f32 / total as f32;
    (range / FULL_RANGE).min(1.0) * (1.0 - (clipped - 0.3).max(0.0) / 0.7)
}

fn completeness(bbox: BoundingBox, visible: BoundingBox, others: &[BoundingBox]) -> f32 {
    const TOUCH: f32 = 0.005;
    let mut complete = (visible.area() / bbox.area()).min(1.0);
    for (touches, factor) in [
        (bbox.top <= TOUCH, 0.6),
        (bbox.left <= TOUCH, 0.7),
        (bbox.right() >= 1.0 - TOUCH, 0.7),
        (bbox.bottom() >= 1.0 - TOUCH, 0.8),
    ] {
        if touches {
            complete *= factor;
        }
    }
    complete * (1.0 - covered(visible, others) / 2.0)
}

/// Share of a box that lies under any of the others, on a grid of 32 × 32 points.
fn covered(bbox: BoundingBox, others: &[BoundingBox]) -> f32 {
    const GRID: u16 = 32;
    let near: Vec<_> = others.iter().filter(|other| bbox.overlap(**other) > 0.0).collect();
    if near.is_empty() {
        return 0.0;
    }
    let at = |i: u16| (f32::from(i) + 0.5) / f32::from(GRID);
    let mut under = 0u16;
    for row in 0..GRID {
        let y = bbox.top + bbox.height * at(row);
        for column in 0..GRID {
            let x = bbox.left + bbox.width * at(column);
            let inside = |b: &&&BoundingBox| x >= b.left && x < b.right() && y >= b.top && y < b.bottom();
            under += u16::from(near.iter().any(|b| inside(&b)));
        }
    }
    f32::from(under) / f32::from(GRID * GRID)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::{Rgb, RgbImage, imageops::fast_blur};

    use super::*;

    #[test]
    fn light_goes_from_black_to_white() {
        for (colour, expected) in [([0; 3], 0.0), ([255; 3], 1.0), ([128; 3], 0.502), ([255, 0, 0], 0.302)] {
            let measured = light(&RgbImage::from_pixel(7, 5, Rgb(colour)));
            assert!((measured - expected).abs() < 0.002, "{colour:?} {measured}");
        }
        assert!(light(&RgbImage::new(0, 0)).abs() < f32::EPSILON);
    }

    fn frame(image: RgbImage) -> Frame {
        Frame::new(0, Duration::ZERO, image)
    }

    /// A flat drawing: few edges, no texture.
    fn drawing() -> RgbImage {
        RgbImage::from_fn(512, 512, |x, y| {
            let (dx, dy) = (x as f32 - 256.0, y as f32 - 256.0);
            let r = (dx * dx + dy * dy).sqrt();
            Rgb(if r < 80.0 {
                [240, 200, 170]
            } else if r < 160.0 {
                [60, 90, 150]
            } else {
                [150, 200, 120]
            })
        })
    }

    /// A busy texture: edges everywhere.
    fn texture() -> RgbImage {
        let mut state = 7u32;
        let cells: Vec<u8> = (0..128 * 128)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        RgbImage::from_fn(512, 512, |x, y| Rgb([cells[(y / 4 * 128 + x / 4) as usize]; 3]))
    }

    fn sharp(image: &RgbImage) -> f32 {
        measure(&frame(image.clone()), BoundingBox::FULL, &[]).sharpness
    }

    #[test]
    fn blur_costs_sharpness_and_texture_does_not_buy_it() {
        let (flat, busy) = (drawing(), texture());
        assert!(sharp(&flat) > 0.9 && sharp(&busy) > 0.9, "{} {}", sharp(&flat), sharp(&busy));
        for image in [&flat, &busy] {
            let soft: Vec<f32> = [0.0, 1.0, 2.0, 4.0]
                .iter()
                .map(|&s| if s > 0.0 { sharp(&fast_blur(image, s)) } else { sharp(image) })
                .collect();
            assert!(soft.windows(2).all(|w| w[0] >= w[1]) && soft[2] < 0.5, "{soft:?}");
        }
        assert!(sharp(&fast_blur(&busy, 2.0)) < sharp(&flat));
    }

    #[test]
    fn motion_blur_in_one_direction_shows() {
        let sharp_image = drawing();
        let smeared = RgbImage::from_fn(512, 512, |x, y| {
            let sum = (0..13).map(|i| u32::from(sharp_image.get_pixel((x + i).min(511), y)[0])).sum::<u32>();
            Rgb([(sum / 13) as u8; 3])
        });
        assert!(sharp(&smeared) < 0.4 * sharp(&sharp_image));
    }

    #[test]
    fn exposure_falls_for_black_white_and_flat() {
        let exposure = |v: fn(u32) -> u8| {
            let image = RgbImage::from_fn(256, 64, |x, _| Rgb([v(x); 3]));
            measure(&frame(image), BoundingBox::FULL, &[]).exposure
        };
        assert!(exposure(|x| x as u8) > 0.95);
        assert!(exposure(|_| 0) < 0.01 && exposure(|_| 255) < 0.01 && exposure(|_| 128) < 0.01);
        assert!(exposure(|x| (x / 8) as u8) < 0.4);
        let half_burned = exposure(|x| if x < 160 { 255 } else { 40 });
        assert!((0.3..0.8).contains(&half_burned), "{half_burned}");
    }

    #[test]
    fn edges_of_the_frame_and_other_boxes_cost_completeness() {
        let whole = BoundingBox::new(0.2, 0.2, 0.4, 0.4);
        let complete = |b: BoundingBox, o: &[BoundingBox]| completeness(b, b.clamped().unwrap(), o);
        assert!((complete(whole, &[]) - 1.0).abs() < 1e-6);
        let at_bottom = complete(BoundingBox::new(0.2, 0.6, 0.4, 0.4), &[]);
        let at_top = complete(BoundingBox::new(0.2, 0.0, 0.4, 0.4), &[]);
        assert!(at_top < at_bottom && at_bottom < 1.0);
        assert!(complete(BoundingBox::new(0.2, 0.8, 0.4, 0.4), &[]) < 0.5 * at_bottom + 0.01);
        let half = BoundingBox::new(0.4, 0.0, 0.5, 1.0);
        assert!((complete(whole, &[half]) - 0.75).abs() < 0.02);
        assert!((complete(whole, &[half, half]) - 0.75).abs() < 0.02);
        assert!((complete(whole, &[BoundingBox::new(0.7, 0.7, 0.1, 0.1)]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn odd_boxes_and_frames_give_values_in_range() {
        let tiny = frame(RgbImage::from_pixel(3, 2, Rgb([9, 9, 9])));
        for bbox in
            [BoundingBox::FULL, BoundingBox::new(-1.0, -1.0, 3.0, 3.0), BoundingBox::new(0.9, 0.9, 0.5, 0.5)]
        {
            let q = measure(&tiny, bbox, &[BoundingBox::FULL]);
            for value in [q.sharpness, q.exposure, q.completeness, q.size, q.score()] {
                assert!((0.0..=1.0).contains(&value), "{q:?}");
            }
        }
        assert_eq!(measure(&tiny, BoundingBox::new(2.0, 0.0, 1.0, 1.0), &[]), Quality::default());
        assert_eq!(measure(&tiny, BoundingBox::new(f32::NAN, 0.0, 1.0, 1.0), &[]), Quality::default());
    }
}
