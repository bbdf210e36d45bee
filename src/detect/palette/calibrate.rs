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
    let floor = tune("floor", 0.0);
    let mut limit = percentile(observations.iter().filter_map(|o| o.second).collect());
    for _ in 0..tune("rounds", 10.0) as usize {
        let next = percentile(
            observations
                .iter()
                .filter_map(|o| if o.best <= limit { Some(o.best) } else { o.second })
                .collect(),
        );
        if next <= limit {
            break;
        }
        limit = next;
    }
    limit.max(floor)
}

fn percentile(mut values: Vec<f32>) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    let at = (values.len() as f32 * tune("percentile", 0.9)) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
