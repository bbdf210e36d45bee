//! Phase two: from candidates to the dataset, over the whole set.

use std::collections::{BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use ndarray::Array2;

use super::{Event, Job};
use crate::{
    caption,
    dataset::decode_image,
    dedupe::Candidates,
    error::{AtStage, Error, Result, Stage},
    store::Key,
    types::{Caption, CaptionRequest, Crop, Embeddings, Outcome, Record, Usage},
};

/// How often a caption is asked for anew before the record is given up.
const CAPTION_ATTEMPTS: u32 = 6;

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

/// Captions the kept records, in order. A text that fails the gate or was used already is asked for anew.
pub(crate) async fn caption(job: &Job, records: &mut [Record]) -> Result<Usage> {
    let kept: Vec<usize> = (0..records.len()).filter(|&i| records[i].is_kept()).collect();
    let total = kept.len() as u64;
    let mut usage = Usage::default();
    let everybody: BTreeSet<String> =
        records.iter().filter_map(Record::character).map(str::to_owned).collect();
    let everybody: Vec<String> = everybody.into_iter().collect();
    let mut used = HashSet::new();
    let mut texts = Vec::with_capacity(kept.len());
    {
        let requests: Vec<&Record> = kept.iter().map(|&i| &records[i]).collect();
        // First wordings are asked for side by side; the gate then works through them in order.
        let mut first = stream::iter(requests)
            .map(|record| async move {
                let request = request(job, record).await?;
                let answer = ask(job, &request).await?;
                Ok::<_, Error>((request, answer))
            })
            .buffered(job.limits.in_flight)
            .boxed();
        while let Some((request, answer)) = first.try_next().await? {
            let accepted = gate(job, request, answer, &everybody, &used, &mut usage).await?;
            if let Ok(caption) = &accepted {
                used.insert(caption.text.clone());
            }
            texts.push(accepted);
            job.observer.notify(&Event::Captioned { done: texts.len() as u64, total });
        }
    }
    for (&i, text) in kept.iter().zip(texts) {
        match text {
            Ok(caption) => records[i].caption = Some(caption),
            Err(reason) => records[i].outcome = Outcome::Failed { reason },
        }
    }
    Ok(usage)
}

async fn request(job: &Job, record: &Record) -> Result<CaptionRequest> {
    let Some(crop) = &record.crop else {
        return Err(Error::internal(format!("record {} is kept without an image", record.id)));
    };
    let body = job.store.get(&Key::new(crop.image.as_str())?).await.at(Stage::Caption)?;
    let id = record.id.clone();
    let image = crate::blocking(move || decode_image(&body, &id)).await?;
    Ok(CaptionRequest {
        record: record.id.clone(),
        crop: Crop { rect: crop.rect, scale: crop.scale, image: image.into() },
        subjects: record.subjects.clone(),
        attempt: 0,
        refusal: None,
    })
}

/// A caption, or why this record gets none; errors that concern the whole run pass through.
async fn ask(job: &Job, request: &CaptionRequest) -> Result<std::result::Result<Caption, String>> {
    match job.captioner.caption(request).await.at(Stage::Caption) {
        Ok(caption) => Ok(Ok(caption)),
        Err(e) if super::collect::is_about_the_item(&e) => Ok(Err(e.to_string())),
        Err(e) => Err(e),
    }
}

async fn gate(
    job: &Job,
    mut request: CaptionRequest,
    mut answer: std::result::Result<Caption, String>,
    everybody: &[String],
    used: &HashSet<String>,
    usage: &mut Usage,
) -> Result<std::result::Result<Caption, String>> {
    loop {
        let refusal = match answer {
            Ok(caption) => {
                *usage += caption.usage;
                let names: Vec<&str> = request.subjects.iter().map(|s| s.character.as_str()).collect();
                // Everybody of the film counts as the cast: a name that was never detected cannot be told from a word.
                let cast: Vec<&str> = everybody.iter().map(String::as_str).collect();
                match caption::check(&caption.text, &names, &cast, used) {
                    Ok(()) => return Ok(Ok(caption)),
                    Err(broken) => broken.join("; "),
                }
            }
            Err(refusal) => refusal,
        };
        request.attempt += 1;
        if request.attempt >= CAPTION_ATTEMPTS {
            return Ok(Err(format!("no usable caption: {refusal}")));
        }
        request.refusal = Some(refusal);
        answer = ask(job, &request).await?;
    }
}

/// Gathers vectors into one matrix.
pub(crate) fn matrix(rows: Vec<Vec<f32>>, dimensions: usize) -> Result<Array2<f32>> {
    let count = rows.len();
    Array2::from_shape_vec((count, dimensions), rows.into_iter().flatten().collect())
        .map_err(|e| Error::internal(format!("vectors of unequal length: {e}")))
}
