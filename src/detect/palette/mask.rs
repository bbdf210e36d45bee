//! Which pixels of a reference picture are the character: its background is told by colour and place.
//!
//! A box around a character holds background too, and a detector that takes it for the character finds the
//! background's like everywhere (a reference from a dark room would match everything dark). The picture's border
//! and the film say what background looks like there, the middle says what the character looks like; the two
//! descriptions and the division between them improve each other in turns, as in `GrabCut`, with a palette's
//! histograms for colour models and a blur for the neighbourhood.

use super::colours::{Blend, COLOURS, PARTS};

/// Turns of describing and dividing.
const TURNS: usize = 6;

/// How much the film's colours count as background beside those of the picture's border.
const FILM: f32 = 0.15;

/// Smallest probability of a colour in either description.
const FLOOR: f32 = 0.002;

/// Shares of the picture that a character can cover; a division outside is not believed.
const COVERED: std::ops::Range<f32> = 0.2..0.97;

/// How likely each pixel of a picture, cut by a box, belongs to the character, 0..1. `film` is the share of each
/// palette colour in the film. `None` where the colours do not tell the two apart.
pub(super) fn divide(
    blends: &[Blend],
    (width, height): (usize, usize),
    film: &[f32; COLOURS],
) -> Option<Vec<f32>> {
    if width < 6 || height < 6 || blends.len() != width * height {
        return None;
    }
    let expected: Vec<f32> =
        (0..blends.len()).map(|i| expected(i % width, i / width, width, height)).collect();
    let mut mask = expected.clone();
    for turn in 0..TURNS {
        let mut own = [0.0_f32; COLOURS];
        let mut other = [0.0_f32; COLOURS];
        for (i, blend) in blends.iter().enumerate() {
            // At first only the border is believed to be background.
            let background = if turn == 0 { f32::from(u8::from(expected[i] < 0.4)) } else { 1.0 - mask[i] };
            for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
                own[usize::from(colour)] += mask[i] * f32::from(parts);
                other[usize::from(colour)] += background * f32::from(parts);
            }
        }
        super::reference::normalise(&mut own);
        super::reference::normalise(&mut other);
        for ((own, other), film) in own.iter_mut().zip(&mut other).zip(film) {
            *own += FLOOR;
            *other = (1.0 - FILM) * *other + FILM * film + FLOOR;
        }
        for ((m, blend), &p) in mask.iter_mut().zip(blends).zip(&expected) {
            let (mut a, mut b) = (0.0, 0.0);
            for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
                a += own[usize::from(colour)] * f32::from(parts) / f32::from(PARTS);
                b += other[usize::from(colour)] * f32::from(parts) / f32::from(PARTS);
            }
            let odds = (p / (1.0 - p)) * (a / b);
            *m = odds / (1.0 + odds);
        }
        mask = blurred(&mask, width, height);
    }
    let covered = mask.iter().filter(|m| **m >= 0.5).count() as f32 / mask.len() as f32;
    COVERED.contains(&covered).then_some(mask)
}

/// How likely a pixel belongs to the character before its colour is looked at: most in the middle, least in the
/// upper corners; feet or a cut body reach the lower edge.
fn expected(x: usize, y: usize, width: usize, height: usize) -> f32 {
    let aside = ((2 * x + 1) as f32 / width as f32 - 1.0).abs();
    let above = 1.0 - (2 * y + 1) as f32 / height as f32;
    let edge = if above > 0.0 { 0.25 * above.powi(4) } else { 0.12 * above.powi(4) };
    (0.8 - 0.5 * aside.powi(3) - edge).clamp(0.05, 0.95)
}

/// The mean over each pixel and its eight neighbours, the pixel itself counted most.
fn blurred(mask: &[f32], width: usize, height: usize) -> Vec<f32> {
    (0..mask.len())
        .map(|i| {
            let (x, y) = (i % width, i / width);
            let (mut sum, mut count) = (3.0 * mask[i], 3.0);
            for ny in y.saturating_sub(1)..(y + 2).min(height) {
                for nx in x.saturating_sub(1)..(x + 2).min(width) {
                    sum += mask[ny * width + nx];
                    count += 1.0;
                }
            }
            sum / count
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::palette::colours::{Palette, scaled_lab};

    #[test]
    fn a_figure_is_told_from_its_background_even_where_they_share_a_colour() {
        let (w, h) = (40, 60);
        let figure = |x: usize, y: usize| (10..30).contains(&x) && (4..58).contains(&y);
        let pixel = |x: usize, y: usize| match (figure(x, y), y) {
            (true, 0..20) => [240, 220, 60],
            // The belt has the background's colour.
            (false, _) | (true, 20..26) => [20, 20, 30],
            (true, _) => [200, 30, 40],
        };
        let pixels: Vec<[u8; 3]> = (0..w * h).map(|i| pixel(i % w, i / w)).collect();
        let samples: Vec<_> = pixels.iter().map(|&p| scaled_lab(p)).collect();
        let palette = Palette::learn(&samples, 1);
        let blends: Vec<Blend> = pixels.iter().map(|&p| palette.blend(p)).collect();
        let mask = divide(&blends, (w, h), &[1.0 / COLOURS as f32; COLOURS]).unwrap();
        let right = (0..w * h).filter(|&i| (mask[i] >= 0.5) == figure(i % w, i / w)).count();
        assert!(right as f32 > 0.88 * (w * h) as f32, "{right} of {}", w * h);
    }

    #[test]
    fn a_plain_picture_is_not_divided() {
        let palette = Palette::learn(&vec![scaled_lab([90, 90, 90]); 50], 1);
        let blends = vec![palette.blend([90, 90, 90]); 900];
        let whole = divide(&blends, (30, 30), &[0.0; COLOURS]);
        assert!(whole.is_none_or(|m| m.iter().all(|v| (0.0..=1.0).contains(v))));
        assert!(divide(&[], (0, 0), &[0.0; COLOURS]).is_none());
    }
}
