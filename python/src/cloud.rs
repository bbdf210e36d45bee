//! What lives in the cloud beside a run: the enrolled cast, and the removal of what the ledger knows.

use std::path::PathBuf;

use picchu::{
    Cast, Error, Result,
    aws::AwsSettings,
    config::{CastService, Cleaner, open_store},
    train::Ledger,
};
use pyo3::prelude::*;
use serde::Serialize;

use crate::runtime::wait;

fn json(value: &impl Serialize) -> Result<String> {
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

/// Deletes a collection with all its faces.
#[pyfunction]
#[pyo3(signature = (collection, ledger=None))]
pub(crate) fn delete_collection(py: Python<'_>, collection: &str, ledger: Option<PathBuf>) -> PyResult<()> {
    wait(py, async {
        let ledger = ledger.map(|folder| open_store(&folder)).transpose()?.map(Ledger::new);
        CastService::open(&AwsSettings::default(), collection).await?.delete(ledger.as_ref()).await
    })
}

/// What a ledger has open, as JSON; with `remove`, what was removed.
#[pyfunction]
pub(crate) fn resources(py: Python<'_>, place: PathBuf, remove: bool) -> PyResult<String> {
    wait(py, async {
        let cleaner = Cleaner::new(Ledger::new(open_store(&place)?), AwsSettings::default());
        let found = cleaner.look().await?;
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
        json(&found)
    })
}
