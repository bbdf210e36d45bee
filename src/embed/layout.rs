//! An embedder from pixels alone: no weights, no service.

use async_trait::async_trait;
use image::RgbImage;
use ndarray::Array2;

use super::Embedder;
use crate::{
    blocking,
    error::Result,
    lab::lab,
    types::{Crop, Embeddings, ProviderInfo},
};

/// Describes a picture by its layout: which colours lie where, and which way its outlines run.
///
/// Two pictures that show the same drawing in the same place are alike, whatever small shift, scale, compression,
/// brightness or blur lies between them: near-duplicates. It knows **nothing of identity or meaning**: the same hero
/// in another shot, mirrored or framed anew is "different", and so is the same layout in other colours.
///
/// Two whole frames that show the same figures in the same place of the same set are near-duplicates too, although
/// one waves and the other points: the set makes up most of the picture. In crops, the pose weighs more. A
/// similarity of 0.95 or 0.96 keeps more gestures, and more frames of one movement.
///
/// A vector has 384 values: 8 × 8 mean colours in L\*a\*b\* (192) and 6 × 4 cells of outline histograms over 8
/// orientations (192), each half freed of its mean and weighted. A small part stands for the mean colour, so that
/// flat pictures, such as fades to black, are alike when their colours are. The picture's aspect is not part of it.
///
/// ```
/// use image::{Rgb, RgbImage};
/// use picchu::{embed::{Embedder, LayoutEmbedder}, types::{Crop, PixelRect}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> picchu::Result<()> {
/// let picture = |shift: u32| {
///     let image = RgbImage::from_fn(512, 512, |x, y| Rgb([((x + shift) / 3) as u8, (y / 3) as u8, 90]));
///     Crop { rect: PixelRect::new(0, 0, 512, 512), scale: 1.0, image: image.into() }
/// };
/// let embedder = LayoutEmbedder::new();
/// let rows = embedder.embed(&[picture(0), picture(2)]).await?;
/// let similarity = rows.view().row(0).dot(&rows.view().row(1));
/// assert!(f64::from(similarity) > embedder.default_min_similarity());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayoutEmbedder;

impl LayoutEmbedder {
    /// Id of the model. Another recipe gets another id.
    pub const MODEL: &'static str = "layout-e384-v1";
    /// Length of a vector.
    pub const DIMENSIONS: usize = 384;
    /// The similarity at which two pictures count as near-duplicates.
    pub const MIN_SIMILARITY: f64 = 0.92;

    /// The embedder. It has no settings.
    pub fn new() -> Self {
        Self
    }

    /// Describes one picture: 384 values, not yet of unit length. A sync function for callers that have a thread of
    /// their own.
    pub fn describe(image: &RgbImage) -> [f32; Self::DIMENSIONS] {
        describe(&Small::of(image))
    }
}

#[async_trait]
impl Embedder for LayoutEmbedder {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("layout", Self::MODEL).max_batch(32)
    }

    fn dimensions(&self) -> usize {
        Self::DIMENSIONS
    }

    fn default_min_similarity(&self) -> f64 {
        Self::MIN_SIMILARITY
    }

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        let crops = crops.to_vec();
        blocking(move || {
            let mut rows = Array2::zeros((crops.len(), Self::DIMENSIONS));
            for (mut row, crop) in rows.rows_mut().into_iter().zip(&crops) {
                row.assign(&ndarray::aview1(&Self::describe(&crop.image)));
            }
            Embeddings::new(Self::MODEL, rows)
        })
        .await
    }
}

/// Size of the reduced picture: 16 × 16 pixels for each of the outline cells.
const WIDTH: usize = 96;
const HEIGHT: usize = 64;
/// Outline cells across and down, and orientations.
const CELLS: (usize, usize) = (6, 4);
const ORIENTATIONS: usize = 8;
/// Colours across and down.
const COLOURS: usize = 8;
/// Number of values of each half.
const HALF: usize = COLOURS * COLOURS * 3;

