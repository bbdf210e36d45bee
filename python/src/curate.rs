//! What is done with finished datasets: answers are JSON.

use std::{path::PathBuf, sync::Arc};

use numpy::PyReadonlyArray1;
use picchu::{
    CosineDeduper, Error, Keep, Result,
    config::{open_film, open_store},
    dataset::{
        Dataset, SplitOptions, Violation,
        export::{
            self as exports, Options,
            custom_labels::{self, ManifestOptions},
        },
        merge as merge_datasets,
    },
    dedupe::{KnownPairs, Pair},
    store::lock,
};
use pyo3::{prelude::*, types::PyBytes};
use serde::Serialize;

use crate::{errors::OrRaise as _, runtime::wait};

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
}

/// Writes a dataset for a trainer, reads it back as the trainer does, and tells what was written.
#[pyfunction]
#[pyo3(signature = (dataset, trainer, out, root=None))]
pub(crate) fn export(
    py: Python<'_>,
    dataset: PathBuf,
    trainer: &str,
    out: PathBuf,
    root: Option<String>,
) -> PyResult<String> {
    wait(py, async {
        let format = exports::format(trainer)?;
        let dataset = Dataset::open(open_store(&dataset)?).await?;
        json(&exports::write(&dataset, format, &out, &Options { root }).await?)
    })
}

/// Writes frames with boxes and the manifests that name them for a Custom Labels project, and tells what was written.
#[pyfunction]
#[pyo3(signature = (dataset, films, out, uri=None, unreviewed=false))]
pub(crate) fn export_custom_labels(
    py: Python<'_>,
    dataset: PathBuf,
    films: Vec<PathBuf>,
    out: PathBuf,
    uri: Option<String>,
    unreviewed: bool,
) -> PyResult<String> {
    wait(py, async {
        let dataset = Dataset::open(open_store(&dataset)?).await?;
        let films = films.iter().map(|film| open_film(film)).collect::<Result<Vec<_>>>()?;
        let options = ManifestOptions { uri, unreviewed };
        json(&custom_labels::write(&dataset, &films, &open_store(&out)?, &options).await?)
    })
}

/// What is wrong with a dataset, after mending it if that is asked for, and how much was mended.
#[pyfunction]
#[pyo3(signature = (dataset, trainer=None, images=false, fix_at_ms=None))]
pub(crate) fn validate(
    py: Python<'_>,
    dataset: PathBuf,
    trainer: Option<String>,
    images: bool,
    fix_at_ms: Option<u64>,
) -> PyResult<(String, usize)> {
    wait(py, async {
        let format = trainer.as_deref().map(exports::format).transpose()?;
        let (mut dataset, damage) = Dataset::salvage(open_store(&dataset)?).await?;
        let mut violations = look(&dataset, damage, format, images).await?;
        let mut mended = 0;
        if let Some(now) = fix_at_ms {
            let lease = lock(dataset.store()).await?;
            // One mend can uncover another, for example a caption that is still too long.
            for _ in 0..4 {
                let (after, count) = dataset.mend(&violations, now).await?;
                if count == 0 {
                    break;
                }
                mended += count;
                let (_, damage) = Dataset::salvage(Arc::clone(dataset.store())).await?;
                violations = look(&after, damage, format, images).await?;
                dataset = after;
            }
            lease.release().await?;
        }
        Ok((json(&violations)?, mended))
    })
}

async fn look(
    dataset: &Dataset,
    mut violations: Vec<Violation>,
    format: Option<&'static dyn exports::Format>,
    images: bool,
) -> Result<Vec<Violation>> {
    if images {
        violations.extend(dataset.check_images().await?);
    }
    if let Some(format) = format {
        violations.extend(exports::check(dataset, format));
    }
    Ok(violations)
}

