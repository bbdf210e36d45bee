//! Which threshold? What every choice would do, from one search.

use super::join::{Join, Pair, join_prepared, prepare, work};
use super::rows::Rows;
use super::space::{Nearest, Prepared};
use super::team::Team;
use super::{DedupeError, Options};
use ndarray::ArrayView2;

/// Thresholds from which pairs are kept: the first one whose pairs fit into the memory budget.
const FLOORS: [f64; 6] = [0.8, 0.85, 0.9, 0.95, 0.98, 1.0];

/// What each threshold does to some rows. It holds all pairs above a floor, so every answer is exact and at once.
#[derive(Debug, Clone)]
pub struct Calibration {
    join: Join,
    /// For each row the similarity with the nearest earlier row; NaN for the first row.
    pub nearest_earlier: Vec<f32>,
    /// For each row the similarity with the nearest other row; NaN if there is none.
    pub nearest: Vec<f32>,
}

impl Calibration {
    /// The lowest threshold that can be asked for: 0.8, or more if the pairs down to 0.8 do not fit into
    /// [`Options::memory_budget_bytes`].
    pub fn floor(&self) -> f64 {
        self.join.min_similarity()
    }

    /// All pairs that reach the floor.
    pub fn join(&self) -> &Join {
        &self.join
    }

    /// How many rows [`select`](fn@super::select) keeps at a threshold, in source order.
    ///
    /// # Errors
    ///
    /// A threshold below the floor or above 1.
    pub fn kept_at(&self, min_similarity: f64) -> Result<usize, DedupeError> {
        Ok(self.join.select(min_similarity)?.kept.len())
    }

    /// The threshold at which the number of kept rows comes closest to `count`, and that number.
    ///
    /// The number grows with the threshold but for small local dips, and only changes at the similarities of
    /// pairs; they are searched by halving. The floor answers for a `count` that needs a lower threshold.
    ///
    /// # Errors
    ///
    /// None at present; the type leaves room for them.
    pub fn threshold_for(&self, count: usize) -> Result<(f64, usize), DedupeError> {
        let mut steps: Vec<f64> = self.join.pairs().map(|pair| pair.similarity).collect();
        steps.sort_unstable_by(f64::total_cmp);
        steps.dedup();
        // A threshold at a similarity drops its pair; just above it the pair is kept.
        let at = |step: usize| match step {
            0 => self.floor(),
            step => steps[step - 1].next_up().min(1.0),
        };
        let mut best = (self.floor(), self.kept_at(self.floor())?);
        let (mut low, mut high) = (0, steps.len() + 1);
        while high - low > 1 {
            let middle = low.midpoint(high);
            let kept = self.kept_at(at(middle))?;
            if kept.abs_diff(count) < best.1.abs_diff(count) {
                best = (at(middle), kept);
            }
            if kept > count {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(best)
    }

    /// Up to `count` pairs whose similarities are closest to a threshold, on either side of it, the closest
    /// first: the ones to look at before settling on it.
    ///
    /// # Errors
    ///
    /// A threshold below the floor or above 1.
    pub fn pairs_near(&self, min_similarity: f64, count: usize) -> Result<Vec<Pair>, DedupeError> {
        self.join.check_floor(min_similarity)?;
        let mut pairs: Vec<Pair> = self.join.pairs().collect();
        let order = |pair: &Pair, other: &Pair| {
            let apart = |pair: &Pair| (pair.similarity - min_similarity).abs();
            apart(pair).total_cmp(&apart(other)).then((pair.a, pair.b).cmp(&(other.a, other.b)))
        };
        if count < pairs.len() {
            pairs.select_nth_unstable_by(count, order);
            pairs.truncate(count);
        }
        pairs.sort_unstable_by(order);
        Ok(pairs)
    }
}

/// Finds what is needed to choose a threshold for `x` (`N × D`): the nearest similarity of each row, and all
/// pairs from 0.8 on.
///
/// # Errors
///
/// Rows that are zero or not finite, or the cancel flag.
///
/// ```
/// use ndarray::array;
/// use picchu::dedupe::{Options, calibrate};
///
/// let rows = array![[1.0_f32, 0.0], [0.96, 0.28], [0.8, 0.6]];
/// let calibration = calibrate(rows.view(), &Options::default())?;
/// assert_eq!(calibration.nearest[2], 0.936);
/// assert_eq!(calibration.kept_at(0.95)?, 2);
/// assert_eq!(calibration.kept_at(0.97)?, 3);
/// assert_eq!(calibration.pairs_near(0.95, 1)?[0].b, 1);
/// # Ok::<(), picchu::dedupe::DedupeError>(())
/// ```
pub fn calibrate(x: ArrayView2<'_, f32>, options: &Options) -> Result<Calibration, DedupeError> {
    let rows = Rows::new(x)?;
    let team = Team::new(options, work(&rows))?;
    let prepared = prepare(rows, FLOORS[0], options, &team)?;
    let (nearest_earlier, nearest) = nearest(&prepared, &team, options)?;
    let mut join = Err(DedupeError::MemoryBudget { budget_bytes: options.budget_bytes() });
    for floor in FLOORS {
        join = join_prepared(&prepared, floor, options, &team);
        if !matches!(join, Err(DedupeError::MemoryBudget { .. })) {
            break;
        }
    }
    Ok(Calibration { join: join?, nearest_earlier, nearest })
}

/// Rows of one job.
const BLOCK: usize = 192;

/// For each row the similarity with the nearest earlier and with the nearest other row.
fn nearest(
    prepared: &Prepared<'_>,
    team: &Team<'_>,
    options: &Options,
) -> Result<(Vec<f32>, Vec<f32>), DedupeError> {
    let search = Nearest::new(prepared);
    let len = prepared.len();
    let blocks: Vec<_> = (0..len).step_by(BLOCK).map(|first| first..len.min(first + BLOCK)).collect();
    let found = team.try_map(blocks, |block| {
        let earlier = search.earlier(block.clone(), options)?;
        let later = search.later(block, options)?;
        Ok((earlier, later))
    })?;
    let (mut nearest_earlier, mut nearest) = (Vec::with_capacity(len), Vec::with_capacity(len));
    for (earlier, later) in found {
        nearest.extend(earlier.iter().zip(later).map(|(earlier, later)| earlier.max(later) as f32));
        nearest_earlier.extend(earlier.into_iter().map(|earlier| earlier as f32));
    }
    Ok((nearest_earlier, nearest))
}
