//! When to believe a score, learned from the film itself and without labels.
//!
//! A character is at most once in a frame. So wherever it is plainly there, the second best place of the frame is
//! certainly somebody or something else: these second places say how high a score comes about by chance.

/// Evidence that chance alone hardly reaches, whatever the film: references reach 1.5 and more on their own frames,
/// and casts of other films stay below this.
const PLAIN: f32 = 1.2;

/// No threshold is higher than this where the character is somewhere in plain sight. References that show it in an
/// odd pose are matched plainly by the few frames around their own, and weakly by all others.
const HIGHEST: f32 = 1.1;

/// No threshold is lower than this.
const LOWEST: f32 = 0.6;

/// Width over which the number of frames at some evidence is smoothed.
const BLUR: f32 = 0.06;

/// Frames as many as which the guess counts that is made without any.
const FEW: f32 = 4.0;

/// How much it counts that the best place stands out from the second best.
const GAP: f32 = 0.3;

/// What the search found for one character in one frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    /// Evidence for the best place.
    pub best: f32,
    /// Score of the second best place, if there is one.
    pub second: Option<f32>,
}

impl Observation {
    /// From the scores of the places found, best first.
    pub(super) fn new(scores: &[f32]) -> Option<Self> {
        Some(Self { best: evidence(scores, 0)?, second: scores.get(1).copied() })
    }
}

/// The evidence for one of the places of a frame: its score, and for the best what it has over the second best.
pub(super) fn evidence(scores: &[f32], place: usize) -> Option<f32> {
    let score = *scores.get(place)?;
    let next = scores.get(1).filter(|_| place == 0);
    Some(score + GAP * next.map_or(0.0, |next| score - next))
}

/// The evidence from which a place is believed to show the character.
///
/// Between the level that chance reaches and the level of plain sight lies a valley that few frames reach. The more
/// often the character is in plain sight, the more likely is a weak sign to be the character too, and the lower in
/// that range lies the threshold. A character that is nowhere in plain sight is taken to be absent from the film.
pub(super) fn threshold(observations: &[Observation]) -> f32 {
    let mut plain: Vec<f32> = observations.iter().map(|o| o.best).filter(|&e| e >= PLAIN).collect();
    if plain.len() * 100 < observations.len().max(1) {
        return PLAIN;
    }
    plain.sort_unstable_by(f32::total_cmp);
    let high = (0.75 * plain[plain.len() / 2]).min(HIGHEST);
    let mut chance: Vec<f32> = observations.iter().filter_map(|o| o.second).collect();
    chance.sort_unstable_by(f32::total_cmp);
    let low = chance.get(chance.len() * 9 / 10).copied().unwrap_or(LOWEST).max(LOWEST).min(high);
    let crowd =
        |at: f32| -> f32 { observations.iter().map(|o| (-((o.best - at) / BLUR).powi(2) / 2.0).exp()).sum() };
    let valley = (0..=20)
        .map(|step| low + (high - low) * step as f32 / 20.0)
        .min_by(|&a, &b| crowd(a).total_cmp(&crowd(b)))
        .unwrap_or(low);
    // A few frames show no valley: there, the middle of the range is as good a guess.
    let all = observations.len() as f32;
    let valley = (all * valley + FEW * f32::midpoint(low, high)) / (all + FEW);
    let presence = observations.iter().filter(|o| o.best >= valley).count() as f32 / (all + FEW);
    valley - presence * (valley - low)
}

/// How sure the detector is, 0..1: 0.5 at the threshold.
pub(super) fn confidence(evidence: f32, threshold: f32) -> f32 {
    1.0 / (1.0 + ((threshold - evidence) / 0.12).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bests: &[f32], second: f32) -> Vec<Observation> {
        bests.iter().map(|&best| Observation { best, second: Some(second) }).collect()
    }

    #[test]
    fn the_threshold_lies_between_chance_and_plain_sight() {
        let often = threshold(&frames(&[1.5, 1.5, 1.4, 1.6, 1.5, 1.5, 0.7, 1.4], 0.65));
        let seldom = threshold(&frames(&[0.8, 0.85, 0.9, 0.8, 0.85, 0.8, 1.5, 1.6], 0.65));
        assert!((0.65..1.0).contains(&often), "{often}");
        assert!((0.95..1.2).contains(&seldom), "{seldom}");
        assert!(often < seldom);
    }

    #[test]
    fn nobody_in_plain_sight_means_nobody() {
        assert!((threshold(&frames(&[0.9; 50], 0.8)) - PLAIN).abs() < 1e-6);
        assert!((threshold(&[]) - PLAIN).abs() < 1e-6);
    }

    #[test]
    fn one_frame_is_enough() {
        let only = threshold(&[Observation { best: 1.5, second: None }]);
        assert!((LOWEST..PLAIN).contains(&only), "{only}");
    }

    #[test]
    fn confidence_is_a_half_at_the_threshold_and_grows() {
        assert!((confidence(0.9, 0.9) - 0.5).abs() < 1e-6);
        assert!(confidence(1.0, 0.9) > 0.6 && confidence(0.8, 0.9) < 0.4);
        assert!(confidence(100.0, 0.9) <= 1.0 && confidence(-100.0, 0.9) >= 0.0);
    }
}