/// The lineage of a record, as JSON and for people.
#[pyfunction]
pub(crate) fn lineage(py: Python<'_>, dataset: PathBuf, record: &str) -> PyResult<(String, String)> {
    wait(py, async {
        let lineage = Dataset::open(open_store(&dataset)?).await?.lineage(record)?;
        Ok((json(&lineage)?, lineage.to_string()))
    })
}

/// A record's crop, cut from the film again, and whether it is the dataset's file to the bit.
#[pyfunction]
pub(crate) fn recut<'py>(
    py: Python<'py>,
    dataset: PathBuf,
    record: &str,
    film: PathBuf,
) -> PyResult<(Bound<'py, PyBytes>, bool)> {
    let recut = wait(py, async {
        let dataset = Dataset::open(open_store(&dataset)?).await?;
        dataset.recut(record, &*open_film(&film)?).await
    })?;
    Ok((PyBytes::new(py, &recut.body), recut.identical))
}

/// Decides which images train; gives the ids of those that do, of those held out, and of those left out.
#[pyfunction]
#[pyo3(signature = (dataset, held_out=0.0, cap=None))]
pub(crate) fn split(py: Python<'_>, dataset: PathBuf, held_out: f64, cap: Option<usize>) -> PyResult<String> {
    wait(py, async {
        let dataset = Dataset::open(open_store(&dataset)?).await?;
        let lease = lock(dataset.store()).await?;
        let dataset = dataset.split(SplitOptions { held_out, cap }).await?;
        lease.release().await?;
        let (chosen, left_out) = dataset.parts();
        let ids: Vec<_> = chosen.iter().map(|(image, part)| (&image.record.id, part)).collect();
        let left_out: Vec<_> = left_out.iter().map(|image| &image.record.id).collect();
        json(&(ids, left_out))
    })
}

/// What the images show of each character, as JSON and for people.
#[pyfunction]
pub(crate) fn stats(py: Python<'_>, dataset: PathBuf) -> PyResult<(String, String)> {
    wait(py, async {
        let stats = Dataset::open(open_store(&dataset)?).await?.stats();
        Ok((json(&stats)?, stats.to_string()))
    })
}

/// Near-duplicates among the kept images of all datasets, in their order, that were found elsewhere.
type NearPairs<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, f64>);

/// Merges datasets of several films, and gives the number of images that another film's cover.
#[pyfunction]
#[pyo3(signature = (datasets, out, min_similarity=None, pairs=None))]
pub(crate) fn merge(
    py: Python<'_>,
    datasets: Vec<PathBuf>,
    out: PathBuf,
    min_similarity: Option<f64>,
    pairs: Option<NearPairs<'_>>,
) -> PyResult<u64> {
    let pairs = pairs.map(known).transpose().or_raise(py)?;
    wait(py, async {
        let mut opened = Vec::new();
        for dataset in &datasets {
            opened.push(Dataset::open(open_store(dataset)?).await?);
        }
        let deduper = match min_similarity {
            Some(min_similarity) => CosineDeduper::at(min_similarity)?,
            None => CosineDeduper::default(),
        };
        let deduper = deduper.keep(Keep::Best);
        let out = open_store(&out)?;
        let merged = match pairs {
            Some(pairs) => merge_datasets(&opened, &KnownPairs::new(deduper, pairs), &out).await?,
            None => merge_datasets(&opened, &deduper, &out).await?,
        };
        Ok(merged.across_films)
    })
}

fn known((a, b, similarity): NearPairs<'_>) -> Result<Vec<Pair>> {
    let (a, b, similarity) = (a.as_array(), b.as_array(), similarity.as_array());
    if a.len() != b.len() || a.len() != similarity.len() {
        return Err(Error::invalid("the pairs' rows and similarities differ in number"));
    }
    let row =
        |row: &i64| u32::try_from(*row).map_err(|_| Error::invalid(format!("{row} is no number of a row")));
    a.iter()
        .zip(b)
        .zip(similarity)
        .map(|((a, b), &similarity)| Ok(Pair { a: row(a)?, b: row(b)?, similarity }))
        .collect()
}
