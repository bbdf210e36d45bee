//! Where in a frame a character most likely is.

use image::RgbImage;

use super::{
    colours::{COLOURS, PARTS, Palette},
    grid::{Grid, Map, Window},
    propose::Proposer,
    reference::{BANDS, CUTS, Look, Model},
};

/// A place with its score. Higher is likelier; scores of different characters do not compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub window: Window,
    pub score: f32,
}

/// How much the contrast between a window and its surroundings counts, against the likeness.
const CONTRAST: f32 = 0.5;

/// How much the size of a window counts: small windows look alike by chance more often.
const SIZE: f32 = 0.05;

/// Width and height of the surroundings on each side, as shares of the window's.
const RING: (f32, f32) = (0.25, 0.15);

/// What is expected of surroundings beyond the frame's edge: how much they count, and how much of the character's
/// colours they hold against the window itself.
const UNSEEN: (f32, f32) = (0.15, 0.8);

/// Smallest area of a window, as a share of the frame's.
const SMALLEST: f32 = 0.006;

/// How far a window's proportions may leave those of the references.
const ASPECT: (f32, f32) = (0.7, 1.4);

/// Contrast below which a window is not worth a closer look.
const PROMISING: f32 = 0.1;

/// Windows from which the refinement starts, beside those from patches of colour.
const SEEDS: usize = 8;

/// Proposals from which the refinement starts.
const PROPOSALS: usize = 6;

/// Penalty, a unit of broken limits, that leads the refinement back inside them.
const PENALTY: f32 = 2.0;

/// How strongly a pixel must speak for the character to be a limb, and how far beyond a window limbs reach, as shares
/// of its width and height.
const LIMB: f32 = 0.6;
const LIMBS: (f32, f32) = (0.5, 0.15);

/// Share from which a colour around a place counts.
const NEAR: f32 = 0.004;

/// Spread of a place's pixels below which too little is seen of it to tell who is there: fades, night, blank walls.
const FAINT: f32 = 14.0;

/// Buffers of one search, reused from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub grid: Grid,
    map: Map,
    /// As `map`, but against the surroundings of one candidate.
    near: Map,
    proposer: Proposer,
    /// Boxes around whatever stands out in the frame.
    proposals: Vec<Window>,
    windows: Vec<Candidate>,
    seeds: Vec<Window>,
    seen: Vec<bool>,
    stack: Vec<usize>,
}

impl Workspace {
    /// Takes a frame.
    pub(super) fn load(&mut self, image: &RgbImage, palette: &Palette) {
        self.grid.load(image, palette);
        self.proposals.clear();
        self.proposer.propose(&self.grid, palette, &mut self.proposals);
    }

    /// The likeliest places of a character, best first, without overlaps. At most `most`.
    pub(super) fn search(&mut self, model: &Model, most: usize) -> Vec<Candidate> {
        self.map.load(&self.grid, &model.strength);
        let scorer = Scorer { grid: &self.grid, map: &self.map, model };
        scorer.windows(&mut self.windows);
        self.seeds.clear();
        self.windows.sort_unstable_by(better);
        for candidate in &self.windows {
            if self.seeds.len() >= SEEDS {
                break;
            }
            if self.seeds.iter().all(|s| s.iou(candidate.window) < 0.5) {
                self.seeds.push(candidate.window);
            }
        }
        self.windows.clear();
        self.windows.extend(self.proposals.iter().filter(|w| !is_thin(**w)).filter_map(|&window| {
            let contrast = scorer.contrast(window);
            let score = scorer.score(window, contrast) - PENALTY * scorer.excess(window);
            (contrast >= PROMISING).then_some(Candidate { window, score })
        }));
        self.windows.sort_unstable_by(better);
        self.seeds.extend(self.windows.iter().take(PROPOSALS).map(|c| c.window));
        components(&self.grid, &self.map, &mut self.seen, &mut self.stack, &mut self.seeds);
        let mut found: Vec<Candidate> = self.seeds.iter().map(|&seed| scorer.refine(seed)).collect();
        found.retain(|c| {
            !is_thin(c.window) && scorer.excess(c.window) <= 0.0 && self.grid.spread(c.window) >= FAINT
        });
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
        for candidate in &mut apart {
            let strength = near_strength(&self.grid, model, candidate.window);
            self.near.load(&self.grid, &strength);
            let scorer = Scorer { grid: &self.grid, map: &self.near, model };
            let tight = scorer.refine(candidate.window).window;
            if tight.iou(candidate.window) > 0.3 && !is_thin(tight) && scorer.excess(tight) <= 0.0 {
                candidate.window = tight;
            }
            candidate.window =
                with_limbs(&self.grid, &self.near, candidate.window, &mut self.seen, &mut self.stack);
        }
        apart
    }

