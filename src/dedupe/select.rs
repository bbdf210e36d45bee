//! Greedy selection: a row is kept unless a row that was kept before it is too similar.

use super::options::check_threshold;
use super::rows::Rows;
use super::space::{Cut, Prepared, Space, farthest};
use super::team::Team;
use super::{DedupeError, Options};
use crate::simd::{LANES, Panel};
use ndarray::ArrayView2;

/// Which rows are kept, and which kept row covers each of the others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// Numbers of the kept rows, ascending.
    pub kept: Vec<u32>,
    /// For each row the kept row that covers it: of the kept rows that were admitted before it and reach the
    /// threshold with it, the one admitted last. A kept row covers itself.
    pub covered_by: Vec<u32>,
    /// For each row its similarity with the row that covers it; 1 for a kept row.
    pub similarity: Vec<f32>,
}

impl Selection {
    /// Rows that were given.
    pub fn len(&self) -> usize {
        self.covered_by.len()
    }

    /// Whether no rows were given.
    pub fn is_empty(&self) -> bool {
        self.covered_by.is_empty()
    }

    /// Whether this row is kept.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn is_kept(&self, row: usize) -> bool {
        self.covered_by[row] as usize == row
    }
}

/// Keeps rows of `x` (`N × D`) such that no two kept rows have a similarity of `min_similarity` or more, and each
/// dropped row has that similarity with a kept one.
///
/// Rows are admitted in `order`, a permutation of the row numbers, or in source order: a row is kept unless
/// a row kept before it reaches the threshold. So there is no chaining: a row is only ever dropped for a kept
/// row. Put the best rows first in `order` to keep the best of similar ones.
///
/// Rows may have any norm and `x` any layout; rows that are not contiguous are copied once. Otherwise it takes
/// about a third of the input's memory on top of it.
///
/// # Errors
///
/// A threshold outside (−1, 1], rows that are zero or not finite, an order that is not a permutation, or the
/// cancel flag.
///
/// ```
/// use ndarray::array;
/// use picchu::dedupe::{Options, select};
///
/// let rows = array![[1.0_f32, 0.0], [0.8, 0.6], [0.0, 1.0]];
/// // 0 and 1 have similarity 0.8, 1 and 2 have 0.6, 0 and 2 have 0.
/// let options = Options::default();
/// assert_eq!(select(rows.view(), 0.6, None, &options)?.kept, [0, 2]);
/// assert_eq!(select(rows.view(), 0.6, Some(&[1, 0, 2]), &options)?.kept, [1]);
/// # Ok::<(), picchu::dedupe::DedupeError>(())
/// ```
pub fn select(
    x: ArrayView2<'_, f32>,
    min_similarity: f64,
    order: Option<&[u32]>,
    options: &Options,
) -> Result<Selection, DedupeError> {
    check_threshold(min_similarity)?;
    let rows = Rows::new(x)?;
    let (len, dim) = (rows.len() as u64, rows.dim() as u64);
    if let Some(order) = order {
        check_order(order, rows.len())?;
    }
    let team = Team::new(options, len * dim * len.min(256))?;
    let sketch_for = (len >= 6000).then(|| farthest(min_similarity));
    let space = Space::fit(options.chosen_kernel(), &rows, sketch_for);
    let prepared = Prepared::new(space, rows, &team)?;
    let source_order: Vec<u32>;
    let order = if let Some(order) = order {
        order
    } else {
        source_order = (0..prepared.len() as u32).collect();
        &source_order
    };
    let mut selector = Selector::new(&prepared, min_similarity);
    let mut selection = Selection {
        kept: Vec::new(),
        covered_by: (0..len as u32).collect(),
        similarity: vec![1.0; prepared.len()],
    };
    selector.admit(&prepared, order, &team, |row, cover, similarity| {
        selection.covered_by[row as usize] = cover;
        selection.similarity[row as usize] = similarity as f32;
    })?;
    selection.kept = selector.into_kept();
    selection.kept.sort_unstable();
    Ok(selection)
}

pub(super) fn check_order(order: &[u32], rows: usize) -> Result<(), DedupeError> {
    let wrong = |reason: String| Err(DedupeError::Order { rows, reason });
    if order.len() != rows {
        return wrong(format!("it has {} entries", order.len()));
    }
    let mut seen = vec![false; rows];
    for row in order {
        match seen.get_mut(*row as usize) {
            None => return wrong(format!("it names row {row}")),
            Some(seen) if *seen => return wrong(format!("it names row {row} twice")),
            Some(seen) => *seen = true,
        }
    }
    Ok(())
}

/// The kept rows, in panels, and the state of an admission.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    cut: Cut,
    /// In order of admission; 64 to a panel.
    kept: Vec<u32>,
    panels: Vec<Panel>,
}

/// A kept row and the similarity with it.
pub(super) type Cover = (u32, f64);

/// Rows of one job.
const BLOCK: usize = 64;

/// What the jobs found out about a block of rows: candidates within the chunk, by row and panel of
/// the chunk, and the newest cover among the rows kept before the chunk.
struct Found {
    candidates: Vec<Vec<u64>>,
    covers: Vec<Option<Cover>>,
}

impl Selector {
    pub(super) fn new(prepared: &Prepared<'_>, min_similarity: f64) -> Self {
        Self { cut: Cut::new(prepared, min_similarity), kept: Vec::new(), panels: Vec::new() }
    }

    pub(super) fn kept(&self) -> &[u32] {
        &self.kept
    }

    pub(super) fn into_kept(self) -> Vec<u32> {
        self.kept
    }

    pub(super) fn cut_mut(&mut self) -> &mut Cut {
        &mut self.cut
    }

    /// The kept rows, to renumber them when they have moved.
    pub(super) fn kept_mut(&mut self) -> &mut [u32] {
        &mut self.kept
    }

