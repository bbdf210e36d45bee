//! From a film's analysis to the times of the frames that a sampling asks for.

use std::time::Duration;

use super::{Analysis, Drawing, Shot};
use crate::{
    source::{Interval, Policy, Sampling},
    types::{Content, Gap},
};

/// Frames of a stretch among which full size decides which is the sharpest.
const CANDIDATES: usize = 4;

/// A drawing that may be taken, by a time at which it is shown.
#[derive(Clone, Copy, Debug)]
struct Choice {
    time: Duration,
    sharpness: f32,
}

impl Analysis {
    /// The samples that a policy that [`looks`](Policy::looks) asks for, skipped ones included: for each the times
    /// of the frames among which the sharpest is taken, mostly one. Ordered, and no time comes twice.
    pub(crate) fn choose(&self, sampling: &Sampling) -> Vec<Vec<Duration>> {
        let mut drawings = self.drawings.as_slice();
        let mut samples = Vec::new();
        for shot in &self.shots {
            let (here, later) = drawings.split_at(drawings.partition_point(|d| d.start < shot.end));
            drawings = later;
            let choices: Vec<Choice> =
                here.iter().filter_map(|drawing| self.choice(shot, drawing, sampling)).collect();
            match &sampling.policy {
                Policy::Shots { per_shot } => samples.extend(spread(&choices, per_shot.get() as usize)),
                Policy::Sharpest { window } => samples.extend(sharpest(&choices, shot.start, *window)),
                _ => samples.extend(choices.iter().map(|choice| vec![choice.time])),
            }
        }
        samples.truncate(usize::try_from(sampling.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX));
        samples
    }

    /// The drawing as a choice, if it shows a picture of this shot alone within the sampling's range.
    fn choice(&self, shot: &Shot, drawing: &Drawing, sampling: &Sampling) -> Option<Choice> {
        if drawing.content != Content::Picture {
            return None;
        }
        let start = drawing.start.max(shot.start).max(sampling.start.unwrap_or_default());
        let end = drawing.end.min(shot.end).min(sampling.end.unwrap_or(Duration::MAX));
        // In the middle of its hold a drawing has got over the compression's first guess.
        let middle = start + end.checked_sub(start).filter(|length| !length.is_zero())? / 2;
        let lost = |gap: &Gap| gap.from <= middle && gap.until.is_none_or(|until| middle < until);
        let time = if self.gaps.iter().any(lost) { start } else { middle };
        self.is_clean_at(time).then_some(Choice { time, sharpness: drawing.sharpness })
    }
}

/// Parts the choices into stretches of equal time and takes the sharpest of the middle of each.
fn spread(choices: &[Choice], parts: usize) -> Vec<Vec<Duration>> {
    let (Some(first), Some(last)) = (choices.first(), choices.last()) else { return Vec::new() };
    let parts = parts.min(choices.len());
    let length = last.time.saturating_sub(first.time).as_secs_f64().max(1e-9);
    // Where in the film's stretch a choice lies: number of its part, and how far from the part's middle, 0..=0.5.
    let place = |choice: &Choice| {
        let at = choice.time.saturating_sub(first.time).as_secs_f64() / length * parts as f64;
        let part = (at as usize).min(parts - 1);
        (part, (at - part as f64 - 0.5).abs())
    };
    (0..parts)
        .filter_map(|part| {
            let inside = || choices.iter().filter(move |choice| place(choice).0 == part);
            let middle = inside().filter(|choice| place(choice).1 <= 0.25);
            let best = first_best(middle, |choice| f64::from(choice.sharpness))
                .or_else(|| first_best(inside(), |choice| -place(choice).1))?;
            Some(vec![best.time])
        })
        .collect()
}

/// The sharpest choices of each window, counted from the shot's beginning.
fn sharpest(choices: &[Choice], start: Duration, window: Interval) -> Vec<Vec<Duration>> {
    let number = |choice: &Choice| {
        choice.time.saturating_sub(start).as_nanos() * u128::from(window.denominator())
            / (u128::from(window.numerator()) * 1_000_000_000)
    };
    choices
        .chunk_by(|a, b| number(a) == number(b))
        .map(|inside| {
            let mut best = inside.to_vec();
            best.sort_by(|a, b| b.sharpness.total_cmp(&a.sharpness).then(a.time.cmp(&b.time)));
            best.truncate(CANDIDATES);
            let mut times: Vec<Duration> = best.into_iter().map(|choice| choice.time).collect();
            times.sort_unstable();
            times
        })
        .collect()
}

/// The first of those with the largest score.
fn first_best<'a>(
    choices: impl Iterator<Item = &'a Choice>,
    score: impl Fn(&Choice) -> f64,
) -> Option<&'a Choice> {
    choices.reduce(|best, next| if score(next) > score(best) { next } else { best })
}
