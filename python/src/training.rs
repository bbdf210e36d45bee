//! Fine-tuning, serving and drawing on Amazon Bedrock.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use picchu::{
    Deployer as _, Error, Generator as _, Result,
    aws::{
        AwsContext, AwsSettings,
        bedrock::{
            BedrockDeployer, BedrockTrainer, CanvasGenerator, CanvasSettings, Commitment, Preset,
            job_progress, suggest, sweep,
        },
    },
    config::{Prepared, Training, open_store, standings},
    generate::Storyboard,
    layers::Meter,
    train::{Ledger, Trainer, stands_in_the_way},
    types::{CustomModel, PriceTable},
};
use pyo3::prelude::*;
use serde::Deserialize;

use crate::{cloud::json, runtime::wait};

pub(crate) fn read<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::invalid(format!("{what} is not understood: {e}")))
}

pub(crate) fn seconds(value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value).map_err(|e| Error::invalid(format!("{value} seconds: {e}")))
}

/// Checks a job and starts it, or finds the one that the same training started; as JSON.
pub(crate) async fn start<T: Trainer>(training: &Prepared<T>) -> Result<String> {
    stands_in_the_way(&training.check().await?)?;
    json(&training.submit().await?)
}

async fn open(training: &str, ledger: &Path) -> Result<Prepared<BedrockTrainer>> {
    let training: Training = read("the training", training)?;
    let ledger = Ledger::new(open_store(ledger)?);
    training.open(&AwsSettings::default(), ledger, PriceTable::built_in()).await
}

/// Numbers as JSON: by a preset, or by how many pictures there are, with the reason.
#[pyfunction]
#[pyo3(signature = (preset=None, pictures=0))]
pub(crate) fn hyperparameters(py: Python<'_>, preset: Option<&str>, pictures: usize) -> PyResult<String> {
    wait(py, async {
        match preset {
            Some(name) => {
                let preset: Preset = read("the preset", &json(&name)?)?;
                json(&preset.values())
            }
            None => json(&suggest(pictures).values),
        }
    })
}

/// Further tries around numbers, as JSON.
#[pyfunction]
pub(crate) fn sweep_hyperparameters(py: Python<'_>, base: &str) -> PyResult<String> {
    wait(py, async { json(&sweep(&read("the hyperparameters", base)?)) })
}

/// What was found about a job before it is created, as JSON.
#[pyfunction]
pub(crate) fn check_training(py: Python<'_>, training: &str) -> PyResult<String> {
    wait(py, async { json(&open(training, Path::new(".")).await?.check().await?) })
}

/// The request that would start a job, as JSON.
#[pyfunction]
pub(crate) fn training_request(py: Python<'_>, training: &str) -> PyResult<String> {
    wait(py, async {
        let training = open(training, Path::new(".")).await?;
        training.trainer().request(training.spec()).to_json()
    })
}

/// Checks a job and starts it, or finds the one that the same training started; as JSON.
#[pyfunction]
pub(crate) fn train(py: Python<'_>, training: &str, ledger: PathBuf) -> PyResult<String> {
    wait(py, async { start(&open(training, &ledger).await?).await })
}

/// How far a job is, as JSON.
#[pyfunction]
pub(crate) fn training_progress(py: Python<'_>, job: &str) -> PyResult<String> {
    wait(py, async {
        let context = AwsContext::from_env(&AwsSettings::default()).await?;
        json(&job_progress(&context, job).await?)
    })
}

/// Where the jobs and deployments of a ledger stand, as JSON.
#[pyfunction]
pub(crate) fn training_status(py: Python<'_>, place: PathBuf) -> PyResult<String> {
    wait(py, async { json(&standings(&Ledger::new(open_store(&place)?), &AwsSettings::default()).await?) })
}

async fn deployer(ledger: &Path) -> Result<BedrockDeployer> {
    let context = AwsContext::from_env(&AwsSettings::default()).await?;
    Ok(BedrockDeployer::new(&context, Ledger::new(open_store(ledger)?)))
}

