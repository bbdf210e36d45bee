//! Where in a frame a character most likely is.

use image::RgbImage;

use super::{
    grid::{Grid, Map, Window},
    lab::{COLOURS, PARTS, Palette},
    reference::{BANDS, Model},
    tuning::tune,
};

/// A place with its score. Higher is likelier; scores of different characters do not compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub window: Window,
    pub score: f32,
}

/// How the search weighs its evidence.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub contrast: f32,
    pub area: f32,
    pub ring: (f32, f32),
    pub unseen: f32,
    pub smallest: f32,
    pub seeds: usize,
    pub keep: f32,
    pub aspect: (f32, f32),
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            contrast: tune("contrast", 0.5),
            area: tune("area", 0.05),
            ring: (tune("ring_x", 0.25), tune("ring_y", 0.15)),
            unseen: tune("unseen", 0.8),
            smallest: tune("smallest", 0.012),
            seeds: tune("seeds", 8.0) as usize,
            keep: tune("keep", 1.0),
            aspect: (tune("aspect_low", 0.7), tune("aspect_high", 1.4)),
        }
    }
}

/// Buffers of one search, reused from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub grid: Grid,
    map: Map,
    windows: Vec<Candidate>,
    seeds: Vec<Window>,
    seen: Vec<u8>,
    stack: Vec<usize>,
}

impl Workspace {
    /// Takes a frame.
    pub(super) fn load(&mut self, image: &RgbImage, palette: &Palette) {
        self.grid.load(image, palette);
    }

    /// The likeliest places of a character, best first, without overlaps. At most `most`.
    pub(super) fn search(&mut self, model: &Model, rules: &Rules, most: usize) -> Vec<Candidate> {
        self.map.load(&self.grid, &model.strength);
        let scorer = Scorer { grid: &self.grid, map: &self.map, model, rules };
        scorer.windows(&mut self.windows);
        self.seeds.clear();
        self.windows.sort_unstable_by(better);
        for candidate in &self.windows {
            if self.seeds.len() >= rules.seeds {
                break;
            }
            if self.seeds.iter().all(|s| s.iou(candidate.window) < 0.5) {
                self.seeds.push(candidate.window);
            }
        }
        components(&self.grid, &self.map, &mut self.seen, &mut self.stack, &mut self.seeds);
        let mut found: Vec<Candidate> = self.seeds.iter().map(|&seed| scorer.refine(seed)).collect();
        found.retain(|c| scorer.excess(c.window) <= 0.0);
        found.sort_unstable_by(better);
        let mut apart: Vec<Candidate> = Vec::with_capacity(most);
        for candidate in found {
            let overlaps = |a: &Candidate| {
                let shared = a.window.overlap(candidate.window);
                shared > 0.4 * a.window.area().min(candidate.window.area())
            };
            if apart.len() < most && !apart.iter().any(overlaps) {
                apart.push(candidate);
            }
        }
        if tune("debug", 0.0) > 1.0 {
            for c in &apart {
                eprintln!("  {:?} score {:.3} likeness {:.3} in {:.3} out {:.3}", c.window, c.score, scorer.likeness(c.window), scorer.densities(c.window).0, scorer.densities(c.window).1);
            }
        }
        apart
    }
}

/// Best first; equal scores in the order of their places, so that the order never depends on chance.
fn better(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.window.cmp(&b.window))
}

struct Scorer<'a> {
    grid: &'a Grid,
    map: &'a Map,
    model: &'a Model,
    rules: &'a Rules,
}

