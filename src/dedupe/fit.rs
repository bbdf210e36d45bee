//! A threshold from a person's answers: are these two the same picture, or not?

use serde::{Deserialize, Serialize};

/// Resamples from which the interval is taken.
const RESAMPLES: usize = 500;

/// What a person said about a pair, and the pair's similarity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Cosine similarity of the pair.
    pub similarity: f64,
    /// Whether the two are the same for training.
    pub same: bool,
}

/// A fitted threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The threshold that contradicts the fewest answers; the middle, where a stretch of thresholds does.
    pub min_similarity: f64,
    /// Lower end of the interval in which it lies with 95 %.
    pub low: f64,
    /// Upper end of that interval.
    pub high: f64,
    /// How many answers there were.
    pub answers: usize,
    /// How many of them the threshold contradicts.
    pub contradicted: usize,
}

/// Fits a threshold to answers; `None` unless there is an answer of each kind.
///
/// The interval is where the threshold lies in 95 of 100 repetitions with answers drawn from the given ones, and never
/// narrower than the stretch of thresholds that fit equally well. Equal answers give equal fits.
///
/// ```
/// use picchu::dedupe::{Verdict, fit_threshold};
///
/// let verdict = |similarity, same| Verdict { similarity, same };
/// let fit = fit_threshold(&[verdict(0.90, false), verdict(0.93, false), verdict(0.95, true), verdict(0.99, true)]);
/// let fit = fit.unwrap();
/// assert!((fit.min_similarity - 0.94).abs() < 1e-9 && fit.contradicted == 0);
/// assert!(fit.low <= 0.93 && fit.high >= 0.95);
/// ```
pub fn fit_threshold(verdicts: &[Verdict]) -> Option<Fit> {
    let mut sorted: Vec<Verdict> = verdicts.iter().copied().filter(|v| v.similarity.is_finite()).collect();
    sorted.sort_by(|a, b| a.similarity.total_cmp(&b.similarity).then(a.same.cmp(&b.same)));
    if !sorted.iter().any(|v| v.same) || sorted.iter().all(|v| v.same) {
        return None;
    }
    let best = stretch(&sorted);
    let mut random = Random(0x7069_6363_6875);
    let mut middles: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut drawn: Vec<Verdict> =
                (0..sorted.len()).map(|_| sorted[random.below(sorted.len())]).collect();
            drawn.sort_by(|a, b| a.similarity.total_cmp(&b.similarity).then(a.same.cmp(&b.same)));
            stretch(&drawn).middle()
        })
        .collect();
    middles.sort_by(f64::total_cmp);
    let at = |share: f64| middles[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some(Fit {
        min_similarity: best.middle(),
        low: best.low.min(at(0.025)),
        high: best.high.max(at(0.975)),
        answers: sorted.len(),
        contradicted: best.contradicted,
    })
}

/// Thresholds that fit equally well.
struct Stretch {
    low: f64,
    high: f64,
    contradicted: usize,
}

impl Stretch {
    fn middle(&self) -> f64 {
        f64::midpoint(self.low, self.high)
    }
}

/// The longest of the stretches that contradict the fewest answers. A threshold between two neighbours calls the lower
/// one different and the upper one the same.
fn stretch(sorted: &[Verdict]) -> Stretch {
    let mut contradicted = sorted.iter().filter(|v| !v.same).count();
    let mut best = Stretch { low: -1.0, high: sorted[0].similarity, contradicted };
    let mut length = 0.0;
    for (number, verdict) in sorted.iter().enumerate() {
        if verdict.same {
            contradicted += 1;
        } else {
            contradicted -= 1;
        }
        let low = verdict.similarity;
        let high = sorted.get(number + 1).map_or(1.0, |v| v.similarity).max(low);
        // Equal similarities cannot be parted.
        let parts = sorted.get(number + 1).is_none_or(|v| v.similarity > low);
        if parts
            && (contradicted < best.contradicted || contradicted == best.contradicted && high - low > length)
        {
            length = high - low;
            best = Stretch { low, high, contradicted };
        }
    }
    // Below the lowest answer there is nothing to go by: stay close to it.
    if best.low < sorted[0].similarity {
        best.low = best.high;
    }
    best
}

/// `SplitMix64`: the same resamples everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_of_one_kind_fit_nothing() {
        let verdict = Verdict { similarity: 0.9, same: true };
        assert_eq!(fit_threshold(&[]), None);
        assert_eq!(fit_threshold(&[verdict, verdict]), None);
        assert_eq!(fit_threshold(&[Verdict { same: false, ..verdict }]), None);
    }

    #[test]
    fn contradictions_widen_the_interval() {
        let sure: Vec<Verdict> =
            (0..40).map(|n| Verdict { similarity: 0.8 + 0.005 * f64::from(n), same: n >= 24 }).collect();
        let mut torn = sure.clone();
        for n in [20, 22, 25, 27] {
            torn[n].same = !torn[n].same;
        }
        let (sure, torn) = (fit_threshold(&sure).unwrap(), fit_threshold(&torn).unwrap());
        assert!((sure.min_similarity - 0.9175).abs() < 1e-9, "{sure:?}");
        assert!(torn.contradicted > 0 && torn.high - torn.low > sure.high - sure.low, "{sure:?} {torn:?}");
        assert!(torn.low <= torn.min_similarity && torn.min_similarity <= torn.high);
    }

    proptest! {
        #[test]
        fn no_threshold_contradicts_fewer(answers in proptest::collection::vec((0..100_u8, any::<bool>()), 2..30)) {
            let verdicts: Vec<Verdict> = answers
                .iter()
                .map(|(s, same)| Verdict { similarity: f64::from(*s) / 100.0, same: *same })
                .collect();
            if let Some(fit) = fit_threshold(&verdicts) {
                let wrong = |t: f64| verdicts.iter().filter(|v| (v.similarity >= t) != v.same).count();
                let least = (0..=101).map(|t| wrong(f64::from(t) / 100.0 - 0.005)).min().unwrap();
                prop_assert_eq!(fit.contradicted, least);
                prop_assert!(fit.low <= fit.min_similarity && fit.min_similarity <= fit.high);
            }
        }
    }
}
