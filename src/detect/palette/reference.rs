//! Reference pictures, and what the search knows of a character: how much of which colour in which quarter of its
//! height, and which colours tell it from the film and from the other characters.

use image::{RgbImage, RgbaImage};

use super::{
    colours::{Blend, COLOURS, PARTS, Palette},
    grid::{grid_size, shrink},
    mask,
};
use crate::error::{Error, Result, Stage};

/// Shortest allowed side of a reference picture, in pixels.
const SHORTEST: u32 = 16;

/// Pixels to which a reference picture is scaled down, about.
const PIXELS: f32 = 2_000.0;

/// Horizontal bands of a character, from head to feet.
pub(super) const BANDS: usize = 4;

/// Shares of a character's height that the frame's lower edge may leave to see.
pub(super) const CUTS: [f32; 2] = [0.65, 0.45];

/// How much the colours at a reference picture's border count as its background.
const BORDER: f32 = 0.7;

/// Share of the film at which a colour counts as rare; keeps divisions by a film's colours in bounds.
const RARE: f32 = 0.002;

/// How much more of a colour a character must have than the film for the colour to speak for it most strongly.
const STRONG: f32 = 4.0;

/// A picture that shows one character alone, tightly cut.
///
/// The alpha channel is the optional mask: transparent pixels are not the character. An opaque picture has its
/// background guessed from its border.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Name in the cast.
    pub character: String,
    /// The picture.
    pub image: RgbaImage,
    /// Whether it shows what is taken for the character and is not.
    pub negative: bool,
}

impl Reference {
    /// A reference picture of a character.
    pub fn new(character: impl Into<String>, image: RgbaImage) -> Self {
        Self { character: character.into(), image, negative: false }
    }

    /// A picture of something or somebody that is taken for a character and is not. Where a place resembles it
    /// more than the character, the character is not named.
    pub fn not(character: impl Into<String>, image: RgbaImage) -> Self {
        Self { character: character.into(), image, negative: true }
    }
}

/// The reference pictures of one character.
#[derive(Clone, Debug, Default)]
pub(super) struct Pictures {
    /// Those that show the character.
    pub own: Vec<Small>,
    /// Those that show what is taken for the character.
    pub not: Vec<Small>,
}

/// A reference picture made small.
#[derive(Clone, Debug)]
pub(super) struct Small {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
    /// Whether the pixel belongs to the character by the mask; everything does where there is none.
    inside: Vec<bool>,
    masked: bool,
    /// Width over height.
    pub aspect: f32,
}

