//! Reviews: a server that answers while Python does other things.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use picchu::{
    Error, Result,
    config::open_film,
    local::review::{ReviewOptions, ReviewServer},
};
use pyo3::prelude::*;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::runtime::{runtime, wait};

/// A review that is going on.
#[pyclass(frozen, module = "picchu._picchu")]
#[derive(Debug)]
pub(crate) struct ReviewPage {
    url: String,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    done: JoinHandle<Result<()>>,
}

impl ReviewPage {
    pub(crate) fn open(
        py: Python<'_>,
        dataset: picchu::Dataset,
        film: Option<PathBuf>,
        options: ReviewOptions,
    ) -> PyResult<Self> {
        let server = wait(py, async {
            let film = film.as_deref().map(open_film).transpose()?;
            ReviewServer::start(dataset, ReviewOptions { film, ..options }).await
        })?;
        let url = server.url().to_owned();
        let (stop, stopped) = oneshot::channel();
        let done = runtime(py)?.spawn(server.serve(async {
            // Dropped together with the page: nobody can stop it any more, and nobody needs it.
            let _ = stopped.await;
        }));
        Ok(Self { url, running: Mutex::new(Some(Running { stop, done })) })
    }
}

#[pymethods]
impl ReviewPage {
    /// The page's address on this machine.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    /// Ends the review. Ending it twice is no error.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { stop, done }) = running else { return Ok(()) };
        wait(py, async {
            let _ = stop.send(());
            done.await.map_err(|e| Error::internal(format!("the review's server panicked: {e}")))?
        })
    }
}
