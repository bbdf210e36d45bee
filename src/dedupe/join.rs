//! All pairs of similar rows, and the groups they form.

use super::options::check_threshold;
use super::rows::Rows;
use super::select::Selection;
use super::space::{Cut, Prepared, Reordered, Space, farthest};
use super::team::Team;
use super::union::Union;
use super::{DedupeError, Options};
use crate::simd::LANES;
use ndarray::ArrayView2;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Two rows and their similarity; `a` is the earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Number of the earlier row.
    pub a: u32,
    /// Number of the later row.
    pub b: u32,
    /// Their similarity.
    pub similarity: f64,
}

/// All pairs of rows that reach a threshold, as sparse rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    min_similarity: f64,
    /// Where the partners of each row begin, and at last where they end.
    starts: Vec<usize>,
    /// Later partners of each row, ascending.
    partners: Vec<u32>,
    similarities: Vec<f64>,
}

impl Join {
    /// The threshold that the pairs reach.
    pub fn min_similarity(&self) -> f64 {
        self.min_similarity
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.partners.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.partners.is_empty()
    }

    /// Number of rows that were searched.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Later partners of a row, ascending, with their similarities.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn partners(&self, row: usize) -> impl Iterator<Item = (u32, f64)> + '_ {
        let range = self.starts[row]..self.starts[row + 1];
        self.partners[range.clone()].iter().copied().zip(self.similarities[range].iter().copied())
    }

    /// All pairs, by earlier row, then by later row.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        (0..self.rows())
            .flat_map(|a| self.partners(a).map(move |(b, similarity)| Pair { a: a as u32, b, similarity }))
    }

    /// The groups that the pairs form: for each row the smallest member of its group.
    ///
    /// Groups chain: two members may be less similar than the threshold, if others connect them. Use
    /// [`select`](fn@super::select) or [`Join::select`] to choose rows to keep.
    pub fn components(&self) -> Vec<u32> {
        let union = Union::new(self.rows());
        for pair in self.pairs() {
            union.unite(pair.a, pair.b);
        }
        union.labels()
    }

    /// The pairs that reach a higher threshold, without a new search.
    ///
    /// # Errors
    ///
    /// A threshold above 1, or below that of the search.
    pub fn rethreshold(&self, min_similarity: f64) -> Result<Self, DedupeError> {
        self.check_floor(min_similarity)?;
        let mut higher = Self {
            min_similarity,
            starts: Vec::with_capacity(self.starts.len()),
            partners: Vec::new(),
            similarities: Vec::new(),
        };
        higher.starts.push(0);
        for row in 0..self.rows() {
            for (partner, similarity) in self.partners(row) {
                if similarity >= min_similarity {
                    higher.partners.push(partner);
                    higher.similarities.push(similarity);
                }
            }
            higher.starts.push(higher.partners.len());
        }
        Ok(higher)
    }

    /// The same selection as [`select`](fn@super::select) in source order, from the pairs alone.
    ///
    /// # Errors
    ///
    /// A threshold above 1, or below that of the search.
    pub fn select(&self, min_similarity: f64) -> Result<Selection, DedupeError> {
        self.check_floor(min_similarity)?;
        let rows = self.rows();
        let mut covered_by: Vec<u32> = (0..rows as u32).collect();
        let mut similarities = vec![1.0; rows];
        let mut kept = Vec::new();
        for row in 0..rows {
            if covered_by[row] as usize != row {
                continue;
            }
            kept.push(row as u32);
            // A later kept row takes over: covers are the newest ones.
            for (partner, similarity) in self.partners(row) {
                if similarity >= min_similarity {
                    covered_by[partner as usize] = row as u32;
                    similarities[partner as usize] = similarity as f32;
                }
            }
        }
        Ok(Selection { kept, covered_by, similarity: similarities })
    }

    pub(super) fn check_floor(&self, min_similarity: f64) -> Result<(), DedupeError> {
        check_threshold(min_similarity)?;
        if min_similarity < self.min_similarity {
            return Err(DedupeError::BelowFloor { value: min_similarity, floor: self.min_similarity });
        }
        Ok(())
    }

    /// Sorts pairs into sparse rows.
    fn new(min_similarity: f64, rows: usize, found: Vec<Vec<Pair>>) -> Self {
        let mut starts = vec![0; rows + 1];
        for pair in found.iter().flatten() {
            starts[pair.a as usize + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut ends = starts.clone();
        let count = starts[rows];
        let (mut partners, mut similarities) = (vec![0; count], vec![0.0; count]);
        for pair in found.into_iter().flatten() {
            let at = &mut ends[pair.a as usize];
            (partners[*at], similarities[*at]) = (pair.b, pair.similarity);
            *at += 1;
        }
        let mut sorted = Vec::new();
        for row in 0..rows {
            let range = starts[row]..starts[row + 1];
            if partners[range.clone()].is_sorted() {
                continue;
            }
            sorted.clear();
            sorted.extend(
                partners[range.clone()].iter().copied().zip(similarities[range.clone()].iter().copied()),
            );
            sorted.sort_unstable_by_key(|(partner, _)| *partner);
            for (at, (partner, similarity)) in range.zip(&sorted) {
                (partners[at], similarities[at]) = (*partner, *similarity);
            }
        }
        Self { min_similarity, starts, partners, similarities }
    }
}

/// Groups of rows that are connected by similar pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Components {
    /// For each row the smallest member of its group.
    pub labels: Vec<u32>,
    /// Number of groups.
    pub count: usize,
}