/// Weights of the halves, after each has been brought to length 1.
const COLOUR_WEIGHT: f32 = 0.75;
const OUTLINE_WEIGHT: f32 = 0.65;
/// Weight of a and b against L.
const CHROMA: f32 = 1.3;
/// Size of the part that stands for the mean colour, in units of L a cell.
const CONSTANT: f32 = 2.0;
/// Below this length, outlines are compression noise on a flat picture and are not brought to length 1.
const OUTLINE_FLOOR: f32 = 6.0;

/// A picture reduced to [`WIDTH`] × [`HEIGHT`] by exact area means, whatever its size and aspect.
struct Small {
    /// 0..255, three values a pixel.
    rgb: Vec<f32>,
}

impl Small {
    fn of(image: &RgbImage) -> Self {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let mut rgb = vec![0.0; WIDTH * HEIGHT * 3];
        if width == 0 || height == 0 {
            return Self { rgb };
        }
        let columns: Vec<_> = (0..WIDTH).map(|i| Cover::of(i, WIDTH, width)).collect();
        let mut sums = vec![0.0f32; width * 3];
        for (number, out) in rgb.chunks_exact_mut(WIDTH * 3).enumerate() {
            let cover = Cover::of(number, HEIGHT, height);
            sums.fill(0.0);
            let rows = image.as_raw()[cover.first * width * 3..].chunks_exact(width * 3);
            for (row, weight) in rows.zip(cover.weights()) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += weight * f32::from(value);
                }
            }
            for (pixel, cover) in out.chunks_exact_mut(3).zip(&columns) {
                for (from, weight) in sums[cover.first * 3..].chunks_exact(3).zip(cover.weights()) {
                    pixel[0] += weight * from[0];
                    pixel[1] += weight * from[1];
                    pixel[2] += weight * from[2];
                }
            }
        }
        Self { rgb }
    }
}

/// Which of `from` source pixels one of `to` target pixels covers, and how much of its area each of them takes.
struct Cover {
    first: usize,
    count: usize,
    head: f32,
    tail: f32,
    whole: f32,
}

impl Cover {
    fn of(index: usize, to: usize, from: usize) -> Self {
        // In units of 1/to of a source pixel everything is a whole number.
        let (start, end) = (index * from, (index + 1) * from);
        let (first, last) = (start / to, (end - 1) / to);
        let share = |units: usize| units as f32 / from as f32;
        if first == last {
            return Self { first, count: 1, head: 1.0, tail: 1.0, whole: 1.0 };
        }
        Self {
            first,
            count: last - first + 1,
            head: share((first + 1) * to - start),
            tail: share(end - last * to),
            whole: share(to),
        }
    }

    fn weights(&self) -> impl Iterator<Item = f32> {
        (0..self.count).map(|i| match i {
            0 => self.head,
            i if i + 1 == self.count => self.tail,
            _ => self.whole,
        })
    }
}

fn describe(small: &Small) -> [f32; LayoutEmbedder::DIMENSIONS] {
    let mut vector = [0.0; LayoutEmbedder::DIMENSIONS];
    let (colours, outlines) = vector.split_at_mut(HALF);
    fill_colours(small, colours);
    fill_outlines(small, outlines);
    vector
}