impl Scorer<'_> {
    /// Scores windows of every size over the whole frame.
    fn windows(&self, out: &mut Vec<Candidate>) {
        out.clear();
        let (width, height) = (self.grid.width as f32, self.grid.height as f32);
        // Characters that the lower edge cuts.
        for factor in [1.5, 2.2] {
            let aspect = (self.model.aspects.0 * self.model.aspects.1).sqrt() * factor;
            let mut h = height * 0.3;
            while h <= height {
                let wide = (h * aspect).min(width);
                let free = width - wide;
                let steps = (free / (wide * 0.2)).ceil() as usize;
                for i in 0..=steps {
                    let left = if steps == 0 { 0.0 } else { free * i as f32 / steps as f32 };
                    let window = Window {
                        left: left.round() as i32,
                        top: (height - h).round() as i32,
                        right: (left + wide).round() as i32,
                        bottom: height as i32,
                    };
                    out.push(Candidate { window, score: self.score(window) });
                }
                h *= 1.2;
            }
        }
        let (low, high) = (self.model.aspects.0 * 0.9, self.model.aspects.1 * 1.1);
        let steps = ((high / low).ln() / 1.3_f32.ln()).ceil().max(1.0) as usize;
        for step in 0..=steps {
            let aspect = low * (high / low).powf(step as f32 / steps as f32);
            let mut h = height * 0.14;
            loop {
                let tall = h.min(height);
                let wide = (tall * aspect).min(width);
                if wide * tall >= self.rules.smallest * width * height {
                    self.slide(wide, tall, out);
                }
                if h >= height {
                    break;
                }
                h *= 1.25;
            }
        }
    }

    fn slide(&self, wide: f32, tall: f32, out: &mut Vec<Candidate>) {
        let spots = |window: f32, picture: usize| {
            let free = picture as f32 - window;
            let steps = (free / (window * 0.25)).ceil().max(0.0) as usize;
            (0..=steps).map(move |i| if steps == 0 { 0.0 } else { free * i as f32 / steps as f32 })
        };
        for y in spots(tall, self.grid.height) {
            for x in spots(wide, self.grid.width) {
                let window = Window {
                    left: x.round() as i32,
                    top: y.round() as i32,
                    right: (x + wide).round() as i32,
                    bottom: (y + tall).round() as i32,
                };
                out.push(Candidate { window, score: self.score(window) });
            }
        }
    }

    /// How well a window shows the character.
    fn score(&self, window: Window) -> f32 {
        let likeness = self.likeness(window);
        let (density_in, density_out) = self.densities(window);
        let contrast = (density_in - density_out) / (density_in + density_out + 0.02);
        let share = window.area() / (self.grid.width * self.grid.height) as f32;
        likeness + self.rules.contrast * contrast + self.rules.area * (share.ln() + 3.0)
    }

    fn densities(&self, window: Window) -> (f32, f32) {
        let area = window.area();
        let inside = self.map.sum(window);
        let (dx, dy) = (
            ((window.width() as f32 * self.rules.ring.0).round() as i32).max(1),
            ((window.height() as f32 * self.rules.ring.1).round() as i32).max(1),
        );
        let outer = Window {
            left: (window.left - dx).max(0),
            top: (window.top - dy).max(0),
            right: (window.right + dx).min(self.grid.width as i32),
            bottom: (window.bottom + dy).min(self.grid.height as i32),
        };
        let ring = self.map.sum(outer) - inside;
        let ring_area = outer.area() - area;
        let density_in = inside / area;
        let whole_ring = ((window.width() + 2 * dx) * (window.height() + 2 * dy)) as f32 - area;
        // Beyond the frame's edge, where nothing is seen, expect some of the same.
        let unseen = tune("unseen_weight", 0.15) * (whole_ring - ring_area);
        let density_out = (ring + self.rules.unseen * density_in * unseen) / (ring_area + unseen);
        (density_in, density_out)
    }

    /// Band-wise histogram intersection with the best fitting look, 0..1.
    fn likeness(&self, w: Window) -> f32 {
        const LANES: usize = 16;
        let unit = 1.0 / (w.area() * f32::from(PARTS));
        let mut bands = [[0.0_f32; COLOURS]; BANDS];
        let mut above = self.grid.above(w.top, w.left, w.right);
        for (b, band) in bands.iter_mut().enumerate() {
            let y = w.top + w.height() * (b as i32 + 1) / BANDS as i32;
            let next = self.grid.above(y, w.left, w.right);
            for k in 0..COLOURS {
                band[k] = (next[k] - above[k]) * (unit * self.model.weight[k]);
            }
            above = next;
        }
        let mut best = 0.0_f32;
        let at_bottom = w.bottom >= self.grid.height as i32;
        for look in self.model.looks.iter().filter(|look| at_bottom || !look.cut) {
            let mut lanes = [0.0_f32; LANES];
            for (band, wanted) in bands.iter().zip(&look.bands) {
                for (h, r) in band.chunks_exact(LANES).zip(wanted.chunks_exact(LANES)) {
                    for ((lane, &h), &r) in lanes.iter_mut().zip(h).zip(r) {
                        *lane += if h < r { h } else { r };
                    }
                }
            }
            best = best.max(lanes.iter().sum::<f32>() * look.scale);
        }
        best
    }

    /// By how much a window breaks the limits of size and proportions; 0 if it keeps them.
    fn excess(&self, w: Window) -> f32 {
        if w.width() < 2 || w.height() < BANDS as i32 {
            return 10.0;
        }
        let aspect = w.width() as f32 / w.height() as f32;
        let at_side = w.left <= 0 || w.right >= self.grid.width as i32;
        let at_end = w.top <= 0 || w.bottom >= self.grid.height as i32;
        let low = self.model.aspects.0 * self.rules.aspect.0 * if at_side { 0.5 } else { 1.0 };
        let high = self.model.aspects.1 * self.rules.aspect.1 * if at_end { 2.0 } else { 1.0 };
        let smallest = self.rules.smallest * (self.grid.width * self.grid.height) as f32;
        (low / aspect - 1.0).max(0.0) + (aspect / high - 1.0).max(0.0) + (smallest / w.area() - 1.0).max(0.0)
    }

    /// Moves the edges of a window as long as its score gets better.
    fn refine(&self, seed: Window) -> Candidate {
        let value = |w: Window| {
            let excess = self.excess(w);
            if excess >= 10.0 { f32::NEG_INFINITY } else { self.score(w) - 2.0 * excess }
        };
        let full = self.grid.full();
        let mut best = Candidate { window: seed, score: value(seed) };
        for fraction in [0.16_f32, 0.08, 0.04, 0.02] {
            for _ in 0..6 {
                let before = best.score;
                let dx = ((best.window.width() as f32 * fraction).round() as i32).max(1);
                let dy = ((best.window.height() as f32 * fraction).round() as i32).max(1);
                for (left, top, right, bottom) in [
                    (-dx, 0, 0, 0),
                    (dx, 0, 0, 0),
                    (0, 0, dx, 0),
                    (0, 0, -dx, 0),
                    (0, -dy, 0, 0),
                    (0, dy, 0, 0),
                    (0, 0, 0, dy),
                    (0, 0, 0, -dy),
                    (-dx, 0, -dx, 0),
                    (dx, 0, dx, 0),
                    (0, -dy, 0, -dy),
                    (0, dy, 0, dy),
                ] {
                    let w = best.window;
                    let moved = Window {
                        left: (w.left + left).max(0),
                        top: (w.top + top).max(0),
                        right: (w.right + right).min(full.right),
                        bottom: (w.bottom + bottom).min(full.bottom),
                    };
                    if moved == w {
                        continue;
                    }
                    let score = value(moved);
                    if score > best.score {
                        best = Candidate { window: moved, score };
                    }
                }
                if best.score <= before {
                    break;
                }
            }
        }
        best
    }
}

