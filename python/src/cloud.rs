//! What lives in the cloud beside a run: the enrolled cast, and the removal of what the ledger knows.

use std::{path::PathBuf, time::Duration};

use picchu::{
    Cast, Error, Result,
    aws::AwsSettings,
    config::{
        Access, BatchPlace, BatchQuestions, CastService, Cleaner, Selection, Shared, open_batch, open_store,
    },
    train::Ledger,
};
use pyo3::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{runtime::wait, training::read};

pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
}

/// Enrols a cast, given as JSON, and tells what became of each picture, as JSON, and what that cost.
#[pyfunction]
pub(crate) fn enrol(
    py: Python<'_>,
    cast: &str,
    collection: &str,
    users: bool,
    ledger: PathBuf,
) -> PyResult<(String, f64)> {
    wait(py, async {
        let cast: Cast = serde_json::from_str(cast)
            .map_err(|e| Error::invalid(format!("the cast is not understood: {e}")))?;
        let service = CastService::open(&AwsSettings::default(), collection).await?;
        let enrolment = service.enrol(&cast, users, &Ledger::new(open_store(&ledger)?)).await?;
        Ok((json(&enrolment)?, service.usage().usd))
    })
}

/// Reads what batch jobs about a dataset have finished, submits what is open where that is wanted, and tells how far it is,
/// as JSON. The model is given as JSON: an embedder, or a captioner with its cast.
#[pyfunction]
#[pyo3(signature = (dataset, model, cast, s3, role, timeout_hours, submit, max_usd=None))]
// One argument of the function in Python is one here.
#[allow(clippy::too_many_arguments)]
pub(crate) fn batch(
    py: Python<'_>,
    dataset: PathBuf,
    model: &str,
    cast: Option<&str>,
    s3: PathBuf,
    role: String,
    timeout_hours: u32,
    submit: bool,
    max_usd: Option<f64>,
) -> PyResult<String> {
    wait(py, async {
        let (questions, cast) = match cast {
            Some(cast) => (BatchQuestions::Captions(read("the model", model)?), read("the cast", cast)?),
            None => (BatchQuestions::Embeddings(read("the model", model)?), Cast::default()),
        };
        let place = BatchPlace { s3, role_arn: role, timeout_hours };
        let batch = open_batch(&dataset, &questions, &place, &Access::default(), Shared::new(cast)).await?;
        json(&if submit { batch.submit(max_usd).await? } else { batch.look().await? })
    })
}

/// Deletes a collection with all its faces.
#[pyfunction]
#[pyo3(signature = (collection, ledger=None))]
pub(crate) fn delete_collection(py: Python<'_>, collection: &str, ledger: Option<PathBuf>) -> PyResult<()> {
    wait(py, async {
        let ledger = ledger.map(|folder| open_store(&folder)).transpose()?.map(Ledger::new);
        CastService::open(&AwsSettings::default(), collection).await?.delete(ledger.as_ref()).await
    })
}

/// Which resources are meant, as Python says it.
#[derive(Deserialize)]
struct Which {
    scan: bool,
    hourly: bool,
    /// In seconds.
    older_than: Option<f64>,
}

/// What a ledger has open, and with `scan` what carries picchu's tag; with `remove`, what was removed. As JSON, with what
/// could not be asked.
#[pyfunction]
pub(crate) fn resources(py: Python<'_>, place: PathBuf, remove: bool, which: &str) -> PyResult<String> {
    wait(py, async {
        let Which { scan, hourly, older_than } = read("the choice of resources", which)?;
        let cleaner = Cleaner::new(Ledger::new(open_store(&place)?), AwsSettings::default());
        let older_than = older_than.map(Duration::try_from_secs_f64).transpose();
        let older_than = older_than.map_err(|e| Error::invalid(format!("older_than: {e}")))?;
        let (found, unread) = cleaner.find(&Selection { scan, hourly, older_than }).await?;
        if remove {
            let mut failed = None;
            for resource in &found {
                // The others must not go on billing for the sake of one that cannot be removed.
                if let Err(e) = cleaner.remove(&resource.entry).await {
                    failed.get_or_insert(e);
                }
            }
            if let Some(e) = failed {
                return Err(e);
            }
        }
        json(&(found, unread))
    })
}
