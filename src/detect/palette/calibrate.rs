//! When to believe a score, learned from the film itself and without labels.

use super::tuning::tune;

/// What the search found for one character in one frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    /// Score of the best place.
    pub best: f32,
    /// Score of the second best place, which does not overlap the best; a character is at most once in a frame, so
    /// this one is certainly not the character.
    pub second: Option<f32>,
}

/// The score above which a place is believed.
pub(super) fn threshold(observations: &[Observation]) -> f32 {
    let mut seconds: Vec<f32> = observations.iter().filter_map(|o| o.second).collect();
    if seconds.is_empty() {
        return tune("floor", 0.9);
    }
    seconds.sort_unstable_by(f32::total_cmp);
    let at = (seconds.len() as f32 * tune("percentile", 0.9)) as usize;
    seconds[at.min(seconds.len() - 1)].max(tune("floor", 0.0))
}
