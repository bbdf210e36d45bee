//! Phase two: from candidates to the dataset, over the whole set.

use ndarray::Array2;

use super::{Event, Job};
use crate::{
    dedupe::Candidates,
    error::{AtStage, Error, Result, Stage},
    types::{Embeddings, Outcome, Record},
};

/// Forgets an earlier selection: every named candidate with a vector may be kept again.
pub(crate) fn reset(records: &mut [Record]) {
    for record in records {
        if record.embedding.is_some() && record.character().is_some() {
            record.outcome = Outcome::Kept;
        }
        record.caption = None;
    }
}

/// Finds near-duplicates among the named candidates and marks them.
pub(crate) async fn dedupe(job: &Job, records: &mut [Record], vectors: &Embeddings) -> Result<()> {
    let chosen: Vec<usize> = (0..records.len()).filter(|&i| records[i].is_kept()).collect();
    let rows: Vec<usize> =
        chosen.iter().filter_map(|&i| records[i].embedding.as_ref().map(|e| e.row as usize)).collect();
    if rows.len() != chosen.len() {
        return Err(Error::internal("a named candidate has no embedding").at(Stage::Dedupe));
    }
    let quality = chosen
        .iter()
        .map(|&i| {
            records[i].crop.as_ref().map_or(0.0, |c| c.quality.score() * records[i].detection.confidence)
        })
        .collect();
    let candidates = Candidates {
        embeddings: vectors.pick(&rows),
        quality,
        default_min_similarity: job.embedder.default_min_similarity(),
    };
    let selection = job.deduper.dedupe(candidates).await.at(Stage::Dedupe)?;
    if selection.covered_by.len() != chosen.len() {
        return Err(Error::internal("the deduper did not answer for every candidate").at(Stage::Dedupe));
    }
    for (position, &i) in chosen.iter().enumerate() {
        let cover = selection.covered_by[position] as usize;
        if cover != position {
            let covered_by = records[chosen[cover]].id.clone();
            records[i].outcome =
                Outcome::Duplicate { covered_by, similarity: selection.similarity[position] };
        }
    }
    let kept = selection.kept.len() as u64;
    job.observer.notify(&Event::Selected { kept, duplicates: chosen.len() as u64 - kept });
    Ok(())
}

/// Gathers vectors into one matrix.
pub(crate) fn matrix(rows: Vec<Vec<f32>>, dimensions: usize) -> Result<Array2<f32>> {
    let count = rows.len();
    Array2::from_shape_vec((count, dimensions), rows.into_iter().flatten().collect())
        .map_err(|e| Error::internal(format!("vectors of unequal length: {e}")))
}
