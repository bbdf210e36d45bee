//! Choosing from pairs that were found elsewhere.

use async_trait::async_trait;

use super::{Candidates, CosineDeduper, Deduper, Keep, Pair, Selection, cosine::best_first};
use crate::{
    error::{Error, Result},
    types::ProviderInfo,
};

/// Chooses what a [`CosineDeduper`] chooses, from the near-duplicate pairs alone. Many machines can find pairs, each
/// among a part of the rows; choosing takes one pass over them.
///
/// The pairs must be all those that reach the threshold, by the candidates' numbers, each once and in any order, with
/// the similarities that [`join`](fn@super::join) gives.
///
/// ```
/// # use ndarray::array;
/// use picchu::dedupe::{CosineDeduper, KnownPairs, Options, join};
/// let rows = array![[1.0_f32, 0.0], [0.99, 0.05], [0.0, 2.0]];
/// let pairs = join(rows.view(), 0.94, &Options::default())?.pairs().collect();
/// let deduper = KnownPairs::new(CosineDeduper::at(0.94)?, pairs);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct KnownPairs {
    like: CosineDeduper,
    pairs: Vec<Pair>,
}

impl KnownPairs {
    /// As `like` would choose.
    pub fn new(like: CosineDeduper, pairs: Vec<Pair>) -> Self {
        Self { like, pairs }
    }
}

#[async_trait]
impl Deduper for KnownPairs {
    fn info(&self, default_min_similarity: f64) -> ProviderInfo {
        self.like.info(default_min_similarity)
    }

    async fn dedupe(&self, candidates: Candidates) -> Result<Selection> {
        let rows = candidates.quality.len();
        let min_similarity = self.like.min_similarity().unwrap_or(candidates.default_min_similarity);
        let order = match self.like.kept() {
            Keep::Best => best_first(&candidates.quality),
            Keep::First => (0..rows as u32).collect(),
        };
        let pairs = self.pairs.clone();
        crate::blocking(move || choose(&pairs, min_similarity, &order)).await
    }
}

fn choose(pairs: &[Pair], min_similarity: f64, order: &[u32]) -> Result<Selection> {
    let rows = order.len();
    let mut near: Vec<Vec<(u32, f64)>> = vec![Vec::new(); rows];
    for pair in pairs {
        let (a, b) = (pair.a as usize, pair.b as usize);
        if a >= rows || b >= rows || a == b || pair.similarity.is_nan() {
            return Err(Error::invalid(format!(
                "the pair of rows {a} and {b} is none of {rows} candidates, or has no similarity"
            )));
        }
        if pair.similarity >= min_similarity {
            near[a].push((pair.b, pair.similarity));
            near[b].push((pair.a, pair.similarity));
        }
    }
    let mut selection =
        Selection { kept: Vec::new(), covered_by: (0..rows as u32).collect(), similarity: vec![1.0; rows] };
    // When each row was kept; later is newer.
    let mut kept: Vec<Option<usize>> = vec![None; rows];
    for (turn, &row) in order.iter().enumerate() {
        let row = row as usize;
        let newest = near[row]
            .iter()
            .filter(|(other, _)| kept[*other as usize].is_some())
            .max_by_key(|(other, _)| kept[*other as usize]);
        if let Some(&(cover, similarity)) = newest {
            selection.covered_by[row] = cover;
            selection.similarity[row] = similarity as f32;
        } else {
            kept[row] = Some(turn);
            selection.kept.push(row as u32);
        }
    }
    selection.kept.sort_unstable();
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{
        dedupe::{Options, join},
        types::Embeddings,
    };

    #[tokio::test]
    async fn pairs_choose_what_the_rows_choose() {
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        for rows in [0, 1, 40, 300] {
            // Few directions with some noise: chains, cliques and lone rows.
            let x = Array2::from_shape_fn((rows, 12), |(row, column)| {
                f32::from(u8::from(row % 12 == column || (row / 3) % 12 == column)) + random() * 0.5
            });
            let quality: Vec<f32> = (0..rows).map(|_| (random() * 8.0).floor() / 8.0).collect();
            let embeddings = Embeddings::new("m", x).unwrap();
            for keep in [Keep::First, Keep::Best] {
                for threshold in [0.7, 0.9, 0.97] {
                    let cosine = CosineDeduper::at(threshold).unwrap().keep(keep);
                    let candidates = || Candidates {
                        embeddings: embeddings.clone(),
                        quality: quality.clone(),
                        default_min_similarity: 0.5,
                    };
                    let mut pairs: Vec<Pair> =
                        join(embeddings.view(), 0.65, &Options::default()).unwrap().pairs().collect();
                    pairs.reverse();
                    let known = KnownPairs::new(cosine.clone(), pairs);
                    assert_eq!(
                        known.dedupe(candidates()).await.unwrap(),
                        cosine.dedupe(candidates()).await.unwrap()
                    );
                    assert_eq!(known.info(0.5), cosine.info(0.5));
                }
            }
        }
    }

    #[test]
    fn pairs_of_other_rows_are_refused() {
        for (a, b, similarity) in [(0, 2, 1.0), (1, 1, 1.0), (0, 1, f64::NAN)] {
            assert!(choose(&[Pair { a, b, similarity }], 0.9, &[0, 1]).is_err());
        }
    }
}
