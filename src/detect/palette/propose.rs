//! Boxes around whatever stands out: a frame is divided into patches of one colour, and neighbours that are alike
//! are joined step by step (Felzenszwalb and Huttenlocher, then as in selective search). Every step's box is a
//! proposal. Nobody's colours are known here.

use super::{
    colours::{COLOURS, PARTS, Palette},
    grid::{Grid, Window},
};

/// How different patches may be to be joined, against their size in pixels: higher makes larger patches.
const LOOSE: f32 = 150.0;

/// Patches with fewer pixels join their nearest neighbour.
const FEWEST: u32 = 24;

/// Most patches from which the joining starts.
const MOST: usize = 160;

/// Smallest and largest area of a proposal, as shares of the frame.
const AREA: (f32, f32) = (0.012, 0.7);

/// Buffers of the division, reused from frame to frame.
#[derive(Debug, Default)]
pub(in crate::detect) struct Proposer {
    labs: Vec<[f32; 3]>,
    /// Differences between neighbouring pixels: 8 bits of difference, then the pixel and the direction.
    edges: Vec<(u8, u32)>,
    parent: Vec<u32>,
    size: Vec<u32>,
    inner: Vec<f32>,
    number: Vec<u16>,
    patches: Vec<Patch>,
    pairs: Vec<Pair>,
}

/// Two patches that touch, and how much they belong together.
#[derive(Clone, Copy, Debug)]
struct Pair {
    patches: (u16, u16),
    value: f32,
}

/// Connected pixels of about one colour, or several such.
#[derive(Clone, Debug)]
struct Patch {
    bounds: Window,
    pixels: f32,
    colours: [f32; COLOURS],
}

impl Proposer {
    /// Adds boxes around patches and joined patches of a frame to `out`, without near-equal ones.
    pub(in crate::detect) fn propose(&mut self, grid: &Grid, palette: &Palette, out: &mut Vec<Window>) {
        let first = out.len();
        self.divide(grid, palette);
        self.gather(grid);
        let all = (grid.width * grid.height) as f32;
        let mut offer = |window: Window| {
            let share = window.area() / all;
            if (AREA.0..=AREA.1).contains(&share) && out[first..].iter().all(|o| o.iou(window) < 0.85) {
                out.push(window);
            }
        };
        for patch in &self.patches {
            offer(patch.bounds);
        }
        for pair in &mut self.pairs {
            pair.value = value(&self.patches, pair.patches, all);
        }
        while let Some(Pair { patches: (a, b), .. }) = self.closest() {
            let joined = Patch::joined(&self.patches[usize::from(a)], &self.patches[usize::from(b)]);
            offer(joined.bounds);
            self.patches[usize::from(a)] = joined;
            for pair in &mut self.pairs {
                let to = |p: u16| if p == b { a } else { p };
                let (x, y) = (to(pair.patches.0), to(pair.patches.1));
                pair.patches = (x.min(y), x.max(y));
            }
            self.pairs.retain(|pair| pair.patches.0 != pair.patches.1);
            self.pairs.sort_unstable_by_key(|pair| pair.patches);
            self.pairs.dedup_by_key(|pair| pair.patches);
            // Only the joined patch has changed.
            for pair in self.pairs.iter_mut().filter(|pair| pair.patches.0 == a || pair.patches.1 == a) {
                pair.value = value(&self.patches, pair.patches, all);
            }
        }
    }