    /// What a window and the best fitting look share, of all that either has: band by band, 0..1. Looks of all
    /// characters are measured alike.
    pub(super) fn resemblance(&self, model: &Model, looks: &[Look], window: Window) -> f32 {
        if is_thin(window) {
            return 0.0;
        }
        let bands = bands(&self.grid, &model.weight, window);
        let all: f32 = bands.iter().flatten().sum();
        visible(looks, &self.grid, window)
            .map(|look| {
                let shared = shared(&bands, &look.bands);
                shared / (all + 1.0 / look.scale - shared).max(1e-6)
            })
            .fold(0.0, f32::max)
    }
}

/// How strongly each colour speaks for the character at one place, 0..=255: against what stands around it there.
fn near_strength(grid: &Grid, model: &Model, w: Window) -> [u8; COLOURS] {
    let (dx, dy) = (w.width() * 3 / 4 + 2, w.height() / 2 + 2);
    let outer = w.widened(dx, dy, grid.full());
    let inside = grid.histogram(w);
    let mut around = grid.histogram(outer);
    let area = (outer.area() - w.area()).max(1.0) * f32::from(PARTS);
    for (a, i) in around.iter_mut().zip(&inside) {
        *a = (*a - i) / area;
    }
    std::array::from_fn(|k| {
        let own = model.own[k];
        let other = around[k] + 0.3 * model.film[k] + NEAR;
        (255.0 * own / (own + other)).round() as u8
    })
}

/// Best first; equal scores in the order of their places, so that the order never depends on chance.
fn better(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.window.cmp(&b.window))
}

/// Whether a window is too thin to have bands.
fn is_thin(w: Window) -> bool {
    w.width() < 2 || w.height() < BANDS as i32
}

struct Scorer<'a> {
    grid: &'a Grid,
    map: &'a Map,
    model: &'a Model,
}