impl Components {
    pub(super) fn new(labels: Vec<u32>) -> Self {
        let count = labels.iter().enumerate().filter(|(row, label)| *row == **label as usize).count();
        Self { labels, count }
    }
}

/// Finds all pairs of rows of `x` (`N × D`) with a similarity of at least `min_similarity`.
///
/// If only the groups are of interest, [`components`] is several times faster and takes no memory for pairs.
///
/// # Errors
///
/// A threshold outside (−1, 1], rows that are zero or not finite, more pairs than fit into
/// [`Options::memory_budget_bytes`], or the cancel flag.
///
/// ```
/// use ndarray::array;
/// use picchu::dedupe::{Options, join};
///
/// let rows = array![[1.0_f32, 0.0], [0.8, 0.6], [0.0, 1.0]];
/// let pairs = join(rows.view(), 0.5, &Options::default())?;
/// assert_eq!(pairs.pairs().map(|pair| (pair.a, pair.b)).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
/// assert_eq!(pairs.components(), [0, 0, 0]);
/// assert_eq!(pairs.rethreshold(0.7)?.components(), [0, 0, 2]);
/// # Ok::<(), picchu::dedupe::DedupeError>(())
/// ```
pub fn join(x: ArrayView2<'_, f32>, min_similarity: f64, options: &Options) -> Result<Join, DedupeError> {
    check_threshold(min_similarity)?;
    let rows = Rows::new(x)?;
    let team = Team::new(options, work(&rows))?;
    let prepared = prepare(rows, min_similarity, options, &team)?;
    join_prepared(&prepared, min_similarity, options, &team)
}

/// Multiply-adds for a comparison of all pairs.
pub(super) fn work(rows: &Rows<'_>) -> u64 {
    (rows.len() as u64).saturating_mul(rows.len() as u64).saturating_mul(rows.dim() as u64) / 2
}

pub(super) fn prepare<'a>(
    rows: Rows<'a>,
    min_similarity: f64,
    options: &Options,
    team: &Team<'_>,
) -> Result<Prepared<'a>, DedupeError> {
    let sketch_for = (rows.len() >= 2000).then(|| farthest(min_similarity));
    let space = Space::fit(options.chosen_kernel(), &rows, sketch_for);
    Prepared::new(space, rows, team)
}

