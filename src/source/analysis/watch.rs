//! Watches a film go by, picture after picture, and notes what shots, transitions and drawings are told from.
//! Memory: a few seconds of thumbnails, and some bytes a picture.

use std::{collections::VecDeque, time::Duration};

use image::RgbImage;

use super::{
    compare::{blend, correlation, same_drawing, unmatched},
    look,
    thumbnail::{Grid, Thumbnail},
};
use crate::types::Drawing;

/// Pictures that are held before and behind the one that is judged.
const REACH: usize = 64;
/// A flash is over after so long.
const LONGEST_FLASH: Duration = Duration::from_millis(500);
/// From one picture to the next, a change of mean brightness that no motion makes, in levels of 0..=255.
const SUDDEN_LIGHT: f32 = 14.0;
/// Half lengths of dissolves that are looked for, in seconds. A longer dissolve looks like a part of itself.
const HALF_DISSOLVES: [f32; 7] = [0.13, 0.22, 0.35, 0.55, 0.8, 1.15, 1.7];
/// Share of blocks that are gone where a shot may end.
pub(super) const SUSPICIOUS: f32 = 0.35;

/// What is noted of a picture.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) time: Duration,
    /// Share of blocks that the picture before does not show.
    pub(super) unmatched: f32,
    /// Correlation of brightness with the picture before.
    pub(super) correlation: f32,
    pub(super) mean: f32,
    pub(super) deviation: f32,
    pub(super) blank: bool,
    /// After so many pictures the picture before this one is back: a flash. 0 elsewhere.
    pub(super) flash: usize,
}

/// A dissolve as it was found from one of its pictures. Numbers of pictures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dissolve {
    /// The first blended picture.
    pub(super) start: usize,
    /// The first picture of the later shot alone.
    pub(super) end: usize,
    /// What the blend does not explain.
    pub(super) rest: f32,
}

#[derive(Debug)]
struct Held {
    thumbnail: Thumbnail,
    coarse: Vec<f32>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    grid: Option<Grid>,
    held: VecDeque<Held>,
    /// The first picture of the present drawing.
    drawn: Option<Thumbnail>,
    /// Pictures that were judged already.
    judged: usize,
    pub(super) notes: Vec<Note>,
    pub(super) drawings: Vec<Drawing>,
    pub(super) dissolves: Vec<Dissolve>,
}

impl Watch {
    /// Takes the next picture.
    pub(super) fn push(&mut self, time: Duration, picture: &RgbImage) {
        let grid = *self.grid.get_or_insert_with(|| Grid::of(picture));
        let thumbnail = Thumbnail::new(grid, picture);
        let before = self.held.back().map(|held| &held.thumbnail);
        self.notes.push(Note {
            time,
            unmatched: before.map_or(0.0, |before| unmatched(before, &thumbnail)),
            correlation: before.map_or(0.0, |before| correlation(before, &thumbnail)),
            mean: thumbnail.mean,
            deviation: thumbnail.deviation,
            blank: thumbnail.is_flat(),
            flash: 0,
        });
        if self.drawn.as_ref().is_none_or(|drawn| !same_drawing(drawn, &thumbnail)) {
            self.begin_drawing(time, picture);
            self.drawn = Some(thumbnail.clone());
        }
        let coarse = thumbnail.coarse();
        self.held.push_back(Held { thumbnail, coarse });
        if self.notes.len() > self.judged + REACH {
            self.judge();
        }
        if self.held.len() > 2 * REACH + 1 {
            self.held.pop_front();
        }
    }

    /// Judges the pictures that waited for later ones. The last drawing ends with the film.
    pub(super) fn finish(&mut self, end: Duration) {
        while self.judged < self.notes.len() {
            self.judge();
        }
        if let Some(last) = self.drawings.last_mut() {
            last.end = end;
        }
    }

    fn begin_drawing(&mut self, time: Duration, picture: &RgbImage) {
        if let Some(last) = self.drawings.last_mut() {
            last.end = time;
        }
        self.drawings.push(Drawing {
            number: u32::try_from(self.drawings.len()).unwrap_or(u32::MAX),
            start: time,
            end: time,
            content: look::content(picture),
            sharpness: look::sharpness(picture),
        });
    }

    fn judge(&mut self) {
        let at = self.judged;
        self.judged += 1;
        self.notes[at].flash = self.flash(at);
        if let Some(found) = self.dissolve(at) {
            self.dissolves.push(found);
        }
    }

    /// A picture by its number, while it is held.
    fn held(&self, number: usize) -> Option<&Held> {
        let first = self.notes.len() - self.held.len();
        self.held.get(number.checked_sub(first)?)
    }

