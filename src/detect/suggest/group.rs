//! Which boxes show the same.

use super::super::palette::{
    colours::COLOURS,
    grid::{Grid, Window},
};

/// Horizontal bands in which looks are compared.
pub(super) const BANDS: usize = 4;

/// Boxes of a frame that are worth a look, at the most.
const A_FRAME: usize = 28;

/// Likeness from which two boxes may show the same.
const ALIKE: f32 = 0.42;

/// A group whose vote is a smaller share of the first group's is not worth showing.
const WEAKEST: f32 = 0.04;

/// How a box looks.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// For each band, how much each colour counts; everything adds up to 1.
    pub bands: [[f32; COLOURS]; BANDS],
    /// How much it stands out from its surroundings, 0..1.
    pub contrast: f32,
    /// Area as a share of the frame's.
    pub share: f32,
}

impl Default for Look {
    fn default() -> Self {
        Self { bands: [[0.0; COLOURS]; BANDS], contrast: 0.0, share: 0.0 }
    }
}

impl Look {
    /// What two looks share, of all that either has, 0..1.
    fn likeness(&self, other: &Self) -> f32 {
        let shared: f32 =
            self.bands.iter().flatten().zip(other.bands.iter().flatten()).map(|(a, b)| a.min(*b)).sum();
        shared / (2.0 - shared)
    }

    /// How good a box this is by itself: it stands out, and it is not a mere detail.
    fn worth(&self) -> f32 {
        self.contrast * self.share.powf(0.4)
    }
}

/// A box in a frame.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub frame: usize,
    pub scene: usize,
    pub window: Window,
    pub look: Look,
}

/// Spots that show the same, with how much each resembles the first.
#[derive(Clone, Debug)]
pub(super) struct Members {
    pub members: Vec<(usize, f32)>,
}

impl Members {
    /// In how many scenes.
    pub(super) fn scenes(&self, spots: &[Spot]) -> usize {
        let mut scenes: Vec<usize> = self.members.iter().map(|(s, _)| spots[*s].scene).collect();
        scenes.dedup();
        scenes.len()
    }

    /// The best spots, one a scene as far as there are so many scenes, in the film's order.
    pub(super) fn best(&self, spots: &[Spot], most: usize) -> Vec<usize> {
        let mut order: Vec<(usize, f32)> =
            self.members.iter().map(|&(s, likeness)| (s, likeness * spots[s].look.worth())).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut chosen: Vec<usize> = Vec::new();
        for again in [false, true] {
            for &(s, _) in &order {
                let known = chosen.iter().any(|&c| spots[c].scene == spots[s].scene);
                if chosen.len() < most && (again || !known) && !chosen.contains(&s) {
                    chosen.push(s);
                }
            }
        }
        chosen.sort_unstable();
        chosen
    }
}

/// The boxes of a frame that stand out from their surroundings, and how they look.
pub(super) fn worth_a_look(grid: &Grid, weight: &[f32; COLOURS], boxes: &[Window]) -> Vec<(Window, Look)> {
    let full = grid.full();
    let mut found: Vec<(Window, Look)> = boxes
        .iter()
        .filter_map(|&w| {
            let aspect = w.width() as f32 / w.height().max(1) as f32;
            // What spans the frame is a place; a character touches the upper edge or both sides seldom.
            let spans = w.left <= 0 && w.right >= full.right;
            if !(0.2..=2.2).contains(&aspect) || spans || w.height() < 12 || w.width() < 6 {
                return None;
            }
            let mut look = Look::bands(grid, weight, w);
            look.contrast = contrast(grid, weight, w);
            look.share = w.area() / full.area();
            let edges = [w.left <= 0, w.right >= full.right, w.top <= 0].into_iter().filter(|e| *e).count();
            look.contrast *= [1.0, 0.7, 0.4, 0.2][edges];
            // Somebody alone is seldom wider than high.
            look.contrast *= (0.9 / aspect).min(1.0);
            Some((w, look))
        })
        .collect();
    found.sort_by(|a, b| b.1.worth().total_cmp(&a.1.worth()).then(a.0.cmp(&b.0)));
    found.truncate(A_FRAME);
    found
}

/// How much of a box is not found around it, 0..1.
fn contrast(grid: &Grid, weight: &[f32; COLOURS], w: Window) -> f32 {
    let full = grid.full();
    let (dx, dy) = ((w.width() / 4).max(2), (w.height() / 6).max(2));
    let outer = Window {
        left: (w.left - dx).max(0),
        top: (w.top - dy).max(0),
        right: (w.right + dx).min(full.right),
        bottom: (w.bottom + dy).min(full.bottom),
    };
    let inside = grid.histogram(w);
    let around = grid.histogram(outer);
    let (a, b) = (w.area(), (outer.area() - w.area()).max(1.0));
    let (mut only, mut all) = (0.0, 0.0);
    for k in 0..COLOURS {
        let (here, there) = (inside[k] / a, (around[k] - inside[k]) / b);
        only += weight[k] * (here - there).max(0.0);
        all += weight[k] * here;
    }
    only / all.max(1e-6)
}

