//! Casts: cutting references, and suggesting who is in a film.

use std::{path::PathBuf, time::Duration};

use picchu::{
    Cast, Error,
    cast::{Cutting, Lesson, Region},
    config::{open_film, open_store},
    dataset::Dataset,
    detect::{SuggestOptions, suggest_cast as suggest},
};
use pyo3::prelude::*;

use crate::runtime::wait;

/// Cuts a reference picture from a film and names it in a cast file.
#[pyfunction]
pub(crate) fn add_reference(
    py: Python<'_>,
    cast: PathBuf,
    name: String,
    film: PathBuf,
    at: f64,
    r#box: [f64; 4],
    negative: bool,
) -> PyResult<()> {
    wait(py, async {
        let at = Duration::try_from_secs_f64(at)
            .map_err(|_| Error::invalid(format!("at is {at}; it must be a time in seconds")))?;
        let region = Region::new(r#box).map_err(Error::invalid)?;
        let film = open_film(&film)?;
        Cast::add_reference(&cast, &*film, &Cutting { name, at, region, negative }).await.map(drop)
    })
}

/// Makes reference pictures of what people corrected in a dataset. Gives how many are new.
#[pyfunction]
pub(crate) fn learn_cast(
    py: Python<'_>,
    cast: PathBuf,
    dataset: PathBuf,
    per_character: usize,
) -> PyResult<usize> {
    wait(py, async {
        let dataset = Dataset::open(open_store(&dataset)?).await?;
        let lessons: Vec<Lesson> = dataset
            .corrections(per_character)
            .await?
            .into_iter()
            .map(|c| Lesson { name: c.character, negative: c.negative, picture: c.picture })
            .collect();
        Ok(Cast::learn(&cast, &lessons)?.iter().filter(|(_, new)| *new).count())
    })
}

/// Looks for whoever comes again and again in a film, and writes a cast file to be named. Gives its path.
#[pyfunction]
pub(crate) fn suggest_cast(
    py: Python<'_>,
    film: PathBuf,
    out: PathBuf,
    groups: usize,
    frames: usize,
    pictures: usize,
) -> PyResult<PathBuf> {
    wait(py, async {
        let source = open_film(&film)?;
        let found = suggest(&*source, &SuggestOptions { frames, groups, pictures }).await?;
        Cast::write_draft(&found, &source.probe().await?.name, &out)
    })
}