impl Small {
    /// Checks a reference picture and makes it small. `place` names it in errors.
    pub(super) fn new(image: &RgbaImage, place: &str) -> Result<Self> {
        let solid = |p: &image::Rgba<u8>| p[3] >= 128;
        let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
        for (x, y, pixel) in image.enumerate_pixels() {
            if solid(pixel) {
                (left, top) = (left.min(x), top.min(y));
                (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
            }
        }
        let refuse = |what: String| Error::invalid(format!("{place} {what}")).at(Stage::Detect);
        if image.width() < SHORTEST || image.height() < SHORTEST {
            return Err(refuse(format!(
                "has {}×{} pixels; each side needs at least {SHORTEST}",
                image.width(),
                image.height()
            )));
        }
        if right <= left {
            return Err(refuse("is fully transparent: its mask leaves nothing of the character".into()));
        }
        if right - left < SHORTEST || bottom - top < SHORTEST {
            return Err(refuse(format!(
                "shows only {}×{} pixels inside its mask; each side needs at least {SHORTEST}",
                right - left,
                bottom - top
            )));
        }
        let cut = image::imageops::crop_imm(image, left, top, right - left, bottom - top).to_image();
        let size = grid_size(cut.width(), cut.height(), PIXELS);
        let (mut row, mut pixels, mut alpha) = (Vec::new(), Vec::new(), Vec::new());
        let rgb = RgbImage::from_fn(cut.width(), cut.height(), |x, y| {
            let p = cut.get_pixel(x, y);
            image::Rgb([p[0], p[1], p[2]])
        });
        shrink(&rgb, size, &mut row, &mut pixels);
        let mask = RgbImage::from_fn(cut.width(), cut.height(), |x, y| {
            image::Rgb([if solid(cut.get_pixel(x, y)) { 255 } else { 0 }; 3])
        });
        shrink(&mask, size, &mut row, &mut alpha);
        let inside: Vec<bool> = alpha.iter().map(|a| a[0] >= 160).collect();
        Ok(Self {
            width: size.0,
            height: size.1,
            pixels,
            masked: inside.iter().any(|i| !i),
            inside,
            aspect: cut.width() as f32 / cut.height() as f32,
        })
    }

    /// The pixels of the character, for the palette.
    pub(super) fn own_pixels(&self) -> impl Iterator<Item = [u8; 3]> {
        self.pixels.iter().zip(&self.inside).filter(|(_, inside)| **inside).map(|(&p, _)| p)
    }

    /// What in the picture is the character. `film` is the share of each palette colour in the film.
    fn foreground(&self, palette: &Palette, film: &[f32; COLOURS]) -> Foreground {
        let blends: Vec<Blend> = self.pixels.iter().map(|&p| palette.blend(p)).collect();
        let given = || self.inside.iter().map(|&i| f32::from(u8::from(i))).collect();
        let (alpha, known) = if self.masked {
            (given(), true)
        } else {
            match mask::divide(&blends, (self.width, self.height), film) {
                Some(alpha) => (alpha, true),
                None => (given(), false),
            }
        };
        let mut own = [0.0_f32; COLOURS];
        let mut border = [0.0_f32; COLOURS];
        let (edge_x, edge_y) = ((self.width / 12).max(1), (self.height / 16).max(1));
        for (i, (blend, &alpha)) in blends.iter().zip(&alpha).enumerate() {
            let (x, y) = (i % self.width, i / self.width);
            let away = |v: usize, n: usize| 1.0 - ((2 * v + 1) as f32 / n as f32 - 1.0).abs();
            let weight = alpha * (0.2 + away(x, self.width)) * (0.4 + away(y, self.height).min(0.6));
            let at_border = !known && (x < edge_x || x + edge_x >= self.width || y < edge_y);
            for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
                own[usize::from(colour)] += weight * f32::from(parts);
                if at_border {
                    border[usize::from(colour)] += f32::from(parts);
                }
            }
        }
        normalise(&mut own);
        normalise(&mut border);
        let likely = std::array::from_fn(|k| (1.0 - BORDER * border[k] / own[k].max(1e-6)).clamp(0.0, 1.0));
        Foreground { blends, alpha, own, border, likely }
    }
}

/// What in a reference picture is the character.
struct Foreground {
    blends: Vec<Blend>,
    /// How likely each pixel is the character, 0..1.
    alpha: Vec<f32>,
    /// How much of each colour the character has, mostly in the middle; adds up to 1.
    own: [f32; COLOURS],
    /// How much of each colour stands at the border, where the picture could not be divided; adds up to 1 or 0.
    border: [f32; COLOURS],
    /// How likely each colour is the character and not the background, 0..1.
    likely: [f32; COLOURS],
}

pub(super) fn normalise(histogram: &mut [f32; COLOURS]) {
    let sum: f32 = histogram.iter().sum();
    if sum > 0.0 {
        for v in histogram {
            *v /= sum;
        }
    }
}

/// One way a character looks, from one reference picture.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// For each band, the share of the whole picture that each colour covers, times the colour's weight.
    pub bands: [[f32; COLOURS]; BANDS],
    /// One over the sum of all of `bands`.
    pub scale: f32,
    /// Whether the lower part is left out, as where the frame's lower edge cuts the character.
    pub cut: bool,
}