/// Groups spots that show the same in several scenes, best first.
pub(super) fn groups(spots: &[Spot], most: usize) -> Vec<Members> {
    let mut free: Vec<bool> = vec![true; spots.len()];
    let mut found: Vec<Members> = Vec::new();
    let mut first_vote = 0.0;
    let likeness = likenesses(spots);
    while found.len() < most {
        let votes = (0..spots.len()).filter(|&s| free[s]).map(|s| (vote(spots, &free, &likeness[s], s), s));
        let Some((vote, seed)) = votes.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))) else { break };
        first_vote = f32::max(first_vote, vote);
        if vote <= 0.0 || vote < WEAKEST * first_vote {
            break;
        }
        let mut members: Vec<(usize, f32)> = vec![(seed, 1.0)];
        for &(s, alike) in likeness[seed].iter().filter(|(s, _)| free[*s]) {
            if spots[s].frame == spots[seed].frame {
                continue;
            }
            match members.iter_mut().find(|(m, _)| spots[*m].frame == spots[s].frame) {
                Some(known) if alike * spots[s].look.worth() > known.1 * spots[known.0].look.worth() => {
                    *known = (s, alike);
                }
                Some(_) => {}
                None => members.push((s, alike)),
            }
        }
        members.sort_unstable_by_key(|(s, _)| *s);
        for (s, spot) in spots.iter().enumerate() {
            let taken = members.iter().any(|(m, _)| {
                let member = &spots[*m];
                let shared = member.window.overlap(spot.window);
                member.frame == spot.frame && shared > 0.4 * member.window.area().min(spot.window.area())
            });
            free[s] &= !taken;
        }
        free[seed] = false;
        found.push(Members { members });
    }
    found
}

/// For each spot, the spots of other frames that may show the same, and how alike they are.
fn likenesses(spots: &[Spot]) -> Vec<Vec<(usize, f32)>> {
    let mut all = vec![Vec::new(); spots.len()];
    for a in 0..spots.len() {
        for b in a + 1..spots.len() {
            if spots[a].frame == spots[b].frame {
                continue;
            }
            let alike = spots[a].look.likeness(&spots[b].look);
            if alike >= ALIKE {
                all[a].push((b, alike));
                all[b].push((a, alike));
            }
        }
    }
    all
}

/// How well a spot is found again: its best likeness in each other scene, more for boxes that stand out.
fn vote(spots: &[Spot], free: &[bool], likeness: &[(usize, f32)], own: usize) -> f32 {
    let scenes = spots.last().map_or(0, |s| s.scene + 1);
    let mut best = vec![0.0_f32; scenes];
    for &(s, alike) in likeness.iter().filter(|(s, _)| free[*s]) {
        let spot = &spots[s];
        // The same scene proves little: there, the background comes again too.
        let count = if spot.scene == spots[own].scene { 0.2 } else { 1.0 };
        best[spot.scene] = best[spot.scene].max(count * (alike - ALIKE + 0.1) * spot.look.worth());
    }
    best.iter().sum::<f32>() * spots[own].look.worth()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(frame: usize, left: i32, colour: usize, contrast: f32) -> Spot {
        let mut look = Look { contrast, share: 0.1, ..Look::default() };
        for band in &mut look.bands {
            band[colour] = 0.25;
        }
        let window = Window { left, top: 10, right: left + 20, bottom: 60 };
        Spot { frame, scene: frame, window, look }
    }

    #[test]
    fn what_comes_again_is_grouped_once_a_frame_and_the_best_come_first() {
        let mut spots = Vec::new();
        for frame in 0..6 {
            spots.push(spot(frame, 10, 1, 0.9)); // somebody who is in every frame
            spots.push(spot(frame, 12, 1, 0.5)); // nearly the same box
            if frame % 2 == 0 {
                spots.push(spot(frame, 90, 2, 0.9)); // somebody who is in half of them
            }
            spots.push(spot(frame, 50, 10 + frame, 0.9)); // passers-by
        }
        let found = groups(&spots, 5);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found.iter().map(|g| g.members.len()).collect::<Vec<_>>(), [6, 3]);
        assert_eq!(found[0].scenes(&spots), 6);
        let best = found[0].best(&spots, 3);
        assert!(best.len() == 3 && best.iter().all(|&s| spots[s].look.contrast > 0.8));
        assert!(groups(&[], 5).is_empty());
    }
}
