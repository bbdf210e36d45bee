//! Colours: the palette of a film, and a table from pixels to palette colours.

use std::sync::Arc;

use crate::lab::lab;

/// Number of colours in a film's palette.
pub(in crate::detect) const COLOURS: usize = 64;

/// Parts into which a pixel's weight is divided among its nearest palette colours.
pub(in crate::detect) const PARTS: u8 = 16;

/// Lightness counts less than hue: light changes within a film, costumes do not.
const LIGHTNESS: f32 = 0.6;

/// Bits kept of each channel when looking up a pixel.
const BITS: u32 = 5;

/// Squared distance, in the scaled colour space, over which a pixel's weight spreads to further palette colours.
const SPREAD: f32 = 60.0;

/// A colour in CIE Lab (D65) with its lightness scaled down.
pub(in crate::detect) type Lab = [f32; 3];

/// The scaled Lab colour of an sRGB pixel.
pub(in crate::detect) fn scaled_lab(rgb: [u8; 3]) -> Lab {
    let [l, a, b] = lab(rgb.map(f32::from));
    [l * LIGHTNESS, a, b]
}

fn distance(a: Lab, b: Lab) -> f32 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
}

/// A small repeatable random number generator (`SplitMix64`).
pub(in crate::detect) struct Random(pub(in crate::detect) u64);

impl Random {
    pub(in crate::detect) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in 0..1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Which palette colours a pixel is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::detect) struct Blend {
    /// Numbers of the three nearest palette colours.
    pub colours: [u8; 3],
    /// Their weights; they add up to [`PARTS`].
    pub parts: [u8; 3],
}

/// The palette of a film with its lookup table.
#[derive(Clone)]
pub(in crate::detect) struct Palette {
    pub centres: [Lab; COLOURS],
    table: Arc<[Blend]>,
}

impl Palette {
    /// The colours that stand best for the samples (k-means++ and Lloyd's iterations, repeatable by seed).
    pub(in crate::detect) fn learn(samples: &[Lab], seed: u64) -> Self {
        let mut random = Random(seed);
        let mut centres = [[0.0; 3]; COLOURS];
        let mut nearest = vec![f32::INFINITY; samples.len()];
        let mut pick = if samples.is_empty() { 0 } else { random.next() as usize % samples.len() };
        for centre in &mut centres {
            let Some(&chosen) = samples.get(pick) else { break };
            *centre = chosen;
            let mut sum = 0.0;
            for (best, &sample) in nearest.iter_mut().zip(samples) {
                *best = best.min(distance(sample, chosen));
                sum += f64::from(*best);
            }
            let mut target = random.unit() * sum;
            pick = nearest
                .iter()
                .position(|&d| {
                    target -= f64::from(d);
                    target < 0.0
                })
                .unwrap_or(0);
        }
        for _ in 0..12 {
            let mut sums = [[0.0_f64; 4]; COLOURS];
            for &sample in samples {
                let sum = &mut sums[closest(&centres, sample)];
                for (s, v) in sum.iter_mut().zip(sample) {
                    *s += f64::from(v);
                }
                sum[3] += 1.0;
            }
            for (centre, sum) in centres.iter_mut().zip(sums) {
                if sum[3] > 0.0 {
                    *centre = [0, 1, 2].map(|i| (sum[i] / sum[3]) as f32);
                }
            }
        }
        let half = 1_u32 << (7 - BITS);
        let expand =
            |index: u32, place: u32| (((index >> (place * BITS)) & ((1 << BITS) - 1)) << (8 - BITS)) + half;
        let table = (0..1_u32 << (3 * BITS))
            .map(|i| blend(&centres, scaled_lab([2, 1, 0].map(|place| expand(i, place) as u8))))
            .collect();
        Self { centres, table }
    }

    /// What a pixel is made of.
    pub(in crate::detect) fn blend(&self, [r, g, b]: [u8; 3]) -> Blend {
        let cut = |v: u8| usize::from(v >> (8 - BITS));
        self.table[cut(r) << (2 * BITS) | cut(g) << BITS | cut(b)]
    }
}

impl std::fmt::Debug for Palette {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Palette").finish_non_exhaustive()
    }
}

fn closest(centres: &[Lab; COLOURS], sample: Lab) -> usize {
    let mut best = (f32::INFINITY, 0);
    for (i, &centre) in centres.iter().enumerate() {
        let d = distance(sample, centre);
        if d < best.0 {
            best = (d, i);
        }
    }
    best.1
}

fn blend(centres: &[Lab; COLOURS], colour: Lab) -> Blend {
    let mut best = [(f32::INFINITY, 0_u8); 3];
    for (i, &centre) in centres.iter().enumerate() {
        let candidate = (distance(colour, centre), i as u8);
        if let Some(place) = best.iter().position(|b| candidate.0 < b.0) {
            best[place..].rotate_right(1);
            best[place] = candidate;
        }
    }
    let weights = best.map(|(d, _)| (-(d - best[0].0) / SPREAD).exp());
    let sum: f32 = weights.iter().sum();
    let share = |w: f32| (w / sum * f32::from(PARTS)).round() as u8;
    let (second, third) = (share(weights[1]), share(weights[2]));
    Blend {
        colours: best.map(|(_, i)| i),
        parts: [PARTS.saturating_sub(second + third), second, third.min(PARTS - second)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_is_light_and_red_is_not_green() {
        assert!((scaled_lab([255; 3])[0] - 100.0 * LIGHTNESS).abs() < 0.1);
        assert!(scaled_lab([255; 3])[1].abs() < 0.1);
        assert!(scaled_lab([255, 0, 0])[1] > 50.0 && scaled_lab([0, 255, 0])[1] < -50.0);
    }

    #[test]
    fn a_palette_holds_the_colours_it_learned_from() {
        let pixels = [[250, 10, 10], [10, 200, 30], [20, 20, 240], [128, 128, 128]];
        let samples: Vec<Lab> = pixels.iter().cycle().take(400).map(|&p| scaled_lab(p)).collect();
        let palette = Palette::learn(&samples, 7);
        for pixel in pixels {
            let blend = palette.blend(pixel);
            assert_eq!(blend.parts.iter().sum::<u8>(), PARTS);
            assert!(distance(palette.centres[usize::from(blend.colours[0])], scaled_lab(pixel)) < 20.0);
        }
        let again = Palette::learn(&samples, 7);
        assert_eq!(palette.centres, again.centres);
        assert!(Palette::learn(&[], 7).blend([1, 2, 3]).parts[0] > 0, "nothing to learn from is no panic");
    }
}