/// Starts serving a model: the deployment as JSON, and its price an hour.
#[pyfunction]
pub(crate) fn deploy(
    py: Python<'_>,
    model: String,
    name: &str,
    units: u32,
    commitment: &str,
    ledger: PathBuf,
) -> PyResult<(String, Option<f64>)> {
    wait(py, async {
        let commitment: Commitment = read("the commitment", &json(&commitment)?)?;
        let deployer = deployer(&ledger).await?.units(units).commitment(commitment);
        let model = CustomModel { id: model, base_model: String::new() };
        Ok((json(&deployer.deploy(name, &model).await?)?, deployer.usd_per_hour()))
    })
}

/// Has a deployment serve another model.
#[pyfunction]
pub(crate) fn update_deployment(
    py: Python<'_>,
    deployment: &str,
    model: String,
    name: &str,
    ledger: PathBuf,
) -> PyResult<()> {
    wait(py, async {
        let model = CustomModel { id: model, base_model: String::new() };
        deployer(&ledger).await?.update(deployment, name, &model).await.map(drop)
    })
}

/// Waits until a deployment serves.
#[pyfunction]
pub(crate) fn wait_for_deployment(
    py: Python<'_>,
    deployment: &str,
    poll: f64,
    timeout: f64,
    ledger: PathBuf,
) -> PyResult<()> {
    wait(py, async {
        let deployer = deployer(&ledger).await?.patience(seconds(poll)?, seconds(timeout)?);
        deployer.wait(deployment).await.map(drop)
    })
}

/// Ends a deployment.
#[pyfunction]
pub(crate) fn delete_deployment(py: Python<'_>, deployment: &str, ledger: PathBuf) -> PyResult<()> {
    wait(py, async { deployer(&ledger).await?.delete(deployment).await })
}

/// How images are drawn, as Python gives it.
#[derive(Deserialize)]
struct Drawing {
    board: Storyboard,
    model: String,
    cfg_scale: f32,
    premium: bool,
    style: Option<String>,
    budget: Option<f64>,
}

impl Drawing {
    fn read(text: &str) -> Result<Self> {
        read("the storyboard", text)
    }

    /// Who draws, and what counts the cost.
    async fn open(&self) -> Result<(CanvasGenerator, Arc<Meter>)> {
        let context = AwsContext::from_env(&AwsSettings::default()).await?;
        let mut meter = Meter::new(PriceTable::built_in());
        if let Some(usd) = self.budget {
            if !(usd.is_finite() && usd >= 0.0) {
                return Err(Error::invalid(format!("the budget is {usd}; it must be 0 or more")));
            }
            meter = meter.budget(usd);
        }
        let meter = Arc::new(meter);
        let settings = CanvasSettings {
            cfg_scale: self.cfg_scale,
            premium: self.premium,
            style: self.style.clone(),
            guide: None,
        };
        let generator = CanvasGenerator::new(&context, &self.model, settings, Arc::clone(&meter))?;
        Ok((generator, meter))
    }
}

/// The requests that drawing would send, as a JSON array.
#[pyfunction]
pub(crate) fn drawing_requests(py: Python<'_>, drawing: &str) -> PyResult<String> {
    wait(py, async {
        let drawing = Drawing::read(drawing)?;
        let (generator, _) = drawing.open().await?;
        let requests = drawing.board.requests().map(|request| generator.cli_input(&request));
        json(&requests.collect::<Result<Vec<_>>>()?)
    })
}

/// How many images are still to be drawn, and what that costs in US dollars where the price is known.
#[pyfunction]
pub(crate) fn estimate_drawing(
    py: Python<'_>,
    drawing: &str,
    out: PathBuf,
) -> PyResult<(usize, Option<f64>)> {
    wait(py, async {
        let drawing = Drawing::read(drawing)?;
        let (generator, _) = drawing.open().await?;
        let open = drawing.board.open_requests(&generator, &open_store(&out)?).await?;
        Ok((open.len(), open.iter().map(|request| generator.price(request)).sum()))
    })
}

/// Draws a storyboard and tells what became of each panel, and what was used, as JSON.
#[pyfunction]
pub(crate) fn generate(py: Python<'_>, drawing: &str, out: PathBuf) -> PyResult<String> {
    wait(py, async {
        let drawing = Drawing::read(drawing)?;
        let (generator, meter) = drawing.open().await?;
        let panels = drawing.board.draw(&generator, &open_store(&out)?).await?;
        json(&(panels, meter.total()))
    })
}