    /// Whether a flash begins here, and how many pictures it lasts.
    fn flash(&self, at: usize) -> usize {
        let here = &self.notes[at];
        let Some(before) = at.checked_sub(1).and_then(|n| self.held(n)) else { return 0 };
        let mean = before.thumbnail.mean;
        let lit = |number: usize| (self.notes[number].mean - mean).abs();
        if !(here.unmatched > SUSPICIOUS && here.correlation < 0.85 || lit(at) > SUDDEN_LIGHT) {
            return 0;
        }
        let mut most_lit = 0.0_f32;
        for number in at + 1..self.notes.len() {
            most_lit = most_lit.max(lit(number - 1));
            let too_late = self.notes[number].time.saturating_sub(here.time) > LONGEST_FLASH;
            let Some(after) = self.held(number).filter(|_| !too_late) else { return 0 };
            let dark_again = lit(number) < 0.35 * most_lit.max(10.0);
            let likeness = correlation(&before.thumbnail, &after.thumbnail);
            let back =
                likeness > 0.9 || likeness > 0.6 && unmatched(&before.thumbnail, &after.thumbnail) < 0.25;
            if back && dark_again {
                // A short shot between two pictures of another one has light of its own, or lasts.
                let glitch = number - at <= 2 && here.unmatched > 0.8;
                return if most_lit > 8.0 || glitch { number - at } else { 0 };
            }
        }
        0
    }

    /// A dissolve around a picture, if there is one.
    fn dissolve(&self, at: usize) -> Option<Dissolve> {
        let centre = self.held(at)?;
        let (from, to) = (at.saturating_sub(2), (at + 2).min(self.notes.len() - 1));
        let length = self.notes[to].time.saturating_sub(self.notes[from].time).as_secs_f32()
            / (to - from).max(1) as f32;
        let mut best: Option<(f32, usize)> = None;
        let mut tried = 0;
        for seconds in HALF_DISSOLVES {
            let half = ((seconds / length.max(1e-3)).round() as usize).clamp(3, REACH);
            if half == tried {
                continue;
            }
            tried = half;
            let (Some(a), Some(b)) = (at.checked_sub(half).and_then(|n| self.held(n)), self.held(at + half))
            else {
                break;
            };
            let middle = blend(&a.coarse, &centre.coarse, &b.coarse);
            let plausible = middle.span > 5.0 && middle.rest < 0.14 && (0.3..0.7).contains(&middle.share);
            if !plausible || a.thumbnail.is_blank() || b.thumbnail.is_blank() {
                continue;
            }
            let quarter = |n: usize| self.held(n).map(|m| blend(&a.coarse, &m.coarse, &b.coarse));
            let (Some(early), Some(late)) = (quarter(at - half / 2), quarter(at + half / 2)) else {
                continue;
            };
            let steady = early.rest < 0.2
                && late.rest < 0.2
                && early.share + 0.05 < middle.share
                && middle.share + 0.05 < late.share;
            if steady
                && best.is_none_or(|(rest, _)| middle.rest < rest)
                && self.is_other_scene(at - half, at + half)
            {
                best = Some((middle.rest, half));
            }
        }
        let (rest, half) = best?;
        let (start, end) = self.extent(at, half)?;
        Some(Dissolve { start, end, rest })
    }

    /// Whether a picture shows another scene than an earlier one: nothing is left of that, or much more is gone
    /// than goes by motion in as much time before and after.
    fn is_other_scene(&self, early: usize, late: usize) -> bool {
        let gone = |a: usize, b: usize| match (self.held(a), self.held(b)) {
            (Some(a), Some(b)) => unmatched(&a.thumbnail, &b.thumbnail),
            _ => 0.0,
        };
        let change = gone(early, late);
        let likeness = match (self.held(early), self.held(late)) {
            (Some(a), Some(b)) => correlation(&a.thumbnail, &b.thumbnail),
            _ => 1.0,
        };
        if change > 0.9 && likeness < 0.4 {
            return true;
        }
        let first = self.notes.len() - self.held.len();
        let lag = late - early;
        change > 0.6
            && change > 0.4 + gone(early.saturating_sub(lag).max(first), early)
            && change > 0.4 + gone(late, (late + lag).min(self.notes.len() - 1))
    }

    /// From where to where the blend moves on, seen from its middle.
    fn extent(&self, at: usize, half: usize) -> Option<(usize, usize)> {
        let (a, b) = (self.held(at - half)?, self.held(at + half)?);
        let share = |n: usize| self.held(n).map(|m| blend(&a.coarse, &m.coarse, &b.coarse).share);
        let step = (half / 2).max(1);
        let slope = (share(at + step)? - share(at - step)?) / (2 * step) as f32;
        let moves = |from: Option<f32>, to: Option<f32>| match (from, to) {
            (Some(from), Some(to)) => (to - from) / 2.0 > 0.35 * slope,
            _ => false,
        };
        let mut start = at;
        while start >= 2 && moves(share(start - 2), share(start)) {
            start -= 1;
        }
        let mut end = at;
        while moves(share(end), share(end + 2)) {
            end += 1;
        }
        (start + 2 < end).then_some((start + 1, end))
    }
}
