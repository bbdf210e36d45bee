//! Training, drawing and judging on this machine.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use picchu::{
    Cast, Dataset, Result,
    config::{Access, DetectorChoice, EmbedderChoice, LocalTraining, Prepared, Shared, open_store},
    generate::{
        Panel, Storyboard,
        evaluate::{Evaluator, Options},
    },
    local::lora::{LocalGenerator, LocalGeneratorSettings, LocalTrainer, Python as Interpreter},
};
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::{
    cloud::json,
    plugins::Plugins,
    runtime::{wait, wait_with},
    training::{read, seconds, start},
};

async fn open(training: &str) -> Result<Prepared<LocalTrainer>> {
    let training: LocalTraining = read("the training", training)?;
    training.open(&Access::default()).await
}

/// What was found about a job before it is started, as JSON.
#[pyfunction]
pub(crate) fn check_local_training(py: Python<'_>, training: &str) -> PyResult<String> {
    wait(py, async { json(&open(training).await?.check().await?) })
}

/// Checks a job and starts it, goes on with it, or finds the one that the same training started; as JSON.
#[pyfunction]
pub(crate) fn train_locally(py: Python<'_>, training: &str) -> PyResult<String> {
    wait(py, async { start(&open(training).await?).await })
}

/// How far the jobs in a folder are, with their losses, as JSON.
#[pyfunction]
pub(crate) fn local_training_status(py: Python<'_>, place: PathBuf) -> PyResult<String> {
    wait(py, async {
        let mut found = Vec::new();
        for job in LocalTrainer::jobs_in(&place) {
            let (progress, losses) = (LocalTrainer::progress(&job)?, LocalTrainer::losses(&job)?);
            found.push(json!({"kind": "local_job", "id": job, "job": progress, "losses": losses}));
        }
        json(&found)
    })
}

/// Ends a job, and tells how far it is, as JSON.
#[pyfunction]
pub(crate) fn stop_local_job(py: Python<'_>, job: &str, patience: f64) -> PyResult<String> {
    wait(py, async {
        LocalTrainer::end(job, seconds(patience)?).await?;
        json(&LocalTrainer::progress(job)?)
    })
}

/// The folders of a job's checkpoints, the earliest first.
#[pyfunction]
pub(crate) fn local_checkpoints(job: &str) -> Vec<PathBuf> {
    LocalTrainer::checkpoints(job)
}

/// Who draws on this machine; the model is loaded at the first image and kept until this is gone.
#[pyclass(frozen, module = "picchu._picchu")]
pub(crate) struct LocalArtist {
    generator: LocalGenerator,
}

#[pymethods]
impl LocalArtist {
    #[new]
    fn new(py: Python<'_>, settings: &str, python: PathBuf) -> PyResult<Self> {
        let generator = wait(py, async {
            let settings: LocalGeneratorSettings = read("the settings", settings)?;
            LocalGenerator::new(Interpreter::at(python), settings)
        })?;
        Ok(Self { generator })
    }

    /// Draws a storyboard, given as JSON, and tells what became of each panel, as JSON.
    fn draw(&self, py: Python<'_>, board: &str, out: PathBuf) -> PyResult<String> {
        wait(py, async {
            let board: Storyboard = read("the storyboard", board)?;
            json(&board.draw(&self.generator, &open_store(&out)?).await?)
        })
    }

    /// The same base model alone.
    fn without_lora(&self) -> Self {
        Self { generator: self.generator.without_lora() }
    }
}

/// What is to be judged, and by what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Evaluation {
    dataset: PathBuf,
    cast: Cast,
    detector: Option<DetectorChoice>,
    embedder: Option<EmbedderChoice>,
    film: Option<PathBuf>,
    images: BTreeMap<String, PathBuf>,
    panels: Vec<Panel>,
    options: Options,
    out: PathBuf,
}

/// Judges images and those who draw, and gives the report as JSON.
#[pyfunction]
pub(crate) fn evaluate(
    py: Python<'_>,
    evaluation: &str,
    plugins: HashMap<String, Py<PyAny>>,
    artists: Vec<(String, PyRef<'_, LocalArtist>)>,
) -> PyResult<String> {
    let plugins = Plugins::new(plugins);
    let raised = plugins.raised();
    let artists: Vec<_> =
        artists.into_iter().map(|(name, artist)| (name, artist.generator.clone())).collect();
    let report = async {
        let asked: Evaluation = read("the evaluation", evaluation)?;
        asked.cast.check()?;
        let dataset = Dataset::open(open_store(&asked.dataset)?).await?;
        let mut shared = Shared::new(asked.cast);
        let embedder = plugins.embedder(asked.embedder.as_ref(), &mut shared).await?;
        let detector = plugins.detector(asked.detector.as_ref(), &shared).await?;
        let film = asked.film.as_deref().map(|film| Access::default().film(film)).transpose()?;
        let evaluator = Evaluator::new(&dataset, detector, embedder, film.as_deref(), asked.options).await?;
        let out = open_store(&asked.out)?;
        let mut report = evaluator.report();
        for (name, folder) in &asked.images {
            report.add(evaluator.judge(name, Access::default().images(folder.as_ref()).await?, &out).await?);
        }
        let board = evaluator.board(&asked.panels);
        for (name, artist) in &artists {
            let images = evaluator.draw(name, artist, &board, &out).await?;
            report.add(evaluator.judge(name, images, &out).await?);
        }
        report.write(&*out).await?;
        json(&report)
    };
    raised.or(wait_with(py, report, |py| raised.interrupt(py)))
}