/// Bytes that a pair takes while it is found and sorted.
const PAIR_BYTES: usize = size_of::<Pair>() + size_of::<u32>() + size_of::<f64>();

/// Pairs between two looks at the budget.
const COUNTED_TOGETHER: usize = 1024;

pub(super) fn join_prepared(
    prepared: &Prepared<'_>,
    min_similarity: f64,
    options: &Options,
    team: &Team<'_>,
) -> Result<Join, DedupeError> {
    let budget_bytes = options.budget_bytes();
    let bytes = AtomicUsize::new(0);
    let scan = Scan::new(prepared, min_similarity, team)?;
    let found = team.try_map(scan.panels(), |panel| {
        let mut pairs: Vec<Pair> = Vec::new();
        let mut counted = 0;
        scan.panel(panel, options, &mut |_: &[u32], _, hits| hits, &mut |row: u32, other: u32| {
            if let Some(similarity) = scan.cut.reached(prepared, row as usize, other as usize) {
                pairs.push(Pair { a: row.min(other), b: row.max(other), similarity });
                if pairs.len() >= counted + COUNTED_TOGETHER {
                    let new = (pairs.len() - counted) * PAIR_BYTES;
                    counted = pairs.len();
                    if bytes.fetch_add(new, Ordering::Relaxed) + new > budget_bytes {
                        return Err(DedupeError::MemoryBudget { budget_bytes });
                    }
                }
            }
            Ok(())
        })?;
        let new = (pairs.len() - counted) * PAIR_BYTES;
        if bytes.fetch_add(new, Ordering::Relaxed) + new > budget_bytes {
            return Err(DedupeError::MemoryBudget { budget_bytes });
        }
        Ok(pairs)
    })?;
    Ok(Join::new(min_similarity, prepared.len(), found))
}

/// Finds the groups that similar pairs form, which is what [`Join::components`] says, but without the pairs:
/// pairs of rows that are connected already are not compared.
///
/// # Errors
///
/// A threshold outside (−1, 1], rows that are zero or not finite, or the cancel flag.
///
/// ```
/// use ndarray::array;
/// use picchu::dedupe::{Options, components};
///
/// let rows = array![[1.0_f32, 0.0], [0.0, 1.0], [0.8, 0.6]];
/// let groups = components(rows.view(), 0.7, &Options::default())?;
/// assert_eq!(groups.labels, [0, 1, 0]);
/// assert_eq!(groups.count, 2);
/// # Ok::<(), picchu::dedupe::DedupeError>(())
/// ```
pub fn components(
    x: ArrayView2<'_, f32>,
    min_similarity: f64,
    options: &Options,
) -> Result<Components, DedupeError> {
    check_threshold(min_similarity)?;
    let rows = Rows::new(x)?;
    let team = Team::new(options, work(&rows))?;
    let prepared = prepare(rows, min_similarity, options, &team)?;
    let scan = Scan::new(&prepared, min_similarity, &team)?;
    let union = Union::new(prepared.len());
    team.try_map(scan.panels(), |panel| {
        let mut roots = [u32::MAX; LANES];
        let mut connected = |lanes: &[u32], row: Option<u32>, hits: u64| {
            let Some(row) = row else {
                for (root, lane) in roots.iter_mut().zip(lanes) {
                    *root = union.find(*lane);
                }
                return hits;
            };
            let root = union.find(row);
            let same = roots.iter().enumerate().map(|(lane, other)| u64::from(*other == root) << lane);
            hits & !same.sum::<u64>()
        };
        scan.panel(panel, options, &mut connected, &mut |row, other| {
            if union.find(row) != union.find(other)
                && scan.cut.connects(&prepared, row as usize, other as usize)
            {
                union.unite(row, other);
            }
            Ok(())
        })
    })?;
    Ok(Components::new(union.labels()))
}