    /// Adds a row to the kept ones.
    pub(super) fn keep(&mut self, prepared: &Prepared<'_>, row: u32) {
        let lane = self.kept.len() % LANES;
        if lane == 0 {
            self.panels.push(prepared.panel());
        }
        if let Some(panel) = self.panels.last_mut() {
            self.cut.set(prepared, panel, lane, row as usize);
        }
        self.kept.push(row);
    }

    /// Admits rows in order; `dropped` hears of each row that is not kept, with its cover.
    ///
    /// Rows are taken in chunks. Jobs compare the chunk's rows with the rows kept so far, and sieve the chunk
    /// against itself; then the chunk is resolved in order. What is found does not depend on the chunks: a
    /// row's cover is the newest kept row that covers it, whether it is in the chunk or before it.
    pub(super) fn admit(
        &mut self,
        prepared: &Prepared<'_>,
        order: &[u32],
        team: &Team<'_>,
        mut dropped: impl FnMut(u32, u32, f64),
    ) -> Result<(), DedupeError> {
        let size = if team.threads() == 1 || !prepared.has_sketches() { 128 } else { 512 };
        let mut panels: Vec<Panel> = Vec::new();
        for chunk in order.chunks(size) {
            panels.resize_with(chunk.len().div_ceil(LANES), || prepared.panel());
            for (rows, panel) in chunk.chunks(LANES).zip(&mut panels) {
                panel.clear();
                for (lane, row) in rows.iter().enumerate() {
                    self.cut.set(prepared, panel, lane, *row as usize);
                }
            }
            let blocks: Vec<_> = chunk.chunks(BLOCK).enumerate().collect();
            let found = team.map(blocks, |(block, rows)| Found {
                candidates: self.candidates(prepared, &panels[..=block], rows),
                covers: self.covers(prepared, rows),
            })?;
            self.resolve(prepared, chunk, &found, &mut dropped);
        }
        Ok(())
    }

    fn candidates(&self, prepared: &Prepared<'_>, panels: &[Panel], rows: &[u32]) -> Vec<Vec<u64>> {
        let sieved = |panel: &Panel| {
            let mut hits = vec![0; rows.len()];
            self.cut.sieve(prepared, panel, rows, &mut hits);
            hits
        };
        panels.iter().map(sieved).collect()
    }

    /// For each row the newest kept row that covers it.
    pub(super) fn covers(&self, prepared: &Prepared<'_>, rows: &[u32]) -> Vec<Option<Cover>> {
        let mut covers = vec![None; rows.len()];
        // Rows without a cover so far, and where they stand among the rows.
        let mut open: Vec<u32> = rows.to_vec();
        let mut places: Vec<usize> = (0..rows.len()).collect();
        let mut hits = vec![0_u64; rows.len()];
        for (panel, kept) in self.panels.iter().zip(self.kept.chunks(LANES)).rev() {
            let hits = &mut hits[..open.len()];
            self.cut.sieve(prepared, panel, &open, hits);
            if hits.iter().all(|hits| *hits == 0) {
                continue;
            }
            let mut still = 0;
            for i in 0..open.len() {
                let (row, place) = (open[i], places[i]);
                covers[place] = self.newest(prepared, row, kept, hits[i]);
                if covers[place].is_none() {
                    (open[still], places[still]) = (row, place);
                    still += 1;
                }
            }
            open.truncate(still);
            places.truncate(still);
            if open.is_empty() {
                break;
            }
        }
        covers
    }

    /// The newest kept row that covers a row of another origin, the only one in `probe`.
    pub(super) fn cover_beside(&self, prepared: &Prepared<'_>, probe: &Prepared<'_>) -> Option<Cover> {
        let cut = Cut::new(probe, self.cut.min_similarity());
        let mut hits = [0_u64];
        for (panel, kept) in self.panels.iter().zip(self.kept.chunks(LANES)).rev() {
            cut.sieve(probe, panel, &[0], &mut hits);
            while hits[0] != 0 {
                let lane = hits[0].ilog2();
                hits[0] ^= 1 << lane;
                let other = kept[lane as usize];
                let similarity = prepared.similarity_beside(other as usize, probe, 0);
                if similarity >= self.cut.min_similarity() {
                    return Some((other, similarity));
                }
            }
        }
        None
    }

    /// The last of some rows that covers a row, going by the lanes that came through a sieve.
    fn newest(&self, prepared: &Prepared<'_>, row: u32, rows: &[u32], mut lanes: u64) -> Option<Cover> {
        while lanes != 0 {
            let lane = lanes.ilog2();
            lanes ^= 1 << lane;
            let other = rows[lane as usize];
            if let Some(similarity) = self.cut.confirm(prepared, row as usize, other as usize) {
                return Some((other, similarity));
            }
        }
        None
    }

    fn resolve(
        &mut self,
        prepared: &Prepared<'_>,
        chunk: &[u32],
        found: &[Found],
        dropped: &mut impl FnMut(u32, u32, f64),
    ) {
        // Which rows of the chunk are kept, by panel of the chunk.
        let mut kept = vec![0_u64; chunk.len().div_ceil(LANES)];
        for (i, row) in chunk.iter().enumerate() {
            let (block, place) = (i / BLOCK, i % BLOCK);
            let found = &found[block];
            let cover = (0..=block)
                .rev()
                .find_map(|panel| {
                    let lanes = found.candidates[panel][place] & kept[panel];
                    self.newest(prepared, *row, &chunk[panel * LANES..], lanes)
                })
                .or(found.covers[place]);
            if let Some((cover, similarity)) = cover {
                dropped(*row, cover, similarity);
            } else {
                kept[block] |= 1 << place;
                self.keep(prepared, *row);
            }
        }
    }
}