    /// Divides the frame: afterwards the pixels of a patch have one root.
    fn divide(&mut self, grid: &Grid, palette: &Palette) {
        let (width, pixels) = (grid.width, grid.width * grid.height);
        self.labs.clear();
        self.labs.extend(grid.blends.iter().map(|blend| {
            let mut lab = [0.0; 3];
            for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
                for (v, c) in lab.iter_mut().zip(palette.centres[usize::from(colour)]) {
                    *v += c * f32::from(parts) / f32::from(PARTS);
                }
            }
            lab
        }));
        self.edges.clear();
        for i in 0..pixels {
            for (step, inside) in [(1, i % width + 1 < width), (width, i + width < pixels)] {
                if inside {
                    let (a, b) = (self.labs[i], self.labs[i + step]);
                    let d = ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)).sqrt();
                    self.edges.push((d.min(255.0) as u8, (i as u32) << 1 | u32::from(step != 1)));
                }
            }
        }
        self.edges.sort_unstable();
        self.parent.clear();
        self.parent.extend(0..pixels as u32);
        self.size.clear();
        self.size.resize(pixels, 1);
        self.inner.clear();
        self.inner.resize(pixels, 0.0);
        for pass in 0..2 {
            for at in 0..self.edges.len() {
                let (difference, place) = self.edges[at];
                let i = place >> 1;
                let j = i + if place & 1 == 1 { width as u32 } else { 1 };
                let (a, b) = (self.root(i) as usize, self.root(j) as usize);
                if a == b {
                    continue;
                }
                let weight = f32::from(difference);
                let limit = |r: usize| self.inner[r] + LOOSE / self.size[r] as f32;
                let join = if pass == 0 {
                    weight <= limit(a).min(limit(b))
                } else {
                    self.size[a].min(self.size[b]) < FEWEST
                };
                if join {
                    let (to, from) = (a.min(b), a.max(b));
                    self.parent[from] = to as u32;
                    self.size[to] += self.size[from];
                    self.inner[to] = weight.max(self.inner[a]).max(self.inner[b]);
                }
            }
        }
    }

    fn root(&mut self, mut i: u32) -> u32 {
        while self.parent[i as usize] != i {
            let up = self.parent[self.parent[i as usize] as usize];
            self.parent[i as usize] = up;
            i = up;
        }
        i
    }

    /// Describes the largest patches and finds which of them touch.
    fn gather(&mut self, grid: &Grid) {
        let (width, pixels) = (grid.width, grid.width * grid.height);
        let mut roots: Vec<u32> = (0..pixels as u32).filter(|&i| self.parent[i as usize] == i).collect();
        roots.sort_unstable_by_key(|&r| (std::cmp::Reverse(self.size[r as usize]), r));
        roots.truncate(MOST);
        self.patches.clear();
        self.number.clear();
        self.number.resize(pixels, u16::MAX);
        for (n, &root) in roots.iter().enumerate() {
            self.number[root as usize] = n as u16;
            let nowhere = Window { left: i32::MAX, top: i32::MAX, right: 0, bottom: 0 };
            self.patches.push(Patch { bounds: nowhere, pixels: 0.0, colours: [0.0; COLOURS] });
        }
        self.pairs.clear();
        for i in 0..pixels {
            let root = self.root(i as u32) as usize;
            let number = self.number[root];
            self.number[i] = number;
            let Some(patch) = self.patches.get_mut(usize::from(number)) else { continue };
            let (x, y) = ((i % width) as i32, (i / width) as i32);
            patch.bounds.left = patch.bounds.left.min(x);
            patch.bounds.top = patch.bounds.top.min(y);
            patch.bounds.right = patch.bounds.right.max(x + 1);
            patch.bounds.bottom = patch.bounds.bottom.max(y + 1);
            patch.pixels += 1.0;
            let blend = grid.blends[i];
            for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
                patch.colours[usize::from(colour)] += f32::from(parts) / f32::from(PARTS);
            }
            for (before, inside) in [(1, i % width > 0), (width, i >= width)] {
                if inside {
                    let other = self.number[i - before];
                    if other != number && other != u16::MAX {
                        let patches = (number.min(other), number.max(other));
                        self.pairs.push(Pair { patches, value: 0.0 });
                    }
                }
            }
        }
        self.pairs.sort_unstable_by_key(|pair| pair.patches);
        self.pairs.dedup_by_key(|pair| pair.patches);
    }

    /// The two neighbours that belong together most.
    fn closest(&self) -> Option<Pair> {
        self.pairs.iter().copied().reduce(|best, pair| if pair.value > best.value { pair } else { best })
    }
}

/// How much two neighbours belong together: they are alike, small, and fill their common box.
fn value(patches: &[Patch], (a, b): (u16, u16), all: f32) -> f32 {
    let (p, q) = (&patches[usize::from(a)], &patches[usize::from(b)]);
    let (p_unit, q_unit) = (1.0 / p.pixels, 1.0 / q.pixels);
    let alike: f32 = p.colours.iter().zip(&q.colours).map(|(x, y)| (x * p_unit).min(y * q_unit)).sum();
    let pixels = p.pixels + q.pixels;
    alike + (1.0 - pixels / all) + (1.0 - (p.bounds.around(q.bounds).area() - pixels) / all)
}

impl Patch {
    fn joined(a: &Self, b: &Self) -> Self {
        Self {
            bounds: a.bounds.around(b.bounds),
            pixels: a.pixels + b.pixels,
            colours: std::array::from_fn(|k| a.colours[k] + b.colours[k]),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::detect::palette::colours::scaled_lab;

    #[test]
    fn a_figure_of_three_colours_is_proposed_whole() {
        let figure = |x: u32, y: u32| (60..90).contains(&x) && (20..80).contains(&y);
        let image = RgbImage::from_fn(160, 90, |x, y| {
            Rgb(match (figure(x, y), y) {
                (true, 0..35) => [90, 50, 20],
                (true, 35..60) => [200, 30, 40],
                (true, _) => [30, 50, 140],
                (false, 0..60) => [150, 210, 235],
                (false, _) => [120, 200, 90],
            })
        });
        let samples: Vec<_> = image.pixels().map(|p| scaled_lab(p.0)).collect();
        let palette = Palette::learn(&samples, 1);
        let (mut grid, mut proposer, mut found) = (Grid::default(), Proposer::default(), Vec::new());
        grid.load(&image, &palette);
        proposer.propose(&grid, &palette, &mut found);
        let truth = Window { left: 60, top: 20, right: 90, bottom: 80 };
        let best = found.iter().map(|w| w.iou(truth)).fold(0.0, f32::max);
        assert!(best > 0.9, "{best}: {found:?}");
        let again = found.clone();
        found.clear();
        proposer.propose(&grid, &palette, &mut found);
        assert_eq!(found, again);
    }
}