/// A comparison of every row with every later one, by panels of 64 rows.
struct Scan<'p> {
    prepared: &'p Prepared<'p>,
    cut: Cut,
    order: Vec<u32>,
    reordered: Reordered,
}

/// Rows that go through a panel together.
const BLOCK: usize = 240;

/// A row that may be similar to as many rows of a panel is compared with all of them at once.
const MANY: u32 = 10;

impl<'p> Scan<'p> {
    fn new(prepared: &'p Prepared<'_>, min_similarity: f64, team: &Team<'_>) -> Result<Self, DedupeError> {
        let cut = Cut::new(prepared, min_similarity);
        let order = prepared.coherent_order(team)?;
        let reordered = cut.reorder(prepared, &order);
        Ok(Self { prepared, cut, order, reordered })
    }

    fn panels(&self) -> Vec<usize> {
        (0..self.order.len().div_ceil(LANES)).collect()
    }

    /// Compares the rows of a panel with those before them, the nearest first, block by block. `consider`
    /// hears of each pair that no code excludes. `wanted` is called with the panel's rows before each block
    /// (without a row), and then with each row that may be similar to some of them, to say which of those
    /// pairs are of interest.
    fn panel(
        &self,
        at: usize,
        options: &Options,
        wanted: &mut impl FnMut(&[u32], Option<u32>, u64) -> u64,
        consider: &mut impl FnMut(u32, u32) -> Result<(), DedupeError>,
    ) -> Result<(), DedupeError> {
        let (prepared, kernel) = (self.prepared, self.prepared.kernel());
        let begin = at * LANES;
        let lanes = &self.order[begin..self.order.len().min(begin + LANES)];
        let mut panel = prepared.panel();
        for (lane, row) in lanes.iter().enumerate() {
            self.cut.set(prepared, &mut panel, lane, *row as usize);
        }
        let mut full_panel = None;
        let mut hits = [0; BLOCK];
        let mut some: Vec<(u32, u64)> = Vec::with_capacity(BLOCK);
        let mut many: Vec<u32> = Vec::with_capacity(BLOCK);
        let mut many_hits = [0; BLOCK];
        let mut end = begin + lanes.len();
        while end > 0 {
            options.check_cancelled()?;
            // The first block holds the panel's own rows.
            let places = end.saturating_sub(BLOCK)..end;
            end = places.start;
            let hits = &mut hits[..places.len()];
            self.reordered.sieve(kernel, &panel, places.clone(), hits);
            if hits.iter().all(|hits| *hits == 0) {
                continue;
            }
            wanted(lanes, None, 0);
            some.clear();
            many.clear();
            for (place, hits) in places.zip(hits.iter()).filter(|(_, hits)| **hits != 0) {
                let mut hits = *hits;
                if place >= begin {
                    // Of the panel's own rows only later ones count.
                    hits &= !(u64::MAX >> (63 - (place - begin)));
                }
                let row = self.order[place];
                hits = wanted(lanes, Some(row), hits);
                if hits.count_ones() >= MANY && prepared.has_sketches() {
                    many.push(row);
                }
                if hits != 0 {
                    some.push((row, hits));
                }
            }
            if !many.is_empty() {
                if full_panel.is_none() {
                    full_panel = self.cut.full_panel(prepared, lanes);
                }
                if let Some(panel) = &full_panel {
                    self.cut.sieve_full(prepared, panel, &many, &mut many_hits[..many.len()]);
                }
            }
            let mut compared = many.iter().zip(&many_hits).peekable();
            for (row, mut hits) in some.drain(..) {
                let known = compared.next_if(|(other, _)| **other == row).map(|(_, hits)| *hits);
                hits &= known.unwrap_or(u64::MAX);
                while hits != 0 {
                    let other = lanes[hits.trailing_zeros() as usize];
                    hits &= hits - 1;
                    if known.is_some() || self.cut.possible(prepared, row as usize, other as usize) {
                        consider(row, other)?;
                    }
                }
            }
        }
        Ok(())
    }
}