/// Adds the boxes of connected patches of the character's colours, at four levels of strength.
fn components(grid: &Grid, map: &Map, seen: &mut Vec<u8>, stack: &mut Vec<usize>, out: &mut Vec<Window>) {
    let first = out.len();
    let (width, height) = (grid.width, grid.height);
    for level in [0.2_f32, 0.35, 0.5, 0.7] {
        let floor = (level * 255.0 * f32::from(PARTS)) as u32;
        seen.clear();
        seen.extend(map.values.iter().map(|&v| u8::from(v < floor)));
        for start in 0..seen.len() {
            if seen[start] != 0 {
                continue;
            }
            seen[start] = 1;
            stack.push(start);
            let mut size = 0;
            let mut bounds = Window { left: width as i32, top: height as i32, right: 0, bottom: 0 };
            while let Some(at) = stack.pop() {
                size += 1;
                let (x, y) = (at % width, at / width);
                bounds.left = bounds.left.min(x as i32);
                bounds.top = bounds.top.min(y as i32);
                bounds.right = bounds.right.max(x as i32 + 1);
                bounds.bottom = bounds.bottom.max(y as i32 + 1);
                let mut visit = |next: usize| {
                    if seen[next] == 0 {
                        seen[next] = 1;
                        stack.push(next);
                    }
                };
                if x > 0 {
                    visit(at - 1);
                }
                if x + 1 < width {
                    visit(at + 1);
                }
                if y > 0 {
                    visit(at - width);
                }
                if y + 1 < height {
                    visit(at + width);
                }
            }
            if size * 250 >= width * height && out[first..].iter().all(|o| o.iou(bounds) < 0.8) {
                out.push(bounds);
            }
        }
    }
}