impl Scorer<'_> {
    /// Scores promising windows of every size over the whole frame.
    fn windows(&self, out: &mut Vec<Candidate>) {
        out.clear();
        let height = self.grid.height as f32;
        let (low, high) = (self.model.aspects.0 * 0.9, self.model.aspects.1 * 1.1);
        let steps = ((high / low).ln() / 1.3_f32.ln()).ceil().max(1.0) as usize;
        for step in 0..=steps {
            let aspect = low * (high / low).powf(step as f32 / steps as f32);
            let mut tall = height * 0.14;
            while tall < height {
                self.slide(aspect * tall, tall, false, out);
                tall *= 1.25;
            }
            self.slide(aspect * height, height, false, out);
        }
        // Characters that the lower edge cuts are wider for their height.
        let aspect = (low * high).sqrt();
        for share in CUTS {
            let mut tall = height * 0.3;
            while tall <= height {
                self.slide(aspect / share * tall, tall, true, out);
                tall *= 1.2;
            }
        }
    }

    /// Scores windows of one size, a quarter of it apart; only those at the frame's lower edge if `low`.
    fn slide(&self, wide: f32, tall: f32, low: bool, out: &mut Vec<Candidate>) {
        let wide = wide.min(self.grid.width as f32);
        if wide * tall < SMALLEST * self.pixels() {
            return;
        }
        let spots = |window: f32, picture: usize| {
            let free = picture as f32 - window;
            let steps = (free / (window * 0.25)).ceil().max(0.0) as usize;
            (0..=steps).map(move |i| free * i as f32 / steps.max(1) as f32)
        };
        for y in spots(tall, self.grid.height) {
            if low && y + tall + 0.5 < self.grid.height as f32 {
                continue;
            }
            for x in spots(wide, self.grid.width) {
                let window = Window {
                    left: x.round() as i32,
                    top: y.round() as i32,
                    right: (x + wide).round() as i32,
                    bottom: (y + tall).round() as i32,
                };
                if is_thin(window) {
                    continue;
                }
                let contrast = self.contrast(window);
                if contrast >= PROMISING {
                    out.push(Candidate { window, score: self.score(window, contrast) });
                }
            }
        }
    }

    /// Number of pixels of the grid.
    fn pixels(&self) -> f32 {
        (self.grid.width * self.grid.height) as f32
    }

    /// How well a window shows the character: the likeness, its contrast, and a little for its size.
    fn score(&self, window: Window, contrast: f32) -> f32 {
        let share = window.area() / self.pixels();
        self.likeness(window) + CONTRAST * contrast + SIZE * (share.ln() + 3.0)
    }

    /// How much more of the character's colours a window holds than its surroundings, -1..1.
    fn contrast(&self, window: Window) -> f32 {
        let area = window.area();
        let inside = self.map.sum(window);
        let (dx, dy) = (
            ((window.width() as f32 * RING.0).round() as i32).max(1),
            ((window.height() as f32 * RING.1).round() as i32).max(1),
        );
        let outer = window.widened(dx, dy, self.grid.full());
        let ring = self.map.sum(outer) - inside;
        let ring_area = outer.area() - area;
        let whole_ring = ((window.width() + 2 * dx) * (window.height() + 2 * dy)) as f32 - area;
        let within = inside / area;
        // Beyond the frame's edge, where nothing is seen, expect some of the same.
        let unseen = UNSEEN.0 * (whole_ring - ring_area);
        let around = (ring + UNSEEN.1 * within * unseen) / (ring_area + unseen);
        (within - around) / (within + around + 0.02)
    }

    /// Band-wise histogram intersection with the best fitting look, 0..1.
    fn likeness(&self, w: Window) -> f32 {
        let bands = bands(self.grid, &self.model.weight, w);
        visible(&self.model.looks, self.grid, w)
            .map(|look| shared(&bands, &look.bands) * look.scale)
            .fold(0.0, f32::max)
    }

    /// By how much a window breaks the limits of size and proportions; 0 if it keeps them.
    fn excess(&self, w: Window) -> f32 {
        let aspect = w.width() as f32 / w.height() as f32;
        let at_side = w.left <= 0 || w.right >= self.grid.width as i32;
        let at_end = w.top <= 0 || w.bottom >= self.grid.height as i32;
        let low = self.model.aspects.0 * ASPECT.0 * if at_side { 0.5 } else { 1.0 };
        let high = self.model.aspects.1 * ASPECT.1 * if at_end { 2.0 } else { 1.0 };
        let smallest = SMALLEST * self.pixels();
        (low / aspect - 1.0).max(0.0) + (aspect / high - 1.0).max(0.0) + (smallest / w.area() - 1.0).max(0.0)
    }

    /// Moves the edges of a window as long as its score gets better.
    fn refine(&self, seed: Window) -> Candidate {
        let value = |w: Window| {
            if is_thin(w) {
                return f32::NEG_INFINITY;
            }
            self.score(w, self.contrast(w)) - PENALTY * self.excess(w)
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

/// The looks that a window can have: only the frame's lower edge cuts a character.
fn visible<'a>(looks: &'a [Look], grid: &Grid, w: Window) -> impl Iterator<Item = &'a Look> + use<'a> {
    let at_bottom = w.bottom >= grid.height as i32;
    looks.iter().filter(move |look| at_bottom || !look.cut)
}

/// For each band of a window, the share of the window that each colour covers, times the colour's weight.
fn bands(grid: &Grid, weight: &[f32; COLOURS], w: Window) -> [[f32; COLOURS]; BANDS] {
    let unit = 1.0 / (w.area() * f32::from(PARTS));
    let mut bands = [[0.0_f32; COLOURS]; BANDS];
    let mut above = grid.above(w.top, w.left, w.right);
    for (b, band) in bands.iter_mut().enumerate() {
        let y = w.top + w.height() * (b as i32 + 1) / BANDS as i32;
        let next = grid.above(y, w.left, w.right);
        for k in 0..COLOURS {
            band[k] = (next[k] - above[k]) * (unit * weight[k]);
        }
        above = next;
    }
    bands
}

/// The intersection of two band-wise histograms.
fn shared(bands: &[[f32; COLOURS]; BANDS], wanted: &[[f32; COLOURS]; BANDS]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0_f32; LANES];
    for (band, wanted) in bands.iter().zip(wanted) {
        for (h, r) in band.chunks_exact(LANES).zip(wanted.chunks_exact(LANES)) {
            for ((lane, &h), &r) in lanes.iter_mut().zip(h).zip(r) {
                *lane += if h < r { h } else { r };
            }
        }
    }
    lanes.iter().sum()
}