/// 8 × 8 mean colours, L for all cells, then a, then b: freed of their means, with the mean colour's own small part.
fn fill_colours(small: &Small, out: &mut [f32]) {
    const CELL: (usize, usize) = (WIDTH / COLOURS, HEIGHT / COLOURS);
    const CELLS: usize = COLOURS * COLOURS;
    let mut means = [[0.0f32; 3]; CELLS];
    for (y, row) in small.rgb.chunks_exact(WIDTH * 3).enumerate() {
        for (x, cell) in row.chunks_exact(CELL.0 * 3).enumerate() {
            let mean = &mut means[y / CELL.1 * COLOURS + x];
            for pixel in cell.chunks_exact(3) {
                for channel in 0..3 {
                    mean[channel] += pixel[channel];
                }
            }
        }
    }
    let mut mean = [0.0f32; 3];
    for (cell, sum) in means.iter().enumerate() {
        let [l, a, b] = lab(sum.map(|v| v / (CELL.0 * CELL.1) as f32));
        for (channel, value) in [l, a * CHROMA, b * CHROMA].into_iter().enumerate() {
            out[channel * CELLS + cell] = value;
            mean[channel] += value / CELLS as f32;
        }
    }
    for (channel, mean) in out.chunks_exact_mut(CELLS).zip(mean) {
        for value in channel {
            *value -= mean;
        }
    }

    // The mean colour as a direction of fixed length: black and white are at right angles (the plain sum of the
    // cells against their checkerboard), and tints lean towards a and b.
    let angle = (mean[0] / 100.0).clamp(0.0, 1.0) * std::f32::consts::FRAC_PI_2;
    let tint = [mean[1] / 40.0, mean[2] / 40.0];
    let unit = CONSTANT / (1.0 + tint[0] * tint[0] + tint[1] * tint[1]).sqrt();
    for cell in 0..CELLS {
        let checker = if (cell / COLOURS + cell).is_multiple_of(2) { 1.0 } else { -1.0 };
        out[cell] += unit * (angle.cos() + checker * angle.sin());
        out[CELLS + cell] += unit * tint[0];
        out[2 * CELLS + cell] += unit * tint[1];
    }
    scale_to(out, COLOUR_WEIGHT, 0.0);
}

/// For each of 8 orientations the roots of the outline strength in 6 × 4 cells, freed of their mean.
fn fill_outlines(small: &Small, out: &mut [f32]) {
    const PER: usize = CELLS.0 * CELLS.1;
    const SIDE: (usize, usize) = (WIDTH / CELLS.0, HEIGHT / CELLS.1);
    let luma: Vec<f32> =
        small.rgb.chunks_exact(3).map(|p| 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]).collect();
    // Each pixel gives to the four nearest cells, so that a small shift moves little.
    let nearest = |at: usize, side: usize, count: usize| {
        let place = (at as f32 + 0.5) / side as f32 - 0.5;
        let low = place.floor();
        let share = place - low;
        let clamp = |i: f32| (i.max(0.0) as usize).min(count - 1);
        [(clamp(low), 1.0 - share), (clamp(low + 1.0), share)]
    };
    let mut columns = [[(0usize, 0.0f32); 2]; WIDTH];
    for (x, column) in columns.iter_mut().enumerate() {
        *column = nearest(x, SIDE.0, CELLS.0);
    }
    let mut sums = [[0.0f32; ORIENTATIONS]; PER];
    for y in 1..HEIGHT - 1 {
        let rows = nearest(y, SIDE.1, CELLS.1);
        let (above, here, below) = (
            &luma[(y - 1) * WIDTH..][..WIDTH],
            &luma[y * WIDTH..][..WIDTH],
            &luma[(y + 1) * WIDTH..][..WIDTH],
        );
        for x in 1..WIDTH - 1 {
            let (dx, dy) = (here[x + 1] - here[x - 1], below[x] - above[x]);
            let strength = (dx * dx + dy * dy).sqrt();
            if strength <= 0.0 {
                continue;
            }
            let turn = half_turn(dx, dy) * ORIENTATIONS as f32;
            let bin = (turn as usize).min(ORIENTATIONS - 1);
            let share = turn - bin as f32;
            for (row, row_share) in rows {
                for (column, column_share) in columns[x] {
                    let cell = &mut sums[row * CELLS.0 + column];
                    let part = strength * row_share * column_share;
                    cell[bin] += part * (1.0 - share);
                    cell[(bin + 1) % ORIENTATIONS] += part * share;
                }
            }
        }
    }
    for (orientation, values) in out.chunks_exact_mut(PER).enumerate() {
        for (value, cell) in values.iter_mut().zip(&sums) {
            *value = cell[orientation].sqrt();
        }
        let mean = values.iter().sum::<f32>() / PER as f32;
        for value in values {
            *value -= mean;
        }
    }
    scale_to(out, OUTLINE_WEIGHT, OUTLINE_FLOOR);
}