/// What the search knows of a character.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub looks: Vec<Look>,
    /// How what is taken for the character looks.
    pub not: Vec<Look>,
    /// How much each colour counts: rare colours of the film count more.
    pub weight: [f32; COLOURS],
    /// How much of each colour the character has, over all its references; adds up to 1.
    pub own: [f32; COLOURS],
    /// How much of each colour the film has; adds up to 1.
    pub film: [f32; COLOURS],
    /// How strongly each colour speaks for the character, 0..=255.
    pub strength: [u8; COLOURS],
    /// Lowest and highest width over height of the references.
    pub aspects: (f32, f32),
}

/// The models of all characters. `film` is the share of each palette colour in the film.
pub(super) fn models(cast: &[Pictures], palette: &Palette, film: &[f32; COLOURS]) -> Vec<Model> {
    let parts: Vec<Vec<Foreground>> =
        cast.iter().map(|who| who.own.iter().map(|s| s.foreground(palette, film)).collect()).collect();
    // What each character is made of, on average.
    let own: Vec<[f32; COLOURS]> = parts
        .iter()
        .map(|fs| {
            let mut sum = [0.0; COLOURS];
            for f in fs {
                for ((sum, own), likely) in sum.iter_mut().zip(&f.own).zip(&f.likely) {
                    *sum += own * likely;
                }
            }
            normalise(&mut sum);
            sum
        })
        .collect();
    let weight = std::array::from_fn(|k| 1.0 / (film[k] + RARE).sqrt());
    cast.iter()
        .enumerate()
        .map(|(who, Pictures { own: smalls, not })| {
            let others = (own.len() - 1).max(1) as f32;
            let strength: [u8; COLOURS] = std::array::from_fn(|k| {
                // Each reference may show another light or costume: the one that holds most of the colour counts.
                let mine = parts[who].iter().map(|f| f.own[k] - BORDER * f.border[k]).fold(0.0, f32::max);
                let other: f32 =
                    own.iter().enumerate().filter(|(i, _)| *i != who).map(|(_, o)| o[k]).sum::<f32>()
                        / others;
                let ratio = mine / (film[k] + 0.5 * other + RARE);
                (ratio / STRONG * 255.0).clamp(0.0, 255.0).round() as u8
            });
            let looks_of = |(small, foreground): (&Small, &Foreground)| -> Vec<Look> {
                let shares = [1.0].into_iter().chain(CUTS);
                shares.map(|share| look(small, share, foreground, &weight)).collect()
            };
            let looks = smalls.iter().zip(&parts[who]).flat_map(looks_of).collect();
            let not = not.iter().flat_map(|s| looks_of((s, &s.foreground(palette, film)))).collect();
            let aspects = smalls
                .iter()
                .fold((f32::INFINITY, 0.0_f32), |(low, high), s| (low.min(s.aspect), high.max(s.aspect)));
            Model { looks, not, weight, own: own[who], film: *film, strength, aspects }
        })
        .collect()
}

/// The look of the upper `share` of a reference picture.
fn look(small: &Small, share: f32, foreground: &Foreground, weight: &[f32; COLOURS]) -> Look {
    let mut bands = [[0.0; COLOURS]; BANDS];
    let rows = ((small.height as f32 * share).round() as usize).clamp(1, small.height);
    let unit = 1.0 / ((rows * small.width) as f32 * f32::from(PARTS));
    let pixels = foreground.blends.iter().zip(&foreground.alpha);
    for (i, (blend, &alpha)) in pixels.enumerate().take(rows * small.width) {
        let band = &mut bands[(i / small.width) * BANDS / rows];
        for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
            let k = usize::from(colour);
            band[k] += unit * alpha * f32::from(parts) * foreground.likely[k] * weight[k];
        }
    }
    let sum: f32 = bands.iter().flatten().sum();
    Look { bands, scale: 1.0 / sum.max(1e-6), cut: share < 1.0 }
}