/// Adds the boxes of connected patches of the character's colours, at four levels of strength.
fn components(grid: &Grid, map: &Map, seen: &mut Vec<bool>, stack: &mut Vec<usize>, out: &mut Vec<Window>) {
    let first = out.len();
    for level in [0.2_f32, 0.35, 0.5, 0.7] {
        map.below(level, seen);
        for start in 0..seen.len() {
            if seen[start] {
                continue;
            }
            seen[start] = true;
            stack.push(start);
            let (bounds, size) = connected(grid.width, grid.full(), seen, stack);
            if size * 250 >= seen.len() && out[first..].iter().all(|o| o.iou(bounds) < 0.8) {
                out.push(bounds);
            }
        }
    }
}

/// A window with what hangs together with the character's colours in it: arms and hair hold too few of them to be
/// worth a wider window. On a side where they go on too far they belong to the set, and the window stays.
fn with_limbs(grid: &Grid, map: &Map, w: Window, seen: &mut Vec<bool>, stack: &mut Vec<usize>) -> Window {
    let (dx, dy) = ((w.width() as f32 * LIMBS.0) as i32, (w.height() as f32 * LIMBS.1) as i32);
    let full = grid.full();
    let limits = w.widened(dx, dy, full);
    map.below(LIMB, seen);
    for y in w.top..w.bottom {
        let row = y as usize * grid.width;
        let within = row + w.left as usize..row + w.right as usize;
        stack.extend(within.clone().filter(|&at| !seen[at]));
        seen[within].fill(true);
    }
    let reached = connected(grid.width, limits, seen, stack).0.around(w);
    let side = |own: i32, reached: i32, limit: i32, end: i32| {
        if reached == limit && limit != end { own } else { reached }
    };
    Window {
        left: side(w.left, reached.left, limits.left, full.left),
        top: side(w.top, reached.top, limits.top, full.top),
        right: side(w.right, reached.right, limits.right, full.right),
        bottom: side(w.bottom, reached.bottom, limits.bottom, full.bottom),
    }
}

/// Follows the pixels that are not `seen` from those on the stack, inside the limits: the bounds and the number of all.
fn connected(width: usize, limits: Window, seen: &mut [bool], stack: &mut Vec<usize>) -> (Window, usize) {
    let mut bounds = Window { left: i32::MAX, top: i32::MAX, right: 0, bottom: 0 };
    let mut size = 0;
    while let Some(at) = stack.pop() {
        size += 1;
        let (x, y) = ((at % width) as i32, (at / width) as i32);
        bounds = bounds.around(Window { left: x, top: y, right: x + 1, bottom: y + 1 });
        let mut visit = |inside: bool, next: usize| {
            if inside && !std::mem::replace(&mut seen[next], true) {
                stack.push(next);
            }
        };
        visit(x > limits.left, at.wrapping_sub(1));
        visit(x + 1 < limits.right, at + 1);
        visit(y > limits.top, at.wrapping_sub(width));
        visit(y + 1 < limits.bottom, at + width);
    }
    (bounds, size)
}
