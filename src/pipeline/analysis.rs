//! The look at the whole film that some samplings need: made once, kept while the run's work is unfinished.

use std::sync::Arc;

use bytes::Bytes;

use super::{Event, Job};
use crate::{
    dataset::FileHash,
    error::{AtStage, Error, Result, Stage},
    source::{ANALYSIS_VERSION, Analysis, analyse},
    store::{Key, PutMode, get_opt},
};

/// Equal films have equal analyses, whatever the settings of the run.
fn key(film: &str) -> Result<Key> {
    let film = FileHash::of(film.as_bytes());
    Key::new(format!("work/analysis-{ANALYSIS_VERSION}-{}.json", film.short(16)))
}

/// The analysis of a film, if an unfinished run has left one.
pub(crate) async fn kept(job: &Job, film: &str) -> Result<Option<Analysis>> {
    if !job.sampling.looks() {
        return Ok(None);
    }
    let Some(body) = get_opt(&*job.store, &key(film)?).await.at(Stage::Dataset)? else { return Ok(None) };
    // One that cannot be read is made anew.
    Ok(serde_json::from_slice(&body).ok().filter(|a: &Analysis| a.version == ANALYSIS_VERSION))
}

/// The analysis of a film, if the sampling needs one: of an unfinished run, or made now and kept.
pub(crate) async fn obtain(job: &Job, film: &str) -> Result<Option<Arc<Analysis>>> {
    if !job.sampling.looks() {
        return Ok(None);
    }
    if let Some(kept) = kept(job, film).await? {
        return Ok(Some(Arc::new(kept)));
    }
    job.observer.notify(&Event::Looking);
    let analysis = analyse(&*job.source).await.at(Stage::Sample)?;
    let body =
        serde_json::to_vec(&analysis).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
    job.store.put(&key(film)?, Bytes::from(body), PutMode::Overwrite).await.at(Stage::Dataset)?;
    Ok(Some(Arc::new(analysis)))
}