/// The direction of a gradient, 0..1 for 0 to 180 degrees (a dark-to-light outline is its own opposite), to within
/// 0.2 degrees.
fn half_turn(dx: f32, dy: f32) -> f32 {
    let (dx, dy) = if dy < 0.0 { (-dx, -dy) } else { (dx, dy) };
    let t = dx.abs().min(dy) / dx.abs().max(dy).max(f32::MIN_POSITIVE);
    let eighth = t * (0.25 + 0.0869 * (1.0 - t)); // arc tangent in half turns, 0..0.25
    let quarter = if dy > dx.abs() { 0.5 - eighth } else { eighth };
    if dx < 0.0 { 1.0 - quarter } else { quarter }
}

/// Brings values to a length; shorter ones than `floor` only in proportion.
fn scale_to(values: &mut [f32], length: f32, floor: f32) {
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt().max(floor);
    if norm > 0.0 {
        for value in values {
            *value *= length / norm;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use image::{
        ImageEncoder, Rgb,
        codecs::jpeg::JpegEncoder,
        imageops::{FilterType, crop_imm, fast_blur, resize},
    };

    use super::*;
    use crate::types::PixelRect;

    /// A drawn scene: sky, ground, hills, a figure with an outline, grain. Another seed, another scene.
    fn scene(seed: u32) -> RgbImage {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
        let mut random = |n: u32| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state % n
        };
        let mut colour = || [random(200) as u8 + 30, random(200) as u8 + 30, random(200) as u8 + 30];
        let (sky, ground, body, head) = (colour(), colour(), colour(), colour());
        let horizon = 150 + random(200) as i32;
        let hills: Vec<(i32, i32, [u8; 3])> = (0..5)
            .map(|_| (random(560) as i32, 30 + random(90) as i32, [random(256) as u8, random(256) as u8, 90]))
            .collect();
        let (fx, fy) = (100 + random(360) as i32, 200 + random(160) as i32);
        RgbImage::from_fn(564, 564, |x, y| {
            let (x, y) = (x as i32, y as i32);
            let mut pixel = if y < horizon { sky } else { ground };
            for &(hx, r, c) in &hills {
                if (x - hx).pow(2) + (y - horizon).pow(2) < r * r {
                    pixel = c;
                }
            }
            for (cy, r, c) in [(fy + 70, 60, body), (fy - 20, 40, head)] {
                let d = (x - fx).pow(2) + (y - cy).pow(2);
                if d < r * r {
                    pixel = if d > (r - 5) * (r - 5) { [20, 15, 15] } else { c };
                }
            }
            let grain = ((x * 7919 + y * 104_729) % 7) as u8;
            Rgb(pixel.map(|v| v.saturating_add(grain)))
        })
    }

    fn at(image: &RgbImage, x: u32, y: u32) -> RgbImage {
        crop_imm(image, x, y, 512, 512).to_image()
    }

    fn unit(image: &RgbImage) -> Vec<f32> {
        let vector = LayoutEmbedder::describe(image);
        let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        vector.iter().map(|v| v / norm).collect()
    }

    fn similarity(a: &RgbImage, b: &RgbImage) -> f32 {
        unit(a).iter().zip(unit(b)).map(|(a, b)| a * b).sum()
    }

    fn recompressed(image: &RgbImage, quality: u8) -> RgbImage {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality)
            .write_image(image, image.width(), image.height(), image::ExtendedColorType::Rgb8)
            .unwrap();
        image::load_from_memory(&bytes).unwrap().to_rgb8()
    }

    fn crop(image: RgbImage) -> Crop {
        Crop { rect: PixelRect::new(0, 0, image.width(), image.height()), scale: 1.0, image: Arc::new(image) }
    }

    #[test]
    fn small_changes_stay_near_duplicates() {
        for seed in 0..12 {
            let large = scene(seed);
            let image = at(&large, 26, 26);
            let bright = RgbImage::from_fn(512, 512, |x, y| {
                Rgb(image.get_pixel(x, y).0.map(|v| (f32::from(v) * 1.08).min(255.0) as u8))
            });
            for (change, other) in [
                ("shift", at(&large, 28, 26)),
                ("shift", at(&large, 25, 28)),
                ("half size", resize(&image, 256, 256, FilterType::Triangle)),
                ("jpeg", recompressed(&image, 30)),
                ("brightness", bright),
                ("blur", fast_blur(&image, 1.5)),
            ] {
                let s = similarity(&image, &other);
                assert!(f64::from(s) >= LayoutEmbedder::MIN_SIMILARITY, "scene {seed}, {change}: {s}");
            }
        }
    }

    #[test]
    fn different_pictures_are_different() {
        let scenes: Vec<_> = (0..12).map(|seed| at(&scene(seed), 26, 26)).collect();
        for (i, a) in scenes.iter().enumerate() {
            for b in &scenes[i + 1..] {
                let s = similarity(a, b);
                assert!(f64::from(s) < LayoutEmbedder::MIN_SIMILARITY, "{s}");
            }
        }
        let mirrored = image::imageops::flip_horizontal(&scenes[0]);
        assert!(f64::from(similarity(&scenes[0], &mirrored)) < LayoutEmbedder::MIN_SIMILARITY);
    }

    #[test]
    fn flat_pictures_are_alike_by_their_colour() {
        let flat = |c: [u8; 3]| RgbImage::from_pixel(320, 180, Rgb(c));
        let noisy =
            recompressed(&RgbImage::from_fn(320, 180, |x, y| Rgb([((x * 31 + y * 17) % 5) as u8; 3])), 30);
        assert!(similarity(&flat([0, 0, 0]), &flat([2, 2, 2])) > 0.99);
        assert!(similarity(&flat([0, 0, 0]), &noisy) > 0.95);
        assert!(similarity(&flat([0, 0, 0]), &flat([255, 255, 255])) < 0.2);
        assert!(similarity(&flat([200, 30, 30]), &flat([30, 30, 200])) < 0.8);
        assert!(f64::from(similarity(&flat([0, 0, 0]), &at(&scene(3), 0, 0))) < 0.5);
    }

    #[tokio::test]
    async fn rows_do_not_depend_on_the_batch() {
        let embedder = LayoutEmbedder::new();
        let crops: Vec<_> = (0..5).map(|seed| crop(at(&scene(seed), 0, 0))).collect();
        let all = embedder.embed(&crops).await.unwrap();
        assert_eq!((all.len(), all.dimensions(), all.model()), (5, 384, "layout-e384-v1"));
        for (number, one) in crops.iter().enumerate() {
            let alone = embedder.embed(std::slice::from_ref(one)).await.unwrap();
            assert_eq!(alone.view().row(0), all.view().row(number));
        }
        assert!(embedder.embed(&[]).await.unwrap().is_empty());
        assert_eq!(embedder.dimensions(), LayoutEmbedder::DIMENSIONS);
    }

    #[tokio::test]
    async fn any_size_of_picture_gives_a_row() {
        let sizes = [(1, 1), (2, 700), (95, 63), (97, 65), (1000, 3)];
        let crops = sizes.map(|(w, h)| crop(RgbImage::from_fn(w, h, |x, y| Rgb([x as u8, y as u8, 9]))));
        let rows = LayoutEmbedder::new().embed(&crops).await.unwrap();
        assert!(rows.view().iter().all(|v| v.is_finite()));
    }

    #[test]
    fn area_means_are_exact() {
        for from in [1usize, 7, 95, 96, 97, 512, 1920] {
            let mut taken = vec![0.0f64; from];
            for i in 0..WIDTH {
                let cover = Cover::of(i, WIDTH, from);
                let weights: Vec<f32> = cover.weights().collect();
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{from} {i}");
                for (k, w) in weights.iter().enumerate() {
                    taken[cover.first + k] += f64::from(*w);
                }
            }
            assert!(taken.iter().all(|t| (t - WIDTH as f64 / from as f64).abs() < 1e-3));
        }
    }

    #[test]
    fn directions_are_exact_enough() {
        for degrees in 0..360u16 {
            let angle = f32::from(degrees).to_radians();
            let expected = f32::from(degrees % 180) / 180.0;
            let off = (half_turn(angle.cos(), angle.sin()) - expected).abs();
            assert!(off.min(1.0 - off) * 180.0 < 0.3, "{degrees}: {off}");
        }
    }
}
